//! The audit: who did what, and what came of it. Pure.

use askama::Template;
use chrono::{DateTime, Utc};

use crate::shell::Shell;

/// One row, in the words in which it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// Its place in the chain.
    pub number: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// With which login or token.
    pub identity: String,
    /// From where.
    pub peer: String,
    /// What.
    pub action: String,
    /// On what.
    pub subject: String,
    /// Why; empty when nobody said.
    pub reason: String,
    /// With which parameters; empty for none.
    pub detail: String,
    /// What came of it.
    pub outcome: String,
}

impl AuditLine {
    fn is_done(&self) -> bool {
        self.outcome == "done"
    }
}

/// What was looked for, as it was typed.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFields<'a> {
    /// Who.
    pub actor: &'a str,
    /// What, or its beginning.
    pub action: &'a str,
    /// On what.
    pub subject: &'a str,
    /// From when.
    pub from: &'a str,
    /// Until when.
    pub to: &'a str,
}

/// `/audit`
#[derive(Template)]
#[template(path = "audit.html")]
pub struct AuditPage<'a> {
    /// What is around it.
    pub shell: Shell<'a>,
    /// Newest first.
    pub lines: &'a [AuditLine],
    /// The filter.
    pub fields: AuditFields<'a>,
    /// Where the older ones are, if there are any.
    pub next: Option<String>,
    /// The same rows as a table to take away.
    pub table: String,
}
