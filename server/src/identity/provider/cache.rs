//! Something of the provider's that is kept for a while: when it is fresh, when it may be used all the same, and when it may be
//! fetched again. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whatever the provider says, it is asked no more often and no less often than this: the first bounds what it costs to ask, the
/// second how long a key that it withdrew is still believed.
pub(super) const FRESH_MIN: Duration = Duration::from_secs(60);
pub(super) const FRESH_MAX: Duration = Duration::from_secs(3600);

/// Where it says nothing.
pub(super) const FRESH_DEFAULT: Duration = Duration::from_secs(600);

/// While the provider is away, what it said last counts for this long. Its tokens end long before, and nobody gets new ones
/// meanwhile.
pub(super) const KEPT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Between two attempts, and after one that failed, however long that took: who sends tokens with keys that do not exist cannot
/// make this server hammer the provider, and while it hangs most people are told so at once.
pub(super) const ATTEMPT_PAUSE: Duration = Duration::from_secs(5);

/// One thing, and when it was fetched.
#[derive(Debug)]
struct Held<T> {
    value: Arc<T>,
    at: Instant,
    fresh_for: Duration,
}

/// What was fetched last, if anything was.
#[derive(Debug)]
pub(super) struct Cache<T> {
    held: Option<Held<T>>,
    tried_at: Option<Instant>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self {
            held: None,
            tried_at: None,
        }
    }
}

impl<T> Cache<T> {
    /// What needs no question.
    pub(super) fn fresh(&self, now: Instant) -> Option<Arc<T>> {
        let held = self.held.as_ref()?;
        (now.saturating_duration_since(held.at) < held.fresh_for).then(|| Arc::clone(&held.value))
    }

    /// What is at most this old.
    pub(super) fn younger_than(&self, age: Duration, now: Instant) -> Option<Arc<T>> {
        let held = self.held.as_ref()?;
        (now.saturating_duration_since(held.at) < age).then(|| Arc::clone(&held.value))
    }

    /// What may still be used when the provider cannot be asked.
    pub(super) fn kept(&self, now: Instant) -> Option<Arc<T>> {
        self.younger_than(KEPT_MAX, now)
    }

    /// Whether the provider may be asked now; the attempt counts from here.
    pub(super) fn try_now(&mut self, now: Instant) -> bool {
        let may = self
            .tried_at
            .is_none_or(|at| now.saturating_duration_since(at) >= ATTEMPT_PAUSE);
        if may {
            self.tried_at = Some(now);
        }
        may
    }

    /// An attempt failed just now: the pause begins anew.
    pub(super) fn failed(&mut self, now: Instant) {
        self.tried_at = Some(now);
    }

    /// Takes what came.
    pub(super) fn put(&mut self, value: T, fresh_for: Option<Duration>, now: Instant) -> Arc<T> {
        let value = Arc::new(value);
        self.held = Some(Held {
            value: Arc::clone(&value),
            at: now,
            fresh_for: fresh_for
                .unwrap_or(FRESH_DEFAULT)
                .clamp(FRESH_MIN, FRESH_MAX),
        });
        value
    }
}

/// What `Cache-Control` says of freshness (RFC 9111 section 5.2.2).
pub(super) fn fresh_for(cache_control: &str) -> Option<Duration> {
    let mut found = None;
    for directive in cache_control.split(',') {
        let directive = directive.trim().to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return Some(Duration::ZERO);
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            found = seconds
                .trim_matches('"')
                .parse()
                .ok()
                .map(Duration::from_secs);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn freshness_is_the_providers_within_bounds() {
        for (said, second, fresh) in [
            (None, 599, true),
            (None, 600, false),
            (Some(0), 59, true),
            (Some(0), 60, false),
            (Some(300), 299, true),
            (Some(300), 300, false),
            (Some(1_000_000), 3599, true),
            (Some(1_000_000), 3600, false),
        ] {
            let start = Instant::now();
            let mut cache = Cache::default();
            cache.put(7, said.map(Duration::from_secs), start);
            let got = cache.fresh(after(start, second)).is_some();
            assert_eq!(got, fresh, "{said:?} after {second} s");
        }
    }

    #[test]
    fn what_is_stale_is_kept_for_a_day() {
        let start = Instant::now();
        let mut cache = Cache::default();
        cache.put(7, None, start);
        assert!(cache.kept(after(start, 24 * 3600 - 1)).is_some());
        assert!(cache.kept(after(start, 24 * 3600)).is_none());
    }

    #[test]
    fn attempts_keep_their_distance() {
        let start = Instant::now();
        let mut cache = Cache::<u8>::default();
        let tried: Vec<u64> = (0..12)
            .filter(|second| cache.try_now(after(start, *second)))
            .collect();
        assert_eq!(tried, [0, 5, 10]);
    }

    #[test]
    fn the_pause_follows_the_end_of_a_failed_attempt() {
        let start = Instant::now();
        let mut cache = Cache::<u8>::default();
        assert!(cache.try_now(start));
        cache.failed(after(start, 5));
        assert!(!cache.try_now(after(start, 9)));
        assert!(cache.try_now(after(start, 10)));
    }

    #[test]
    fn cache_control_is_read() {
        for (text, expected) in [
            ("", None),
            ("public, max-age=300", Some(300)),
            ("Max-Age=\"20\"", Some(20)),
            ("max-age=x", None),
            ("max-age=300, no-store", Some(0)),
            ("no-cache", Some(0)),
        ] {
            assert_eq!(
                fresh_for(text),
                expected.map(Duration::from_secs),
                "{text:?}"
            );
        }
    }
}
