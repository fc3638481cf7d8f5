//! One moment on both clocks: deciding uses the monotonic one, telling people uses the wall one.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A moment, read once and handed to machines, which read no clock themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// For delays and deadlines: never steps.
    pub mono: Instant,
    /// For people and for the server's records: may step.
    pub wall: DateTime<Utc>,
}

impl Moment {
    /// Now, on both clocks.
    pub fn now() -> Self {
        Self {
            mono: Instant::now(),
            wall: Utc::now(),
        }
    }

    /// This moment, later by `by` on both clocks.
    pub fn plus(self, by: Duration) -> Self {
        let wall = chrono::Duration::from_std(by).expect("a span of this program fits chrono");
        Self {
            mono: self.mono + by,
            wall: self.wall + wall,
        }
    }

    /// What the wall clock of this moment says of an `earlier` one: whoever subtracts the two gets the true age, even
    /// if the clock was set in between.
    pub fn wall_of(self, earlier: Instant) -> DateTime<Utc> {
        let age = self.mono.saturating_duration_since(earlier);
        self.wall - chrono::Duration::from_std(age).expect("a span of this program fits chrono")
    }
}

/// The monotonic clock of this instance: milliseconds since it began. Deadlines of commands are expressed in it.
#[derive(Debug, Clone, Copy)]
pub struct InstanceClock {
    began: Instant,
}

impl InstanceClock {
    /// A clock that reads 0 at `began`.
    pub fn new(began: Instant) -> Self {
        Self { began }
    }

    /// What the clock reads at `at`, in milliseconds; 0 before it began.
    pub fn monotonic_ms(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.began).as_millis();
        u64::try_from(passed).expect("an instance does not live 500 million years")
    }

    /// The moment at which the clock reads `monotonic_ms`; `None` when no such moment can be expressed.
    pub fn at(&self, monotonic_ms: u64) -> Option<Instant> {
        self.began.checked_add(Duration::from_millis(monotonic_ms))
    }
}
