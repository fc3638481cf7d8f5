//! Sign-ins that went to the provider and have not come back: each is bound to one browser, taken once, and forgotten in time.
//! Pure.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// As long as somebody may take at the provider: password, second factor, a forgotten telephone.
pub(crate) const PENDING_KEPT: Duration = Duration::from_secs(600);

/// Each is a few hundred bytes. When there are more, the oldest go, and their people start again: that takes thousands of
/// requests within the minute that a sign-in lasts.
const PENDING_MAX: usize = 4096;

/// What must be known when the browser comes back.
#[derive(Clone)]
pub(crate) struct Pending {
    /// SHA-256 of the cookie of the browser that went.
    pub(super) browser: Vec<u8>,
    pub(super) nonce: String,
    pub(super) verifier: String,
    /// Where the person was going.
    pub(crate) next: String,
    pub(crate) purpose: Purpose,
    /// When the person went, in seconds since 1970.
    pub(super) begun: u64,
}

/// Why somebody goes to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To begin a login here.
    SignIn,
    /// To show in this login, by signing in over there once more, that they are there.
    Prove(Uuid),
}

/// Every sign-in under way, by its `state`.
#[derive(Default)]
pub(super) struct Waiting {
    by_state: HashMap<String, (Pending, Instant)>,
    oldest_first: VecDeque<(String, Instant)>,
}

impl Waiting {
    /// One goes.
    pub(super) fn put(&mut self, state: String, pending: Pending, now: Instant) {
        while let Some((oldest, at)) = self.oldest_first.front() {
            let old = now.saturating_duration_since(*at) >= PENDING_KEPT;
            if !old && self.oldest_first.len() < PENDING_MAX {
                break;
            }
            self.by_state.remove(oldest);
            self.oldest_first.pop_front();
        }
        self.oldest_first.push_back((state.clone(), now));
        self.by_state.insert(state, (pending, now));
    }

    /// One comes back, with the cookie that hashes to `browser`. It is gone then, also when it comes to the wrong browser.
    pub(super) fn take(&mut self, state: &str, browser: &[u8], now: Instant) -> Option<Pending> {
        let (pending, at) = self.by_state.remove(state)?;
        let in_time = now.saturating_duration_since(at) < PENDING_KEPT;
        (in_time && pending.browser == browser).then_some(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(browser: &[u8]) -> Pending {
        Pending {
            browser: browser.to_vec(),
            nonce: String::new(),
            verifier: String::new(),
            next: "/".to_owned(),
            purpose: Purpose::SignIn,
            begun: 0,
        }
    }

    #[test]
    fn a_state_is_good_once_in_time_and_in_one_browser() {
        let start = Instant::now();
        for (state, browser, after, expected) in [
            ("s", b"a".as_slice(), 599, true),
            ("s", b"a", 600, false),
            ("s", b"b", 0, false),
            ("t", b"a", 0, false),
        ] {
            let mut waiting = Waiting::default();
            waiting.put("s".to_owned(), pending(b"a"), start);
            let now = start + Duration::from_secs(after);
            let taken = waiting.take(state, browser, now).is_some();
            assert_eq!(taken, expected, "{state} {browser:?} {after}");
            if state == "s" {
                assert!(waiting.take("s", b"a", start).is_none(), "once");
            }
        }
    }

    #[test]
    fn a_flood_pushes_out_the_oldest_and_holds_no_more() {
        let start = Instant::now();
        let mut waiting = Waiting::default();
        for number in 0..=PENDING_MAX {
            waiting.put(number.to_string(), pending(b"a"), start);
        }
        assert_eq!(waiting.by_state.len(), PENDING_MAX);
        assert_eq!(waiting.oldest_first.len(), PENDING_MAX);
        assert!(waiting.take("0", b"a", start).is_none());
        assert!(waiting.take("1", b"a", start).is_some());
        waiting.put("new".to_owned(), pending(b"a"), start + PENDING_KEPT);
        assert_eq!(waiting.by_state.len(), 1, "what is old is forgotten");
    }
}
