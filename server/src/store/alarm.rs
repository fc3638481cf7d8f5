//! Alarms, their occurrences, and the journal of their steps.

use chrono::{DateTime, Utc};
use contract::alarm::{Acknowledgement, Priority};
use contract::event::Event;
use contract::{AgentId, DeviceId, Epoch, FaultCode, Value};

use super::event::sequence_column;
use super::{Store, StoreError, Unit, read, read_json, write_json};
use crate::alarm::state::Condition;

/// An alarm that is not normal, with its newest occurrence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenAlarm {
    pub(crate) id: i64,
    pub(crate) device: DeviceId,
    pub(crate) code: FaultCode,
    pub(crate) priority: Priority,
    pub(crate) condition: Condition,
    pub(crate) detail: Option<Value>,
    pub(crate) raised_at: DateTime<Utc>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) cleared_at: Option<DateTime<Utc>>,
    pub(crate) acknowledged: Option<Acknowledgement>,
}

/// One step for the journal.
pub(crate) struct Transition<'a> {
    pub(crate) action: &'static str,
    pub(crate) actor: &'a str,
    pub(crate) note: Option<&'a str>,
    pub(crate) source_at: DateTime<Utc>,
}

/// What a raise is stored with.
pub(crate) struct Raise<'a> {
    pub(crate) agent: &'a AgentId,
    pub(crate) epoch: Epoch,
    pub(crate) event: &'a Event,
    pub(crate) code: &'a FaultCode,
    pub(crate) priority: Priority,
    pub(crate) detail: Option<&'a Value>,
    /// Raises since the alarm was last normal, this one included.
    pub(crate) count: i32,
}

/// What the database made of a raise.
pub(crate) struct Raised {
    pub(crate) alarm: i64,
    pub(crate) occurrence: i64,
    pub(crate) received_at: DateTime<Utc>,
}

impl Store {
    /// Every alarm that is not normal.
    pub(crate) async fn open_alarms(&self) -> Result<Vec<OpenAlarm>, StoreError> {
        let rows = sqlx::query!(
            "select a.id, a.device_id, a.code, a.priority, a.active, a.acknowledged, a.occurrence_id, a.count,
                    o.detail, o.raised_at, o.received_at, o.cleared_at, o.acknowledged_at, o.acknowledged_by
             from alarm a join alarm_occurrence o on o.id = a.occurrence_id
             where a.active or not a.acknowledged"
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let acknowledged = row
                    .acknowledged_by
                    .zip(row.acknowledged_at)
                    .map(|(by, at)| Acknowledgement { by, at });
                Ok(OpenAlarm {
                    id: row.id,
                    device: read("alarm", &row.device_id)?,
                    code: read("alarm", &row.code)?,
                    priority: read_priority(row.priority)?,
                    condition: Condition {
                        active: row.active,
                        acknowledged: row.acknowledged,
                        occurrence: row.occurrence_id,
                        count: row.count,
                    },
                    detail: row
                        .detail
                        .map(|detail| read_json("alarm_occurrence", detail))
                        .transpose()?,
                    raised_at: row.raised_at,
                    received_at: row.received_at,
                    cleared_at: row.cleared_at,
                    acknowledged,
                })
            })
            .collect()
    }

    /// Stores a new occurrence and makes it its alarm's current one.
    pub(crate) async fn raise_alarm(
        unit: &mut Unit<'_>,
        raise: Raise<'_>,
    ) -> Result<Raised, StoreError> {
        let row = sqlx::query!(
            r#"with upserted as (
                 insert into alarm (device_id, code, priority, active, acknowledged, occurrence_id, count)
                 values ($1, $2, $3, true, false, nextval(pg_get_serial_sequence('alarm_occurrence', 'id')), $4)
                 on conflict on constraint alarm_device_code do update set priority = excluded.priority,
                     active = true, acknowledged = false, occurrence_id = excluded.occurrence_id, count = excluded.count
                 returning id, occurrence_id)
               insert into alarm_occurrence (id, alarm_id, priority, detail, raised_at, agent_id, epoch, sequence)
               select occurrence_id, id, $3, $5, $6, $7, $8, $9 from upserted
               returning alarm_id, id, received_at"#,
            raise.event.device.as_str(),
            raise.code.as_str(),
            i16::from(raise.priority.number()),
            raise.count,
            raise.detail.map(write_json),
            raise.event.at,
            raise.agent.as_str(),
            raise.epoch.0,
            sequence_column(raise.event.sequence)?,
        )
        .fetch_one(&mut **unit)
        .await?;
        Ok(Raised {
            alarm: row.alarm_id,
            occurrence: row.id,
            received_at: row.received_at,
        })
    }

    /// Stores that the condition of an alarm's current occurrence is over.
    pub(crate) async fn clear_alarm(
        unit: &mut Unit<'_>,
        alarm: i64,
        condition: Condition,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        put_condition(unit, alarm, condition).await?;
        sqlx::query!(
            "update alarm_occurrence set cleared_at = $2 where id = $1",
            condition.occurrence,
            at
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Stores that somebody has seen an alarm: its current occurrence, and every earlier one that nobody had.
    pub(crate) async fn acknowledge_alarm(
        unit: &mut Unit<'_>,
        alarm: i64,
        condition: Condition,
        by: &Acknowledgement,
        note: Option<&str>,
    ) -> Result<(), StoreError> {
        put_condition(unit, alarm, condition).await?;
        sqlx::query!(
            "update alarm_occurrence set acknowledged_at = $3, acknowledged_by = $4, note = $5
             where alarm_id = $1 and id <= $2 and acknowledged_at is null",
            alarm,
            condition.occurrence,
            by.at,
            by.by,
            note
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Adds a step to the journal; `condition` is the one after it.
    pub(crate) async fn journal_alarm(
        unit: &mut Unit<'_>,
        alarm: i64,
        condition: Condition,
        transition: Transition<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into alarm_transition (alarm_id, occurrence_id, action, state, actor, note, source_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
            alarm,
            condition.occurrence,
            transition.action,
            condition.state().as_str(),
            transition.actor,
            transition.note,
            transition.source_at
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }
}

async fn put_condition(
    unit: &mut Unit<'_>,
    alarm: i64,
    condition: Condition,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update alarm set active = $2, acknowledged = $3, count = $4 where id = $1",
        alarm,
        condition.active,
        condition.acknowledged,
        condition.count
    )
    .execute(&mut **unit)
    .await?;
    Ok(())
}

fn read_priority(number: i16) -> Result<Priority, StoreError> {
    u8::try_from(number)
        .ok()
        .and_then(|number| Priority::try_from(number).ok())
        .ok_or_else(|| StoreError::Corrupt {
            table: "alarm",
            what: format!("priority {number}"),
        })
}
