//! What people did: one row for each action, in the transaction of the action itself, as its last statement: the chain is
//! locked from then to the transaction's end.

use chrono::{DateTime, Utc};
use sqlx::Connection;

use super::{Store, StoreError, Unit};
use crate::audit::chain::Hash;
use crate::audit::head::Head;
use crate::audit::journal::Journaled;
use crate::observability::count_audit_failure;
use crate::wire::{clean, clean_json};

pub(crate) use crate::audit::AuditEntry;

/// In an emergency nobody waits longer than this for the chain: the journal takes the row then.
const EMERGENCY_LOCK_TIMEOUT: &str = "set local lock_timeout = '500ms'";

impl Store {
    /// Writes one action down; one with a `record` number in its detail once. Call it last: what comes after it makes
    /// everybody wait who writes into the audit.
    ///
    /// # Errors
    /// [`StoreError::Audit`]: nothing of this unit can be stored then.
    pub(crate) async fn audit(
        unit: &mut Unit<'_>,
        entry: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let reason = entry.reason.map(clean);
        let written = sqlx::query!(
            "insert into audit (actor, identity, peer, action, subject, reason, detail, outcome)
             values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict ((detail ->> 'record')) where detail ? 'record' do nothing",
            &*clean(entry.actor),
            clean_json(entry.identity),
            &*clean(entry.peer),
            entry.action,
            &*clean(entry.subject),
            reason.as_deref(),
            clean_json(entry.detail),
            &*clean(entry.outcome)
        )
        .execute(&mut **unit)
        .await;
        written.map(drop).map_err(not_written)
    }

    /// Writes one action down that changed nothing else: a refusal, a sign-in.
    pub(crate) async fn audit_alone(&self, entry: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut unit = self.begin().await?;
        Self::audit(&mut unit, entry).await?;
        Ok(unit.commit().await?)
    }

    /// Writes one action down; when that fails, the rest of the unit can still be stored.
    pub(crate) async fn try_audit(
        unit: &mut Unit<'_>,
        entry: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let mut part = unit.begin().await?;
        sqlx::query(EMERGENCY_LOCK_TIMEOUT)
            .execute(&mut *part)
            .await?;
        match Self::audit(&mut part, entry).await {
            Ok(()) => Ok(part.commit().await?),
            Err(error) => {
                part.rollback().await?;
                Err(error)
            }
        }
    }

    /// Brings what was journaled into the chain, all or nothing; what is there already stays as it is: its commit may have
    /// succeeded without our hearing of it.
    pub(crate) async fn put_journaled(&self, entries: &[Journaled]) -> Result<(), StoreError> {
        let mut unit = self.begin().await?;
        for entry in entries {
            if let Some(command) = &entry.command {
                let mut part = unit.begin().await?;
                match Self::place_sent_command(&mut part, command).await {
                    Ok(()) => part.commit().await?,
                    Err(error) => {
                        part.rollback().await?;
                        tracing::error!(command.id = %command.view.id, %error, "a journaled command cannot be recorded; its audit row is");
                    }
                }
            }
            let reason = entry.reason.as_deref().map(clean);
            let written = sqlx::query!(
                "insert into audit (actor, identity, peer, action, subject, reason, detail, outcome)
                 select $1, $2, $3, $4, $5, $6, $7, $8
                 where not exists (select from audit where at > $9::timestamptz - interval '1 minute'
                                   and action = $4 and detail ->> 'command' = $10)
                 on conflict ((detail -> 'journaled' ->> 'id')) do nothing",
                &*clean(&entry.actor),
                clean_json(entry.identity.clone()),
                &*clean(&entry.peer),
                &*clean(&entry.action),
                &*clean(&entry.subject),
                reason.as_deref(),
                clean_json(entry.marked_detail()),
                &*clean(&entry.outcome),
                entry.at,
                entry.id.to_string()
            )
            .execute(&mut *unit)
            .await;
            written.map_err(not_written)?;
        }
        Ok(unit.commit().await?)
    }

    /// How often somebody showed a wrong password or code in this name since then: what stands alone, and what was summed up.
    pub(crate) async fn failures(
        &self,
        name: &str,
        since: DateTime<Utc>,
    ) -> Result<i64, StoreError> {
        let failures = sqlx::query_scalar!(
            r#"select coalesce(sum(case when action <> 'login.failures' then 1
                     else (detail->>'attempts')::bigint - (detail->>'refused')::bigint end), 0)::bigint as "failures!"
               from audit where actor = $1 and at >= $2
                 and (action = 'login.failures' or outcome in ('wrong name or password', 'wrong code'))"#,
            name,
            since
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(failures)
    }

    /// The last row of the chain.
    pub(crate) async fn audit_head(&self) -> Result<Option<Head>, StoreError> {
        let row = sqlx::query!("select number, at, hash from audit order by number desc limit 1")
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            Ok(Head {
                at: row.at,
                number: row.number,
                hash: read_hash(&row.hash)?,
            })
        })
        .transpose()
    }

    /// The hash of a row, if it is there.
    pub(crate) async fn audit_hash(&self, number: i64) -> Result<Option<Hash>, StoreError> {
        let hash = sqlx::query_scalar!("select hash from audit where number = $1", number)
            .fetch_optional(&self.pool)
            .await?;
        hash.as_deref().map(read_hash).transpose()
    }
}

/// Told to everybody who watches: from now on only emergencies go on. What a row says is cleaned before, so that also
/// a value that is refused may mean the chain itself.
fn not_written(error: sqlx::Error) -> StoreError {
    let error = StoreError::Audit(error);
    count_audit_failure();
    if error.is_refused_value() {
        tracing::error!(%error, "the audit does not take a row: for what it says, or since its chain is not what it was");
    } else {
        tracing::error!(%error, "what would have to be in the audit is refused, emergency commands excepted");
    }
    error
}

fn read_hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    bytes
        .try_into()
        .map(Hash)
        .map_err(|_wrong_length| StoreError::Corrupt {
            table: "audit",
            what: format!("a hash of {} bytes", bytes.len()),
        })
}
