//! Where people show what they know, a password or a code: who may try now, what is looked at at once, and what is written
//! down of failures.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use network::network;

use super::key_file::KeyFile;
use super::lockout::{Attempt, Factor, Lockout, TrialPlace};
use super::name::is_name;
use super::password::{Busy, Lane, PASSWORD_BYTES_MAX, Passwords};
use super::record;
use super::tally::{OTHERS, Sum, Tally, WINDOW};
use super::totp;
use crate::listener::console::is_control_room;
use crate::store::audit::AuditEntry;
use crate::store::{Store, StoreError};

/// What counts as the control room, and what is asked of whom.
#[derive(Debug, Clone)]
pub(crate) struct GateConfig {
    pub(crate) consoles: Vec<IpAddr>,
    pub(crate) proxies: Vec<IpAddr>,
}

/// Somebody who tries.
#[derive(Debug, Clone)]
pub(crate) struct Trial<'a> {
    pub(crate) name: &'a str,
    /// What they want to do by it, as the audit says.
    pub(crate) action: &'static str,
    /// As text, for the audit; an address, for what is counted.
    pub(crate) peer: &'a str,
    /// What the browser showed to be known by.
    pub(crate) device_cookie: Option<&'a str>,
}

/// Why nobody can say whether it is right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Hindrance {
    /// Not before this time.
    #[error("too many attempts: try again after {0}")]
    Locked(DateTime<Utc>),
    /// Too many others try.
    #[error("too many passwords are being checked: try again in a moment")]
    Busy,
    /// The records are away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// As whom somebody stands in the audit who failed: what nobody is called, like the server's own names, stands in no row.
fn called(name: &str) -> &str {
    if is_name(name) { name } else { OTHERS }
}

/// One for all people, with its own places for checking passwords.
#[derive(Debug)]
pub(crate) struct Gate {
    store: Store,
    config: GateConfig,
    passwords: Passwords,
    pub(crate) keys: Arc<KeyFile>,
    lockout: Mutex<Lockout>,
    tally: Mutex<Tally>,
}

impl Gate {
    pub(crate) fn new(store: Store, config: GateConfig, keys: Arc<KeyFile>) -> Self {
        Self {
            store,
            config,
            passwords: Passwords::new(),
            keys,
            lockout: Mutex::default(),
            tally: Mutex::default(),
        }
    }

