//! What was called back before its time. The records are in the store; everything that a message needs is in memory, so
//! that a token is re-checked on every message without asking anybody.
//!
//! What somebody holds is as good as the generation of the rights that it was made from: the store counts it up in the
//! transaction that takes something away, and whoever makes a token read rights and generation in one look. So it does not
//! matter how long that took, nor in which second anything happened. Tokens of an external provider know of no generation
//! of ours: of them, those count that were made after the last time that everything was called back.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::principal::{AsOf, Holder, Principal};
use super::seconds::second_of;
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
    /// Every token that somebody holds now, or that an application does for people; those of rights that are read later
    /// are good.
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

/// A revocation as it is stored: it means the same in every server, and after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CalledBack {
    pub(crate) revocation: Revocation,
    /// Whose sessions are to be told; `None`: nobody knows, so everybody's.
    pub(crate) holder: Option<String>,
    /// Of a subject: the first generation that is good.
    pub(crate) generation: i64,
    /// By the clock of the store.
    pub(crate) at: DateTime<Utc>,
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
    tokens: HashMap<Uuid, DateTime<Utc>>,
    grants: HashMap<Uuid, DateTime<Utc>>,
    subjects: HashMap<String, Good>,
}

/// What is good of somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Good {
    /// From this generation on.
    generation: i64,
    /// What others made after this.
    after: DateTime<Utc>,
}

impl Good {
    fn includes(self, as_of: AsOf) -> bool {
        match as_of {
            AsOf::Generation(generation) => generation >= self.generation,
            // It tells the second in which it was made: the whole second is void.
            AsOf::Second(second) => second > second_of(self.after),
        }
    }
}

impl Standing {
    /// Takes up what the store knows.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer or holds what this version cannot read.
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let standing = Self::default();
        for stored in store.revocations(None).await? {
            standing.take_effect(&stored);
        }
        Ok(standing)
    }

    /// From now on what was called back is void. Whether it was not before: then tell the broker as well.
    pub(crate) fn take_effect(&self, called_back: &CalledBack) -> bool {
        let at = called_back.at;
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = match &called_back.revocation {
            Revocation::Token(id) => records.tokens.insert(*id, at).is_none(),
            Revocation::Grant(id) => records.grants.insert(*id, at).is_none(),
            Revocation::Subject(subject) => {
                let known = records.subjects.entry(subject.clone()).or_insert(Good {
                    generation: 0,
                    after: DateTime::UNIX_EPOCH,
                });
                let before = *known;
                known.generation = before.generation.max(called_back.generation);
                known.after = before.after.max(at);
                *known != before
            }
        };
        if is_new {
            records.forget(at);
        }
        is_new
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
        let is_void = |name: &str, as_of| {
            let good = records.subjects.get(name);
            good.is_some_and(|good| !good.includes(as_of))
        };
        let subject = is_void(&principal.subject, proof.as_of);
        let application = match (proof.holder, &proof.client) {
            (Holder::Application(generation), Some(id)) => {
                is_void(id, AsOf::Generation(generation))
            }
            _ => false,
        };
        if token || grant || subject || application {
            return Err(Revoked);
        }
        Ok(())
    }
}

impl Records {
    /// Drops what can have no token left.
    fn forget(&mut self, now: DateTime<Utc>) {
        let old = |at: &DateTime<Utc>| *at + REVOCATION_KEPT < now;
        self.tokens.retain(|_, at| !old(at));
        self.grants.retain(|_, at| !old(at));
        self.subjects.retain(|_, good| !old(&good.after));
    }
}

#[cfg(test)]
mod tests;
