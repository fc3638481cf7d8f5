//! Writes down which commands were refused, apart from the dispatcher: nobody who gives what they may not keeps it from
//! its work, whether the database answers or not.
//!
//! Whoever asked hears of it when it is written down. What they wrote is cut: the table that takes it is never emptied.

use contract::DeviceId;
use contract::command::{CommandRequest, CommandView};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::rest::Rest;
use super::{CommandError, PATIENCE};
use crate::alarm::Actor;
use crate::audit::AuditEntry;
use crate::observability::count_audit_failure;
use crate::store::{Store, StoreError};
use crate::wire::cut;

/// Refusals that wait to be written down: more than one principal's burst of commands. Each holds what was asked, so that
/// all of them hold some megabytes.
const QUEUE: usize = 1024;

/// No profile has a command with a longer name.
const NAME_CHARS_MAX: usize = 64;

/// Why a command was refused, with the names that it quotes.
const OUTCOME_CHARS_MAX: usize = 300;

/// What is kept of parameters, as JSON: those of any command that there is are shorter.
const PARAMS_CHARS_MAX: usize = 1024;

type Answer = Result<CommandView, CommandError>;

/// A command that was refused.
pub(super) struct Refusal {
    actor: Actor,
    device: DeviceId,
    detail: Value,
    outcome: String,
    why: CommandError,
    reply: oneshot::Sender<Answer>,
}

impl Refusal {
    pub(super) fn new(
        actor: Actor,
        device: DeviceId,
        request: &CommandRequest,
        why: CommandError,
        reply: oneshot::Sender<Answer>,
    ) -> Self {
        Self {
            actor,
            device,
            detail: refused_detail(request),
            outcome: cut(&why.to_string(), OUTCOME_CHARS_MAX),
            why,
            reply,
        }
    }

    fn answer(self, written: Result<(), StoreError>) {
        let why = written.map_or_else(CommandError::Store, |()| self.why);
        drop(self.reply.send(Err(why)));
    }
}

/// Where refusals are handed over.
pub(super) struct Refusals(mpsc::Sender<Refusal>);

/// The task that writes them down.
pub(super) struct RefusalWriter {
    store: Store,
    rest: Rest,
    refusals: mpsc::Receiver<Refusal>,
}

impl Refusals {
    pub(super) fn new(store: Store) -> (Self, RefusalWriter) {
        let (sender, refusals) = mpsc::channel(QUEUE);
        let writer = RefusalWriter {
            store,
            rest: Rest::default(),
            refusals,
        };
        (Self(sender), writer)
    }

    /// Never waits. What does not fit is answered as what cannot be written down.
    pub(super) fn write_down(&self, refusal: Refusal) {
        if let Err(error) = self.0.try_send(refusal) {
            count_audit_failure();
            tracing::warn!(
                "a refused command is not in the audit: too many wait to be written down"
            );
            error.into_inner().answer(Err(StoreError::away()));
        }
    }
}

impl RefusalWriter {
    /// Works until nobody can refuse any more.
    pub(super) async fn run(mut self) {
        while let Some(refusal) = self.refusals.recv().await {
            let written = if self.rest.lasts(Instant::now()) {
                Err(StoreError::away())
            } else {
                let written = self.write(&refusal).await;
                self.rest.heard(&written, Instant::now());
                written
            };
            refusal.answer(written);
        }
    }

    async fn write(&self, refusal: &Refusal) -> Result<(), StoreError> {
        let entry = AuditEntry::by(&refusal.actor, "command.give", refusal.device.as_str())
            .detail(refusal.detail.clone())
            .outcome(&refusal.outcome);
        timeout(PATIENCE, self.store.audit_alone(entry))
            .await
            .unwrap_or_else(|_late| Err(StoreError::away()))
    }
}

/// What was asked, as the audit tells it of what was refused.
pub(crate) fn refused_detail(request: &CommandRequest) -> Value {
    let name = cut(&request.name, NAME_CHARS_MAX);
    let params = json!(request.params);
    let written = params.to_string();
    let short = cut(&written.replace("\\u0000", "\u{fffd}"), PARAMS_CHARS_MAX);
    if short == written {
        json!({"name": name, "params": params})
    } else {
        json!({"name": name, "params_cut": short})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_short_whatever_was_asked() {
        let request = |name: &str, params: Value| CommandRequest {
            key: uuid::Uuid::nil(),
            name: name.to_owned(),
            params: serde_json::from_value(params).unwrap(),
        };
        assert_eq!(
            refused_detail(&request("open", json!({"delay": 3.0}))),
            json!({"name": "open", "params": {"delay": 3.0}})
        );
        assert_eq!(
            refused_detail(&request("o\0pen", json!({})))["name"],
            "o\u{fffd}pen"
        );
        let long = "가".repeat(20_000);
        for (params, key) in [
            (json!({"delay": long.as_str()}), "delay"),
            (json!({long.as_str(): 1.0}), "가"),
            (json!({"nul\0": 1.0}), "nul"),
        ] {
            let detail = refused_detail(&request(&long, params));
            let written = detail.to_string();
            assert!(written.chars().count() < 1_200, "{}", written.len());
            assert!(!written.contains("\\u0000"), "{written}");
            assert!(written.contains(key), "{written}");
        }
        assert_eq!(cut(&long, 300).chars().count(), 301);
    }
}
