//! Taking something away: the change, its revocation and its audit row are one transaction, and what was stored takes
//! effect at COMMIT, here at once, and wherever else a server uses the same database within [`LOOK_EVERY`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::authenticator::Authenticator;
use super::standing::{CalledBack, Revocation};
use crate::store::people::InviteError;
use crate::store::{Store, StoreError, Unit};

/// How often the store is asked whether somebody else called something back: what is taken away is gone within a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Every so many looks everything is read, not only what is new: a clock that was set back hides nothing for longer.
const LOOKS_TO_A_WHOLE: u32 = 300;

/// A unit of work that calls something back.
#[must_use = "nothing is called back until it is committed"]
pub(crate) struct CallBack {
    /// What is done in the same transaction; the audit row last.
    pub(crate) unit: Unit<'static>,
    stored: Vec<CalledBack>,
}

impl CallBack {
    pub(crate) async fn begin(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            unit: store.begin().await?,
            stored: Vec::new(),
        })
    }

    /// Everything that somebody holds, or an application for people. Say it before what ends logins, which then finds
    /// every login that was begun with what is taken away. Whether anybody is called so.
    pub(crate) async fn subject(&mut self, name: &str) -> Result<bool, StoreError> {
        self.put(Revocation::Subject(name.to_owned()), None).await
    }

    /// What comes from a login or a family of refresh tokens of `holder`.
    pub(crate) async fn grant(&mut self, id: Uuid, holder: &str) -> Result<(), StoreError> {
        let revocation = Revocation::Grant(id);
        self.put(revocation, Some(holder)).await.map(drop)
    }

    /// One token; nobody may know whose it is.
    pub(crate) async fn token(&mut self, id: Uuid, holder: Option<&str>) -> Result<(), StoreError> {
        self.put(Revocation::Token(id), holder).await.map(drop)
    }

    /// Every login of somebody but one, and what they let applications do: how many ended. Whoever signs in at this
    /// moment, with a password of before, does not get in.
    pub(crate) async fn other_logins(
        &mut self,
        name: &str,
        but: Uuid,
    ) -> Result<usize, StoreError> {
        Store::raise_generation(&mut self.unit, name).await?;
        let ended = Store::end_other_logins(&mut self.unit, name, but).await?;
        for id in &ended {
            self.grant(*id, name).await?;
        }
        Ok(ended.len())
    }

    /// Somebody can come in by this link only: second factor, logins and tokens of before are void.
    pub(crate) async fn link(
        &mut self,
        name: &str,
        token_hash: &[u8],
        by: &str,
        until: DateTime<Utc>,
    ) -> Result<(), InviteError> {
        self.subject(name).await?;
        Store::end_logins(&mut self.unit, name).await?;
        Store::put_invitation(&mut self.unit, name, token_hash, by, until).await
    }

    async fn put(
        &mut self,
        revocation: Revocation,
        holder: Option<&str>,
    ) -> Result<bool, StoreError> {
        let stored = Store::put_revocation(&mut self.unit, &revocation, holder).await?;
        let is_somebody = stored.is_some();
        self.stored.extend(stored);
        Ok(is_somebody)
    }

    /// Stores everything, and lets it take effect.
    pub(crate) async fn commit(self, authenticator: &Authenticator) -> Result<(), StoreError> {
        authenticator.take_effect(&self.store().await?);
        Ok(())
    }

    /// Stores everything; where a server runs, it finds that within [`LOOK_EVERY`].
    pub(crate) async fn store(self) -> Result<Vec<CalledBack>, StoreError> {
        self.unit.commit().await?;
        Ok(self.stored)
    }
}

/// Lets take effect what others call back, until the word to stop: other servers, the command line, and the provider its keys.
pub(crate) async fn follow(
    authenticator: Authenticator,
    store: Store,
    shutdown: CancellationToken,
) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut newest: Option<DateTime<Utc>> = None;
    let (mut looks, mut was_away) = (0, false);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        authenticator.follow_provider();
        let is_whole = looks % LOOKS_TO_A_WHOLE == 0;
        match look(&authenticator, &store, newest.filter(|_| !is_whole)).await {
            Ok(seen) => {
                newest = newest.max(seen);
                looks += 1;
                was_away = false;
            }
            // What is called back meanwhile is found afterwards.
            Err(error) if !was_away => {
                tracing::warn!(%error, "what others called back was not looked at; it will be when the database answers");
                was_away = true;
            }
            Err(_) => {}
        }
    }
}

/// Looks once: when the newest of it was called back.
async fn look(
    authenticator: &Authenticator,
    store: &Store,
    newest: Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    if newest.is_none() {
        store.forget_revocations().await?;
    }
    let stored = store.revocations(newest).await?;
    authenticator.take_effect(&stored);
    Ok(stored.last().map(|last| last.at))
}
