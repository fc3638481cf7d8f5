//! Which policy was in force last, as the audit tells.

use super::{Store, StoreError};

impl Store {
    /// The hash of the policy that was put into force last.
    pub(crate) async fn newest_policy(&self) -> Result<Option<String>, StoreError> {
        let hash = sqlx::query_scalar!(
            "select detail->>'new' from audit where action = 'policy.change' order by number desc limit 1"
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(hash.flatten())
    }
}
