//! Which block of which device is read next. Pure.
//!
//! Earliest deadline first: a block that is due must be read within one period of its class. Blocks that wait keep
//! their deadline while those that were read get a later one, so nothing waits for ever, however slow the line is.
//! A device that does not answer is demoted to one probe now and then, so that its time-outs cost the others little.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use contract::DeviceId;
use contract::reading::PollClass;

use crate::profile::{Demote, Profile};

/// How long a block without a period may wait once it is due: what is read once is not urgent.
const ONCE_SLACK: Duration = Duration::from_secs(1);

/// A block to read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Index of the device on its line.
    pub device: usize,
    /// Index into its profile's blocks.
    pub block: usize,
}

#[derive(Debug)]
struct Entry {
    class: PollClass,
    period: Option<Duration>,
    /// `None`: read once, and done.
    due: Option<Instant>,
    /// Asked for by a command: due even on a demoted device, and without slack.
    urgent: bool,
}

impl Entry {
    fn deadline(&self, due: Instant) -> Instant {
        if self.urgent {
            due
        } else {
            due + self.period.unwrap_or(ONCE_SLACK)
        }
    }
}

#[derive(Debug)]
struct Demotion {
    probe_at: Instant,
    pause: Duration,
}

#[derive(Debug)]
struct DevicePolls {
    entries: Vec<Entry>,
    rule: Demote,
    failures: u32,
    demotion: Option<Demotion>,
    /// Nothing is due before.
    held_until: Option<Instant>,
}

impl DevicePolls {
    /// The block that probes a demoted device: the one that is read most often.
    fn probe_block(&self) -> usize {
        (0..self.entries.len())
            .min_by_key(|&block| (self.entries[block].period.unwrap_or(Duration::MAX), block))
            .unwrap_or(0)
    }

    fn due(&self, block: usize) -> Option<Instant> {
        let entry = &self.entries[block];
        let due = match &self.demotion {
            Some(_) if entry.urgent => entry.due,
            Some(demotion) => (block == self.probe_block()).then_some(demotion.probe_at),
            None => entry.due,
        };
        due.map(|due| self.held_until.map_or(due, |held| due.max(held)))
    }

    fn rearm(&mut self, block: usize, now: Instant) {
        let entry = &mut self.entries[block];
        entry.urgent = false;
        entry.due = entry.period.map(|period| {
            let due = entry.due.unwrap_or(now);
            let late = now.saturating_duration_since(due);
            // Periods that the line was too slow for are left out, not made up for.
            let missed = late.as_nanos() / period.as_nanos();
            u32::try_from(missed + 1).map_or(now + period, |periods| due + period * periods)
        });
    }
}

/// The schedule of one line.
#[derive(Debug)]
pub struct Schedule {
    devices: Vec<DevicePolls>,
}

