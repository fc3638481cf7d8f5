//! The audit: who did what, from where, on what, why, and what came of it. Each row carries the hash of the row before it.
//!
//! | module | |
//! |---|---|
//! | [`chain`] | what a row's hash covers |
//! | [`verify`] | finds what was changed, removed or put in |
//! | [`head`] | the last row's hash, published so that not even the whole chain can be rewritten |
//! | `keeper` | the task that publishes the head and brings in what was journaled |
//! | `journal` | the file that takes what emergencies must leave behind while the database does not |
//! | [`settings`] | where heads go |
//! | `syslog` | RFC 5424 |
//!
//! Rows are written by `store::audit`, in the transaction of what they tell of, as its last statement. docs/audit.md is for
//! whoever runs it.

use serde_json::{Value, json};
use uuid::Uuid;

pub mod chain;
pub mod head;
pub(crate) mod journal;
pub(crate) mod keeper;
pub mod settings;
mod syslog;
pub mod verify;

use crate::alarm::Actor;

/// A person's own words, as why they do something: long enough for a sentence, short enough to be read.
pub(crate) const REASON_CHARS_MAX: usize = 500;

/// By what somebody was known who acted: stays the same while they act, and is worth nothing to whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The number of a login.
    Login(Uuid),
    /// The number (`jti`) of a token.
    Token(Uuid),
    /// The number of a connection to the broker, whose token may be renewed in it.
    Session(String),
    /// Nobody was known: a sign-in, the server itself.
    None,
}

impl Identity {
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Login(id) => json!({"login": id}),
            Self::Token(id) => json!({"token": id}),
            Self::Session(id) => json!({"session": id}),
            Self::None => json!({}),
        }
    }
}

/// One action. Made by [`AuditEntry::by`] or [`AuditEntry::new`], completed by the others, written by `Store::audit` in
/// the transaction of what was done, or by `Store::audit_alone` when nothing else was.
#[derive(Debug, Clone)]
pub(crate) struct AuditEntry<'a> {
    /// Who.
    pub(crate) actor: &'a str,
    /// By what they were known.
    pub(crate) identity: Identity,
    /// From where.
    pub(crate) peer: &'a str,
    /// What, for example `alarm.acknowledge`.
    pub(crate) action: &'a str,
    /// On what, for example a device's id.
    pub(crate) subject: &'a str,
    /// Why, in the person's own words.
    pub(crate) reason: Option<&'a str>,
    /// With which parameters; never a secret, never a whole number plate.
    pub(crate) detail: Value,
    /// `done`, or why not.
    pub(crate) outcome: &'a str,
}

impl<'a> AuditEntry<'a> {
    /// Somebody who is known did something.
    pub(crate) fn by(actor: &'a Actor, action: &'a str, subject: &'a str) -> Self {
        Self {
            identity: actor.identity.clone(),
            ..Self::new(&actor.principal.subject, &actor.peer, action, subject)
        }
    }

    /// Somebody of this name did something, who may not be who they say.
    pub(crate) fn new(actor: &'a str, peer: &'a str, action: &'a str, subject: &'a str) -> Self {
        Self {
            actor,
            identity: Identity::None,
            peer,
            action,
            subject,
            reason: None,
            detail: json!({}),
            outcome: "done",
        }
    }

    /// Known by this.
    pub(crate) fn identity(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// With these parameters.
    pub(crate) fn detail(self, detail: Value) -> Self {
        Self { detail, ..self }
    }

    /// Because of this.
    pub(crate) fn reason(self, reason: Option<&'a str>) -> Self {
        Self { reason, ..self }
    }

    /// Not done, because of this.
    pub(crate) fn outcome(self, outcome: &'a str) -> Self {
        Self { outcome, ..self }
    }
}
