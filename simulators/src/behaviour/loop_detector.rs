//! An inductive loop in the road and its detector (PCE/PROCON "LD120"): vehicles come, stand, and leave.
//!
//! Pure. Addresses count from 0: the manual's 30001 is input register 0. The detector's clock has no battery: it begins
//! anew when the power comes, and so does the counter.

use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, TimeDelta, Timelike};
use serde::Serialize;

use crate::behaviour::{Faults, Happening, high_word, low_word, seed};
use crate::fault::Fault;
use crate::wire::disturbance::Dice;
use crate::wire::modbus::pdu::Tables;

/// Between a vehicle's leaving and the next one's coming, in milliseconds: least, and how much more at most.
const GAP_MS: (u64, u64) = (3_000, 12_000);

/// How long a vehicle stands on the loop, in the same way.
const STAY_MS: (u64, u64) = (1_500, 4_000);

/// Above 65535, so that the counter's two registers are both in use and their order shows.
const COUNT_BASE: u32 = 65_536;

/// What the clock shows when the power comes: 2000-01-01, in seconds of Unix time.
const CLOCK_BASE: i64 = 946_684_800;

/// Input register 30001: version 3, module type 34.
const MODULE: u16 = 3 << 8 | 34;

/// The manual: no message over more registers than these.
const READ_WORDS_MAX: u16 = 8;

/// Coils 9 and 10 of the manual: the relays.
const RELAYS: std::ops::Range<u16> = 8..10;

/// 40003 to 40009: second, minute, hour, weekday, day, month, year.
const CLOCK: std::ops::Range<u16> = 2..9;

/// 40010 and 40011: the counter, most significant word first.
const COUNTER_HIGH: u16 = 9;
const COUNTER_LOW: u16 = 10;

/// 40014: the detector's own address.
const NODE: u16 = 13;

/// What a loop is, for whoever asks the simulator and not the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LoopState {
    /// Whether a vehicle really stands there.
    pub occupied: bool,
    /// What the counter really is.
    pub vehicles: u32,
}

/// One loop and its detector.
#[derive(Debug, Clone)]
pub(crate) struct LoopDetector {
    node: u8,
    dice: Dice,
    powered: Instant,
    now: Instant,
    occupied: bool,
    /// When the vehicle leaves, or the next one comes.
    turn: Instant,
    vehicles: u32,
    /// Relays 1 and 2, as they were written; relay 1 follows the loop as well.
    relays: [bool; 2],
    pub(crate) faults: Faults,
    pub(crate) happenings: Vec<Happening>,
}

impl LoopDetector {
    pub(crate) fn new(id: &str, node: u8, now: Instant) -> Self {
        let seed = seed(id);
        let mut detector = Self {
            node,
            dice: Dice::new(seed),
            powered: now,
            now,
            occupied: false,
            turn: now,
            vehicles: COUNT_BASE + u32::try_from(seed % 10_000).expect("below 10000"),
            relays: [false; 2],
            faults: Faults::default(),
            happenings: Vec::new(),
        };
        detector.turn = now + detector.span(GAP_MS);
        detector
    }

    fn span(&mut self, (least, more): (u64, u64)) -> Duration {
        Duration::from_millis(least + self.dice.below(more))
    }

