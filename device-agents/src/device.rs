//! One device: what its points are known to be, which faults it has, and what of that was not reported yet. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::reading::PollClass;
use contract::{DeviceId, FaultCode, Quality, Value};

use crate::clock::Moment;
use crate::fault::{Faults, Untold};
use crate::point::{Raw, decode};
use crate::profile::{Profile, Read};
use crate::reading::{News, PointNews, Sample};

/// How long a deadband may keep a value from being reported: a gate that stopped at 0 % must not read 1 % until it moves
/// again, and a class that is reported as fresh must not stand for values that are not.
const DEADBAND_HOLD: Duration = Duration::from_secs(1);

/// What the last report said of a point.
#[derive(Debug, Clone)]
struct Reported {
    value: Option<Value>,
    quality: Quality,
    at: Instant,
}

/// One device of a line.
#[derive(Debug)]
pub struct DeviceState {
    id: DeviceId,
    profile: Arc<Profile>,
    samples: Vec<Sample>,
    faults: Faults,
    /// By point, for the deadband; `None` before the first report.
    reported: Vec<Option<Reported>>,
    /// By point: worth a report.
    changed: Vec<bool>,
    /// By block: when it was last answered.
    answered_at: Vec<Option<Instant>>,
    /// By class: the time that the last report gave.
    reported_polls: BTreeMap<PollClass, Instant>,
}

impl DeviceState {
    /// A device that was not read yet; `recorded` is what the store was last told of a fault.
    pub fn new(
        id: DeviceId,
        profile: Arc<Profile>,
        recorded: impl Fn(&FaultCode) -> Option<bool>,
        now: Moment,
    ) -> Self {
        let points = profile.points.len();
        Self {
            faults: Faults::new(&profile, recorded),
            samples: vec![Sample::never_read(now); points],
            reported: vec![None; points],
            changed: vec![true; points],
            answered_at: vec![None; profile.blocks.len()],
            reported_polls: BTreeMap::new(),
            id,
            profile,
        }
    }

    /// Which device.
    pub fn id(&self) -> &DeviceId {
        &self.id
    }

    /// Its type.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// What its points are known to be, by point index.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Its faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// `block` was answered with data.
    pub fn handle_answer(&mut self, block: usize, raw: &Raw, now: Moment) {
        let profile = Arc::clone(&self.profile);
        let start = match profile.blocks[block].read {
            Read::Modbus { addr, .. } => addr,
            Read::Escpos { .. } | Read::Frame { .. } => 0,
        };
        for &point in &profile.blocks[block].points {
            let decoded = decode(&profile.points[point], start, raw);
            self.put(
                point,
                Sample {
                    value: decoded.value,
                    raw: decoded.raw,
                    quality: decoded.quality,
                    at: now,
                },
            );
        }
        self.answered(block, now);
    }

    /// `block` was answered with a refusal: the device is alive, and its points have no value.
    pub fn handle_exception(&mut self, block: usize, now: Moment) {
        let profile = Arc::clone(&self.profile);
        for &point in &profile.blocks[block].points {
            self.put(
                point,
                Sample {
                    value: None,
                    raw: None,
                    quality: Quality::Bad,
                    at: now,
                },
            );
        }
        self.answered(block, now);
    }

    fn answered(&mut self, block: usize, now: Moment) {
        self.answered_at[block] = Some(now.mono);
        let read = &self.profile.blocks[block].points;
        self.faults
            .handle_answer(&self.profile, &self.samples, read, now.mono);
    }

    /// A poll was not answered.
    pub fn handle_failure(&mut self, now: Moment) {
        let was_lost = self.faults.contact_lost() == Some(true);
        self.faults.handle_failure(now.mono);
        if !was_lost && self.faults.contact_lost() == Some(true) {
            self.lose_contact();
        }
    }

