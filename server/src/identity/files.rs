//! The files that say who may do what, looked at every second: what changes in them takes effect without a restart, and
//! for whoever is connected.
//!
//! A file that cannot be read, or is wrong, is told in the log once, and what was in force before goes on.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contract::ZoneId;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::authenticator::Authenticator;
use super::digest::of_text;
use super::policy::Policy;
use crate::audit::{AuditEntry, SERVER};
use crate::config::ConfigError;
use crate::store::{Store, StoreError};

/// How often the files are looked at: a right that is taken away is gone within about a second.
const LOOK: Duration = Duration::from_secs(1);

/// A site's file has some kilobytes; it is read every second.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where secrets that files name are found.
pub(crate) type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The whole text of a file that is not too long.
///
/// # Errors
/// The file cannot be read, or is no text of at most 1 MiB.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    let length = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(io::Error::other(format!(
            "it is longer than {FILE_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// Which files there are, and what they need to be understood.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) policy: Option<PathBuf>,
    /// And the hash of what was applied last.
    pub(crate) access: Option<(PathBuf, String)>,
    pub(crate) zones: Vec<ZoneId>,
    pub(crate) environment: Environment,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("policy", &self.policy)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// Writes down which policy is in force now, if it is another than the one that was last.
///
/// # Errors
/// [`StoreError`]: it is not written down.
pub(crate) async fn record_policy(store: &Store, policy: &Policy) -> Result<(), StoreError> {
    let old = store.newest_policy().await?;
    if old.as_deref() == Some(policy.hash()) {
        return Ok(());
    }
    let entry = AuditEntry::new(SERVER, "policy file", "policy.change", policy.name())
        .detail(json!({"old": old, "new": policy.hash()}));
    store.audit_alone(entry).await
}

/// Why a changed file has no effect.
#[derive(Debug, thiserror::Error)]
enum NoEffect {
    #[error("{0}")]
    Wrong(#[from] ConfigError),
    /// Tried again at the next look.
    #[error("{0}")]
    NotRecorded(#[from] StoreError),
}

/// The task that looks.
pub(crate) struct FileWatch {
    files: Files,
    store: Store,
    authenticator: Authenticator,
    in_force: watch::Sender<Arc<Policy>>,
    /// What was said of the policy file and of the access file last, so that it is said once.
    said: [Option<String>; 2],
}

impl FileWatch {
    /// A task for these files; `in_force` is where a new policy is put.
    pub(crate) fn new(
        files: Files,
        store: Store,
        authenticator: Authenticator,
        in_force: watch::Sender<Arc<Policy>>,
    ) -> Self {
        Self {
            files,
            store,
            authenticator,
            in_force,
            said: [None, None],
        }
    }

    /// Looks until the server stops.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = shutdown.cancelled() => return,
            }
            let policy = self.look_at_policy().await;
            self.say(
                0,
                policy,
                "the policy file has no effect; the policy before goes on",
            );
            let access = self.look_at_access().await;
            self.say(
                1,
                access,
                "the access file has no effect; what it said before goes on",
            );
        }
    }

    fn say(&mut self, which: usize, looked: Result<(), NoEffect>, consequence: &'static str) {
        let Some(said) = self.said.get_mut(which) else {
            return;
        };
        let wrong = looked.err().map(|why| why.to_string());
        if let Some(reason) = wrong
            .as_deref()
            .filter(|wrong| said.as_deref() != Some(*wrong))
        {
            tracing::error!(reason, "{consequence}");
        }
        *said = wrong;
    }

    async fn look_at_policy(&self) -> Result<(), NoEffect> {
        let Some(path) = self.files.policy.clone() else {
            return Ok(());
        };
        let text = read_apart(&path).await?;
        if of_text(&text) == self.in_force.borrow().hash() {
            return Ok(());
        }
        let policy = Policy::read(&path, &text)?;
        record_policy(&self.store, &policy).await?;
        let (file, hash) = (policy.name().to_owned(), policy.hash().to_owned());
        self.in_force.send_replace(Arc::new(policy));
        let sessions = self.authenticator.publisher.all_rights_changed();
        tracing::info!(file, hash, sessions, "a new policy is in force");
        Ok(())
    }

    async fn look_at_access(&mut self) -> Result<(), NoEffect> {
        let Some((path, applied)) = self.files.access.clone() else {
            return Ok(());
        };
        let text = read_apart(&path).await?;
        let found = of_text(&text);
        if found == applied {
            return Ok(());
        }
        let zones: Vec<&ZoneId> = self.files.zones.iter().collect();
        let access = Access::read(&path, &text, &zones, &*self.files.environment)?;
        let applied = access.apply(&self.store).await?;
        self.authenticator.take_effect(&applied.called_back);
        for change in applied.changes {
            tracing::info!(subject = change.subject, what = ?change.what, "the access file changed somebody");
        }
        self.files.access = Some((path, found));
        Ok(())
    }
}

/// Reads a file where a slow disk holds up nobody.
async fn read_apart(path: &Path) -> Result<String, ConfigError> {
    let owned = path.to_owned();
    let text = tokio::task::spawn_blocking(move || read(&owned)).await;
    let text = text.unwrap_or_else(|error| Err(io::Error::other(error)));
    text.map_err(|source| ConfigError::read(path, source))
}
