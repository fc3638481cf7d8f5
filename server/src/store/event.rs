//! Events as they came, and what was refused for good.

use chrono::{DateTime, Utc};
use contract::event::Event;
use contract::{AgentId, Epoch};

use super::{Store, StoreError, Unit, write_json};

/// What the store knew of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// It is stored now.
    New,
    /// It was stored before, with the same content.
    Known,
    /// Another event is stored under its key.
    Conflicting,
}

impl Store {
    /// Stores an event under its key (agent, epoch, sequence), once.
    pub(crate) async fn put_event(
        unit: &mut Unit<'_>,
        agent: &AgentId,
        epoch: Epoch,
        event: &Event,
    ) -> Result<Novelty, StoreError> {
        let sequence = sequence_column(event.sequence)?;
        let body = write_json(event);
        let stored = sqlx::query!(
            "insert into event (agent_id, epoch, sequence, device_id, body, source_at)
             values ($1, $2, $3, $4, $5, $6) on conflict on constraint event_key do nothing",
            agent.as_str(),
            epoch.0,
            sequence,
            event.device.as_str(),
            body,
            event.at
        )
        .execute(&mut **unit)
        .await?;
        if stored.rows_affected() == 1 {
            return Ok(Novelty::New);
        }
        let same = sqlx::query_scalar!(
            r#"select body = $4 as "same!" from event where agent_id = $1 and epoch = $2 and sequence = $3"#,
            agent.as_str(),
            epoch.0,
            sequence,
            body
        )
        .fetch_one(&mut **unit)
        .await?;
        Ok(if same {
            Novelty::Known
        } else {
            Novelty::Conflicting
        })
    }

    /// Keeps what was refused for good, once however often it comes.
    pub(crate) async fn quarantine(
        unit: &mut Unit<'_>,
        agent: &str,
        destination: &str,
        reason: &str,
        body: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into quarantine (agent_id, destination, reason, body) values ($1, $2, $3, $4)
             on conflict on constraint quarantine_once do update set times = quarantine.times + 1, last_at = now()",
            agent,
            destination,
            reason,
            body
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }
}

impl Store {
    /// Erases the messages in quarantine that came first before `until`: how many. Any may hold a number plate: as a point's
    /// value, in a fault's detail, of a device that is gone. That they came, and why they were refused, stays.
    pub(crate) async fn erase_quarantined(&self, until: DateTime<Utc>) -> Result<u64, StoreError> {
        let erased = sqlx::query!(
            "update quarantine q set body = convert_to('erased ' || q.id, 'UTF8')
             where q.received_at < $1 and q.body <> convert_to('erased ' || q.id, 'UTF8')",
            until
        )
        .execute(&self.pool)
        .await?;
        Ok(erased.rows_affected())
    }
}

/// Postgres has no unsigned numbers; an agent that counted beyond 2^63 is broken.
pub(super) fn sequence_column(sequence: u64) -> Result<i64, StoreError> {
    i64::try_from(sequence).map_err(|error| StoreError::Corrupt {
        table: "event",
        what: format!("sequence {sequence}: {error}"),
    })
}