    /// When [`Self::handle_deadline`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let held = (0..self.samples.len()).filter_map(|point| self.held_until(point));
        self.faults.deadline().into_iter().chain(held).min()
    }

    /// Until when the deadband keeps a value of `point` from being reported that is not the reported one.
    fn held_until(&self, point: usize) -> Option<Instant> {
        let reported = self.reported[point].as_ref()?;
        let differs = !self.changed[point] && reported.value != self.samples[point].value;
        differs.then(|| reported.at + DEADBAND_HOLD)
    }

    /// Time passed.
    pub fn handle_deadline(&mut self, now: Moment) {
        if self.faults.handle_deadline(now.mono) {
            self.lose_contact();
        }
        for point in 0..self.samples.len() {
            self.changed[point] |= self
                .held_until(point)
                .is_some_and(|until| until <= now.mono);
        }
    }

    /// Last values stay, marked; their times stay those of the replies that held them.
    fn lose_contact(&mut self) {
        for (sample, changed) in self.samples.iter_mut().zip(&mut self.changed) {
            sample.quality = Quality::CommLost;
            *changed = true;
        }
    }

    fn put(&mut self, point: usize, sample: Sample) {
        self.changed[point] |= match &self.reported[point] {
            None => true,
            Some(reported) if reported.quality != sample.quality => true,
            Some(reported) => {
                let deadband = self.profile.points[point].deadband;
                !within_deadband(&reported.value, &sample.value, deadband)
            }
        };
        self.samples[point] = sample;
    }

    /// Whether [`Self::take_report`] has something to say.
    pub fn has_news(&self) -> bool {
        self.changed.contains(&true) || !self.fresh_polls().is_empty()
    }

    /// What changed since the last report, and which classes are known to be as they were.
    pub fn take_report(&mut self, now: Instant) -> News {
        let mut readings = Vec::new();
        for (point, changed) in self.changed.iter_mut().enumerate() {
            if std::mem::take(changed) {
                let sample = &self.samples[point];
                self.reported[point] = Some(Reported {
                    value: sample.value.clone(),
                    quality: sample.quality,
                    at: now,
                });
                readings.push(PointNews {
                    point: self.profile.points[point].id.clone(),
                    value: sample.value.clone(),
                    quality: sample.quality,
                    at: sample.at.mono,
                });
            }
        }
        let polls = self.fresh_polls();
        self.reported_polls.extend(polls.clone());
        News {
            device: self.id.clone(),
            polls,
            readings,
        }
    }

    /// The classes whose every block was answered since the last report. The time is that of the oldest of them: what
    /// is claimed to be fresh is.
    fn fresh_polls(&self) -> BTreeMap<PollClass, Instant> {
        let mut oldest: BTreeMap<PollClass, Option<Instant>> = BTreeMap::new();
        for (block, at) in self.profile.blocks.iter().zip(&self.answered_at) {
            oldest
                .entry(block.class)
                .and_modify(|oldest| *oldest = (*oldest).min(*at))
                .or_insert(*at);
        }
        oldest
            .into_iter()
            .filter_map(|(class, at)| Some((class, at?)))
            .filter(|(class, at)| self.reported_polls.get(class).is_none_or(|last| last < at))
            .collect()
    }

    /// Changes of faults that the store does not have yet.
    pub fn untold(&self) -> Vec<Untold> {
        self.faults.untold(&self.profile, &self.samples)
    }

    /// The store has it.
    pub fn told(&mut self, untold: &Untold) {
        self.faults.told(untold);
    }
}