    fn attempt<'a>(&self, trial: &Trial<'a>, factor: Factor) -> Attempt<'a> {
        let address: Option<IpAddr> = trial.peer.parse().ok();
        let device = trial
            .device_cookie
            .and_then(|cookie| self.keys.known_device(cookie, trial.name));
        let place = match (device, address) {
            (Some(id), _) => TrialPlace::Device(id),
            (None, Some(address))
                if is_control_room(address, &self.config.consoles, &self.config.proxies) =>
            {
                TrialPlace::Console
            }
            _ => TrialPlace::Elsewhere,
        };
        Attempt {
            name: trial.name,
            factor,
            address: address.map_or(IpAddr::from([0, 0, 0, 0]), network),
            place,
        }
    }

    /// Whether this is the password of `stored`; `None` for nobody, which takes as long. Failures are written down.
    pub(crate) async fn password(
        &self,
        trial: &Trial<'_>,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, Hindrance> {
        if password.len() > PASSWORD_BYTES_MAX {
            // Nobody's: neither looked at nor counted against whoever is named.
            self.write_down(trial, "wrong name or password").await?;
            return Ok(false);
        }
        let attempt = self.attempt(trial, Factor::Password);
        self.admit(trial, attempt)?;
        let lane = match attempt.place {
            TrialPlace::Device(_) | TrialPlace::Console => Lane::Reserved,
            TrialPlace::Elsewhere => Lane::Open,
        };
        let Ok(right) = self.passwords.verify(password, stored, lane).await else {
            let mut lockout = self.lockout.lock().unwrap_or_else(PoisonError::into_inner);
            lockout.withdraw(attempt, Instant::now());
            return Err(Hindrance::Busy);
        };
        if right {
            self.was_right(attempt);
        } else {
            self.write_down(trial, "wrong name or password").await?;
        }
        Ok(right)
    }

    /// The hash of a new password, made in the places that are kept for those who belong here.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Busy> {
        self.passwords.make(password, Lane::Reserved).await
    }

    /// Whether this is a code of somebody's second factor, or a recovery code of theirs: each is taken once.
    pub(crate) async fn code(&self, trial: &Trial<'_>, typed: &str) -> Result<bool, Hindrance> {
        let attempt = self.attempt(trial, Factor::Code);
        self.admit(trial, attempt)?;
        let right = self.take_code(trial.name, typed).await;
        if *right.as_ref().unwrap_or(&true) {
            self.was_right(attempt);
        } else {
            self.write_down(trial, "wrong code").await?;
        }
        right.map_err(Hindrance::Store)
    }

    /// Whether this is a code of a secret that was offered to somebody: its step.
    pub(crate) async fn offered_code(
        &self,
        trial: &Trial<'_>,
        sealed: &[u8],
        typed: &str,
    ) -> Result<Option<u64>, Hindrance> {
        let attempt = self.attempt(trial, Factor::Code);
        self.admit(trial, attempt)?;
        let step = self.step_of(trial.name, sealed, typed, 0);
        if step.is_some() {
            self.was_right(attempt);
        } else {
            self.write_down(trial, "wrong code").await?;
        }
        Ok(step)
    }

    fn step_of(&self, name: &str, sealed: &[u8], typed: &str, last: u64) -> Option<u64> {
        let secret = self
            .keys
            .unseal(name, sealed)
            .inspect_err(|error| tracing::error!(%error, "a second factor cannot be checked"));
        let now = u64::try_from(Utc::now().timestamp()).unwrap_or(0);
        totp::matching_step(&secret.ok()?, typed, now, last)
    }

    async fn take_code(&self, name: &str, typed: &str) -> Result<bool, StoreError> {
        if let Some(hash) = totp::recovery_hash(typed) {
            return self.store.take_recovery_code(name, &hash).await;
        }
        let Some(stored) = self.store.second_factor(name).await? else {
            return Ok(false);
        };
        match self.step_of(name, &stored.sealed_secret, typed, stored.last_step) {
            Some(step) => self.store.take_step(name, step).await,
            None => Ok(false),
        }
    }

    fn admit(&self, trial: &Trial<'_>, attempt: Attempt<'_>) -> Result<(), Hindrance> {
        let mut lockout = self.lockout.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = lockout.admit(attempt, Instant::now());
        drop(lockout);
        admitted.map_err(|locked| {
            self.count(trial, true);
            let wait = TimeDelta::from_std(locked.0).unwrap_or(TimeDelta::MAX);
            Hindrance::Locked(Utc::now() + wait + TimeDelta::seconds(1))
        })
    }

    fn was_right(&self, attempt: Attempt<'_>) {
        let mut lockout = self.lockout.lock().unwrap_or_else(PoisonError::into_inner);
        lockout.was_right(attempt, Instant::now());
    }

    fn count(&self, trial: &Trial<'_>, refused: bool) -> bool {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.is_single(called(trial.name), trial.peer, refused, Instant::now())
    }

    async fn write_down(&self, trial: &Trial<'_>, outcome: &str) -> Result<(), StoreError> {
        if !self.count(trial, false) {
            return Ok(());
        }
        let name = called(trial.name);
        let entry = AuditEntry::new(name, trial.peer, trial.action, name).outcome(outcome);
        self.store.audit_alone(entry).await
    }

    /// A sign-in at the identity provider failed: it stands under nobody's name, since nobody here is known by it.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be written down.
    pub(crate) async fn failed_elsewhere(
        &self,
        peer: &str,
        detail: serde_json::Value,
        outcome: &str,
    ) -> Result<(), StoreError> {
        let is_single = {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.is_single(OTHERS, peer, false, Instant::now())
        };
        if !is_single {
            return Ok(());
        }
        let entry = AuditEntry::new(OTHERS, peer, "login.begin", OTHERS)
            .detail(detail)
            .outcome(outcome);
        self.store.audit_alone(entry).await
    }

    /// Writes the sums of failures down, until the end.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        loop {
            let ended = tokio::time::timeout(WINDOW / 4, shutdown.cancelled())
                .await
                .is_ok();
            let sums = {
                let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
                if ended {
                    tally.take()
                } else {
                    tally.due(Instant::now())
                }
            };
            for sum in sums {
                if let Err(error) = self.write_sum(&sum).await {
                    tracing::error!(%error, attempts = sum.attempts, "failed sign-ins could not be written down");
                }
            }
            if ended {
                return;
            }
        }
    }

    async fn write_sum(&self, sum: &Sum) -> Result<(), StoreError> {
        let entry = AuditEntry::new(&sum.name, "", "login.failures", &sum.name)
            .detail(record::detail(sum))
            .outcome("wrong or too many");
        self.store.audit_alone(entry).await
    }
}
