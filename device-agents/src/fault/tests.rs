//! Delays, missing evidence, loss of contact, and what a restart tells.

use std::path::Path;
use std::sync::Arc;

use contract::Quality;
use proptest::prelude::*;

use super::*;
use crate::clock::Moment;

fn gate() -> Arc<Profile> {
    let profiles =
        crate::profile::load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")).unwrap();
    Arc::clone(&profiles["gate.came.crp"])
}

/// One gate whose flags, error and state are set by hand.
struct Bench {
    profile: Arc<Profile>,
    faults: Faults,
    samples: Vec<Sample>,
    start: Moment,
    now: Instant,
}

impl Bench {
    fn new(recorded: impl Fn(&FaultCode) -> Option<bool>) -> Self {
        let profile = gate();
        let start = Moment::now();
        let samples = vec![Sample::never_read(start); profile.points.len()];
        let faults = Faults::new(&profile, recorded);
        Self {
            profile,
            faults,
            samples,
            start,
            now: start.mono,
        }
    }

    /// A device without faults whose store knows so.
    fn healthy() -> Self {
        let mut bench = Self::new(|_| Some(false));
        bench.set("flags", Value::Number(0.0), Some(0), Quality::Good);
        bench.set("last_error", Value::Number(0.0), Some(0), Quality::Good);
        bench.set(
            "state",
            Value::Text("open".to_owned()),
            Some(16),
            Quality::Good,
        );
        bench
    }

    fn set(&mut self, point: &str, value: Value, raw: Option<u64>, quality: Quality) {
        let index = self
            .profile
            .points
            .iter()
            .position(|p| p.id.as_str() == point)
            .unwrap();
        self.samples[index] = Sample {
            value: Some(value),
            raw,
            quality,
            at: self.start,
        };
    }

    fn flags(&mut self, bits: u16, quality: Quality) {
        self.set(
            "flags",
            Value::Number(f64::from(bits)),
            Some(u64::from(bits)),
            quality,
        );
    }

    /// Answers each 250 ms for `ms`.
    fn answer_for(&mut self, ms: u64) {
        let all: Vec<usize> = (0..self.samples.len()).collect();
        let end = self.now + Duration::from_millis(ms);
        loop {
            self.faults
                .handle_answer(&self.profile, &self.samples, &all, self.now);
            if self.now >= end {
                return;
            }
            self.now += Duration::from_millis(250);
        }
    }

    fn fail_for(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.now += Duration::from_millis(250);
            self.faults.handle_failure(self.now);
        }
    }

    /// The codes told since the last call, `+` raised and `-` cleared.
    fn told(&mut self) -> Vec<String> {
        let untold = self.faults.untold(&self.profile, &self.samples);
        for change in &untold {
            self.faults.told(change);
        }
        untold
            .iter()
            .map(|change| format!("{}{}", if change.active { '+' } else { '-' }, change.fault))
            .collect()
    }
}

#[test]
fn a_fault_is_raised_and_cleared_after_its_delays() {
    let mut bench = Bench::healthy();
    bench.answer_for(0);
    bench.flags(1, Quality::Good);
    bench.answer_for(1750);
    assert!(bench.told().is_empty(), "on-delay is 2 s");
    bench.answer_for(250);
    assert_eq!(bench.told(), ["+BAR-CAL"]);
    bench.flags(0, Quality::Good);
    bench.answer_for(4750);
    assert!(bench.told().is_empty(), "off-delay is 5 s");
    bench.answer_for(250);
    assert_eq!(bench.told(), ["-BAR-CAL"]);
}

#[test]
fn a_short_flicker_is_no_fault() {
    let mut bench = Bench::healthy();
    for _ in 0..10 {
        bench.flags(1, Quality::Good);
        bench.answer_for(1750);
        bench.flags(0, Quality::Good);
        bench.answer_for(0);
    }
    assert!(bench.told().is_empty());
}

