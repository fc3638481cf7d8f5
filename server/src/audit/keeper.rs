//! The task that looks after the audit: publishes the head of the chain, and brings in what emergencies journaled.
//!
//! Where the head that was published last is not in the chain any more, somebody rewrote it or cut it off. That is told for as
//! long as this server runs, and nothing is published over it: the old heads are the evidence. Only a person decides, by
//! putting the file of heads aside and starting the server again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::head::{Head, Heads};
use super::journal::Journal;
use super::settings::AuditSettings;
use super::syslog;
use crate::observability::{count_audit_failure, show_journaled};
use crate::store::{Store, StoreError};

/// What was appended within the last minute is what somebody could cut off unseen.
const PUBLISH_EVERY: Duration = Duration::from_secs(60);

/// After an outage of the audit, its journal waits no longer than this.
const SETTLE_EVERY: Duration = Duration::from_secs(5);

/// The task.
pub(crate) struct AuditKeeper {
    store: Store,
    settings: AuditSettings,
    journal: Journal,
    /// The last head in the file.
    published: Option<Head>,
    /// The last one that the system log has.
    sent: Option<Head>,
    /// Whether the chain is not the one whose head was published.
    broken: watch::Sender<bool>,
}

impl AuditKeeper {
    /// Goes on from the last head that was published.
    pub(crate) fn new(store: Store, settings: AuditSettings, journal: Journal) -> Self {
        let published = std::fs::read_to_string(&settings.head)
            .ok()
            .and_then(|text| Heads::read(&text).heads.pop());
        Self {
            store,
            settings,
            journal,
            published,
            sent: published,
            broken: watch::Sender::new(false),
        }
    }

    /// Whether the chain was found rewritten.
    pub(crate) fn broken(&self) -> watch::Receiver<bool> {
        self.broken.subscribe()
    }

    /// Works until it is told to stop: after everybody else, so that the last head is the last.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut publish = tokio::time::interval(PUBLISH_EVERY);
        let mut settle = tokio::time::interval(SETTLE_EVERY);
        publish.set_missed_tick_behavior(MissedTickBehavior::Delay);
        settle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = publish.tick() => self.publish().await,
                _ = settle.tick() => self.settle().await,
                () = stop.cancelled() => break,
            }
        }
        self.settle().await;
        self.publish().await;
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

    async fn publish(&mut self) {
        if let Err(error) = self.try_publish().await {
            count_audit_failure();
            tracing::error!(%error, path = %self.settings.head.display(), "the head of the audit could not be published");
        }
    }

    async fn try_publish(&mut self) -> Result<(), PublishError> {
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
        let Some(head) = head else {
            return Ok(());
        };
        if self.published != Some(head) {
            let path = self.settings.head.clone();
            tokio::task::spawn_blocking(move || append(&path, &head))
                .await
                .map_err(io::Error::other)??;
            self.published = Some(head);
        }
        if let Some(address) = &self.settings.syslog
            && self.sent != Some(head)
        {
            syslog::send(address, &head).await?;
            self.sent = Some(head);
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(
        "the audit is not the one whose head was published (row {0}), so none is published any more: run `landside-server audit verify`"
    )]
    Rewritten(i64),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One line in one write: other writers, and a file that may only be appended to, keep it whole.
fn append(path: &Path, head: &Head) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{head}\n").as_bytes())?;
    file.sync_all()
}
