//! How long a message waited on its way, by two monotonic clocks that know nothing of each other. Pure.
//!
//! The difference of the two clocks is constant but for the time on the way, so whatever exceeds the least difference
//! seen lately is waiting. "Lately" is bounded, since quartz drifts by seconds a day.

use std::time::{Duration, Instant};

/// A drift of 100 ppm is 60 ms in this time.
const WINDOW: Duration = Duration::from_secs(600);

/// The least differences of this window and of the one before.
#[derive(Debug)]
pub(super) struct Delay {
    /// Our clock, when theirs stood at 0, as the fastest message showed it.
    least: Instant,
    before: Option<Instant>,
    since: Instant,
}

impl Delay {
    /// After the first message: nothing can be said of how long that one took.
    pub(super) fn new(monotonic_ms: u64, now: Instant) -> Self {
        Self {
            least: origin(monotonic_ms, now),
            before: None,
            since: now,
        }
    }

    /// When a message that was sent at `monotonic_ms` and arrived `now` was really sent, as far as anybody can tell.
    pub(super) fn sent(&mut self, monotonic_ms: u64, now: Instant) -> Instant {
        let origin = origin(monotonic_ms, now);
        if now.saturating_duration_since(self.since) > WINDOW {
            self.before = Some(self.least);
            (self.least, self.since) = (origin, now);
        }
        self.least = self.least.min(origin);
        let least = self
            .before
            .map_or(self.least, |before| before.min(self.least));
        let waited = origin.saturating_duration_since(least);
        now.checked_sub(waited).unwrap_or(now)
    }
}

/// A clock that claims more than our own can subtract is wrong, and then says nothing about waiting.
fn origin(monotonic_ms: u64, now: Instant) -> Instant {
    now.checked_sub(Duration::from_millis(monotonic_ms))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_is_told_from_what_did_not() {
        let start = Instant::now() + Duration::from_secs(1_000_000);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut delay = Delay::new(5_000, at(0));
        assert_eq!(
            delay.sent(6_000, at(1_000)),
            at(1_000),
            "as fast as the first"
        );
        assert_eq!(delay.sent(7_000, at(22_000)), at(2_000), "20 s late");
        assert_eq!(
            delay.sent(7_900, at(2_800)),
            at(2_800),
            "the first had waited 100 ms"
        );
        assert_eq!(delay.sent(9_000, at(4_000)), at(3_900));
    }

    #[test]
    fn a_drifting_clock_does_not_age_what_is_fresh() {
        let start = Instant::now() + Duration::from_secs(1_000_000);
        let mut delay = Delay::new(0, start);
        // Theirs loses 100 ppm, for a day.
        for minute in 1..=24 * 60u64 {
            let now = start + Duration::from_millis(minute * 60_000);
            let sent = delay.sent(minute * 60_000 - minute * 6, now);
            assert!(
                now - sent < Duration::from_millis(200),
                "minute {minute}: {:?}",
                now - sent
            );
        }
    }
}
