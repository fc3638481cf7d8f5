//! What people show beside a password: sealed secrets, and recovery codes as their hashes.

use super::{Store, StoreError, Unit};

/// A second factor of somebody, confirmed or not.
#[derive(Debug, Clone)]
pub(crate) struct StoredSecondFactor {
    pub(crate) sealed_secret: Vec<u8>,
    pub(crate) confirmed: bool,
    pub(crate) last_step: u64,
}

fn to_i64(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

impl Store {
    /// The second factor of somebody.
    pub(crate) async fn second_factor(
        &self,
        name: &str,
    ) -> Result<Option<StoredSecondFactor>, StoreError> {
        let row = sqlx::query!(
            "select sealed_secret, confirmed_at, last_step from second_factor where person_name = $1",
            name
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| StoredSecondFactor {
            sealed_secret: row.sealed_secret,
            confirmed: row.confirmed_at.is_some(),
            last_step: u64::try_from(row.last_step).unwrap_or(0),
        }))
    }

    /// Begins an enrolment; one that is confirmed stays as it is.
    pub(crate) async fn offer_second_factor(
        &self,
        name: &str,
        sealed_secret: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into second_factor (person_name, sealed_secret) values ($1, $2) on conflict (person_name) do nothing",
            name,
            sealed_secret
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A code of an enrolment was shown: from now on it counts, with these recovery codes.
    pub(crate) async fn confirm_second_factor(
        unit: &mut Unit<'_>,
        name: &str,
        recovery: &[Vec<u8>],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update second_factor set confirmed_at = coalesce(confirmed_at, now()) where person_name = $1",
            name
        )
        .execute(&mut **unit)
        .await?;
        sqlx::query!("delete from recovery_code where person_name = $1", name)
            .execute(&mut **unit)
            .await?;
        sqlx::query!(
            "insert into recovery_code (person_name, code_hash) select $1, unnest($2::bytea[])",
            name,
            recovery
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Takes the code of a step, unless one of it or a later one was taken: whether it was taken.
    pub(crate) async fn take_step(&self, name: &str, step: u64) -> Result<bool, StoreError> {
        let taken = sqlx::query!(
            "update second_factor set last_step = $2 where person_name = $1 and last_step < $2",
            name,
            to_i64(step)
        )
        .execute(&self.pool)
        .await?;
        Ok(taken.rows_affected() > 0)
    }

    /// Takes a recovery code: whether there was one.
    pub(crate) async fn take_recovery_code(
        &self,
        name: &str,
        hash: &[u8],
    ) -> Result<bool, StoreError> {
        let taken = sqlx::query!(
            "delete from recovery_code where person_name = $1 and code_hash = $2",
            name,
            hash
        )
        .execute(&self.pool)
        .await?;
        Ok(taken.rows_affected() > 0)
    }

    /// How many recovery codes somebody has left.
    pub(crate) async fn recovery_codes_left(&self, name: &str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select count(*) as "count!" from recovery_code where person_name = $1"#,
            name
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Somebody has none any more.
    pub(crate) async fn forget_second_factor(
        unit: &mut Unit<'_>,
        name: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!("delete from recovery_code where person_name = $1", name)
            .execute(&mut **unit)
            .await?;
        sqlx::query!("delete from second_factor where person_name = $1", name)
            .execute(&mut **unit)
            .await?;
        Ok(())
    }
}