    pub(crate) fn step(&mut self, now: Instant) {
        self.now = now;
        while self.turn <= now {
            self.occupied = !self.occupied;
            let range = if self.occupied { STAY_MS } else { GAP_MS };
            let span = self.span(range);
            self.turn += span;
            // A broken loop and one that is held see nobody come.
            if self.occupied && !self.is_held() {
                self.vehicles = self.vehicles.wrapping_add(1);
                self.happenings.push(Happening::Vehicle(self.vehicles));
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        Some(self.turn)
    }

    /// The power comes back.
    pub(crate) fn power_on(&mut self) {
        self.powered = self.now;
        self.vehicles = 0;
        self.relays = [false; 2];
    }

    pub(crate) fn state(&self) -> LoopState {
        LoopState {
            occupied: self.occupied,
            vehicles: self.vehicles,
        }
    }

    fn is_broken(&self) -> bool {
        self.faults.contains(Fault::LoopOpen) || self.faults.contains(Fault::LoopShort)
    }

    fn is_held(&self) -> bool {
        self.is_broken() || self.faults.contains(Fault::StuckOn)
    }

    fn detects(&self) -> bool {
        self.occupied || self.is_held()
    }

    fn relay(&self, index: usize) -> bool {
        self.relays[index] || index == 0 && self.detects()
    }

    /// Input register 30002, whose bits are discrete inputs 10001 to 10016 as well.
    fn status(&self) -> u16 {
        [
            (0, self.is_broken()),
            (1, self.detects()),
            (4, self.faults.contains(Fault::LoopOpen)),
            (5, self.faults.contains(Fault::LoopShort)),
            (8, self.relay(0)),
            (9, self.relay(1)),
        ]
        .into_iter()
        .fold(0, |word, (bit, on)| word | u16::from(on) << bit)
    }

    fn clock(&self, address: u16) -> u16 {
        let base = DateTime::from_timestamp(CLOCK_BASE, 0).expect("a time of this century");
        let powered = self.now.saturating_duration_since(self.powered);
        let time = base + TimeDelta::from_std(powered).expect("no run is so long");
        let value = match address - CLOCK.start {
            0 => time.second(),
            1 => time.minute(),
            2 => time.hour(),
            3 => time.weekday().number_from_sunday(),
            4 => time.day(),
            5 => time.month(),
            _ => time.year_ce().1 % 100,
        };
        u16::try_from(value).expect("a part of a date is small")
    }
}

impl Tables for LoopDetector {
    fn functions(&self) -> &'static [u8] {
        &[1, 2, 3, 4, 5, 6, 15, 16, 23]
    }

    fn read_words_max(&self) -> u16 {
        READ_WORDS_MAX
    }

    fn coil(&self, address: u16) -> Option<bool> {
        let index = usize::from(address.checked_sub(RELAYS.start)?);
        RELAYS.contains(&address).then(|| self.relay(index))
    }

    fn discrete_input(&self, address: u16) -> Option<bool> {
        (address < 16).then(|| self.status() >> address & 1 == 1)
    }

    fn input_register(&self, address: u16) -> Option<u16> {
        match address {
            0 => Some(MODULE),
            1 => Some(self.status()),
            _ => None,
        }
    }

    fn holding_register(&self, address: u16) -> Option<u16> {
        let torn = u16::from(self.faults.contains(Fault::TornCounter));
        match address {
            _ if CLOCK.contains(&address) => Some(self.clock(address)),
            COUNTER_HIGH => Some(high_word(self.vehicles).wrapping_add(torn)),
            COUNTER_LOW => Some(low_word(self.vehicles)),
            NODE => Some(u16::from(self.node)),
            _ => None,
        }
    }

    fn write_coil(&mut self, address: u16, on: bool) {
        self.relays[usize::from(address - RELAYS.start)] = on;
    }

    fn is_writable(&self, address: u16) -> bool {
        matches!(address, COUNTER_HIGH | COUNTER_LOW)
    }

    fn write_register(&mut self, address: u16, word: u16) {
        let (high, low) = match address {
            COUNTER_HIGH => (word, low_word(self.vehicles)),
            _ => (high_word(self.vehicles), word),
        };
        self.vehicles = u32::from(high) << 16 | u32::from(low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn detector() -> (LoopDetector, Instant) {
        let now = Instant::now();
        (LoopDetector::new("loop-1", 7, now), now)
    }

    fn counter(detector: &LoopDetector) -> u32 {
        let word = |address| u32::from(detector.holding_register(address).unwrap());
        word(COUNTER_HIGH) << 16 | word(COUNTER_LOW)
    }

    #[test]
    fn vehicles_come_stand_and_leave_and_each_is_counted_once() {
        let (mut detector, now) = detector();
        let before = detector.state().vehicles;
        let mut seen = Vec::new();
        for _ in 0..20 {
            let turn = detector.deadline().unwrap();
            detector.step(turn - Duration::from_nanos(1));
            seen.push(detector.status());
            detector.step(turn);
        }
        assert_eq!(seen[..4], [0, 1 << 1 | 1 << 8, 0, 1 << 1 | 1 << 8]);
        assert_eq!(detector.state().vehicles, before + 10);
        assert_eq!(counter(&detector), before + 10);
        let counted: Vec<_> = (1..=10).map(|n| Happening::Vehicle(before + n)).collect();
        assert_eq!(detector.happenings, counted);
        // One step over the same time sees the same traffic.
        let mut other = LoopDetector::new("loop-1", 7, now);
        other.step(detector.now);
        assert_eq!(other.state(), detector.state());
    }

    #[test]
    fn a_broken_or_held_loop_says_vehicle_and_counts_none() {
        for (fault, status) in [
            (Fault::LoopOpen, 0b01_0001_0011),
            (Fault::LoopShort, 0b01_0010_0011),
            (Fault::StuckOn, 0b01_0000_0010),
        ] {
            let (mut detector, now) = detector();
            let before = detector.state().vehicles;
            detector.faults.switch(fault, true);
            detector.step(now + 100 * SECOND);
            assert_eq!(detector.input_register(1), Some(status), "{fault}");
            assert_eq!(detector.discrete_input(1), Some(true));
            assert_eq!(detector.state().vehicles, before);
        }
    }

    #[test]
    fn the_map_is_the_manuals() {
        let (mut detector, now) = detector();
        assert_eq!(detector.input_register(0), Some(0x0322));
        assert_eq!(detector.holding_register(NODE), Some(7));
        detector.step(now + 3_725 * SECOND);
        let clock: Vec<_> = CLOCK
            .map(|address| detector.holding_register(address).unwrap())
            .collect();
        assert_eq!(
            clock,
            [5, 2, 1, 7, 1, 1, 0],
            "01:02:05 on Saturday, 2000-01-01"
        );
        assert_eq!((detector.coil(7), detector.coil(10)), (None, None));
        detector.write_coil(9, true);
        assert_eq!(detector.coil(9), Some(true));
        detector.write_register(COUNTER_HIGH, 0);
        detector.write_register(COUNTER_LOW, 9);
        assert_eq!(detector.state().vehicles, 9);
        for address in [0, 1, 11, 12, 14] {
            assert_eq!(detector.holding_register(address), None, "{address}");
        }
    }

    #[test]
    fn power_that_comes_back_finds_clock_and_counter_at_their_beginning() {
        let (mut detector, now) = detector();
        detector.step(now + 100 * SECOND);
        detector.power_on();
        assert_eq!(
            (detector.state().vehicles, detector.holding_register(2)),
            (0, Some(0))
        );
    }

    #[test]
    fn a_torn_counter_has_one_word_from_after_a_carry() {
        let (mut detector, _) = detector();
        let right = detector.state().vehicles;
        detector.faults.switch(Fault::TornCounter, true);
        assert_eq!(counter(&detector), right + 65_536);
    }
}
