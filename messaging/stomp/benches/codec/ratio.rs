//! Has the codec become slower than it was? Seconds differ from machine to machine, so what is recorded (in
//! `ratios.txt`) is how much longer than a yardstick each case takes, both measured in turn in one run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use memchr::memchr;

use crate::Case;

const RECORDED: &str = include_str!("ratios.txt");

/// A case may take so many times its recorded ratio. Small frames differ by less than a tenth from run to run, with ten
/// builds beside them by a fifth; what the allocator does with blocks of a megabyte makes a quarter. One more pass over
/// each line, or one more allocation for each header, makes more than that.
const TOLERANCE: f64 = 1.35;

/// The shortest of so many measurements counts: whatever else the machine does only ever makes one longer.
const ROUNDS: usize = 1000;

/// Long enough for the clock, and much shorter than the time after which another process gets its turn.
const MEASUREMENT: Duration = Duration::from_micros(200);

/// Compares all cases with what is recorded. With `RECORD` set in the environment, records them instead.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "where the bench talks to a person"
)]
pub(crate) fn check(cases: &[Case]) -> ExitCode {
    let measured: Vec<(&str, f64)> = cases.iter().map(|case| (case.name, ratio(case))).collect();
    if std::env::var_os("RECORD").is_some_and(|value| !value.is_empty()) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/codec/ratios.txt");
        let text = measured
            .iter()
            .fold(String::new(), |mut text, (name, ratio)| {
                let _infallible = writeln!(text, "{name} {ratio:.2}");
                text
            });
        return match std::fs::write(&path, text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{} cannot be written: {error}", path.display());
                ExitCode::FAILURE
            }
        };
    }
    let recorded = recorded();
    let mut slower = Vec::new();
    println!("times the yardstick (recorded)");
    for (name, ratio) in measured {
        let Some(before) = recorded.get(name) else {
            slower.push(format!("{name} is not recorded: run with RECORD=1"));
            continue;
        };
        println!("{name:<20} {ratio:>6.2} ({before:.2})");
        if ratio > before * TOLERANCE {
            let percent = (ratio / before - 1.0) * 100.0;
            slower.push(format!(
                "{name} takes {percent:.0} % longer than recorded: {ratio:.2} times the yardstick instead of {before:.2}"
            ));
        }
    }
    for line in &slower {
        eprintln!("SLOWER: {line}");
    }
    if slower.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn recorded() -> BTreeMap<&'static str, f64> {
    RECORDED
        .lines()
        .map(|line| {
            let (name, ratio) = line.split_once(' ').expect("a name, a blank, a ratio");
            (name, ratio.parse().expect("a number"))
        })
        .collect()
}

/// How many times as long as the yardstick the case takes over the same bytes.
fn ratio(case: &Case) -> f64 {
    let once = time(1, || copy_lines(&case.bytes)).as_nanos().max(1);
    let times = u32::try_from(MEASUREMENT.as_nanos() / once)
        .unwrap_or(1)
        .max(1);
    let mut yardstick = Duration::MAX;
    let mut codec = Duration::MAX;
    for _ in 0..ROUNDS {
        yardstick = yardstick.min(time(times, || copy_lines(&case.bytes)));
        codec = codec.min(time(times, || (case.run)(&case.bytes)));
    }
    codec.as_secs_f64() / yardstick.as_secs_f64()
}

/// The yardstick, and the least that reading or writing frames can be: each line is found and copied.
fn copy_lines(bytes: &[u8]) {
    let mut copy = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr(b'\n', rest) {
        let (line, after) = rest.split_at(at + 1);
        copy.extend_from_slice(line);
        rest = after;
    }
    copy.extend_from_slice(rest);
    black_box(copy);
}

fn time(times: u32, run: impl Fn()) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        run();
    }
    start.elapsed()
}
