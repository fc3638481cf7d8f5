//! The local file that takes an emergency's audit row while the audit does not.
//!
//! A row is on the disk (fsync) before its command is sent. It is brought into the chain later, exactly once also over a
//! crash: each has a number of its own that the audit takes once, and the file is emptied after the commit.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{AuditEntry, lines};
use crate::observability::show_journaled;
use crate::store::command::StoredCommand;
use crate::store::{Store, StoreError};
use crate::wire::cut;

/// Some ten thousand rows: more emergencies than a day without a database has. Beyond, the file is no place to
/// keep an audit in, and the command is refused.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is kept of a line that cannot be taken as what it says: more than any row of ours has.
const LINE_CHARS_MAX: usize = 8 * 1024;

/// One row that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Journaled {
    pub(crate) id: Uuid,
    pub(crate) at: DateTime<Utc>,
    pub(crate) actor: String,
    pub(crate) identity: Value,
    pub(crate) peer: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) reason: Option<String>,
    detail: Value,
    pub(crate) outcome: String,
    /// The command that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<StoredCommand>,
}

impl Journaled {
    fn new(entry: &AuditEntry<'_>, command: &StoredCommand) -> Self {
        Self {
            id: command.view.id.0,
            at: Utc::now(),
            actor: entry.actor.to_owned(),
            identity: entry.identity.clone(),
            peer: entry.peer.to_owned(),
            action: entry.action.to_owned(),
            subject: entry.subject.to_owned(),
            reason: entry.reason.map(str::to_owned),
            detail: entry.detail.clone(),
            outcome: entry.outcome.to_owned(),
            command: Some(command.clone()),
        }
    }

    /// A line that nobody can read any more: it is evidence all the same, and comes once like every other.
    fn unreadable(line: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(line).into();
        let id = digest
            .first_chunk()
            .map_or(Uuid::nil(), |half| Uuid::from_bytes(*half));
        Self {
            id,
            at: DateTime::UNIX_EPOCH,
            actor: super::SERVER.to_owned(),
            identity: json!({}),
            peer: String::new(),
            action: "audit.journal".to_owned(),
            subject: "unreadable line".to_owned(),
            reason: None,
            detail: json!({"line": cut(line, LINE_CHARS_MAX)}),
            outcome: "a line of the journal could not be read".to_owned(),
            command: None,
        }
    }

    /// The detail with the number that makes the row single, and when it was really done.
    pub(crate) fn marked_detail(&self) -> Value {
        let mut detail = self.detail.clone();
        let mark = json!({"id": self.id, "at": self.at});
        match &mut detail {
            Value::Object(members) => drop(members.insert("journaled".to_owned(), mark)),
            other => detail = json!({"detail": other.take(), "journaled": mark}),
        }
        detail
    }
}

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    path: PathBuf,
    /// Held while the file is written, and from its reading to its emptying: nothing is added in between.
    turn: Arc<Mutex<()>>,
}

impl Journal {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            turn: Arc::default(),
        }
    }

    /// Writes a command and its row to the disk. Both have the number of the command, and come once into the database.
    pub(crate) async fn append_command(
        &self,
        entry: &AuditEntry<'_>,
        command: &StoredCommand,
    ) -> io::Result<()> {
        let line = serde_json::to_string(&Journaled::new(entry, command))?;
        let _turn = self.turn.lock().await;
        let path = self.path.clone();
        show_journaled(true);
        tokio::task::spawn_blocking(move || append(&path, &line))
            .await
            .map_err(io::Error::other)?
    }

    /// Brings everything into the chain, and empties the file: how many rows.
    ///
    /// # Errors
    /// When the file or the database does not answer: then everything waits on.
    pub(crate) async fn settle(&self, store: &Store) -> Result<usize, SettleError> {
        let _turn = self.turn.lock().await;
        let path = self.path.clone();
        let entries = tokio::task::spawn_blocking(move || read(&path))
            .await
            .map_err(io::Error::other)??;
        if entries.is_empty() {
            return Ok(0);
        }
        match store.put_journaled(&entries).await {
            // One that the database will never take must not keep the others waiting for ever.
            Err(error) if error.is_refused_value() => {
                for entry in &entries {
                    put_alone(store, entry).await?;
                }
            }
            put => put?,
        }
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || empty(&path))
            .await
            .map_err(io::Error::other)??;
        Ok(entries.len())
    }
}

/// Brings one row in, or, where the database does not take what it says, that there was such a line.
async fn put_alone(store: &Store, entry: &Journaled) -> Result<(), SettleError> {
    match store.put_journaled(slice::from_ref(entry)).await {
        Err(error) if error.is_refused_value() => {
            tracing::error!(%error, id = %entry.id, "a journaled row is refused for what it says; it goes into the audit as an unreadable line");
            let line = serde_json::to_string(entry).map_err(io::Error::from)?;
            Ok(store.put_journaled(&[Journaled::unreadable(&line)]).await?)
        }
        put => Ok(put?),
    }
}

/// Why journaled rows wait on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    #[error("the journal cannot be read or emptied: {0}")]
    File(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who gave which command is for nobody else on the machine.
const MODE: u32 = 0o600;

fn append(path: &Path, line: &str) -> io::Result<()> {
    let length = std::fs::metadata(path).map_or(0, |found| found.len());
    if length > BYTES_MAX {
        let full = format!("{} holds {length} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::StorageFull, full));
    }
    lines::append(path, MODE, line).map(drop)
}

fn read(path: &Path) -> io::Result<Vec<Journaled>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| {
                tracing::error!(%error, path = %path.display(), "a line of the audit's journal cannot be read; it goes into the audit as it is");
                Journaled::unreadable(line)
            })
        })
        .collect())
}

fn empty(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(0)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn command() -> StoredCommand {
        serde_json::from_value(json!({
            "view": {
                "id": Uuid::from_u128(1), "device": "gate-1", "name": "open", "params": {}, "state": "queued",
                "reason": null, "issued_by": "omar", "issued_at": "2026-11-22T07:00:00Z",
                "state_at": "2026-11-22T07:00:00Z",
            },
            "key": Uuid::from_u128(2), "agent": "agent-1", "risk": "emergency", "ttl_ms": 5000, "timeout_ms": 10000,
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_read_also_after_half_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/journal");
        assert_eq!(read(&path).unwrap(), []);
        let journal = Journal::new(path.clone());
        let entry = |subject| AuditEntry::new("omar", "127.0.0.1", "command.give", subject);
        let command = command();
        journal
            .append_command(&entry("gate-1"), &command)
            .await
            .unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "for nobody else");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\":\"0193").unwrap();
        journal
            .append_command(&entry("gate-2"), &command)
            .await
            .unwrap();
        let rows = read(&path).unwrap();
        let subjects: Vec<_> = rows.iter().map(|row| row.subject.as_str()).collect();
        assert_eq!(subjects, ["gate-1", "unreadable line", "gate-2"]);
        assert_eq!(rows[0].command.as_ref(), Some(&command));
        assert_eq!(rows, read(&path).unwrap(), "the same numbers each time");
        empty(&path).unwrap();
        assert_eq!(read(&path).unwrap(), []);
    }

    #[test]
    fn a_detail_is_marked_whatever_it_is() {
        let entry = AuditEntry::new("a", "b", "c", "d");
        for (detail, kept) in [(json!({"name": "open"}), "name"), (json!("word"), "detail")] {
            let row = Journaled::new(&entry.clone().detail(detail), &command());
            let marked = row.marked_detail();
            assert!(marked[kept].is_string() && marked["journaled"]["id"].is_string());
        }
    }
}
