//! Signing keys.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, Unit};
use crate::identity::keys::{Due, StoredKey};

impl Store {
    /// Every signing key, the oldest first.
    pub(crate) async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        Self::signing_keys_in(&mut self.begin().await?).await
    }

    /// The same, seen by a unit of work.
    pub(crate) async fn signing_keys_in(unit: &mut Unit<'_>) -> Result<Vec<StoredKey>, StoreError> {
        let keys = sqlx::query_as!(
            StoredKey,
            "select kid, private_der, created_at, activated_at, retired_at from signing_key order by created_at, kid"
        );
        Ok(keys.fetch_all(&mut **unit).await?)
    }

    /// Nobody else changes the keys until this unit of work has ended: servers and commands may rotate at once.
    pub(crate) async fn lock_signing_keys(unit: &mut Unit<'_>) -> Result<(), StoreError> {
        sqlx::query!("lock table signing_key in share row exclusive mode")
            .execute(&mut **unit)
            .await?;
        Ok(())
    }

    /// Stores a new signing key.
    pub(crate) async fn put_signing_key(
        unit: &mut Unit<'_>,
        key: &StoredKey,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into signing_key (kid, private_der, created_at, activated_at) values ($1, $2, $3, $4)",
            key.kid,
            key.private_der,
            key.created_at,
            key.activated_at
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Removes, retires and takes into use what is due; new keys are the caller's.
    pub(crate) async fn turn_signing_keys(
        unit: &mut Unit<'_>,
        due: &Due,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query!("delete from signing_key where kid = any($1)", &due.remove)
            .execute(&mut **unit)
            .await?;
        sqlx::query!(
            "update signing_key set retired_at = $2 where kid = $1",
            due.retire,
            now
        )
        .execute(&mut **unit)
        .await?;
        sqlx::query!(
            "update signing_key set activated_at = $2 where kid = $1",
            due.activate,
            now
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Removes a key before its time: its tokens are good nowhere from now on. Whether there was one.
    pub(crate) async fn remove_signing_key(
        unit: &mut Unit<'_>,
        kid: &str,
    ) -> Result<bool, StoreError> {
        let removed = sqlx::query!("delete from signing_key where kid = $1", kid)
            .execute(&mut **unit)
            .await?;
        Ok(removed.rows_affected() > 0)
    }
}
