//! Signing keys rotate while the server runs: by age, and whenever somebody asks for it from elsewhere.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::authenticator::Authenticator;
use super::key_file::KeyFile;
use super::keys::{Due, KeyState, Rotate, StoredKey, due};
use crate::audit::{AuditEntry, COMMAND_LINE, SERVER};
use crate::store::{Store, StoreError, Unit};

/// How often the store is asked whether somebody else changed the keys: one small query, and what a command did is in
/// force before whoever gave it has looked up.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Does what is due, if anything is, and tells which keys there are then.
pub(super) async fn turn(
    store: &Store,
    sealing: &KeyFile,
    rotate: Rotate,
    now: DateTime<Utc>,
) -> Result<Vec<StoredKey>, StoreError> {
    let keys = store.signing_keys(sealing).await?;
    if due(&keys, rotate, now).is_nothing() {
        return Ok(keys);
    }
    let mut unit = store.begin().await?;
    Store::lock_signing_keys(&mut unit).await?;
    // Another server may have done it while this one waited.
    let before = Store::closed_signing_keys(&mut unit).await?;
    apply(&mut unit, sealing, &due(&before, rotate, now), now).await?;
    let keys = Store::signing_keys_in(&mut unit, sealing).await?;
    let by = match rotate {
        Rotate::After(_) => SERVER,
        Rotate::Now => COMMAND_LINE,
    };
    write_down(&mut unit, by, &before, &keys).await?;
    unit.commit().await?;
    for key in &keys {
        tracing::info!(key.id = key.kid, state = %key.state(), "signing key");
    }
    Ok(keys)
}

async fn apply(
    unit: &mut Unit<'_>,
    sealing: &KeyFile,
    due: &Due,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    Store::turn_signing_keys(unit, due, now).await?;
    if due.make_current {
        let key = StoredKey {
            activated_at: Some(now),
            ..StoredKey::new(now)
        };
        Store::put_signing_key(unit, sealing, &key).await?;
    }
    if due.make_next {
        Store::put_signing_key(unit, sealing, &StoredKey::new(now)).await?;
    }
    Ok(())
}

/// Writes down which key signs from now on, and which are no longer there. The next one that is only published is no event
/// of its own: it signs nothing yet.
async fn write_down(
    unit: &mut Unit<'_>,
    by: &'static str,
    before: &[StoredKey],
    now: &[StoredKey],
) -> Result<(), StoreError> {
    let signing = |keys: &[StoredKey]| {
        let current = keys.iter().find(|key| key.state() == KeyState::Current);
        current.map(|key| key.kid.clone())
    };
    let (old, new) = (signing(before), signing(now));
    if let Some(kid) = new.as_deref().filter(|_| old != new) {
        let entry = AuditEntry::new(by, "", "key.rotate", kid).detail(json!({"before": old}));
        Store::audit(unit, entry).await?;
    }
    let gone = before
        .iter()
        .filter(|key| now.iter().all(|left| left.kid != key.kid));
    for key in gone {
        let detail = json!({"state": key.state().to_string()});
        let entry = AuditEntry::new(by, "", "key.remove", &key.kid).detail(detail);
        Store::audit(unit, entry).await?;
    }
    Ok(())
}

/// Follows the keys of the store, and rotates them by age, until the word to stop.
pub(crate) async fn follow(
    authenticator: Authenticator,
    store: Store,
    sealing: Arc<KeyFile>,
    age: Duration,
    shutdown: CancellationToken,
) {
    let tokens = Arc::clone(&authenticator.tokens);
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        // With the database away the keys stay as they are: tokens are made and checked on.
        match turn(&store, &sealing, Rotate::After(age), Utc::now()).await {
            Ok(keys) => match tokens.use_keys(&keys) {
                Ok(removed) if removed.is_empty() => {}
                Ok(removed) => authenticator.keys_removed(&removed),
                Err(error) => tracing::error!(%error, "the signing keys stay as they were"),
            },
            Err(error) => tracing::warn!(%error, "the signing keys were not looked at"),
        }
    }
}

/// Older than any key of ours.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A signing key, for a person to read.
#[derive(Debug, Clone)]
pub struct KeyLine {
    /// Its name in tokens and in the key set.
    pub kid: String,
    /// What it is for.
    pub state: KeyState,
    /// Since when it is that.
    pub since: DateTime<Utc>,
}

fn lines(keys: Vec<StoredKey>) -> Vec<KeyLine> {
    keys.into_iter()
        .map(|key| KeyLine {
            state: key.state(),
            since: key.since(),
            kid: key.kid,
        })
        .collect()
}

/// The signing keys.
///
/// # Errors
/// [`StoreError`] when the store does not answer.
pub async fn list(store: &Store) -> Result<Vec<KeyLine>, StoreError> {
    let keys = Store::closed_signing_keys(&mut store.begin().await?).await?;
    Ok(lines(keys))
}

/// Takes the next key into use now; the old one is published until its last token has expired.
///
/// # Errors
/// [`StoreError`] when the store does not answer.
pub async fn rotate(store: &Store, sealing: &KeyFile) -> Result<Vec<KeyLine>, StoreError> {
    Ok(lines(turn(store, sealing, Rotate::Now, Utc::now()).await?))
}

/// Removes a key that somebody else may have: its tokens are refused everywhere from now on. If it signs, the next one
/// does from now on. Without `sealing` none can be made: the server makes what is missing when it starts. `None`: there is
/// no such key.
///
/// # Errors
/// [`StoreError`] when the store does not answer.
pub async fn remove(
    store: &Store,
    sealing: Option<&KeyFile>,
    kid: &str,
) -> Result<Option<Vec<KeyLine>>, StoreError> {
    let mut unit = store.begin().await?;
    Store::lock_signing_keys(&mut unit).await?;
    let before = Store::closed_signing_keys(&mut unit).await?;
    if !Store::remove_signing_key(&mut unit, kid).await? {
        return Ok(None);
    }
    if let Some(sealing) = sealing {
        let now = Utc::now();
        // Without one that signs, the next one is due at once.
        let left = Store::closed_signing_keys(&mut unit).await?;
        let due = due(&left, Rotate::After(NEVER), now);
        apply(&mut unit, sealing, &due, now).await?;
    }
    let keys = Store::closed_signing_keys(&mut unit).await?;
    write_down(&mut unit, COMMAND_LINE, &before, &keys).await?;
    unit.commit().await?;
    Ok(Some(lines(keys)))
}