impl Schedule {
    /// Everything is due within its first period after `now`, spread by a hash of the device's id so that a restart
    /// does not make a wave.
    pub fn new<'a>(
        devices: impl IntoIterator<Item = (&'a DeviceId, &'a Profile)>,
        now: Instant,
    ) -> Self {
        let devices = devices
            .into_iter()
            .map(|(id, profile)| DevicePolls {
                entries: profile
                    .blocks
                    .iter()
                    .map(|block| {
                        let period = profile.periods.of(block.class);
                        Entry {
                            class: block.class,
                            period,
                            due: Some(now + offset(id, period)),
                            urgent: false,
                        }
                    })
                    .collect(),
                rule: profile.demote,
                failures: 0,
                demotion: None,
                held_until: None,
            })
            .collect();
        Self { devices }
    }

    fn all_due(&self) -> impl Iterator<Item = (Due, Instant)> {
        self.devices.iter().enumerate().flat_map(|(device, polls)| {
            (0..polls.entries.len())
                .filter_map(move |block| polls.due(block).map(|due| (Due { device, block }, due)))
        })
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Instant> {
        self.all_due().map(|(_, due)| due).min()
    }

    /// The block to read now, if any is due. It counts as read from here on; say how it went with
    /// [`Self::handle_answer`] or [`Self::handle_failure`].
    pub fn take(&mut self, now: Instant) -> Option<Due> {
        let (due, _) = self
            .all_due()
            .filter(|(_, due)| *due <= now)
            .min_by_key(|(due, at)| {
                let entry = &self.devices[due.device].entries[due.block];
                (entry.deadline(*at), due.device, due.block)
            })?;
        let polls = &mut self.devices[due.device];
        polls.rearm(due.block, now);
        if let Some(demotion) = &mut polls.demotion {
            demotion.probe_at = now + demotion.pause;
        }
        Some(due)
    }

    /// `block` is wanted at `at`, before whatever else is due then: a command waits for it.
    pub fn hurry(&mut self, device: usize, block: usize, at: Instant) {
        let entry = &mut self.devices[device].entries[block];
        entry.due = Some(entry.due.map_or(at, |due| due.min(at)));
        entry.urgent = true;
    }

    /// The device is asked nothing before `until`, while the others of the line are.
    pub fn hold(&mut self, device: usize, until: Instant) {
        self.devices[device].held_until = Some(until);
    }

    /// The device answered.
    pub fn handle_answer(&mut self, device: usize, now: Instant) {
        let polls = &mut self.devices[device];
        polls.failures = 0;
        if polls.demotion.take().is_some() {
            // It may be another machine, or the same one after a restart: everything is read anew.
            for entry in &mut polls.entries {
                entry.due = Some(now);
            }
        }
    }

    /// The device did not answer.
    pub fn handle_failure(&mut self, device: usize, now: Instant) {
        let polls = &mut self.devices[device];
        polls.failures = polls.failures.saturating_add(1);
        let rule = polls.rule;
        match &mut polls.demotion {
            Some(demotion) => {
                demotion.pause = (demotion.pause * rule.factor).min(rule.max);
                demotion.probe_at = now + demotion.pause;
            }
            None if polls.failures >= rule.after => {
                polls.demotion = Some(Demotion {
                    probe_at: now + rule.first,
                    pause: rule.first,
                });
            }
            None => {}
        }
    }

    /// The line's connection is new: what is read once for each connection is due again.
    pub fn handle_connected(&mut self, now: Instant) {
        for entry in self
            .devices
            .iter_mut()
            .flat_map(|polls| &mut polls.entries)
            .filter(|entry| entry.class == PollClass::Once)
        {
            entry.due.get_or_insert(now);
        }
    }
}

