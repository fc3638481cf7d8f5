//! What must survive a restart of this machine, in one SQLite file: the event outbox, what was last told of each fault,
//! the command journal, and command results on their way.
//!
//! One thread owns the file. A question waits until its effects are committed with `synchronous = FULL`; questions that
//! arrive together share one commit. The directory is locked, so two agents never share an outbox.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use contract::Epoch;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::error;
use uuid::Uuid;

pub mod journal;
pub mod outbox;

pub use journal::{Received, Recovered};

/// The most questions that share a commit: a disk that takes 10 ms for one still serves thousands a second.
const MAX_JOBS_PER_COMMIT: usize = 100;

/// Written into the file; a file with another number is another program's or another version's.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE outbox (
    epoch TEXT NOT NULL,
    next_sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE event (
    sequence INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE fault (
    device TEXT NOT NULL,
    fault TEXT NOT NULL,
    active INTEGER NOT NULL,
    PRIMARY KEY (device, fault)
) STRICT;
CREATE TABLE command (
    received INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    device TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('delivered', 'started', 'done')),
    result TEXT NOT NULL
) STRICT;
CREATE TABLE result (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL
) STRICT;
";

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file refused.
    #[error("the outbox file cannot be used: {0}")]
    Database(#[source] Arc<rusqlite::Error>),
    /// What stands in the file is not what this program wrote there.
    #[error("the outbox file holds something that cannot be read: {0}")]
    Corrupt(#[source] Arc<serde_json::Error>),
    /// The transaction that this shared with others was rolled back; why is told to whose doing it was.
    #[error("the outbox file has rolled back what was to be stored together")]
    RolledBack,
    /// The outbox holds as many events as it may.
    #[error("the outbox is full: the server has not taken events for too long")]
    Full,
    /// The store's thread is gone.
    #[error("the store has stopped")]
    Stopped,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(Arc::new(error))
    }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another agent has it.
    #[error(
        "{0} is in use by another agent: stop that one first, or give this one a `data` directory of its own"
    )]
    Locked(PathBuf),
    /// The directory or the lock cannot be made.
    #[error("{path} cannot be used as `data` directory: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be opened or made.
    #[error("{path} cannot be opened: {source}")]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is of another version.
    #[error(
        "{path} was written by another version of this program (schema {found}, not {SCHEMA_VERSION}): use that version, or move the file away"
    )]
    Version {
        /// Which.
        path: PathBuf,
        /// What it says.
        found: i64,
    },
    /// The file's epoch is no epoch.
    #[error("{path} has no right epoch: move the file away, and a new outbox begins")]
    Epoch {
        /// Which.
        path: PathBuf,
    },
}

/// Tells whoever asked whether the commit went well.
type Completion = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Does its work within a transaction; `None` when there is no transaction to work in.
type Job = Box<dyn FnOnce(Option<&Connection>) -> Completion + Send>;

/// Asks the store. Cheap to clone; the store ends, and its directory is free again, when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    thread: Arc<StoreThread>,
    epoch: Epoch,
    outgoing: Arc<Notify>,
}

#[derive(Debug)]
struct StoreThread {
    /// `None` only while it is being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's thread has panicked");
        }
    }
}

