//! What people did: one row for each action, in the transaction of the action itself.

use serde_json::Value;

use super::{Store, StoreError, Unit};

/// One action of a person or program.
#[derive(Debug)]
pub(crate) struct AuditEntry<'a> {
    /// Who.
    pub(crate) actor: &'a str,
    /// From where.
    pub(crate) peer: &'a str,
    /// What, for example `alarm.acknowledge`.
    pub(crate) action: &'static str,
    /// On what, for example a device's id.
    pub(crate) subject: &'a str,
    /// With which parameters.
    pub(crate) detail: Value,
    /// `done`, or why not.
    pub(crate) outcome: &'a str,
}

impl Store {
    /// Writes one action down.
    pub(crate) async fn audit(
        unit: &mut Unit<'_>,
        entry: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into audit (actor, peer, action, subject, detail, outcome) values ($1, $2, $3, $4, $5, $6)",
            entry.actor,
            entry.peer,
            entry.action,
            entry.subject,
            entry.detail,
            entry.outcome
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Writes one action down that changed nothing else: a refusal, a sign-in.
    pub(crate) async fn audit_alone(&self, entry: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut unit = self.begin().await?;
        Self::audit(&mut unit, entry).await?;
        Ok(unit.commit().await?)
    }
}