fn offset(id: &DeviceId, period: Option<Duration>) -> Duration {
    let Some(period) = period else {
        return Duration::ZERO;
    };
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let share = hasher.finish() % 1000;
    period * u32::try_from(share).expect("below 1000") / 1000
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn gate() -> Arc<Profile> {
        let profiles =
            crate::profile::load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles"))
                .unwrap();
        Arc::clone(&profiles["gate.came.crp"])
    }

    fn ids(count: usize) -> Vec<DeviceId> {
        (0..count)
            .map(|index| format!("gate-{index}").parse().unwrap())
            .collect()
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn classes_are_read_at_their_periods() {
        let (profile, ids) = (gate(), ids(1));
        let start = Instant::now();
        let mut schedule = Schedule::new([(&ids[0], &*profile)], start);
        let mut counts: BTreeMap<PollClass, u32> = BTreeMap::new();
        let mut now = start;
        while now < start + 20_000 * MS {
            now = schedule.next_due().unwrap().max(now);
            let due = schedule.take(now).unwrap();
            schedule.handle_answer(due.device, now);
            *counts.entry(profile.blocks[due.block].class).or_default() += 1;
            now += MS;
        }
        let blocks = |class| {
            u32::try_from(
                profile
                    .blocks
                    .iter()
                    .filter(|block| block.class == class)
                    .count(),
            )
            .unwrap()
        };
        assert_eq!(counts[&PollClass::Once], blocks(PollClass::Once));
        for (class, expected) in [
            (PollClass::Fast, 80),
            (PollClass::Normal, 20),
            (PollClass::Slow, 2),
        ] {
            let count = counts[&class];
            let expected = expected * blocks(class);
            assert!(
                count.abs_diff(expected) <= blocks(class),
                "{class:?}: {count}"
            );
        }
    }

    #[test]
    fn a_dead_device_is_probed_ever_less_often_and_comes_back_at_once() {
        let (profile, ids) = (gate(), ids(1));
        let start = Instant::now();
        let mut schedule = Schedule::new([(&ids[0], &*profile)], start);
        let mut now = start;
        let mut pauses = vec![];
        for _ in 0..8 {
            let due = schedule.next_due().unwrap().max(now);
            pauses.push((due - now).as_millis());
            now = due;
            let taken = schedule.take(now).unwrap();
            schedule.handle_failure(taken.device, now);
        }
        assert_eq!(pauses[3..], [2000, 4000, 8000, 10_000, 10_000]);
        now += 10_000 * MS;
        let probe = schedule.take(now).unwrap();
        schedule.handle_answer(probe.device, now);
        let blocks: Vec<_> = std::iter::from_fn(|| schedule.take(now)).collect();
        assert_eq!(blocks.len(), profile.blocks.len());
    }

    #[test]
    fn what_a_command_waits_for_comes_first_even_on_a_demoted_device() {
        let (profile, ids) = (gate(), ids(2));
        let start = Instant::now();
        let mut schedule = Schedule::new(ids.iter().map(|id| (id, &*profile)), start);
        for _ in 0..3 {
            schedule.handle_failure(1, start);
        }
        let last = profile.blocks.len() - 1;
        schedule.hurry(1, last, start);
        let expected = Due {
            device: 1,
            block: last,
        };
        assert_eq!(schedule.take(start), Some(expected));
        assert_ne!(schedule.take(start), Some(expected));
    }

    #[test]
    fn once_is_once_for_each_connection() {
        let (profile, ids) = (gate(), ids(1));
        let now = Instant::now();
        let mut schedule = Schedule::new([(&ids[0], &*profile)], now);
        let once_reads = |schedule: &mut Schedule, now| {
            std::iter::from_fn(|| schedule.take(now))
                .filter(|due| profile.blocks[due.block].class == PollClass::Once)
                .count()
        };
        let later = now + Duration::from_secs(60);
        assert_eq!(once_reads(&mut schedule, later), 1);
        assert_eq!(once_reads(&mut schedule, later), 0);
        schedule.handle_connected(later);
        assert_eq!(once_reads(&mut schedule, later), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// However slow the exchanges and whoever is dead: each block of each living device is read again and again,
        /// never later than one full round of everything that can be due.
        #[test]
        fn no_device_starves(
            exchange_ms in 1u32..400,
            dead in proptest::collection::vec(any::<bool>(), 5),
        ) {
            let (profile, ids) = (gate(), ids(5));
            let start = Instant::now();
            let mut schedule = Schedule::new(ids.iter().map(|id| (id, &*profile)), start);
            let mut last: BTreeMap<(usize, usize), Instant> = BTreeMap::new();
            let mut now = start;
            let mut longest = Duration::ZERO;
            while now < start + Duration::from_secs(300) {
                now = schedule.next_due().unwrap().max(now);
                let due = schedule.take(now).unwrap();
                now += MS * exchange_ms;
                if dead[due.device] {
                    schedule.handle_failure(due.device, now);
                } else {
                    schedule.handle_answer(due.device, now);
                    if profile.blocks[due.block].class != PollClass::Once {
                        let before = last.insert((due.device, due.block), now).unwrap_or(start);
                        longest = longest.max(now - before);
                    }
                }
            }
            let slow = profile.periods.slow.unwrap();
            let round = MS * exchange_ms * u32::try_from(5 * profile.blocks.len()).unwrap();
            // Due one period after the last read, deadline one period after that, and a round of others before it.
            prop_assert!(longest <= slow * 2 + round * 2, "{longest:?}");
            for (device, is_dead) in dead.iter().enumerate() {
                let blocks = last.keys().filter(|key| key.0 == device).count();
                let periodic = profile.blocks.iter().filter(|block| block.class != PollClass::Once).count();
                prop_assert_eq!(blocks, if *is_dead { 0 } else { periodic });
            }
        }
    }
}
