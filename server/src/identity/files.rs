//! The files that say who may do what, looked at twice a second: what changes in them takes effect without a restart, and
//! for whoever is connected, when two looks found the same.
//!
//! A file that cannot be read, or is wrong, or would shut everybody out, is told in the log and in the audit once, and what
//! was in force before goes on. So is one that hangs, and readiness says so.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contract::ZoneId;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::authenticator::Authenticator;
use super::digest::of_text;
use super::in_force::Enact;
use super::policy::{Permission, Place, Policy};
use super::principal::Principal;
use crate::apart::Apart;
use crate::audit::{AuditEntry, SERVER};
use crate::config::ConfigError;
use crate::settled::Settled;
use crate::store::people::KnownPerson;
use crate::store::{Store, StoreError};

/// How often the files are looked at: a right that is taken away is gone within about a second, which is two looks.
const LOOK: Duration = Duration::from_millis(500);

/// A site's file has some kilobytes; it is read at every look.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where secrets that files name are found.
pub(crate) type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The whole text of a file that is not too long. A pipe is not even opened: nobody may ever write into it, and whoever waited
/// for that would look at no file any more.
///
/// # Errors
/// The file cannot be read, or is no regular file with text of at most 1 MiB.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
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

/// Refuses a file that says nothing: whoever means that nobody is to come in writes so in a comment.
///
/// # Errors
/// [`ConfigError`]: it is empty.
pub(crate) fn not_empty(path: &Path, text: &str) -> Result<(), ConfigError> {
    if text.trim().is_empty() {
        return Err(ConfigError::empty(path));
    }
    Ok(())
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
pub enum NoEffect {
    /// It says nothing, or nothing that can be.
    #[error("{0}")]
    Wrong(#[from] ConfigError),
    /// Nobody could be let in any more.
    #[error(
        "it would leave nobody who may do people.manage: leave that right, with every zone, to somebody who is there, or restart the server with it"
    )]
    NobodyLeft,
    /// Tried again at the next look.
    #[error("{0}")]
    NotRecorded(#[from] StoreError),
}

/// The task that looks.
pub(crate) struct FileWatch {
    files: Files,
    store: Store,
    authenticator: Authenticator,
    in_force: Enact,
    /// Where they are read.
    reading: [Apart<io::Result<String>>; 2],
    /// The hash of what each file says.
    policy: Settled<String>,
    access: Settled<String>,
    /// What was said of the policy file and of the access file last, so that it is said once.
    said: [Option<String>; 2],
}

impl FileWatch {
    /// A task for these files; `in_force` is where a new policy is put.
    pub(crate) fn new(
        files: Files,
        store: Store,
        authenticator: Authenticator,
        in_force: Enact,
    ) -> Self {
        let policy = Settled::new(in_force.policy.borrow().hash().to_owned());
        let applied = files.access.as_ref().map(|(_, applied)| applied.clone());
        Self {
            policy,
            access: Settled::new(applied.unwrap_or_default()),
            files,
            store,
            authenticator,
            in_force,
            reading: [Apart::new("policy"), Apart::new("access")],
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
            self.say(0, "policy.refuse", policy).await;
            let access = self.look_at_access().await;
            let hangs = self.reading.iter().any(Apart::hangs);
            self.in_force.hangs.send_replace(hangs);
            self.say(1, "access.refuse", access).await;
        }
    }

    async fn say(&mut self, which: usize, action: &'static str, looked: Result<(), NoEffect>) {
        let Some(said) = self.said.get_mut(which) else {
            return;
        };
        let before = said.take();
        let Err(refused) = looked else {
            return;
        };
        let reason = refused.to_string();
        if before.as_ref() != Some(&reason) {
            tracing::error!(
                reason,
                action,
                "a changed file has no effect; what was in force before goes on"
            );
            if !matches!(refused, NoEffect::NotRecorded(_)) {
                let access = self.files.access.as_ref().map(|(path, _)| path);
                let path = [self.files.policy.as_ref(), access].get(which).copied();
                let path = path
                    .flatten()
                    .map_or_else(String::new, |path| path.display().to_string());
                let entry = AuditEntry::new(SERVER, "file", action, &path).outcome(&reason);
                if let Err(error) = self.store.audit_alone(entry).await {
                    tracing::error!(%error, "that a file was refused is not in the audit");
                }
            }
        }
        *said = Some(reason);
    }

    async fn look_at_policy(&mut self) -> Result<(), NoEffect> {
        let Some(path) = self.files.policy.clone() else {
            return Ok(());
        };
        let Some(text) = look(&mut self.policy, &mut self.reading[0], &path).await? else {
            return Ok(());
        };
        let policy = Policy::read(&path, &text)?;
        self.somebody_is_left(&policy, None).await?;
        record_policy(&self.store, &policy).await?;
        let (file, hash) = (policy.name().to_owned(), policy.hash().to_owned());
        self.policy.decide(hash.clone());
        self.in_force.policy.send_replace(Arc::new(policy));
        let sessions = self.authenticator.publisher.all_rights_changed();
        tracing::info!(file, hash, sessions, "a new policy is in force");
        Ok(())
    }

    async fn look_at_access(&mut self) -> Result<(), NoEffect> {
        let Some((path, _)) = self.files.access.clone() else {
            return Ok(());
        };
        let Some(text) = look(&mut self.access, &mut self.reading[1], &path).await? else {
            return Ok(());
        };
        let found = of_text(&text);
        let zones: Vec<&ZoneId> = self.files.zones.iter().collect();
        let access = Access::read(&path, &text, &zones, &*self.files.environment)?;
        let policy = Arc::clone(&self.in_force.policy.borrow());
        self.somebody_is_left(&policy, Some(&access)).await?;
        let applied = access.apply(&self.store).await?;
        self.authenticator.take_effect(&applied.called_back);
        for change in applied.changes {
            tracing::info!(subject = change.subject, what = ?change.what, "the access file changed somebody");
        }
        self.access.decide(found);
        Ok(())
    }

    /// Refuses what would leave nobody who could let others in, where there is somebody now.
    async fn somebody_is_left(
        &self,
        policy: &Policy,
        access: Option<&Access>,
    ) -> Result<(), NoEffect> {
        let before = Arc::clone(&self.in_force.policy.borrow());
        let people = self.store.people().await?;
        if is_somebody_left(&people, &before, None) && !is_somebody_left(&people, policy, access) {
            return Err(NoEffect::NobodyLeft);
        }
        Ok(())
    }
}

/// Whether somebody can let others in by this policy: of the people there are, and of those whom a new access file names.
fn is_somebody_left(people: &[KnownPerson], policy: &Policy, access: Option<&Access>) -> bool {
    let may = |who: &Principal| policy.entitles(who, Permission::PeopleManage, Place::Anywhere);
    let is_of_file = |person: &&KnownPerson| {
        let name = &person.principal.subject;
        let names = |access: &Access| access.people().any(|named| named.subject == *name);
        access.is_some_and(|access| person.from_file || names(access))
    };
    let mut staying = people
        .iter()
        .filter(|person| !person.disabled && !is_of_file(person));
    staying.any(|person| may(&person.principal))
        || access.is_some_and(|access| access.people().any(may))
}

/// Whether a server that runs would take this policy and this access file, as far as that can be said without one, and as
/// far as `store` knows, if there is one. Nothing is changed.
///
/// # Errors
/// [`NoEffect`]: why it would not.
pub async fn would_be_taken(
    policy: &Policy,
    access: Access,
    store: Option<&Store>,
) -> Result<(), NoEffect> {
    if policy.roles_with(Permission::PeopleManage).is_empty() {
        return Err(NoEffect::NobodyLeft);
    }
    let Some(store) = store else {
        return Ok(());
    };
    let people = store.people().await?;
    if !people.is_empty() && !is_somebody_left(&people, policy, Some(&access)) {
        return Err(NoEffect::NobodyLeft);
    }
    Ok(access.try_out(store).await?)
}

/// Tells in the log of a server that starts with what it would not take while it runs.
///
/// # Errors
/// [`StoreError`]: nobody can say.
pub(crate) async fn tell_whether_somebody_is_left(
    store: &Store,
    policy: &Policy,
) -> Result<(), StoreError> {
    let policy_file = policy.name();
    if policy.roles_with(Permission::PeopleManage).is_empty() {
        tracing::warn!(
            policy_file,
            "by this policy no role may do people.manage, so nobody can let others in; a server that runs would not take it"
        );
    } else if !is_somebody_left(&store.people().await?, policy, None) {
        tracing::warn!(
            policy_file,
            "nobody who is known may do people.manage with every zone: let somebody in by `landside-server people invite`"
        );
    }
    Ok(())
}

/// What is to be decided on, if two looks found it.
async fn look(
    settled: &mut Settled<String>,
    reading: &mut Apart<io::Result<String>>,
    path: &Path,
) -> Result<Option<String>, NoEffect> {
    let owned = path.to_owned();
    let text = match reading.look(move || read(&owned)).await.flatten() {
        Ok(text) => text,
        Err(source) => {
            settled.look_failed();
            return Err(ConfigError::read(path, source).into());
        }
    };
    if !settled.look(of_text(&text)) {
        return Ok(None);
    }
    not_empty(path, &text)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.toml");
        std::fs::write(&path, "text").unwrap();
        assert_eq!(read(&path).unwrap(), "text");
        for other in [directory.path(), Path::new("/dev/null")] {
            let error = read(other).unwrap_err().to_string();
            assert_eq!(error, "it is no regular file", "{}", other.display());
        }
    }
}
