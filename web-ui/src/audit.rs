//! The audit: who did what, and what came of it. Pure.

use askama::Template;
use chrono::{DateTime, Utc};
use contract::Role;

use crate::shell::Shell;
use crate::viewing::Viewing;
use crate::words::audit as terms;

/// A hash says as much by its beginning, to people: this many of its letters are shown.
const HASH_SHOWN: usize = 12;

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
    /// With which parameters: the name of each, `outer.inner` in another, and its values.
    pub detail: Vec<(String, Vec<String>)>,
    /// What came of it.
    pub outcome: String,
}

impl AuditLine {
    /// Neither what is done nor what goes on by a second step is a failure.
    fn has_failed(&self) -> bool {
        !matches!(self.outcome.as_str(), "done" | "second factor asked")
    }

    /// The detail as it is stored.
    fn whole_detail(&self) -> String {
        let members = self.detail.iter();
        let members = members.map(|(name, values)| format!("{name}: {}", values.join(", ")));
        members.collect::<Vec<_>>().join("; ")
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
    pub from: AuditTime<'a>,
    /// Until when.
    pub to: AuditTime<'a>,
}

/// A time that was looked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditTime<'a> {
    /// As it was typed.
    pub typed: &'a str,
    /// Whether it is no time.
    pub is_wrong: bool,
}

impl AuditFields<'_> {
    fn times(&self) -> [(&'static str, AuditTime<'_>); 2] {
        [("from", self.from), ("to", self.to)]
    }
}

/// `/audit`
#[derive(Template)]
#[template(path = "audit.html")]
pub struct AuditPage<'a> {
    /// What is around it.
    pub shell: Shell<'a>,
    /// Newest first; `None` while the filter cannot be read.
    pub lines: Option<&'a [AuditLine]>,
    /// The filter.
    pub fields: AuditFields<'a>,
    /// Where the older ones are, if there are any.
    pub next: Option<String>,
    /// The same rows as a table to take away.
    pub table: String,
}

impl AuditPage<'_> {
    fn viewing(&self) -> &Viewing {
        &self.shell.viewing
    }

    fn action(&self, line: &AuditLine) -> Option<&'static str> {
        terms::action(&line.action, self.viewing().language)
    }

    /// The server, the command line or a file in words, where these are not as they are stored.
    fn origin(&self, stored: &str) -> Option<&'static str> {
        terms::origin(stored, self.viewing().language).filter(|word| *word != stored)
    }

    fn outcome(&self, line: &AuditLine) -> String {
        let known = terms::outcome(&line.outcome, self.viewing().language);
        known.unwrap_or_else(|| line.outcome.clone())
    }

    fn details(&self, line: &AuditLine) -> Vec<String> {
        let language = self.viewing().language;
        let members = line.detail.iter().map(|(name, values)| {
            let values: Vec<String> = values.iter().map(|value| self.value(name, value)).collect();
            let values = match values.as_slice() {
                [] => self.viewing().words().none.to_owned(),
                values => values.join(", "),
            };
            let name = terms::detail(name, language).unwrap_or(name);
            format!("{name}: {values}")
        });
        members.collect()
    }

    /// A time as everywhere on the page, a hash by its beginning, what we said ourselves in words.
    fn value(&self, name: &str, value: &str) -> String {
        let viewing = self.viewing();
        if let Ok(at) = value.parse::<DateTime<Utc>>() {
            return viewing.full_time(&at);
        }
        let is_hash = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(begin) = value.get(..HASH_SHOWN).filter(|_| is_hash) {
            return format!("{begin}…");
        }
        let member = name.rsplit('.').next().unwrap_or(name);
        let word = match member {
            "role" | "roles" => {
                let role = value.parse::<Role>().ok();
                role.map(|role| viewing.words().role(&role))
            }
            "zones" if value == "*" => Some(viewing.words().every_zone),
            "change" | "kind" | "state" | "new_secret" => terms::detail(value, viewing.language),
            _ => None,
        };
        word.unwrap_or(value).to_owned()
    }
}