fn within_deadband(old: &Option<Value>, new: &Option<Value>, deadband: f64) -> bool {
    match (old, new) {
        (Some(Value::Number(old)), Some(Value::Number(new))) => {
            old == new || (old - new).abs() < deadband
        }
        (old, new) => old == new,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    /// Registers 100 to 102 of a gate: state, position, flags.
    fn fast(state: u16, position: u16) -> Raw {
        Raw::Registers(vec![state, position, 0])
    }

    fn gate(now: Moment) -> DeviceState {
        let profiles =
            crate::profile::load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles"))
                .unwrap();
        let profile = Arc::clone(&profiles["gate.came.crp"]);
        DeviceState::new("gate-1".parse().unwrap(), profile, |_| Some(false), now)
    }

    fn changed(device: &mut DeviceState, now: Moment) -> Vec<String> {
        device.handle_deadline(now);
        device
            .take_report(now.mono)
            .readings
            .into_iter()
            .map(|reading| {
                let value = reading
                    .value
                    .map_or_else(|| "-".to_owned(), |v| v.to_string());
                format!("{}={value} {}", reading.point, reading.quality.as_str())
            })
            .collect()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_changes_are_reported_and_a_deadband_counts_from_the_last_report() {
        let now = Moment::now();
        let mut device = gate(now);
        assert_eq!(
            changed(&mut device, now).len(),
            9,
            "the first report has every point, unknown"
        );
        device.handle_answer(0, &fast(17, 0), now);
        assert_eq!(
            changed(&mut device, now),
            ["state=closed good", "position=0 good", "flags=0 good"]
        );
        for (state, position, expected) in [
            (17, 1, vec![]),
            (17, 0, vec![]),
            (17, 2, vec!["position=2 good"]),
            (32, 3, vec!["state=opening good"]),
            (32, 255, vec!["position=- bad"]),
            (99, 255, vec!["state=- bad"]),
        ] {
            device.handle_answer(0, &fast(state, position), now);
            assert_eq!(changed(&mut device, now), expected);
        }
    }

    #[test]
    fn a_deadband_holds_a_value_back_for_a_second_and_no_longer() {
        let start = Moment::now();
        let after = |milliseconds| start.plus(Duration::from_millis(milliseconds));
        let mut device = gate(start);
        device.handle_answer(0, &fast(33, 1), start);
        changed(&mut device, start);
        assert_eq!(device.deadline(), None);
        // The arm comes to rest within the deadband, and nothing changes any more.
        device.handle_answer(0, &fast(17, 0), after(250));
        assert_eq!(changed(&mut device, after(250)), ["state=closed good"]);
        device.handle_answer(0, &fast(17, 0), after(500));
        assert_eq!(device.deadline(), Some(after(1000).mono));
        assert!(changed(&mut device, after(999)).is_empty());
        assert_eq!(changed(&mut device, after(1000)), ["position=0 good"]);
        assert_eq!(device.deadline(), None);
        // After a long rest, a value that differs is told with the poll that confirms its class.
        device.handle_answer(0, &fast(17, 1), after(60_000));
        assert_eq!(changed(&mut device, after(60_000)), ["position=1 good"]);
        device.handle_answer(0, &fast(17, 0), after(60_250));
        assert!(changed(&mut device, after(60_250)).is_empty());
        device.handle_answer(0, &fast(17, 1), after(60_500));
        assert_eq!(device.deadline(), None, "it is back where it was");
    }

    #[test]
    fn polls_say_what_is_as_it_was() {
        let now = Moment::now();
        let mut device = gate(now);
        device.take_report(now.mono);
        assert!(!device.has_news());
        device.handle_answer(0, &fast(17, 0), now);
        device.take_report(now.mono);
        device.handle_answer(0, &fast(17, 0), now.plus(SECOND));
        assert!(device.has_news());
        let report = device.take_report(now.mono);
        assert!(report.readings.is_empty());
        let expected = BTreeMap::from([(PollClass::Fast, now.plus(SECOND).mono)]);
        assert_eq!(report.polls, expected);
        device.handle_failure(now.plus(SECOND * 2));
        assert!(!device.has_news(), "a failed poll confirms nothing");
    }

    #[test]
    fn a_wall_clock_that_is_set_back_silences_nobody() {
        let now = Moment::now();
        let mut device = gate(now);
        device.handle_answer(0, &fast(17, 0), now);
        device.take_report(now.mono);
        let set_back = Moment {
            mono: now.mono + SECOND,
            wall: now.wall - chrono::Duration::hours(1),
        };
        device.handle_answer(0, &fast(17, 0), set_back);
        assert_eq!(device.take_report(now.mono).polls.len(), 1);
    }

    #[test]
    fn lost_contact_marks_every_point_and_keeps_values_with_their_times() {
        let now = Moment::now();
        let mut device = gate(now);
        device.handle_answer(0, &fast(17, 0), now);
        device.take_report(now.mono);
        for failure in 1..=3 {
            device.handle_failure(now.plus(SECOND * failure));
        }
        assert!(!device.has_news());
        device.handle_deadline(now.plus(SECOND * 4));
        let report = device.take_report(now.mono);
        assert_eq!(report.readings.len(), 9);
        for reading in &report.readings {
            assert_eq!(reading.quality, Quality::CommLost);
            assert_eq!(reading.at, now.mono);
        }
        assert_eq!(
            report.readings[0].value,
            Some(Value::Text("closed".to_owned()))
        );
        device.handle_answer(0, &fast(17, 0), now.plus(SECOND * 5));
        assert_eq!(
            changed(&mut device, now),
            ["state=closed good", "position=0 good", "flags=0 good"]
        );
    }

    #[test]
    fn an_exception_is_bad_quality_and_proof_of_life() {
        let now = Moment::now();
        let mut device = gate(now);
        device.handle_answer(0, &fast(17, 0), now);
        device.take_report(now.mono);
        for second in 1..10 {
            device.handle_exception(0, now.plus(SECOND * second));
        }
        assert_eq!(device.faults().contact_lost(), Some(false));
        assert_eq!(
            changed(&mut device, now),
            ["state=- bad", "position=- bad", "flags=- bad"]
        );
    }
}
