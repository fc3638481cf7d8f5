//! When the database is asked again after it did not answer.
//!
//! Whoever asks one thing after another waits in vain once, not once for each: what comes while it rests is refused, or
//! journaled, at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::StoreError;

/// How long the database is left alone after it did not answer.
pub(super) const DATABASE_REST: Duration = Duration::from_secs(5);

/// Whether the database is left alone.
#[derive(Debug, Default)]
pub(super) struct Rest {
    until: Option<Instant>,
}

impl Rest {
    pub(super) fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// What came of asking.
    pub(super) fn heard<T>(&mut self, answer: &Result<T, StoreError>, now: Instant) {
        let is_away = answer.as_ref().is_err_and(StoreError::is_away);
        self.until = is_away.then(|| now + DATABASE_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_when_nobody_answers_and_ends_by_time_or_answer() {
        let now = Instant::now();
        let mut rest = Rest::default();
        assert!(!rest.lasts(now));
        rest.heard::<()>(&Err(StoreError::away()), now);
        assert!(rest.lasts(now) && !rest.lasts(now + DATABASE_REST));
        let refused = StoreError::Corrupt {
            table: "command",
            what: String::new(),
        };
        rest.heard::<()>(&Err(refused), now);
        assert!(!rest.lasts(now), "it did answer");
        rest.heard::<()>(&Err(StoreError::away()), now);
        rest.heard(&Ok(()), now);
        assert!(!rest.lasts(now));
    }
}
