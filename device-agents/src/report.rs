//! What the server was not told yet of every device's readings, and all of them for a full report. Pure.
//!
//! Bounded by what exists: one reading for each point, the newest. Telemetry is never queued beyond that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use contract::reading::{DeviceReadings, PollClass, Reading};
use contract::{DeviceId, PointId};

use crate::clock::Moment;
use crate::reading::{News, PointNews};

/// The most readings in one frame: with 150 bytes each, it stays below the 64 KiB that every STOMP peer accepts.
const MAX_READINGS_PER_FRAME: usize = 200;

#[derive(Debug, Default)]
struct DeviceReport {
    polls: BTreeMap<PollClass, Instant>,
    readings: BTreeMap<PointId, PointNews>,
    new_polls: BTreeSet<PollClass>,
    new_readings: BTreeSet<PointId>,
}

/// The newest readings of every device.
#[derive(Debug, Default)]
pub struct Report {
    devices: BTreeMap<DeviceId, DeviceReport>,
}

impl Report {
    /// Takes in what a line reports.
    pub fn absorb(&mut self, news: News) {
        let device = self.devices.entry(news.device).or_default();
        for (class, at) in news.polls {
            device.polls.insert(class, at);
            device.new_polls.insert(class);
        }
        for reading in news.readings {
            device.new_readings.insert(reading.point.clone());
            device.readings.insert(reading.point.clone(), reading);
        }
    }

    /// Everything counts as new: what a new session, or a session that may have lost something, needs.
    pub fn renew(&mut self) {
        for device in self.devices.values_mut() {
            device.new_polls = device.polls.keys().copied().collect();
            device.new_readings = device.readings.keys().cloned().collect();
        }
    }

    /// Whether there is something to tell.
    pub fn has_news(&self) -> bool {
        self.devices
            .values()
            .any(|device| !device.new_polls.is_empty() || !device.new_readings.is_empty())
    }

    /// What is new, in portions for one frame each. A device's `polls` travel with the last of its readings: they say
    /// that the readings which are not repeated are as they were. Every time is the wall clock of `now`, when the frame
    /// is sent, less the true age.
    pub fn take(&mut self, now: Moment) -> Vec<Vec<DeviceReadings>> {
        let mut frames = vec![Vec::new()];
        let mut room = MAX_READINGS_PER_FRAME;
        for (id, device) in &mut self.devices {
            let mut readings: Vec<Reading> = std::mem::take(&mut device.new_readings)
                .iter()
                .filter_map(|point| Some(reading(device.readings.get(point)?, now)))
                .collect();
            let mut polls: BTreeMap<_, _> = std::mem::take(&mut device.new_polls)
                .iter()
                .filter_map(|class| Some((*class, now.wall_of(*device.polls.get(class)?))))
                .collect();
            while !readings.is_empty() || !polls.is_empty() {
                if room == 0 {
                    frames.push(Vec::new());
                    room = MAX_READINGS_PER_FRAME;
                }
                let portion: Vec<_> = readings.drain(..readings.len().min(room)).collect();
                room -= portion.len().max(1).min(room);
                frames
                    .last_mut()
                    .expect("there is always a frame")
                    .push(DeviceReadings {
                        device: id.clone(),
                        polls: if readings.is_empty() {
                            std::mem::take(&mut polls)
                        } else {
                            BTreeMap::new()
                        },
                        readings: portion,
                    });
            }
        }
        frames.retain(|frame| !frame.is_empty());
        frames
    }
}

fn reading(news: &PointNews, now: Moment) -> Reading {
    Reading {
        point: news.point.clone(),
        value: news.value.clone(),
        quality: news.quality,
        at: now.wall_of(news.at),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::{Quality, Value};
    use proptest::prelude::*;

    use super::*;

    fn news(device: &str, points: std::ops::Range<u32>, value: f64, at: Instant) -> News {
        News {
            device: device.parse().unwrap(),
            polls: BTreeMap::from([(PollClass::Fast, at)]),
            readings: points
                .map(|point| PointNews {
                    point: format!("p{point}").parse().unwrap(),
                    value: Some(Value::Number(value)),
                    quality: Quality::Good,
                    at,
                })
                .collect(),
        }
    }

    #[test]
    fn only_the_newest_of_a_point_is_told_and_only_once() {
        let now = Moment::now();
        let mut report = Report::default();
        report.absorb(news("a", 0..1, 1.0, now.mono));
        report.absorb(news("a", 0..1, 2.0, now.mono));
        let frames = report.take(now);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0][0].readings.len(), 1);
        assert_eq!(frames[0][0].readings[0].value, Some(Value::Number(2.0)));
        assert!(report.take(now).is_empty() && !report.has_news());
        report.renew();
        assert_eq!(report.take(now), frames);
    }

    #[test]
    fn times_tell_the_true_age_though_the_wall_clock_was_set() {
        let read = Moment::now();
        let age = Duration::from_secs(3);
        for step in [chrono::Duration::hours(-1), chrono::Duration::hours(1)] {
            let mut report = Report::default();
            report.absorb(news("a", 0..1, 1.0, read.mono));
            let sent = Moment {
                mono: read.mono + age,
                wall: read.wall + step,
            };
            let told = &report.take(sent)[0][0];
            let ages = [told.polls[&PollClass::Fast], told.readings[0].at];
            assert_eq!(
                ages.map(|at| (sent.wall - at).to_std().unwrap()),
                [age, age]
            );
        }
    }

    proptest! {
        #[test]
        fn frames_are_small_and_complete(sizes in proptest::collection::vec(0u32..450, 1..6)) {
            let now = Moment::now();
            let mut report = Report::default();
            for (index, size) in sizes.iter().enumerate() {
                report.absorb(news(&format!("d{index}"), 0..*size, 1.0, now.mono));
            }
            let frames = report.take(now);
            let mut told = 0;
            for frame in &frames {
                let count: usize = frame.iter().map(|device| device.readings.len()).sum();
                prop_assert!(count <= MAX_READINGS_PER_FRAME);
                told += count;
            }
            prop_assert_eq!(told, sizes.iter().sum::<u32>() as usize);
            let polls = frames.iter().flatten().filter(|device| !device.polls.is_empty()).count();
            prop_assert_eq!(polls, sizes.len());
        }
    }
}
