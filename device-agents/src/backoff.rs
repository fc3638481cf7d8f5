//! Pauses between attempts, with full jitter, so that what failed together does not come back together.

use std::time::Duration;

/// Pauses that grow with each failure.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    least: Duration,
    failures: u32,
}

impl Backoff {
    /// The n-th pause is random between nothing and `first` × 2ⁿ, at most `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            least: Duration::ZERO,
            failures: 0,
        }
    }

    /// No pause is shorter than `least`.
    pub fn at_least(self, least: Duration) -> Self {
        Self { least, ..self }
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let limit = self.limit();
        self.failures = self.failures.saturating_add(1);
        rand::random_range(Duration::ZERO..=limit).max(self.least)
    }

    /// The longest that the next pause can be.
    fn limit(&self) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// It worked: the next pause is a first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_again() {
        let (first, max) = (Duration::from_millis(500), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, max).at_least(Duration::from_millis(100));
        for expected in [500, 1000, 2000, 4000, 5000, 5000] {
            assert_eq!(backoff.limit(), Duration::from_millis(expected));
            let pause = backoff.next_pause();
            assert!(
                pause >= Duration::from_millis(100) && pause <= max,
                "{pause:?}"
            );
        }
        for _ in 0..100 {
            assert!(
                backoff.next_pause() <= max,
                "no overflow however often it failed"
            );
        }
        backoff.reset();
        assert_eq!(backoff.limit(), first);
    }
}