#[test]
fn bad_quality_never_clears_and_never_raises() {
    for quality in [
        Quality::Bad,
        Quality::Unknown,
        Quality::Stale,
        Quality::CommLost,
    ] {
        let mut bench = Bench::healthy();
        bench.flags(1, quality);
        bench.answer_for(60_000);
        assert!(bench.told().is_empty(), "{quality:?} raises nothing");
        bench.flags(1, Quality::Good);
        bench.answer_for(2000);
        assert_eq!(bench.told(), ["+BAR-CAL"]);
        bench.flags(0, quality);
        bench.answer_for(60_000);
        assert!(bench.told().is_empty(), "{quality:?} clears nothing");
        bench.flags(0, Quality::Good);
        bench.answer_for(4000);
        bench.flags(0, quality);
        bench.answer_for(0);
        bench.flags(0, Quality::Good);
        bench.answer_for(4000);
        assert!(bench.told().is_empty(), "clearing needs unbroken evidence");
        bench.answer_for(1000);
        assert_eq!(bench.told(), ["-BAR-CAL"]);
    }
}

#[test]
fn a_pending_raise_stands_still_while_there_is_no_evidence() {
    let mut bench = Bench::healthy();
    bench.flags(1, Quality::Good);
    bench.answer_for(1000);
    bench.flags(1, Quality::Bad);
    bench.answer_for(60_000);
    bench.flags(1, Quality::Good);
    bench.answer_for(500);
    assert!(bench.told().is_empty());
    bench.answer_for(1000);
    assert_eq!(bench.told(), ["+BAR-CAL"]);
}

#[test]
fn contact_is_lost_after_three_failures_and_three_seconds() {
    let mut bench = Bench::healthy();
    bench.answer_for(0);
    bench.fail_for(500);
    assert_eq!(bench.faults.deadline(), None, "two failures");
    bench.fail_for(250);
    let first_failure = bench.now - Duration::from_millis(500);
    assert_eq!(
        bench.faults.deadline(),
        Some(first_failure + Duration::from_secs(3))
    );
    assert!(
        !bench
            .faults
            .handle_deadline(first_failure + Duration::from_millis(2999))
    );
    assert!(
        bench
            .faults
            .handle_deadline(first_failure + Duration::from_secs(3))
    );
    assert_eq!(bench.told(), ["+COMM"]);
    assert_eq!(bench.faults.deadline(), None);
}

#[test]
fn one_answer_between_failures_keeps_contact() {
    let mut bench = Bench::healthy();
    for _ in 0..20 {
        bench.fail_for(2500);
        bench.answer_for(0);
    }
    assert!(bench.told().is_empty());
}

#[test]
fn faults_are_frozen_while_contact_is_lost_and_contact_needs_a_second_to_return() {
    let mut bench = Bench::healthy();
    bench.flags(1, Quality::Good);
    bench.answer_for(2000);
    assert_eq!(bench.told(), ["+BAR-CAL"]);
    bench.fail_for(3500);
    assert_eq!(bench.told(), ["+COMM"]);
    bench.flags(0, Quality::Good);
    bench.answer_for(750);
    assert!(bench.told().is_empty());
    bench.answer_for(250);
    assert_eq!(bench.told(), ["-COMM"]);
    bench.answer_for(5000);
    assert_eq!(bench.told(), ["-BAR-CAL"], "judged anew from there");
}

#[test]
fn a_new_store_is_told_everything_once() {
    let mut bench = Bench::new(|_| None);
    assert!(bench.told().is_empty(), "nothing is known yet");
    bench.flags(1, Quality::Good);
    bench.set("last_error", Value::Number(0.0), Some(0), Quality::Good);
    bench.answer_for(0);
    assert_eq!(bench.told(), ["-BAR-ERR", "-COMM"]);
    bench.answer_for(2000);
    assert_eq!(bench.told(), ["+BAR-CAL"]);
    bench.set(
        "state",
        Value::Text("open".to_owned()),
        Some(16),
        Quality::Good,
    );
    bench.answer_for(0);
    assert_eq!(bench.told(), ["-BAR-STUCK"]);
    bench.answer_for(60_000);
    assert!(bench.told().is_empty());
}

