//! The audit as people read it: newest first, filtered, a page at a time. The one place whose query depends on what is asked.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};

use super::{Store, StoreError};

/// What somebody looks for; everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuditFilter {
    pub(crate) actor: Option<String>,
    /// The action, or its beginning: `alarm` finds `alarm.acknowledge`.
    pub(crate) action: Option<String>,
    pub(crate) subject: Option<String>,
    /// Not before.
    pub(crate) from: Option<DateTime<Utc>>,
    /// Before.
    pub(crate) to: Option<DateTime<Utc>>,
    /// Rows before this number: where the page before ended.
    pub(crate) before: Option<i64>,
}

/// A row as people and programs read it.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow)]
pub(crate) struct AuditRow {
    pub(crate) number: i64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) actor: String,
    pub(crate) identity: Value,
    pub(crate) peer: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) reason: Option<String>,
    pub(crate) detail: Value,
    pub(crate) outcome: String,
}

impl Store {
    /// At most `limit` rows, newest first.
    pub(crate) async fn audit_rows(
        &self,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(
            "select number, at, actor, identity, peer, action, subject, reason, detail, outcome from audit where true",
        );
        if let Some(actor) = &filter.actor {
            query.push(" and actor = ").push_bind(actor);
        }
        if let Some(action) = &filter.action {
            query
                .push(" and starts_with(action, ")
                .push_bind(action)
                .push(")");
        }
        if let Some(subject) = &filter.subject {
            query.push(" and subject = ").push_bind(subject);
        }
        if let Some(from) = filter.from {
            query.push(" and at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            query.push(" and at < ").push_bind(to);
        }
        if let Some(before) = filter.before {
            query.push(" and number < ").push_bind(before);
        }
        query.push(" order by number desc limit ").push_bind(limit);
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }
}
