//! Commands and each step of their lives.

use chrono::{DateTime, Utc};
use contract::command::{CommandState, CommandView, Reason, Risk};
use contract::{AgentId, CommandId, DeviceId};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Store, StoreError, Unit, read, read_json, write_json};

/// How many of a device's commands its page shows.
const RECENT_MAX: i64 = 20;

/// A command as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredCommand {
    pub(crate) view: CommandView,
    pub(crate) key: Uuid,
    pub(crate) agent: AgentId,
    pub(crate) risk: Risk,
    pub(crate) ttl_ms: u64,
    pub(crate) timeout_ms: u64,
}

/// A command after a step of its life.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    view: CommandView,
    actor: String,
    source_at: Option<DateTime<Utc>>,
}

impl Step {
    /// The step that led to `view`.
    pub(crate) fn by(view: &CommandView, actor: &str, source_at: Option<DateTime<Utc>>) -> Self {
        Self {
            view: view.clone(),
            actor: actor.to_owned(),
            source_at,
        }
    }
}

/// Whether a command was stored by this call.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It was.
    New,
    /// The same person gave a command with this key before.
    Before(Box<StoredCommand>),
}

/// The columns of a command as Postgres has them.
struct Row {
    id: Uuid,
    key: Uuid,
    issued_by: String,
    device_id: String,
    agent_id: String,
    name: String,
    params: Json,
    risk: String,
    ttl_ms: i64,
    timeout_ms: i64,
    state: String,
    reason_code: Option<String>,
    reason_detail: Option<String>,
    issued_at: DateTime<Utc>,
    state_at: DateTime<Utc>,
}

impl Row {
    fn read(self) -> Result<StoredCommand, StoreError> {
        let reason = match self.reason_code {
            Some(code) => Some(Reason {
                code: read_word(code)?,
                detail: self.reason_detail.unwrap_or_default(),
            }),
            None => None,
        };
        Ok(StoredCommand {
            view: CommandView {
                id: CommandId(self.id),
                device: read("command", &self.device_id)?,
                name: self.name,
                params: read_json("command", self.params)?,
                state: read_word(self.state)?,
                reason,
                issued_by: self.issued_by,
                issued_at: self.issued_at,
                state_at: self.state_at,
            },
            key: self.key,
            agent: read("command", &self.agent_id)?,
            risk: read_word(self.risk)?,
            ttl_ms: read_ms(self.ttl_ms)?,
            timeout_ms: read_ms(self.timeout_ms)?,
        })
    }
}

