//! The audit: who did what, from where, on what, why, and what came of it. Each row carries the hash of the row before it.
//!
//! | module | |
//! |---|---|
//! | [`chain`] | what a row's hash covers |
//! | [`verify`] | finds what was changed, removed or put in |
//! | [`head`] | the last row's hash, published so that not even the whole chain can be rewritten |
//! | `keeper` | the tasks that publish the head and bring in what was journaled |
//! | `head_file` | the file of published heads, and what becomes of it |
//! | `lines` | files that grow by lines |
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
mod head_file;
pub(crate) mod journal;
pub(crate) mod keeper;
mod lines;
pub mod settings;
mod syslog;
pub mod verify;

use crate::alarm::Actor;
use crate::identity::principal::Proof;
use crate::wire;

/// A person's own words, as why they do something: long enough for a sentence, short enough to be read.
pub(crate) const REASON_CHARS_MAX: usize = 500;

/// Letters by their category that nobody sees.
const BLANK_LETTERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];

/// A person's own words; none where there is no letter and no digit in them, as in what only looks empty.
pub(crate) fn readable(text: &str) -> Option<String> {
    let is_seen = |letter: char| letter.is_alphanumeric() && !BLANK_LETTERS.contains(&letter);
    let text = wire::clean(text.trim());
    text.chars().any(is_seen).then(|| text.into_owned())
}

/// The actor of what the server does by itself. Nobody is called so: names have no brackets ([`is_name`]).
///
/// [`is_name`]: crate::identity::name::is_name
pub(crate) const SERVER: &str = "(server)";

/// The actor of what somebody does on the machine itself.
pub(crate) const COMMAND_LINE: &str = "(command line)";

/// By what somebody was known who acted: the numbers of their login and token, which are worth nothing to whoever reads
/// them.
fn identity(proof: &Proof) -> Value {
    let members = [
        ("token", proof.token.map(|id| json!(id))),
        ("grant", proof.grant.map(|id| json!(id))),
        ("client", proof.client.as_ref().map(|id| json!(id))),
        (
            "second_factor_at",
            proof.second_factor_at.map(|at| json!(at)),
        ),
    ];
    let known = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(known.collect())
}

/// One action. Made by [`AuditEntry::by`] or [`AuditEntry::new`], completed by the others, written by `Store::audit` in
/// the transaction of what was done, or by `Store::audit_alone` when nothing else was.
#[derive(Debug, Clone)]
pub(crate) struct AuditEntry<'a> {
    /// Who.
    pub(crate) actor: &'a str,
    /// By what they were known: numbers of login and token.
    pub(crate) identity: Value,
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
            identity: identity(&actor.principal.proof),
            ..Self::new(&actor.principal.subject, &actor.peer, action, subject)
        }
    }

    /// Somebody of this name did something, who may not be who they say.
    pub(crate) fn new(actor: &'a str, peer: &'a str, action: &'a str, subject: &'a str) -> Self {
        Self {
            actor,
            identity: json!({}),
            peer,
            action,
            subject,
            reason: None,
            detail: json!({}),
            outcome: "done",
        }
    }

    /// In a login that begins with it.
    pub(crate) fn login(self, id: Uuid) -> Self {
        Self {
            identity: json!({"grant": id}),
            ..self
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_can_be_read() {
        for (text, kept) in [
            (" 분실 신고 \0", Some("분실 신고 \u{fffd}")),
            ("7", Some("7")),
            ("", None),
            (" \t\n", None),
            ("\u{200b}", None),
            ("\u{3164}\u{115f}", None),
            ("\u{2800}\u{ad}\u{202e}…!", None),
        ] {
            assert_eq!(readable(text).as_deref(), kept, "{text:?}");
        }
    }
}
