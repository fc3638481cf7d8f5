//! Signing keys, sealed: whoever reads the database alone signs nothing.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, Unit};
use crate::identity::key_file::KeyFile;
use crate::identity::keys::{Due, StoredKey};

/// A key as it stands in its row.
struct Row {
    kid: String,
    secret: Vec<u8>,
    is_sealed: bool,
    created_at: DateTime<Utc>,
    activated_at: Option<DateTime<Utc>>,
    retired_at: Option<DateTime<Utc>>,
}

impl Row {
    fn open(self, keys: &KeyFile) -> Result<StoredKey, StoreError> {
        let private_der = if self.is_sealed {
            let opened = keys.unseal_key(&self.kid, &self.secret);
            opened.map_err(|_not_ours| StoreError::Sealed {
                kid: self.kid.clone(),
            })?
        } else {
            self.secret.clone()
        };
        Ok(StoredKey {
            private_der,
            ..self.closed()
        })
    }

    /// Without what it signs with.
    fn closed(self) -> StoredKey {
        StoredKey {
            kid: self.kid,
            private_der: Vec::new(),
            created_at: self.created_at,
            activated_at: self.activated_at,
            retired_at: self.retired_at,
        }
    }
}

async fn rows(unit: &mut Unit<'_>) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select kid, secret, is_sealed, created_at, activated_at, retired_at from signing_key order by created_at, kid"
    );
    Ok(rows.fetch_all(&mut **unit).await?)
}

impl Store {
    /// Every signing key, the oldest first.
    pub(crate) async fn signing_keys(&self, keys: &KeyFile) -> Result<Vec<StoredKey>, StoreError> {
        Self::signing_keys_in(&mut self.begin().await?, keys).await
    }

    /// The same, seen by a unit of work.
    pub(crate) async fn signing_keys_in(
        unit: &mut Unit<'_>,
        keys: &KeyFile,
    ) -> Result<Vec<StoredKey>, StoreError> {
        let rows = rows(unit).await?;
        rows.into_iter().map(|row| row.open(keys)).collect()
    }

    /// Their names and dates only: also of those that are sealed with another key.
    pub(crate) async fn closed_signing_keys(
        unit: &mut Unit<'_>,
    ) -> Result<Vec<StoredKey>, StoreError> {
        let rows = rows(unit).await?;
        Ok(rows.into_iter().map(Row::closed).collect())
    }

    /// Whether there are signing keys that take an `identity.key` to be used.
    pub(crate) async fn has_sealed_keys(&self) -> Result<bool, StoreError> {
        let sealed = sqlx::query_scalar!(
            r#"select exists (select from signing_key where is_sealed) as "is!""#
        );
        Ok(sealed.fetch_one(&self.pool).await?)
    }

    /// Seals what lies open from before.
    pub(crate) async fn seal_signing_keys(&self, keys: &KeyFile) -> Result<(), StoreError> {
        let mut unit = self.begin().await?;
        Self::lock_signing_keys(&mut unit).await?;
        for row in rows(&mut unit).await? {
            if !row.is_sealed {
                sqlx::query!(
                    "update signing_key set secret = $2, is_sealed = true where kid = $1",
                    row.kid,
                    keys.seal_key(&row.kid, &row.secret)
                )
                .execute(&mut *unit)
                .await?;
            }
        }
        Ok(unit.commit().await?)
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
        keys: &KeyFile,
        key: &StoredKey,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into signing_key (kid, secret, is_sealed, created_at, activated_at) values ($1, $2, true, $3, $4)",
            key.kid,
            keys.seal_key(&key.kid, &key.private_der),
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