#[test]
fn a_restart_raises_nothing_twice_and_clears_what_went_away() {
    let mut bench = Bench::new(|code| Some(code.as_str() == "BAR-ERR" || code.as_str() == "COMM"));
    bench.set("last_error", Value::Number(7.0), Some(7), Quality::Good);
    bench.flags(0, Quality::Good);
    bench.answer_for(1000);
    assert_eq!(bench.told(), ["-COMM"]);
    bench.answer_for(10_000);
    assert!(
        bench.told().is_empty(),
        "BAR-ERR was told before the restart"
    );
    bench.set("last_error", Value::Number(0.0), Some(0), Quality::Good);
    bench.answer_for(2000);
    assert_eq!(bench.told(), ["-BAR-ERR"]);
}

#[test]
fn a_raise_carries_severity_and_detail() {
    let mut bench = Bench::healthy();
    bench.set("last_error", Value::Number(17.0), Some(17), Quality::Good);
    bench.answer_for(0);
    let untold = bench.faults.untold(&bench.profile, &bench.samples);
    assert_eq!(
        untold[0].happening,
        Happening::FaultRaised {
            fault: "BAR-ERR".parse().unwrap(),
            severity: Severity::Major,
            detail: Some(Value::Number(17.0)),
        }
    );
}

#[test]
fn what_the_store_could_not_take_stays_untold_until_it_does() {
    let mut bench = Bench::healthy();
    bench.set("last_error", Value::Number(17.0), Some(17), Quality::Good);
    bench.answer_for(1000);
    let refused = bench.faults.untold(&bench.profile, &bench.samples);
    assert_eq!(refused[0].at, bench.start.mono, "when it became active");
    bench.answer_for(1000);
    assert_eq!(bench.faults.untold(&bench.profile, &bench.samples), refused);
    bench.told();
    assert!(bench.told().is_empty());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Answer(bool),
    BadValue,
    Failure,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Answer),
        1 => Just(Step::BadValue),
        1 => Just(Step::Failure),
    ]
}

proptest! {
    /// Whatever happens: a raise needs evidence for its on-delay, a clear unbroken evidence for its off-delay, and the
    /// two alternate.
    #[test]
    fn raises_and_clears_are_earned(steps in proptest::collection::vec((step(), 1u64..40), 1..60)) {
        let mut bench = Bench::healthy();
        let (mut evidence_for, mut evidence_against) = (Duration::ZERO, Duration::ZERO);
        let mut active = false;
        let period = Duration::from_millis(250);
        for (step, count) in steps {
            for _ in 0..count {
                match step {
                    Step::Answer(on) => bench.flags(u16::from(on), Quality::Good),
                    Step::BadValue => bench.flags(0, Quality::Bad),
                    Step::Failure => {}
                }
                if let Step::Failure = step {
                    bench.fail_for(250);
                } else {
                    bench.now += period;
                    bench.answer_for(0);
                }
                match step {
                    Step::Answer(true) => (evidence_for, evidence_against) = (evidence_for + period, Duration::ZERO),
                    Step::Answer(false) => (evidence_for, evidence_against) = (Duration::ZERO, evidence_against + period),
                    Step::BadValue | Step::Failure => evidence_against = Duration::ZERO,
                }
                if bench.faults.contact_lost() == Some(true) {
                    (evidence_for, evidence_against) = (Duration::ZERO, Duration::ZERO);
                }
                for told in bench.told() {
                    match told.as_str() {
                        "+BAR-CAL" => {
                            prop_assert!(!active && evidence_for >= Duration::from_secs(2));
                            active = true;
                        }
                        "-BAR-CAL" => {
                            prop_assert!(active && evidence_against >= Duration::from_secs(5));
                            active = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}
