//! The command journal: what makes a command that is delivered again harmless.
//!
//! | state | meaning | a crash leaves it |
//! |---|---|---|
//! | `delivered` | known, nothing was written to the device | expired |
//! | `started` | may have been written | unknown: never written again |
//! | `done` | its last result stands | as it is |
//!
//! Only [`Store::start_command`] lets a command go to the wire, and it does so once: it is the one step out of
//! `delivered` that a second caller cannot take.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::command::{Command, CommandResult, CommandState, Reason, ReasonCode};
use contract::{AgentId, CommandId, DeviceId, FaultCode};
use rusqlite::{Connection, OptionalExtension, params};

use super::outbox::append_result;
use super::{Store, StoreError};

/// Finished commands that are remembered: far more than can be delivered again by a server that was away.
const MAX_FINISHED: i64 = 10_000;

/// Whether a delivered command is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Never seen: it is in the journal now, and the result `delivered` is on its way.
    New,
    /// Known: its last result is on its way again. Nothing else is to be done.
    Known,
}

/// What a line needs to know when it begins.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Whether a fault was last told active.
    pub faults: BTreeMap<(DeviceId, FaultCode), bool>,
}

fn set(
    connection: &Connection,
    id: CommandId,
    from: &str,
    to: &str,
    result: &CommandResult,
) -> Result<bool, StoreError> {
    let changed = connection.execute(
        "UPDATE command SET state = ?3, result = ?4 WHERE id = ?1 AND state = ?2",
        params![id.to_string(), from, to, serde_json::to_string(result)?],
    )?;
    if changed == 1 {
        append_result(connection, result)?;
    }
    Ok(changed == 1)
}

pub(super) fn receive(
    connection: &Connection,
    command: &Command,
    delivered: &CommandResult,
) -> Result<Received, StoreError> {
    let known: Option<String> = connection
        .query_row(
            "SELECT result FROM command WHERE id = ?1",
            [command.id.to_string()],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(result) = known {
        append_result(connection, &serde_json::from_str(&result)?)?;
        return Ok(Received::Known);
    }
    connection.execute(
        "INSERT INTO command (id, device, state, result) VALUES (?1, ?2, 'delivered', ?3)",
        params![
            command.id.to_string(),
            command.device.as_str(),
            serde_json::to_string(delivered)?
        ],
    )?;
    append_result(connection, delivered)?;
    connection.execute(
        "DELETE FROM command WHERE state = 'done'
         AND received <= (SELECT max(received) FROM command) - ?1",
        [MAX_FINISHED],
    )?;
    Ok(Received::New)
}

pub(super) fn start(connection: &Connection, accepted: &CommandResult) -> Result<bool, StoreError> {
    set(
        connection,
        accepted.command,
        "delivered",
        "started",
        accepted,
    )
}

pub(super) fn finish(connection: &Connection, result: &CommandResult) -> Result<bool, StoreError> {
    let id = result.command;
    Ok(set(connection, id, "started", "done", result)?
        || set(connection, id, "delivered", "done", result)?)
}

pub(super) fn recover(
    connection: &Connection,
    agent: &AgentId,
    devices: &[DeviceId],
    at: DateTime<Utc>,
) -> Result<Recovered, StoreError> {
    let mut recovered = Recovered::default();
    for device in devices {
        let mut select = connection.prepare(
            "SELECT id, state FROM command WHERE device = ?1 AND state <> 'done' ORDER BY received",
        )?;
        let rows = select.query_map([device.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        for (id, state) in rows.collect::<Result<Vec<_>, _>>()? {
            let Ok(id) = id.parse::<CommandId>() else {
                continue; // Not written by this program.
            };
            let result = abandoned(agent, id, device, state == "started", at);
            set(connection, id, &state, "done", &result)?;
        }
        let mut select = connection.prepare("SELECT fault, active FROM fault WHERE device = ?1")?;
        let rows = select.query_map([device.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
        })?;
        for row in rows {
            let (fault, active) = row?;
            if let Ok(fault) = fault.parse() {
                recovered.faults.insert((device.clone(), fault), active);
            }
        }
    }
    Ok(recovered)
}

fn abandoned(
    agent: &AgentId,
    id: CommandId,
    device: &DeviceId,
    started: bool,
    at: DateTime<Utc>,
) -> CommandResult {
    let (state, code, detail) = if started {
        (CommandState::Unknown, ReasonCode::Interrupted, "")
    } else {
        (
            CommandState::Expired,
            ReasonCode::DeadlinePassed,
            "the agent stopped before it began",
        )
    };
    CommandResult {
        agent: agent.clone(),
        command: id,
        device: device.clone(),
        state,
        reason: Some(Reason {
            code,
            detail: detail.to_owned(),
        }),
        at,
    }
}

impl Store {
    /// A command was delivered; `delivered` is the result to send if it is new.
    ///
    /// # Errors
    /// The store cannot do it: the command must not be acknowledged then.
    pub async fn receive_command(
        &self,
        command: Command,
        delivered: CommandResult,
    ) -> Result<Received, StoreError> {
        let received = self
            .ask(move |connection| receive(connection, &command, &delivered))
            .await?;
        self.outgoing.notify_one();
        Ok(received)
    }

    /// The command goes to the wire next; `accepted` is sent. False when it may not: somebody else took it, or it was
    /// abandoned.
    ///
    /// # Errors
    /// The store cannot do it: nothing may be written to the device then.
    pub async fn start_command(&self, accepted: CommandResult) -> Result<bool, StoreError> {
        let started = self
            .ask(move |connection| start(connection, &accepted))
            .await?;
        self.outgoing.notify_one();
        Ok(started)
    }

    /// A started command came further.
    ///
    /// # Errors
    /// The store cannot do it.
    pub async fn progress_command(&self, result: CommandResult) -> Result<(), StoreError> {
        let id = result.command;
        self.ask(move |connection| set(connection, id, "started", "started", &result))
            .await?;
        self.outgoing.notify_one();
        Ok(())
    }

    /// The command has ended, whether it was started or not.
    ///
    /// # Errors
    /// The store cannot do it: it must be tried again, or the command ends as unknown with the next start.
    pub async fn finish_command(&self, result: CommandResult) -> Result<(), StoreError> {
        self.ask(move |connection| finish(connection, &result))
            .await?;
        self.outgoing.notify_one();
        Ok(())
    }

    /// What `devices` left behind: commands that were under way end as unknown, those that did not begin as expired.
    ///
    /// # Errors
    /// The store cannot do it.
    pub async fn recover(
        &self,
        agent: AgentId,
        devices: Vec<DeviceId>,
        at: DateTime<Utc>,
    ) -> Result<Recovered, StoreError> {
        let recovered = self
            .ask(move |connection| recover(connection, &agent, &devices, at))
            .await?;
        self.outgoing.notify_one();
        Ok(recovered)
    }
}
