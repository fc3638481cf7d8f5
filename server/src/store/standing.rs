//! What was called back before its time.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Store, StoreError, Unit, read};
use crate::identity::standing::{REVOCATION_KEPT, Revocation};

/// A revocation, and when it was made.
pub(crate) struct StoredRevocation {
    pub(crate) revocation: Revocation,
    pub(crate) at: DateTime<Utc>,
}

impl Store {
    /// Calls something back.
    pub(crate) async fn put_revocation(
        unit: &mut Unit<'_>,
        revocation: &Revocation,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let kept = TimeDelta::from_std(REVOCATION_KEPT).expect("a day is within range");
        sqlx::query!(
            "insert into revocation (kind, key, void_until, expires_at) values ($1, $2, $3, $4)
             on conflict (kind, key) do update set
                 void_until = greatest(revocation.void_until, excluded.void_until),
                 expires_at = greatest(revocation.expires_at, excluded.expires_at)",
            revocation.kind(),
            revocation.key(),
            at,
            at + kept
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Everything called back whose tokens may not have expired yet; what is older is forgotten.
    pub(crate) async fn revocations(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<StoredRevocation>, StoreError> {
        sqlx::query!("delete from revocation where expires_at <= $1", now)
            .execute(&self.pool)
            .await?;
        let rows = sqlx::query!("select kind, key, void_until from revocation")
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(StoredRevocation {
                    revocation: revocation(&row.kind, row.key)?,
                    at: row.void_until,
                })
            })
            .collect()
    }
}

fn revocation(kind: &str, key: String) -> Result<Revocation, StoreError> {
    Ok(match kind {
        Revocation::TOKEN => Revocation::Token(read("revocation", &key)?),
        Revocation::GRANT => Revocation::Grant(read("revocation", &key)?),
        Revocation::SUBJECT => Revocation::Subject(key),
        other => {
            return Err(StoreError::Corrupt {
                table: "revocation",
                what: format!("the kind {other:?}"),
            });
        }
    })
}
