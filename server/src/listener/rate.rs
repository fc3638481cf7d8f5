//! How often somebody may do something. Pure: the time is told.
//!
//! Each key has a bucket of `burst` permissions that fills by one each `every`. A bucket is one moment: when it will be full
//! again. Keys whose buckets are full are forgotten. There are at most [`KEYS`] others; those beyond share one bucket, so
//! that whoever comes from many addresses at once gets no further than one of them.
//!
//! `identity::lockout` has a table of its own kind: what it counts is wrong attempts, whose delay grows, and a guess at one
//! name must never make another's forgotten. Here a bucket is one moment, and who is forgotten had nothing left to wait for.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Keys that are remembered at once. 16,384: some bytes each, and more than a site has people, programs and machines.
const KEYS: usize = 16_384;

/// How much, and how fast it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) every: Duration,
}

/// What each key has spent.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: Rate,
    keys: usize,
    full_at: HashMap<K, Instant>,
    /// Of those for which there is no room.
    others_full_at: Option<Instant>,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            keys: KEYS,
            full_at: HashMap::new(),
            others_full_at: None,
        }
    }

    /// Takes one permission, or says when there is one again.
    pub(crate) fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        if self.full_at.len() >= self.keys && !self.full_at.contains_key(&key) {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() >= self.keys && !self.full_at.contains_key(&key) {
            let full_at = self.rate.take(self.others_full_at, now)?;
            self.others_full_at = Some(full_at);
            return Ok(());
        }
        let full_at = self.rate.take(self.full_at.get(&key).copied(), now)?;
        self.full_at.insert(key, full_at);
        Ok(())
    }
}

impl Rate {
    fn take(self, full_at: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let full_at = full_at.unwrap_or(now).max(now) + self.every;
        let deepest = now + self.every * self.burst;
        match full_at.checked_duration_since(deepest) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(full_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 3,
        every: Duration::from_secs(2),
    };

    #[test]
    fn a_burst_is_spent_and_comes_back() {
        let start = Instant::now();
        let mut buckets = Buckets::new(RATE);
        let mut check = |key: &'static str, seconds: u64, expected: Result<(), u64>| {
            let taken = buckets.take(key, start + Duration::from_secs(seconds));
            assert_eq!(
                taken,
                expected.map_err(Duration::from_secs),
                "{key} {seconds}"
            );
        };
        for _ in 0..3 {
            check("a", 0, Ok(()));
        }
        check("a", 0, Err(2));
        check("a", 1, Err(1));
        check("b", 1, Ok(()));
        check("a", 2, Ok(()));
        check("a", 2, Err(2));
        for _ in 0..3 {
            check("a", 60, Ok(()));
        }
        check("a", 60, Err(2));
    }

    #[test]
    fn those_beyond_the_bound_share_one_bucket() {
        let start = Instant::now();
        let mut buckets = Buckets {
            keys: 2,
            ..Buckets::new(RATE)
        };
        for key in 0..5 {
            assert_eq!(buckets.take(key, start), Ok(()), "{key}");
        }
        assert!(buckets.take(9, start).is_err(), "three others came before");
        assert_eq!(
            buckets.take(0, start),
            Ok(()),
            "whoever is known is not touched"
        );
        let later = start + Duration::from_secs(60);
        assert_eq!(
            buckets.take(9, later),
            Ok(()),
            "the full ones were forgotten"
        );
        assert_eq!(buckets.full_at.len(), 1);
    }
}
