//! What holds for every stream of bytes that a decoder reads. Driven by proptest in this crate's tests and by the fuzzer
//! in `messaging/fuzz`.

use bytes::BytesMut;
use stomp::{Decoder, Frame, Limits, ProtocolError, Version, encode};

/// What became of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<Frame>,
    /// The error, and the receipt that the broken frame asked for.
    error: Option<(ProtocolError, Option<String>)>,
    /// Bytes that wait for more.
    left: usize,
}

/// Panics when `bytes` break a law of the decoder. `version` is what was agreed on before.
pub(crate) fn check(version: Option<Version>, bytes: &[u8]) {
    for limits in [Limits::default(), tight()] {
        let whole = read(version, &limits, &[bytes]);
        for pieces in splits(bytes) {
            assert_eq!(read(version, &limits, &pieces), whole, "split: {pieces:?}");
        }
        for frame in &whole.frames {
            check_frame(frame, version, &limits);
            for receiver in Version::ALL {
                check_written(frame, receiver);
            }
            let writer = version.unwrap_or(Version::V1_0);
            if is_expressible(frame, writer) {
                assert_eq!(&read_back(version, frame, writer), frame);
            }
        }
    }
}

/// Limits that short input reaches.
pub(crate) fn tight() -> Limits {
    Limits {
        line_bytes: 32,
        head_bytes: 96,
        headers: 4,
        body_bytes: 24,
        frame_bytes_before_connect: 80,
        ..Limits::default()
    }
}

/// The stream byte by byte, and in pieces whose lengths follow from the stream, so that a finding can be repeated.
pub(crate) fn splits(bytes: &[u8]) -> [Vec<&[u8]>; 2] {
    // FNV-1a.
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let length = usize::try_from(state >> 60).expect("four bits");
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    [bytes.chunks(1).collect(), pieces]
}

fn read(version: Option<Version>, limits: &Limits, pieces: &[&[u8]]) -> Outcome {
    let mut decoder = Decoder::new(limits.clone());
    match version {
        Some(version) => decoder.set_version(version),
        None => decoder.set_frame_limit(Some(limits.frame_bytes_before_connect)),
    }
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.decode() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    let receipt = decoder.receipt_of_broken_frame().map(str::to_owned);
                    let error = Some((error, receipt));
                    return Outcome {
                        frames,
                        error,
                        left: 0,
                    };
                }
            }
        }
        let waiting_max = limits.line_bytes.max(limits.body_bytes);
        assert!(decoder.buffered() <= waiting_max, "{}", decoder.buffered());
    }
    Outcome {
        frames,
        error: None,
        left: decoder.buffered(),
    }
}

fn check_frame(frame: &Frame, version: Option<Version>, limits: &Limits) {
    assert!(frame.headers.len() <= limits.headers);
    assert!(frame.body.len() <= limits.body_bytes);
    assert!(frame.body.is_empty() || frame.command.may_have_body());
    let mut bytes = 0;
    for (name, value) in frame.headers.iter() {
        assert!(!name.is_empty() && name != "content-length");
        assert!(name.len() + value.len() < limits.line_bytes);
        bytes += name.len() + value.len();
    }
    assert!(bytes < limits.head_bytes);
    let whole = bytes + frame.body.len();
    assert!(version.is_some() || whole < limits.frame_bytes_before_connect);
}

/// No receiver reads more, fewer or longer frames than were written, or another number of headers.
fn check_written(frame: &Frame, receiver: Version) {
    let mut written = BytesMut::new();
    encode(frame, receiver, &mut written);
    let lines = written[..]
        .split(|byte| *byte == b'\n')
        .take_while(|line| !line.is_empty())
        .count();
    let length = usize::from(!frame.body.is_empty());
    assert_eq!(lines, 1 + frame.headers.len() + length, "{written:?}");

    let got = read_back(Some(receiver), frame, receiver);
    assert_eq!(got.command, frame.command);
    assert_eq!(got.headers.len(), frame.headers.len());
    assert_eq!(got.body, frame.body);
    // What had to be changed was changed once.
    assert_eq!(read_back(Some(receiver), &got, receiver), got);
}

/// The frame, written for `writer` and read by the rules of `reader`.
fn read_back(reader: Option<Version>, frame: &Frame, writer: Version) -> Frame {
    let mut written = BytesMut::new();
    encode(frame, writer, &mut written);
    let mut outcome = read(reader, &Limits::default(), &[&written]);
    assert_eq!(outcome.error, None, "{written:?}");
    assert_eq!((outcome.frames.len(), outcome.left), (1, 0), "{written:?}");
    outcome.frames.remove(0)
}

/// Whether `version` can say all of it: before 1.2, and without escapes, some octets have no spelling.
pub(crate) fn is_expressible(frame: &Frame, version: Version) -> bool {
    let escaped = frame.command.is_escaped() && version > Version::V1_0;
    let forbidden: &[char] = if escaped { &[] } else { &['\n', '\r'] };
    frame.headers.iter().all(|(name, value)| {
        !name.contains(forbidden) && !value.contains(forbidden) && (escaped || !name.contains(':'))
    })
}
