//! What was called back before its time. The records are in the store; everything that a message needs is in memory, so
//! that a token is re-checked on every message without asking anybody.
//!
//! Whoever calls something back stores it first ([`Store::put_revocation`], in the transaction of its cause), and then lets
//! it take effect ([`Standing::take_effect`]): a crash in between is made good by [`Standing::open`].

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::principal::Principal;
use crate::store::{Store, StoreError};

/// No token lives longer than this, whoever made it: after it a revocation has nothing left to call back.
pub(crate) const REVOCATION_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What is called back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Revocation {
    /// One token, by its `jti`.
    Token(Uuid),
    /// Everything that comes from a login or a family of refresh tokens, by its `sid`.
    Grant(Uuid),
    /// Every token that somebody holds now; those made later are good.
    Subject(String),
}

impl Revocation {
    pub(crate) const TOKEN: &str = "token";
    pub(crate) const GRANT: &str = "grant";
    pub(crate) const SUBJECT: &str = "subject";

    /// How the store names what it is.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => Self::TOKEN,
            Self::Grant(_) => Self::GRANT,
            Self::Subject(_) => Self::SUBJECT,
        }
    }

    /// How the store names whom it concerns.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Token(id) | Self::Grant(id) => id.to_string(),
            Self::Subject(subject) => subject.clone(),
        }
    }
}

/// A token that was good was called back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token was revoked; sign in again, or get a new one")]
pub(crate) struct Revoked;

/// Everything called back that a living token could come from.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    records: RwLock<Records>,
}

/// Bounded by what can be revoked within [`REVOCATION_KEPT`]: a few bytes each, and each takes a signed-in person, an
/// authenticated program, or an administrator.
#[derive(Debug, Default)]
struct Records {
    tokens: HashMap<Uuid, SystemTime>,
    grants: HashMap<Uuid, SystemTime>,
    /// The first second whose tokens are good.
    subjects: HashMap<String, u64>,
}

impl Standing {
    /// Takes up what the store knows.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer or holds what this version cannot read.
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let standing = Self::default();
        for stored in store.revocations(Utc::now()).await? {
            standing.take_effect(&stored.revocation, stored.at);
        }
        Ok(standing)
    }

    /// From now on what was called back at `at` is void. Tell the broker as well: `Publisher::rights_changed`.
    pub(crate) fn take_effect(&self, revocation: &Revocation, at: DateTime<Utc>) {
        let at = SystemTime::from(at);
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        records.forget(at);
        match revocation {
            Revocation::Token(id) => drop(records.tokens.insert(*id, at)),
            Revocation::Grant(id) => drop(records.grants.insert(*id, at)),
            Revocation::Subject(subject) => {
                // Tokens tell the second in which they were made: the whole second is void, and `issue_second` moves
                // whoever gets a new token within it to the next one.
                let good = seconds(at) + 1;
                let known = records.subjects.entry(subject.clone()).or_insert(0);
                // Called back twice within one second: those made in between were moved to the next one.
                *known = if *known == good {
                    good + 1
                } else {
                    good.max(*known)
                };
            }
        }
    }

    /// Whether what somebody holds is still good.
    ///
    /// # Errors
    /// [`Revoked`] when it was called back.
    pub(crate) fn check(&self, principal: &Principal) -> Result<(), Revoked> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        let proof = &principal.proof;
        let token = proof
            .token
            .is_some_and(|id| records.tokens.contains_key(&id));
        let grant = proof
            .grant
            .is_some_and(|id| records.grants.contains_key(&id));
        let subject = records
            .subjects
            .get(&principal.subject)
            .is_some_and(|good| proof.issued_at < *good);
        if token || grant || subject {
            return Err(Revoked);
        }
        Ok(())
    }

    /// The `iat` of a token that is made at `now` for `subject`: after everything of theirs that was called back.
    pub(crate) fn issue_second(&self, subject: &str, now: u64) -> u64 {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records
            .subjects
            .get(subject)
            .map_or(now, |good| now.max(*good))
    }
}

impl Records {
    /// Drops what can have no token left.
    fn forget(&mut self, now: SystemTime) {
        let old = |at: &SystemTime| *at + REVOCATION_KEPT < now;
        self.tokens.retain(|_, at| !old(at));
        self.grants.retain(|_, at| !old(at));
        self.subjects
            .retain(|_, good| !old(&(UNIX_EPOCH + Duration::from_secs(*good))));
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::principal::{Proof, Zones};

    fn holder(token: Uuid, grant: Option<Uuid>, issued_at: u64) -> Principal {
        Principal {
            subject: "kim".to_owned(),
            full_name: String::new(),
            roles: Vec::new(),
            zones: Zones::All,
            proof: Proof {
                token: Some(token),
                grant,
                issued_at,
                ..Proof::default()
            },
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 500_000_000).unwrap()
    }

    #[test]
    fn only_what_was_called_back_is_void() {
        let standing = Standing::default();
        let (one, other, login) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        standing.take_effect(&Revocation::Token(one), at(100));
        assert_eq!(standing.check(&holder(one, None, 50)), Err(Revoked));
        assert_eq!(standing.check(&holder(other, Some(login), 50)), Ok(()));
        standing.take_effect(&Revocation::Grant(login), at(100));
        assert_eq!(
            standing.check(&holder(other, Some(login), 200)),
            Err(Revoked)
        );
        assert_eq!(standing.check(&holder(other, None, 50)), Ok(()));
    }

    #[test]
    fn of_a_subject_the_old_is_void_and_the_new_is_good_within_one_second() {
        let standing = Standing::default();
        let token = Uuid::new_v4();
        assert_eq!(standing.issue_second("kim", 100), 100);
        standing.take_effect(&Revocation::Subject("kim".to_owned()), at(100));
        for (issued_at, expected) in [(99, Err(Revoked)), (100, Err(Revoked)), (101, Ok(()))] {
            assert_eq!(standing.check(&holder(token, None, issued_at)), expected);
        }
        let new = standing.issue_second("kim", 100);
        assert_eq!(standing.check(&holder(token, None, new)), Ok(()));
        assert_eq!(standing.issue_second("lee", 100), 100);
        // Once more within the same second: what was made in between is void as well.
        standing.take_effect(&Revocation::Subject("kim".to_owned()), at(100));
        assert_eq!(standing.check(&holder(token, None, new)), Err(Revoked));
        // An older one that comes late changes nothing.
        standing.take_effect(&Revocation::Subject("kim".to_owned()), at(90));
        assert_eq!(standing.check(&holder(token, None, 100)), Err(Revoked));
    }

    #[test]
    fn what_can_have_no_token_left_is_forgotten() {
        let standing = Standing::default();
        let token = Uuid::new_v4();
        standing.take_effect(&Revocation::Token(token), at(100));
        let later = at(100) + chrono::TimeDelta::from_std(REVOCATION_KEPT).unwrap();
        standing.take_effect(&Revocation::Token(Uuid::new_v4()), later);
        assert!(
            standing.check(&holder(token, None, 0)).is_err(),
            "to the second"
        );
        standing.take_effect(
            &Revocation::Token(Uuid::new_v4()),
            later + chrono::TimeDelta::seconds(1),
        );
        assert!(standing.check(&holder(token, None, 0)).is_ok());
    }
}
