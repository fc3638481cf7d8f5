//! A pay kiosk: levels that move slowly, and a reboot that takes its time.
//!
//! Pure.

use std::time::{Duration, Instant};

use crate::behaviour::{Faults, Happening, millis_since, seed, triangle};
use crate::fault::Fault;

/// How long a kiosk is gone when it starts again: short for a PC, long enough to be noticed by a poll.
const DOWN: Duration = Duration::from_secs(6);

/// Cash comes in, and is collected, within this time.
const CASH_PERIOD: Duration = Duration::from_secs(1_800);

/// The longest delay that a reboot may be asked to wait.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(3_600);

#[derive(Debug, Clone, Copy)]
enum Power {
    Up,
    GoingDown { at: Instant },
    Down { until: Instant },
}

/// One pay kiosk.
#[derive(Debug, Clone)]
pub(crate) struct Kiosk {
    /// Tenths of a percent that the cash box never falls below; differs from kiosk to kiosk.
    cash_base: u64,
    created: Instant,
    booted: Instant,
    now: Instant,
    power: Power,
    pub(crate) faults: Faults,
    pub(crate) happenings: Vec<Happening>,
}

impl Kiosk {
    pub(crate) fn new(id: &str, now: Instant) -> Self {
        Self {
            cash_base: 100 + seed(id) % 300,
            created: now,
            booted: now,
            now,
            power: Power::Up,
            faults: Faults::default(),
            happenings: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, now: Instant) {
        self.now = now;
        if let Power::GoingDown { at } = self.power
            && at <= now
        {
            self.power = Power::Down { until: at + DOWN };
            self.happenings.push(Happening::Rebooting);
        }
        if let Power::Down { until } = self.power
            && until <= now
        {
            self.power = Power::Up;
            self.booted = until;
            self.happenings.push(Happening::Rebooted);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.power {
            Power::Up => None,
            Power::GoingDown { at } => Some(at),
            Power::Down { until } => Some(until),
        }
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(self.power, Power::Down { .. })
    }

    /// Starts again after `delay`; a reboot that is already due keeps its time.
    pub(crate) fn reboot(&mut self, delay: Duration) {
        if matches!(self.power, Power::Up) {
            self.power = Power::GoingDown {
                at: self.now + delay.min(DELAY_MAX),
            };
        }
    }

    /// Whole seconds since the kiosk started.
    pub(crate) fn uptime(&self) -> u64 {
        self.now.saturating_duration_since(self.booted).as_secs()
    }

    /// How full the cash box is, in tenths of a percent.
    pub(crate) fn cash_tenths(&self) -> u64 {
        if self.faults.contains(Fault::CashFull) {
            return 1_000;
        }
        // At most 70 %: below any level that an agent would call full.
        self.cash_base + triangle(millis_since(self.created, self.now), CASH_PERIOD, 300)
    }

    /// The paper sensor's word.
    pub(crate) fn paper(&self) -> &'static str {
        if self.faults.contains(Fault::PaperOut) {
            "out"
        } else if self.faults.contains(Fault::PaperLow) {
            "low"
        } else {
            "ok"
        }
    }

    /// The card reader's word.
    pub(crate) fn card(&self) -> &'static str {
        if self.faults.contains(Fault::CardDown) {
            "down"
        } else {
            "up"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_reboot_waits_goes_down_and_starts_counting_again() {
        let start = Instant::now();
        let mut kiosk = Kiosk::new("kiosk-1", start);
        kiosk.step(start + seconds(100));
        kiosk.reboot(seconds(5));
        let check = |kiosk: &mut Kiosk, after: u64, down: bool, uptime: u64| {
            kiosk.step(start + seconds(100 + after));
            assert_eq!(kiosk.is_down(), down, "{after} s later");
            assert_eq!(kiosk.uptime(), uptime, "{after} s later");
        };
        check(&mut kiosk, 4, false, 104);
        assert_eq!(kiosk.deadline(), Some(start + seconds(105)));
        check(&mut kiosk, 5, true, 105);
        assert_eq!(kiosk.deadline(), Some(start + seconds(111)));
        check(&mut kiosk, 11, false, 0);
        check(&mut kiosk, 20, false, 9);
        assert_eq!(kiosk.deadline(), None);
        assert_eq!(
            kiosk.happenings,
            [Happening::Rebooting, Happening::Rebooted]
        );
    }

    #[test]
    fn a_reboot_that_nobody_watched_is_over_all_the_same() {
        let start = Instant::now();
        let mut kiosk = Kiosk::new("kiosk-1", start);
        kiosk.reboot(Duration::ZERO);
        kiosk.step(start + seconds(60));
        assert!(!kiosk.is_down());
        assert_eq!(kiosk.uptime(), 54);
    }

    #[test]
    fn cash_moves_below_what_anybody_calls_full() {
        let start = Instant::now();
        for n in 0..50 {
            let mut kiosk = Kiosk::new(&format!("kiosk-{n}"), start);
            let before = kiosk.cash_tenths();
            kiosk.step(start + CASH_PERIOD / 2);
            assert_eq!(kiosk.cash_tenths() - before, 300);
            assert!(kiosk.cash_tenths() <= 700);
        }
    }

    #[test]
    fn faults_show_in_the_sensors() {
        let mut kiosk = Kiosk::new("kiosk-1", Instant::now());
        assert_eq!((kiosk.paper(), kiosk.card()), ("ok", "up"));
        for fault in [Fault::PaperLow, Fault::CardDown, Fault::CashFull] {
            kiosk.faults.switch(fault, true);
        }
        assert_eq!(
            (kiosk.paper(), kiosk.card(), kiosk.cash_tenths()),
            ("low", "down", 1_000)
        );
        kiosk.faults.switch(Fault::PaperOut, true);
        assert_eq!(kiosk.paper(), "out", "out hides low");
    }
}