impl Store {
    /// Stores a command before it is sent, unless its issuer gave one with the same key.
    pub(crate) async fn place_command(
        unit: &mut Unit<'_>,
        command: &StoredCommand,
    ) -> Result<Placed, StoreError> {
        let view = &command.view;
        let stored = sqlx::query!(
            "insert into command (id, key, issued_by, device_id, agent_id, name, params, risk, ttl_ms, timeout_ms,
                                  state, reason_code, reason_detail, issued_at, state_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)
             on conflict on constraint command_key do nothing",
            view.id.0,
            command.key,
            view.issued_by,
            view.device.as_str(),
            command.agent.as_str(),
            view.name,
            write_json(&view.params),
            write_word(&command.risk),
            column_ms(command.ttl_ms)?,
            column_ms(command.timeout_ms)?,
            view.state.as_str(),
            view.reason.as_ref().map(|reason| reason.code.as_str()),
            view.reason.as_ref().map(|reason| reason.detail.as_str()),
            view.issued_at
        )
        .execute(&mut **unit)
        .await?;
        if stored.rows_affected() == 1 {
            journal(unit, view, &view.issued_by, None).await?;
            return Ok(Placed::New);
        }
        let before = sqlx::query_as!(
            Row,
            "select id, key, issued_by, device_id, agent_id, name, params, risk, ttl_ms, timeout_ms, state,
                    reason_code, reason_detail, issued_at, state_at
             from command where issued_by = $1 and key = $2",
            view.issued_by,
            command.key
        )
        .fetch_one(&mut **unit)
        .await?;
        Ok(Placed::Before(Box::new(before.read()?)))
    }

    /// Stores a command that was journaled, unless it is there: as one that was handed to its agent, which may have it.
    pub(crate) async fn place_sent_command(
        unit: &mut Unit<'_>,
        command: &StoredCommand,
    ) -> Result<(), StoreError> {
        let mut command = command.clone();
        command.view.state = CommandState::Sent;
        Self::place_command(unit, &command).await.map(drop)
    }

    /// Stores steps of a command, all or none. The first of an emergency's that was given while the database was away is
    /// that it was given.
    pub(crate) async fn step_command(
        &self,
        command: &StoredCommand,
        steps: &[Step],
    ) -> Result<(), StoreError> {
        let mut unit = self.begin().await?;
        for step in steps {
            let view = &step.view;
            if view.state == CommandState::Queued {
                let command = StoredCommand {
                    view: view.clone(),
                    ..command.clone()
                };
                // Its journal may have been faster.
                Self::place_command(&mut unit, &command).await?;
                continue;
            }
            sqlx::query!(
                "update command set state = $2, reason_code = $3, reason_detail = $4, state_at = $5 where id = $1",
                view.id.0,
                view.state.as_str(),
                view.reason.as_ref().map(|reason| reason.code.as_str()),
                view.reason.as_ref().map(|reason| reason.detail.as_str()),
                view.state_at
            )
            .execute(&mut *unit)
            .await?;
            journal(&mut unit, view, &step.actor, step.source_at).await?;
        }
        Ok(unit.commit().await?)
    }

    /// Commands whose end is not known yet.
    pub(crate) async fn open_commands(&self) -> Result<Vec<StoredCommand>, StoreError> {
        sqlx::query_as!(
            Row,
            "select id, key, issued_by, device_id, agent_id, name, params, risk, ttl_ms, timeout_ms, state,
                    reason_code, reason_detail, issued_at, state_at
             from command
             where state in ('awaiting_approval', 'queued', 'sent', 'delivered', 'accepted', 'executing')
             order by issued_at"
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(Row::read)
        .collect()
    }

    /// One command.
    pub(crate) async fn command(&self, id: CommandId) -> Result<Option<StoredCommand>, StoreError> {
        sqlx::query_as!(
            Row,
            "select id, key, issued_by, device_id, agent_id, name, params, risk, ttl_ms, timeout_ms, state,
                    reason_code, reason_detail, issued_at, state_at
             from command where id = $1",
            id.0
        )
        .fetch_optional(&self.pool)
        .await?
        .map(Row::read)
        .transpose()
    }

    /// The newest commands of a device, newest first.
    pub(crate) async fn recent_commands(
        &self,
        device: &DeviceId,
    ) -> Result<Vec<CommandView>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            "select id, key, issued_by, device_id, agent_id, name, params, risk, ttl_ms, timeout_ms, state,
                    reason_code, reason_detail, issued_at, state_at
             from command where device_id = $1 order by issued_at desc limit $2",
            device.as_str(),
            RECENT_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|row| Ok(row.read()?.view)).collect()
    }
}

async fn journal(
    unit: &mut Unit<'_>,
    view: &CommandView,
    actor: &str,
    source_at: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into command_transition (command_id, state, reason_code, reason_detail, actor, source_at)
         values ($1, $2, $3, $4, $5, $6)",
        view.id.0,
        view.state.as_str(),
        view.reason.as_ref().map(|reason| reason.code.as_str()),
        view.reason.as_ref().map(|reason| reason.detail.as_str()),
        actor,
        source_at
    )
    .execute(&mut **unit)
    .await?;
    Ok(())
}

/// The three enumerations of a command are stored as the words that they have on the wire.
fn read_word<T: serde::de::DeserializeOwned>(word: String) -> Result<T, StoreError> {
    read_json("command", Json::String(word))
}

fn write_word<T: Serialize>(value: &T) -> String {
    match write_json(value) {
        Json::String(word) => word,
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            unreachable!("fieldless enumerations are written as words")
        }
    }
}

fn read_ms(milliseconds: i64) -> Result<u64, StoreError> {
    u64::try_from(milliseconds).map_err(|error| StoreError::Corrupt {
        table: "command",
        what: format!("{milliseconds} ms: {error}"),
    })
}

fn column_ms(milliseconds: u64) -> Result<i64, StoreError> {
    i64::try_from(milliseconds).map_err(|error| StoreError::Corrupt {
        table: "command",
        what: format!("{milliseconds} ms: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use contract::Value;
    use contract::command::ReasonCode;

    use super::*;

    #[test]
    fn words_in_the_database_are_those_of_the_wire() {
        for state in CommandState::ALL {
            assert_eq!(write_word(&state), state.as_str());
            assert_eq!(
                read_word::<CommandState>(state.as_str().to_owned()).unwrap(),
                state
            );
        }
        assert_eq!(
            write_word(&ReasonCode::CommLost),
            ReasonCode::CommLost.as_str()
        );
        assert!(read_word::<CommandState>("gone".to_owned()).is_err());
    }

    #[test]
    fn params_survive_the_database() {
        let params: BTreeMap<String, Value> =
            BTreeMap::from([("delay".to_owned(), Value::Number(10.0))]);
        assert_eq!(
            read_json::<BTreeMap<String, Value>>("command", write_json(&params)).unwrap(),
            params
        );
    }
}
