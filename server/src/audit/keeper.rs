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
    /// Goes on from the last head that was published.
    pub(crate) fn new(settings: AuditSettings, settler: Settler) -> Self {
        let opened = HeadFile::open(&settings.head);
        let mut keeper = Self {
            store: settler.store.clone(),
            settings,
            settler,
            file: None,
            garbled: 0,
            published: None,
            sent: None,
            broken: watch::Sender::new(false),
        };
        // What hinders it is told at the first attempt to publish.
        if let Ok(opened) = opened {
            keeper.go_on(opened);
        }
        keeper
    }

    fn go_on(&mut self, (file, newest, unreadable): (HeadFile, Option<Head>, Vec<usize>)) {
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
            self.go_on(apart(move || HeadFile::open(&path)).await??);
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
        let Some(file) = self.file.clone() else {
            unreachable!("it was just opened")
        };
        let (looked, mut file) = apart(move || (file.look(), file)).await?;
        let mut heads: Vec<Head> = head
            .filter(|head| self.published != Some(*head))
            .into_iter()
            .collect();
        match looked {
            Ok(()) => {}
            Err(Harm::Unreadable(error)) => return Err(error.into()),
            Err(harm) => {
                self.tell(&harm, HARMED);
                heads.splice(0..0, self.published);
            }
        }
        if let Some(newest) = heads.last().copied() {
            let (appended, file) = apart(move || (file.append(&heads), file)).await?;
            appended?;
            self.file = Some(file);
            self.published = Some(newest);
        }
        if let Some(address) = &self.settings.syslog
            && let Some(head) = head.filter(|head| self.sent != Some(*head))
        {
            syslog::send(address, &head).await?;
            self.sent = Some(head);
        }
        Ok(())
    }
}

/// Looks at files where a slow disk holds up nobody.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)
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
