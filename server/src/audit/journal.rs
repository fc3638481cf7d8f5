//! The local file that takes an emergency's audit row while the audit does not.
//!
//! A row is on the disk (fsync) before its command is sent. It is brought into the chain later, exactly once also over a
//! crash: each has a number of its own that the audit takes once, and the file is emptied after the commit.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::AuditEntry;
use crate::observability::show_journaled;
use crate::store::command::StoredCommand;
use crate::store::{Store, StoreError};

/// Some ten thousand rows: more emergencies than a day without a database has. Beyond, the file is no place to
/// keep an audit in, and the command is refused.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

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
            detail: json!({"line": line.replace('\0', "\u{fffd}")}),
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
        store.put_journaled(&entries).await?;
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || empty(&path))
            .await
            .map_err(io::Error::other)??;
        Ok(entries.len())
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

fn append(path: &Path, line: &str) -> io::Result<()> {
    let is_new = !path.exists();
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)?;
    let length = file.metadata()?.len();
    if length > BYTES_MAX {
        let full = format!("{} holds {length} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::StorageFull, full));
    }
    // Half a line of a crash must not spoil this one.
    let separator = if ends_a_line(&mut file, length)? {
        ""
    } else {
        "\n"
    };
    file.write_all(format!("{separator}{line}\n").as_bytes())?;
    file.sync_all()?;
    if is_new && let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

fn ends_a_line(file: &mut File, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else {
        return Ok(true);
    };
    file.seek(SeekFrom::Start(last))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
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
