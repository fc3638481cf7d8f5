//! A new command and its audit row, in one transaction.

use contract::command::Risk;
use serde_json::json;

use crate::alarm::Actor;
use crate::audit::AuditEntry;
use crate::audit::journal::Journal;
use crate::store::command::{Placed, StoredCommand};
use crate::store::{Store, StoreError};

/// What became of a command that was to be stored.
pub(super) enum Recorded {
    /// It is.
    Stored,
    /// Its issuer gave one with this key before.
    Before(Box<StoredCommand>),
    /// It is an emergency's, and in the journal.
    Journaled,
}

/// Stores a new command. When the audit takes no row, an emergency's is journaled, and any other is refused.
pub(super) async fn place(
    store: &Store,
    journal: &Journal,
    command: &StoredCommand,
    actor: &Actor,
) -> Result<Recorded, StoreError> {
    let mut unit = store.begin().await?;
    if let Placed::Before(before) = Store::place_command(&mut unit, command).await? {
        return Ok(Recorded::Before(before));
    }
    let entry = given(command, actor);
    if command.risk == Risk::Emergency {
        if let Err(error) = Store::try_audit(&mut unit, entry.clone()).await {
            let journaled = journal.append_command(&entry, command).await;
            if let Err(failed) = journaled {
                tracing::error!(error = %failed, "the journal of the audit cannot be written");
                return Err(error);
            }
        }
    } else {
        Store::audit(&mut unit, entry).await?;
    }
    unit.commit().await?;
    Ok(Recorded::Stored)
}

/// What the audit says of a command that was given.
pub(super) fn given<'a>(command: &'a StoredCommand, actor: &'a Actor) -> AuditEntry<'a> {
    let view = &command.view;
    AuditEntry::by(actor, "command.give", view.device.as_str())
        .detail(json!({"command": view.id, "name": view.name, "params": view.params}))
}
