//! Applications through which people act, as the access file describes them.

use chrono::{DateTime, Utc};
use contract::Role;
use serde::Deserialize;
use uuid::Uuid;

use crate::config::ConfigError;
use crate::identity::grant::{Application, redirect_problem};
use crate::identity::principal::Zones;
use crate::identity::secret;
use crate::identity::standing::Revocation;
use crate::store::{Store, StoreError, Unit};

/// `[[application]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    /// What it calls itself (`client_id`).
    id: String,
    /// What people are told that it is.
    name: String,
    /// Where it may have its answers.
    redirect_uris: Vec<String>,
    /// The variable with its secret; an application on people's own machines can keep none.
    secret_env: Option<String>,
    /// What people can be at most when they act through it; `viewer` is for everybody. By default whatever they are.
    roles: Option<Vec<Role>>,
    /// And where. By default wherever they may.
    zones: Option<Vec<String>>,
}

/// What is wrong with one.
pub(super) enum Wrong {
    Sentence(String),
    Told(ConfigError),
}

impl From<ConfigError> for Wrong {
    fn from(error: ConfigError) -> Self {
        Self::Told(error)
    }
}

/// An application that must exist.
pub(super) struct Entry {
    application: Application,
    secret: Option<String>,
}

impl Entry {
    pub(super) fn id(&self) -> &str {
        &self.application.id
    }
}

/// How the access file reads something of an owner.
type ReadSecret<'a> = &'a dyn Fn(&str, &str) -> Result<String, ConfigError>;
type ReadZones<'a> = &'a dyn Fn(&str, &[String]) -> Result<Zones, ConfigError>;

impl Section {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn read(self, secret: ReadSecret<'_>, zones: ReadZones<'_>) -> Result<Entry, Wrong> {
        if self.redirect_uris.is_empty() {
            let wrong = "redirect_uris names no address for its answers";
            return Err(Wrong::Sentence(wrong.to_owned()));
        }
        for uri in &self.redirect_uris {
            if let Some(wrong) = redirect_problem(uri) {
                return Err(Wrong::Sentence(format!("{uri:?} in redirect_uris {wrong}")));
            }
        }
        let words = self
            .zones
            .unwrap_or_else(|| vec![Zones::ALL_WORD.to_owned()]);
        let variable = self.secret_env.as_deref();
        Ok(Entry {
            secret: variable.map(|name| secret(&self.id, name)).transpose()?,
            application: Application {
                zones: zones(&self.id, &words)?,
                id: self.id,
                name: self.name,
                redirect_uris: self.redirect_uris,
                roles: self.roles,
            },
        })
    }
}

/// A hash of a program's secret: the stored one if it is that, else a new one.
pub(super) async fn hash_of(secret: String, stored: Option<String>) -> (String, bool) {
    let hashed = tokio::task::spawn_blocking(move || match stored {
        Some(stored) if secret::is_kept_well(&secret, &stored) => (stored, false),
        Some(stored) => (secret::hash(&secret), !secret::matches(&secret, &stored)),
        None => (secret::hash(&secret), true),
    });
    hashed.await.expect("hashing does not panic")
}

/// Makes sure that they exist as described, and disables those that were taken out of the file.
pub(super) async fn apply(
    entries: Vec<Entry>,
    store: &Store,
    unit: &mut Unit<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let ids: Vec<String> = entries.iter().map(|entry| entry.id().to_owned()).collect();
    let ended = Store::disable_other_applications(unit, &ids, now).await?;
    for (grant, _) in &ended {
        Store::put_revocation(unit, &Revocation::Grant(*grant), now).await?;
    }
    for entry in entries {
        let known = store.application(entry.id()).await?;
        let hash = match entry.secret {
            Some(secret) => {
                let stored = known.and_then(|known| known.secret_hash);
                Some(hash_of(secret, stored).await.0)
            }
            None => None,
        };
        Store::put_application(unit, &entry.application, hash.as_deref()).await?;
    }
    Ok(ended)
}
