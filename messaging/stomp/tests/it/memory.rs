//! What sessions and decoders hold: next to nothing while idle, and never more than their limits say.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use allocation_counter::{AllocationInfo, measure};
use stomp::{Decoder, Frame, Limits, ServerConfig, ServerEvent, ServerSession, Version};

const KIB: u64 = 1024;

/// Bytes that are still held after `run`, at most held during it, and allocated in all. What `run` returns lives on.
fn held<T>(run: impl FnOnce() -> T) -> (T, AllocationInfo) {
    let mut kept = None;
    let info = measure(|| kept = Some(run()));
    (kept.unwrap(), info)
}

fn decoder() -> Decoder {
    let mut decoder = Decoder::new(Limits::default());
    decoder.set_version(Version::V1_2);
    decoder
}

fn decode_in_pieces(decoder: &mut Decoder, bytes: &[u8], length: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    for piece in bytes.chunks(length) {
        decoder.push(piece);
        while let Some(frame) = decoder.decode().unwrap() {
            frames.push(frame);
        }
    }
    frames
}

/// A SEND with a body of `length` bytes.
fn send(length: usize, announced: bool) -> Vec<u8> {
    let mut bytes = b"SEND\ndestination:/topic/a\n".to_vec();
    if announced {
        bytes.extend_from_slice(format!("content-length:{length}\n").as_bytes());
    }
    bytes.push(b'\n');
    bytes.resize(bytes.len() + length, b'x');
    bytes.push(0);
    bytes
}

/// Ten thousand of them have 8 KiB each, of which the WebSocket alone takes more than half.
#[test]
fn an_idle_session_holds_next_to_nothing() {
    assert!(
        size_of::<ServerSession>() <= 512,
        "{}",
        size_of::<ServerSession>()
    );
    let config = Arc::new(ServerConfig::default());
    let now = Instant::now();
    let (session, info) = held(|| {
        let mut session = ServerSession::new(Arc::clone(&config), now);
        let input: &[u8] = b"CONNECT\naccept-version:1.2\nhost:a\nheart-beat:10000,10000\n\n\0\n";
        session.handle_bytes(input, now);
        assert!(matches!(
            session.poll_event(),
            Some(ServerEvent::Connect(_))
        ));
        session.accept("1", now);
        while session.poll_event().is_some() {}
        while session.poll_transmit(now).is_some() {}
        session
    });
    // The queue of what goes out keeps its place for a few frames.
    assert!(info.bytes_current <= 128, "{}", info.bytes_current);
    let (session, info) = held(|| {
        let mut session = session;
        session.handle_bytes(
            b"SUBSCRIBE\nid:0\ndestination:/topic/a\nreceipt:1\n\n\0\n",
            now,
        );
        while let Some(event) = session.poll_event() {
            session.receipt(event.frame().unwrap());
        }
        while session.poll_transmit(now).is_some() {}
        session
    });
    assert!(info.bytes_current <= 1024, "{}", info.bytes_current);
    drop(session);
}

#[test]
fn what_is_decoded_is_given_back() {
    let mut decoder = decoder();
    let mut stream = b"\n".to_vec();
    for length in [0, 100, 5_000, 300_000] {
        for announced in [true, false] {
            stream.extend(send(length, announced));
        }
    }
    for length in [1, 1000, 8192, stream.len()] {
        let ((), info) = held(|| drop(decode_in_pieces(&mut decoder, &stream, length)));
        assert_eq!(info.bytes_current, 0, "pieces of {length}");
    }
}

#[test]
fn a_long_body_is_copied_once_however_it_comes() {
    let body = 1024 * 1024;
    let stream = [send(body, true), send(body, true), send(10, true)].concat();
    for length in [1460, 8192, 65_536, stream.len()] {
        let mut decoder = decoder();
        let (frames, info) = held(|| decode_in_pieces(&mut decoder, &stream, length));
        assert_eq!(frames.len(), 3);
        let allocated = info.bytes_total;
        let once = 2 * 1024 * KIB;
        // Where two came in one piece, neither takes it over: it would be twice as large.
        let most = if length == stream.len() {
            2 * once
        } else {
            once
        };
        assert!(
            allocated <= most + 512 * KIB,
            "pieces of {length}: {allocated}"
        );
    }
}

#[test]
fn who_keeps_a_frame_keeps_nothing_else() {
    for (length, most) in [(100, 1024), (4095, 5 * 1024), (20_000, 48 * 1024)] {
        let mut stream = send(length, true);
        stream.extend(send(100, true).repeat(8192 / 100));
        let mut decoder = decoder();
        let (frame, info) = held(|| decode_in_pieces(&mut decoder, &stream, 8192).swap_remove(0));
        assert_eq!(frame.body.len(), length);
        assert!(
            info.bytes_current <= most,
            "{length}: {}",
            info.bytes_current
        );
    }
}

#[test]
fn what_is_not_complete_stays_within_the_limits() {
    let limits = Limits::default();
    let line_max = u64::try_from(limits.line_bytes).unwrap();
    let head_max = u64::try_from(limits.head_bytes).unwrap();
    let body_max = u64::try_from(limits.body_bytes).unwrap();
    let line = b"SEND\na:".iter().copied().chain(std::iter::repeat(b'x'));
    let head = b"SEND\n"
        .iter()
        .copied()
        .chain((b"abcd:efgh\n").iter().copied().cycle());
    let body = b"SEND\n\n".iter().copied().chain(std::iter::repeat(b'x'));
    let announced = b"SEND\ncontent-length:1048576\n\n";
    let announced = announced.iter().copied().chain(std::iter::repeat(b'x'));
    let check = |name: &str, endless: &mut dyn Iterator<Item = u8>, most: u64| {
        let bytes: Vec<u8> = endless.take(2 * limits.body_bytes).collect();
        let info = measure(|| {
            let mut decoder = decoder();
            let refused = bytes.chunks(1000).any(|piece| {
                decoder.push(piece);
                decoder.decode().is_err()
            });
            assert!(black_box(refused), "{name}");
        });
        assert!(info.bytes_max <= most, "{name}: {}", info.bytes_max);
    };
    // What grows by doubling may be twice as large as what is in it, and while it is moved it is there twice.
    check("line", &mut { line }, 3 * (line_max + KIB));
    check("head", &mut { head }, 3 * (head_max + KIB));
    check("body", &mut { body }, 3 * (body_max + KIB));
    check(
        "announced body",
        &mut { announced },
        body_max * 9 / 8 + 16 * KIB,
    );
}
