//! The tasks that look after the audit: one publishes the head of the chain, the other brings in what emergencies journaled.
//!
//! Where the head that was published last is not in the chain any more, somebody rewrote it or cut it off. That is told for as
//! long as this server runs, and nothing is published over it: the old heads are the evidence. Only a person decides, by
//! putting the file of heads aside and starting the server again. What becomes of that file itself while the server runs is
//! told once, and the file goes on from the head that was published last.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::head::Head;
use super::head_file::{Harm, HeadFile};
use super::journal::Journal;
use super::settings::AuditSettings;
use super::syslog;
use crate::apart::Apart;
use crate::observability::{count_audit_failure, show_journaled};
use crate::store::{Store, StoreError};

/// What was appended within the last minute is what somebody could cut off unseen.
const PUBLISH_EVERY: Duration = Duration::from_secs(60);

/// After an outage of the audit, its journal waits no longer than this.
const SETTLE_EVERY: Duration = Duration::from_secs(5);

/// What is said of the file when it is not as it was left.
const HARMED: &str = "somebody did something to the published heads";

/// Brings in what was journaled.
#[derive(Debug, Clone)]
pub(crate) struct Settler {
    store: Store,
    journal: Journal,
}

impl Settler {
    pub(crate) fn new(store: Store, journal: Journal) -> Self {
        Self { store, journal }
    }

    /// Works until it is told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut settle = tokio::time::interval(SETTLE_EVERY);
        settle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = settle.tick() => self.settle().await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Brings in what was journaled, if the database takes it.
    pub(crate) async fn settle(&self) {
        match self.journal.settle(&self.store).await {
            Ok(0) => {}
            Ok(rows) => {
                show_journaled(false);
                tracing::warn!(rows, "what was journaled is in the audit now");
            }
            Err(error) => {
                show_journaled(true);
                tracing::error!(%error, "what was journaled cannot be brought into the audit yet");
            }
        }
    }
}

/// Publishes heads.
pub(crate) struct AuditKeeper {
    store: Store,
    settings: AuditSettings,
    settler: Settler,
    /// None until it could be read.
    file: Option<HeadFile>,
    reading: Apart<io::Result<Read>>,
    writing: Apart<Written>,
    /// Lines of it that are no heads, which nobody was told of yet.
    garbled: usize,
    /// The last head in the file.
    published: Option<Head>,
    /// The last one that the system log has.
    sent: Option<Head>,
    /// Whether the chain is not the one whose head was published.
    broken: watch::Sender<bool>,
}

impl AuditKeeper {
    /// It goes on from the last head that was published, once it has read it.
    pub(crate) fn new(settings: AuditSettings, settler: Settler) -> Self {
        Self {
            store: settler.store.clone(),
            settings,
            settler,
            file: None,
            reading: Apart::new("audit-head"),
            writing: Apart::new("audit-head"),
            garbled: 0,
            published: None,
            sent: None,
            broken: watch::Sender::new(false),
        }
    }

    fn go_on(&mut self, (file, newest, unreadable): Read) {
        self.file = Some(file);
        self.garbled = unreadable.len();
        (self.published, self.sent) = (newest, newest);
    }

    /// Whether the chain was found rewritten.
    pub(crate) fn broken(&self) -> watch::Receiver<bool> {
        self.broken.subscribe()
    }

    /// Works until it is told to stop: after everybody else, so that the last head is the last.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut publish = tokio::time::interval(PUBLISH_EVERY);
        publish.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = publish.tick() => self.publish().await,
                () = stop.cancelled() => break,
            }
        }
        self.settler.settle().await;
        self.publish().await;
    }

    async fn publish(&mut self) {
        if let Err(error) = self.try_publish().await {
            self.tell(&error, "the head of the audit could not be published");
        }
    }

    fn tell(&self, error: &dyn std::error::Error, what: &str) {
        count_audit_failure();
        tracing::error!(%error, path = %self.settings.head.display(), "{what}");
    }

    async fn try_publish(&mut self) -> Result<(), PublishError> {
        if self.file.is_none() {
            let path = self.settings.head.clone();
            let read = self.reading.look(move || HeadFile::open(&path)).await??;
            self.go_on(read);
        }
        let garbled = std::mem::take(&mut self.garbled);
        if garbled > 0 {
            self.tell(&PublishError::NoHeads(garbled), HARMED);
        }
        // Before what was published is looked at: what is rewritten in between is found, and not published.
        let head = self.store.audit_head().await?;
        if let Some(published) = self.published
            && self.store.audit_hash(published.number).await? != Some(published.hash)
        {
            self.broken.send_replace(true);
        }
        if *self.broken.borrow() {
            return Err(PublishError::Rewritten(
                self.published.map_or(0, |head| head.number),
            ));
        }
        // Before the file, which may hang.
        if let Some(address) = &self.settings.syslog
            && let Some(head) = head.filter(|head| self.sent != Some(*head))
        {
            match syslog::send(address, &head).await {
                Ok(()) => self.sent = Some(head),
                Err(error) => {
                    self.tell(&error, "the system log did not take the head of the audit")
                }
            }
        }
        let Some(file) = self.file.clone() else {
            unreachable!("it was just opened")
        };
        let published = self.published;
        let written = self.writing.look(move || write(file, published, head));
        let written = written.await?;
        if let Some(harm) = &written.harm {
            self.tell(harm, HARMED);
        }
        written.done?;
        (self.file, self.published) = (Some(written.file), written.newest);
        Ok(())
    }
}

/// The file, the newest head in it, and the lines that are none.
type Read = (HeadFile, Option<Head>, Vec<usize>);

/// What came of an attempt to write, which may come back long after.
struct Written {
    file: HeadFile,
    harm: Option<Harm>,
    newest: Option<Head>,
    done: io::Result<()>,
}

/// Looks what became of the file, and appends the head, if it is a new one; to a harmed file the one before it first.
fn write(mut file: HeadFile, published: Option<Head>, head: Option<Head>) -> Written {
    let new = head.filter(|head| published != Some(*head));
    let (harm, heads) = match file.look() {
        Ok(()) => (None, Vec::from_iter(new)),
        Err(Harm::Unreadable(error)) => {
            return Written {
                file,
                harm: None,
                newest: published,
                done: Err(error),
            };
        }
        Err(harm) => (Some(harm), published.into_iter().chain(new).collect()),
    };
    let done = match heads.is_empty() {
        true => Ok(()),
        false => file.append(&heads),
    };
    let newest = heads.last().copied().or(published);
    Written {
        file,
        harm,
        newest,
        done,
    }
}

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(
        "the audit is not the one whose head was published (row {0}), so none is published any more: run `landside-server audit verify`"
    )]
    Rewritten(i64),
    #[error("{0} lines of its file are no heads")]
    NoHeads(usize),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}
