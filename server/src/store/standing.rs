//! What was called back before its time.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::types::PgInterval;

use super::{Store, StoreError, Unit, read};
use crate::identity::standing::{CalledBack, REVOCATION_KEPT, Revocation};

/// A transaction takes some seconds at most from its revocation to its COMMIT, and only then others see it: whoever
/// follows looks back for longer than that.
const LATE_MINUTES: i64 = 2;

impl Store {
    /// Calls something back. Of somebody's everything, it counts the generation of their rights up, and holds it until the
    /// unit ends: do this first, then what ends their logins sees every login that was begun with the rights of before
    /// ([`Self::is_of_generation`]). `None`: nobody is called so.
    pub(crate) async fn put_revocation(
        unit: &mut Unit<'_>,
        revocation: &Revocation,
        holder: Option<&str>,
    ) -> Result<Option<CalledBack>, StoreError> {
        let kept = PgInterval::try_from(REVOCATION_KEPT).expect("a day has whole microseconds");
        let row = sqlx::query!(
            r#"with raised as (
                 update subject set generation = generation + 1 where $1 = 'subject' and name = $2
                 returning generation, case when kind <> 'application' then name end as holder
             )
             insert into revocation (kind, key, holder, generation, void_until, expires_at)
             select $1, $2, coalesce((select holder from raised), $3), coalesce((select generation from raised), 0),
                 clock_timestamp(), clock_timestamp() + $4
             where $1 <> 'subject' or exists (select from raised)
             on conflict (kind, key) do update set holder = excluded.holder,
                 generation = greatest(revocation.generation, excluded.generation),
                 void_until = greatest(revocation.void_until, excluded.void_until),
                 expires_at = greatest(revocation.expires_at, excluded.expires_at)
             returning holder, generation, void_until"#,
            revocation.kind(),
            revocation.key(),
            holder,
            kept
        )
        .fetch_optional(&mut **unit)
        .await?;
        Ok(row.map(|row| CalledBack {
            revocation: revocation.clone(),
            holder: row.holder,
            generation: row.generation,
            at: row.void_until,
        }))
    }

    /// As calling back everything of somebody does, but for their tokens: what was looked up before is told from what is
    /// looked up after ([`Self::is_of_generation`]).
    pub(crate) async fn raise_generation(
        unit: &mut Unit<'_>,
        name: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update subject set generation = generation + 1 where name = $1",
            name
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Whether nothing was taken from somebody since their rights of this generation were read; nothing is until the unit
    /// has ended.
    pub(crate) async fn is_of_generation(
        unit: &mut Unit<'_>,
        name: &str,
        generation: i64,
    ) -> Result<bool, StoreError> {
        let now = sqlx::query_scalar!(
            "select generation from subject where name = $1 for share",
            name
        )
        .fetch_optional(&mut **unit)
        .await?;
        Ok(now == Some(generation))
    }

    /// What was called back since somebody looked who then knew of `newest`, and what may have come late; with `None`,
    /// everything whose tokens may not have expired yet.
    pub(crate) async fn revocations(
        &self,
        newest: Option<DateTime<Utc>>,
    ) -> Result<Vec<CalledBack>, StoreError> {
        let since = newest.map(|newest| newest - TimeDelta::minutes(LATE_MINUTES));
        let rows = sqlx::query!(
            "select kind, key, holder, generation, void_until from revocation
             where expires_at > now() and ($1::timestamptz is null or void_until >= $1)
             order by void_until",
            since
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(CalledBack {
                    revocation: revocation(&row.kind, row.key)?,
                    holder: row.holder,
                    generation: row.generation,
                    at: row.void_until,
                })
            })
            .collect()
    }

    /// Forgets what can have no token left.
    pub(crate) async fn forget_revocations(&self) -> Result<(), StoreError> {
        sqlx::query!("delete from revocation where expires_at <= now()")
            .execute(&self.pool)
            .await?;
        Ok(())
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