impl Store {
    /// Opens the store of `directory`, made if it is not there, and locks it for this process.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let lock = lock(directory)?;
        let path = directory.join("agent.db");
        let (connection, epoch) = open_file(&path)?;
        Ok(Self::start(connection, epoch, Some(lock)))
    }

    fn start(connection: Connection, epoch: Epoch, lock: Option<File>) -> Self {
        // When it is full, whoever asks waits: every question needs its answer, and a line that waits for the disk
        // must not make more of them.
        let (jobs, queue) = mpsc::channel(256);
        let thread = std::thread::spawn(move || {
            serve(&connection, queue);
            drop(connection);
            drop(lock); // Only now may another agent have the file.
        });
        Self {
            thread: Arc::new(StoreThread {
                jobs: Some(jobs),
                thread: Some(thread),
            }),
            epoch,
            outgoing: Arc::new(Notify::new()),
        }
    }

    /// The epoch of this outbox.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Waits until something was put into the outbox since this was last asked.
    pub async fn outgoing(&self) {
        self.outgoing.notified().await;
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.map(|connection| in_savepoint(connection, work));
            Box::new(move |committed| {
                let result = match result {
                    Some(result) => result.and_then(|value| committed.map(|()| value)),
                    None => committed.and(Err(StoreError::RolledBack)),
                };
                // Whoever asked may be gone; the work is done all the same.
                drop(reply.send(result));
            })
        });
        let jobs = self.thread.jobs.as_ref().ok_or(StoreError::Stopped)?;
        jobs.send(job)
            .await
            .map_err(|_closed| StoreError::Stopped)?;
        answer.await.map_err(|_dropped| StoreError::Stopped)?
    }
}

/// One failing job must not take the others of its commit with it. When it does all the same, the transaction is gone
/// afterwards: SQLite rolls it back by itself when the disk is full or broken, and so does this when the savepoint
/// cannot be ended.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("SAVEPOINT job")?;
    let result = work(connection);
    let end = if result.is_ok() {
        "RELEASE job"
    } else {
        "ROLLBACK TO job; RELEASE job"
    };
    let ended = connection.execute_batch(end);
    if ended.is_err() && !connection.is_autocommit() {
        drop(connection.execute_batch("ROLLBACK"));
    }
    let value = result?;
    ended?;
    Ok(value)
}

/// Does `jobs` in one transaction, all of it committed or, if an error, nothing.
fn in_transaction(
    connection: &Connection,
    jobs: Vec<Job>,
) -> (Vec<Completion>, Result<(), StoreError>) {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    let completions = jobs
        .into_iter()
        .map(|job| {
            // Outside a transaction, a savepoint would be one of its own, and its release a commit.
            let is_whole = begun.is_ok() && !connection.is_autocommit();
            job(is_whole.then_some(connection))
        })
        .collect();
    let committed = match begun {
        Ok(()) if connection.is_autocommit() => Err(StoreError::RolledBack),
        Ok(()) => connection.execute_batch("COMMIT").map_err(StoreError::from),
        Err(error) => Err(error.into()),
    };
    (completions, committed)
}

fn serve(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < MAX_JOBS_PER_COMMIT
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        let (completions, committed) = in_transaction(connection, jobs);
        if let Err(failure) = &committed {
            error!(%failure, "nothing could be stored");
            // SQLite has rolled back by itself for most reasons, and then this says that there is nothing to do.
            drop(connection.execute_batch("ROLLBACK"));
        }
        for complete in completions {
            complete(committed.clone());
        }
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Directory {
        path: directory.to_owned(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(directory.join("agent.lock"))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked(directory.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn open_file(path: &Path) -> Result<(Connection, Epoch), OpenError> {
    let failed = |source| OpenError::Database {
        path: path.to_owned(),
        source,
    };
    let connection = Connection::open(path).map_err(failed)?;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)?;
    match found {
        0 => create(&connection).map_err(failed)?,
        SCHEMA_VERSION => {}
        found => {
            return Err(OpenError::Version {
                path: path.to_owned(),
                found,
            });
        }
    }
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        .map_err(failed)?;
    let epoch: Option<String> = connection
        .query_row("SELECT epoch FROM outbox", [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    let epoch = epoch
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| OpenError::Epoch {
            path: path.to_owned(),
        })?;
    Ok((connection, epoch))
}

/// All or nothing: a crash in between leaves an empty file, which is made anew.
fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(SCHEMA)?;
    connection.execute(
        "INSERT INTO outbox (epoch, next_sequence) VALUES (?1, 1)",
        [Uuid::new_v4().to_string()],
    )?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    connection.execute_batch("COMMIT")
}

#[cfg(test)]
mod tests;
