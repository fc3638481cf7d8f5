//! Faults and what was told of them; events and command results until the server has them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use contract::command::CommandResult;
use contract::event::{Event, Happening, MAX_EVENTS_PER_FRAME};
use contract::{DeviceId, FaultCode};
use rusqlite::{Connection, params};

use super::{Store, StoreError};

/// The most events that wait for the server: with 300 bytes each, 30 MB on disk. When it is full, changes of faults
/// wait in memory, where the latest of each fault replaces the one before, and are told when there is room: what is
/// lost is flapping, never where a fault stands.
pub(super) const MAX_EVENTS: i64 = 100_000;

/// A result on its way; the number is for [`Store::delete_result`].
#[derive(Debug, Clone, PartialEq)]
pub struct StoredResult {
    /// Rises with each result.
    pub id: i64,
    /// What to send.
    pub result: CommandResult,
}

pub(super) fn append_event(
    connection: &Connection,
    device: &DeviceId,
    at: DateTime<Utc>,
    happening: Happening,
    max_events: i64,
) -> Result<(), StoreError> {
    let sequence: i64 =
        connection.query_row("SELECT next_sequence FROM outbox", [], |row| row.get(0))?;
    let oldest: Option<i64> =
        connection.query_row("SELECT min(sequence) FROM event", [], |row| row.get(0))?;
    // Events leave oldest first, so that the two ends tell how many there are.
    if oldest.is_some_and(|oldest| sequence - oldest >= max_events) {
        return Err(StoreError::Full);
    }
    let event = Event {
        sequence: u64::try_from(sequence).expect("sequences count up from 1"),
        device: device.clone(),
        at,
        happening,
    };
    connection.execute(
        "INSERT INTO event (sequence, body) VALUES (?1, ?2)",
        params![sequence, serde_json::to_string(&event)?],
    )?;
    connection.execute("UPDATE outbox SET next_sequence = ?1", [sequence + 1])?;
    Ok(())
}

pub(super) fn append_result(
    connection: &Connection,
    result: &CommandResult,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO result (body) VALUES (?1)",
        [serde_json::to_string(result)?],
    )?;
    Ok(())
}

impl Store {
    /// A fault changed: its state and the event that tells of it are stored together or not at all.
    ///
    /// # Errors
    /// [`StoreError::Full`] among others; nothing is changed then.
    pub async fn record_fault(
        &self,
        device: DeviceId,
        fault: FaultCode,
        active: bool,
        happening: Happening,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.ask(move |connection| {
            append_event(connection, &device, at, happening, MAX_EVENTS)?;
            connection.execute(
                "INSERT INTO fault (device, fault, active) VALUES (?1, ?2, ?3)
                 ON CONFLICT (device, fault) DO UPDATE SET active = excluded.active",
                params![device.as_str(), fault.as_str(), active],
            )?;
            Ok(())
        })
        .await?;
        self.outgoing.notify_one();
        Ok(())
    }

    /// Clears what an earlier site file or profile had and `known` does not: nobody else would.
    ///
    /// # Errors
    /// The store cannot do it.
    pub async fn clear_unknown_faults(
        &self,
        known: BTreeSet<(DeviceId, FaultCode)>,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let mut select = connection.prepare("SELECT device, fault, active FROM fault")?;
            let rows = select.query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, bool>(2)?,
                ))
            })?;
            for row in rows.collect::<Result<Vec<_>, _>>()? {
                let (Ok(device), Ok(fault)) =
                    (row.0.parse::<DeviceId>(), row.1.parse::<FaultCode>())
                else {
                    continue; // Not written by this program; not ours to tell of.
                };
                if known.contains(&(device.clone(), fault.clone())) {
                    continue;
                }
                if row.2 {
                    let happening = Happening::FaultCleared { fault };
                    append_event(connection, &device, at, happening, MAX_EVENTS)?;
                }
                connection.execute(
                    "DELETE FROM fault WHERE device = ?1 AND fault = ?2",
                    params![row.0, row.1],
                )?;
            }
            Ok(())
        })
        .await?;
        self.outgoing.notify_one();
        Ok(())
    }

    /// The oldest events that wait, as many as fit one frame.
    ///
    /// # Errors
    /// The store cannot do it.
    pub async fn oldest_events(&self) -> Result<Vec<Event>, StoreError> {
        self.ask(|connection| {
            let mut select =
                connection.prepare("SELECT body FROM event ORDER BY sequence LIMIT ?1")?;
            let limit = i64::try_from(MAX_EVENTS_PER_FRAME).expect("a small constant");
            let bodies = select.query_map([limit], |row| row.get::<_, String>(0))?;
            bodies
                .map(|body| Ok(serde_json::from_str(&body?)?))
                .collect()
        })
        .await
    }

    /// The server has every event up to `sequence`.
    ///
    /// # Errors
    /// The store cannot do it; they will be sent again, which is harmless.
    pub async fn delete_events(&self, sequence: u64) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let sequence = i64::try_from(sequence).expect("sequences come from an i64");
            connection.execute("DELETE FROM event WHERE sequence <= ?1", [sequence])?;
            Ok(())
        })
        .await
    }

    /// How many events wait.
    ///
    /// # Errors
    /// The store cannot do it.
    pub async fn waiting_events(&self) -> Result<u64, StoreError> {
        self.ask(|connection| {
            let count: i64 =
                connection.query_row("SELECT count(*) FROM event", [], |row| row.get(0))?;
            Ok(u64::try_from(count).expect("a count is not negative"))
        })
        .await
    }

    /// The oldest result that waits after `after`.
    ///
    /// # Errors
    /// The store cannot do it.
    pub async fn results_after(&self, after: i64) -> Result<Vec<StoredResult>, StoreError> {
        self.ask(move |connection| {
            let mut select = connection
                .prepare("SELECT id, body FROM result WHERE id > ?1 ORDER BY id LIMIT 100")?;
            let rows = select.query_map([after], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            rows.map(|row| {
                let (id, body) = row?;
                let result = serde_json::from_str(&body)?;
                Ok(StoredResult { id, result })
            })
            .collect()
        })
        .await
    }

    /// The server has this result.
    ///
    /// # Errors
    /// The store cannot do it; it will be sent again, which is harmless.
    pub async fn delete_result(&self, id: i64) -> Result<(), StoreError> {
        self.ask(move |connection| {
            connection.execute("DELETE FROM result WHERE id = ?1", [id])?;
            Ok(())
        })
        .await
    }
}
