//! What people show beside a password: sealed secrets, and recovery codes as their hashes.

use chrono::Utc;
use uuid::Uuid;

use super::{Store, StoreError, Unit};
use crate::identity::totp::OFFER_KEPT;

/// A second factor of somebody.
#[derive(Debug, Clone)]
pub(crate) struct StoredSecondFactor {
    pub(crate) sealed_secret: Vec<u8>,
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
            "select sealed_secret, last_step from second_factor where person_name = $1",
            name
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| StoredSecondFactor {
            sealed_secret: row.sealed_secret,
            last_step: u64::try_from(row.last_step).unwrap_or(0),
        }))
    }

    /// Whether somebody has one.
    pub(crate) async fn has_second_factor(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.second_factor(name).await?.is_some())
    }

    /// Begins an enrolment in a login; what was offered in it before is void, and so is whatever is too old.
    pub(crate) async fn offer_second_factor(
        unit: &mut Unit<'_>,
        login: Uuid,
        sealed_secret: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from second_factor_offer where offered_at < $1",
            Utc::now() - OFFER_KEPT
        )
        .execute(&mut **unit)
        .await?;
        sqlx::query!(
            "insert into second_factor_offer (login_id, sealed_secret) values ($1, $2)
             on conflict (login_id) do update set sealed_secret = excluded.sealed_secret, offered_at = now()",
            login,
            sealed_secret
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// What was offered in a login, while it is good.
    pub(crate) async fn offered_second_factor(
        &self,
        login: Uuid,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select sealed_secret from second_factor_offer where login_id = $1 and offered_at >= $2",
            login,
            Utc::now() - OFFER_KEPT
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The code of this step of an offered secret was shown: from now on it counts. Every offer to the person is void.
    /// False when they have one by now.
    pub(crate) async fn confirm_second_factor(
        unit: &mut Unit<'_>,
        name: &str,
        sealed_secret: &[u8],
        step: u64,
    ) -> Result<bool, StoreError> {
        let confirmed = sqlx::query!(
            "insert into second_factor (person_name, sealed_secret, last_step) values ($1, $2, $3)
             on conflict (person_name) do nothing",
            name,
            sealed_secret,
            to_i64(step)
        )
        .execute(&mut **unit)
        .await?;
        Self::forget_offers(unit, name).await?;
        Ok(confirmed.rows_affected() > 0)
    }

    async fn forget_offers(unit: &mut Unit<'_>, name: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from second_factor_offer o using login l where l.id = o.login_id and l.person_name = $1",
            name
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// These are the recovery codes of somebody, and no others.
    pub(crate) async fn put_recovery_codes(
        unit: &mut Unit<'_>,
        name: &str,
        recovery: &[Vec<u8>],
    ) -> Result<(), StoreError> {
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
        Self::forget_offers(unit, name).await
    }
}
