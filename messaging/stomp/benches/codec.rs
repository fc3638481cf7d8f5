//! How fast frames are read and written: Criterion shows it in MB/s, then [`ratio`] compares it with what is recorded.

#[path = "codec/ratio.rs"]
mod ratio;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use stomp::{Command, Decoder, Frame, Limits, Version, encode};

/// Frames of one run: about as many bytes as a processor's nearest caches hold.
const SMALL_FRAMES: usize = 200;

const BIG_BODY_BYTES: usize = 1024 * 1024;

/// What one read of a TCP socket brings when the peer sends much.
const READ_BYTES: usize = 8 * 1024;

/// Less than a small frame: each is cut at least once.
const SMALL_PIECE_BYTES: usize = 100;

/// What one packet of a big body brings.
const PACKET_BYTES: usize = 1460;

type Run = Box<dyn Fn(&[u8])>;

/// One way to use the codec, and the bytes that it reads or writes.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    run: Run,
}

/// A reading as a device sends it: six headers and a body of 100 bytes.
fn small(number: usize) -> Frame {
    Frame::new(Command::Send)
        .with_header("destination", "/topic/zones/p1/telemetry")
        .with_header("content-type", "application/json")
        .with_header("x-key", "gate-entry-07")
        .with_header("x-conflate", "true")
        .with_header("receipt", number.to_string())
        .with_body(vec![b'x'; 100])
}

fn big() -> Frame {
    Frame::new(Command::Send)
        .with_header("destination", "/app/inventory")
        .with_header("content-type", "application/json")
        .with_body(vec![b'x'; BIG_BODY_BYTES])
}

fn written(frames: &[Frame]) -> BytesMut {
    let mut out = BytesMut::new();
    for frame in frames {
        encode(frame, Version::V1_2, &mut out);
    }
    out
}

/// Reads `bytes` in pieces, as a session does: what is complete is taken before more is read.
fn decode(bytes: &[u8], piece: usize) {
    let mut decoder = Decoder::new(Limits {
        body_bytes: 2 * BIG_BODY_BYTES,
        ..Limits::default()
    });
    decoder.set_version(Version::V1_2);
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        while let Some(frame) = decoder.decode().expect("the bytes were encoded") {
            black_box(frame);
        }
    }
}

fn cases() -> Vec<Case> {
    let small: Vec<Frame> = (0..SMALL_FRAMES).map(small).collect();
    let big = vec![big()];
    let decoding = |name, frames: &[Frame], piece| Case {
        name,
        bytes: written(frames).to_vec(),
        run: Box::new(move |bytes: &[u8]| decode(bytes, piece)),
    };
    let encoding = |name, frames: &[Frame]| {
        let frames = frames.to_vec();
        Case {
            name,
            bytes: written(&frames).to_vec(),
            run: Box::new(move |_: &[u8]| {
                black_box(written(&frames));
            }),
        }
    };
    vec![
        decoding("decode-small", &small, READ_BYTES),
        decoding("decode-small-split", &small, SMALL_PIECE_BYTES),
        decoding("decode-big", &big, usize::MAX),
        decoding("decode-big-split", &big, PACKET_BYTES),
        encoding("encode-small", &small),
        encoding("encode-big", &big),
    ]
}

fn show(cases: &[Case]) {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for case in cases {
        let mut group = criterion.benchmark_group("codec");
        let bytes = u64::try_from(case.bytes.len()).expect("a few megabytes");
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(case.name, |bencher| {
            bencher.iter(|| (case.run)(&case.bytes))
        });
        group.finish();
    }
    criterion.final_summary();
}

fn main() -> ExitCode {
    let cases = cases();
    show(&cases);
    // Cargo says so when it is about speed, and not only about whether it runs.
    if std::env::args().any(|argument| argument == "--bench") {
        ratio::check(&cases)
    } else {
        ExitCode::SUCCESS
    }
}
