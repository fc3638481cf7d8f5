//! People and programs that must exist: a file beside the configuration, applied when the server starts.
//!
//! It holds no secrets, only the names of the environment variables that do.

use std::path::Path;

use contract::{Role, ZoneId};
use serde::Deserialize;

use super::password;
use super::principal::{Principal, Proof, Zones};
use crate::config::ConfigError;
use crate::store::{Store, StoreError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    user: Vec<User>,
    #[serde(default)]
    client: Vec<Client>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    full_name: String,
    role: Role,
    zones: Vec<String>,
    password_env: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    id: String,
    roles: Vec<Role>,
    zones: Vec<String>,
    secret_env: String,
}

/// Somebody who must exist, with what they show to prove it.
struct Entry {
    principal: Principal,
    secret: String,
}

/// Everybody who must exist.
#[derive(Default)]
pub struct Access {
    people: Vec<Entry>,
    clients: Vec<Entry>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |entries: &[Entry]| {
            entries
                .iter()
                .map(|entry| entry.principal.subject.clone())
                .collect::<Vec<_>>()
        };
        f.debug_struct("Access")
            .field("people", &names(&self.people))
            .field("clients", &names(&self.clients))
            .finish()
    }
}

const PEOPLE: [Role; 5] = [
    Role::Viewer,
    Role::Operator,
    Role::Technician,
    Role::Supervisor,
    Role::Administrator,
];

impl Access {
    /// Reads an access file and takes the secrets that it names from `environment`.
    ///
    /// # Errors
    /// [`ConfigError`] naming the file and what is wrong in it, or the variable that is not set.
    pub fn load(
        path: &Path,
        known: &[&ZoneId],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::read(path, source))?;
        let file: File =
            toml::from_str(&text).map_err(|error| ConfigError::parse(path, &text, &error))?;
        let secret = |owner: &str, variable: &str| {
            environment(variable)
                .filter(|secret| !secret.is_empty())
                .ok_or_else(|| {
                    ConfigError::invalid(
                        path,
                        owner,
                        &format!("the environment variable {variable} is not set"),
                    )
                })
        };
        let zones = |owner: &str, words: &[String]| {
            let zones = Zones::from_words(words)
                .map_err(|error| ConfigError::invalid(path, owner, &error.to_string()))?;
            if let Zones::Some(named) = &zones
                && let Some(unknown) = named.iter().find(|zone| !known.contains(zone))
            {
                let wrong = format!(
                    "there is no zone {unknown}: name one of the configuration, or \"*\" for all"
                );
                return Err(ConfigError::invalid(path, owner, &wrong));
            }
            Ok(zones)
        };
        let mut access = Self::default();
        for user in file.user {
            if !PEOPLE.contains(&user.role) {
                let wrong = format!(
                    "role {} is for programs; people have one of the first five",
                    user.role
                );
                return Err(ConfigError::invalid(path, &user.name, &wrong));
            }
            access.people.push(Entry {
                secret: secret(&user.name, &user.password_env)?,
                principal: Principal {
                    zones: zones(&user.name, &user.zones)?,
                    subject: user.name,
                    full_name: user.full_name,
                    roles: vec![user.role],
                    proof: Proof::default(),
                },
            });
        }
        for client in file.client {
            access.clients.push(Entry {
                secret: secret(&client.id, &client.secret_env)?,
                principal: Principal {
                    zones: zones(&client.id, &client.zones)?,
                    full_name: client.id.clone(),
                    subject: client.id,
                    roles: client.roles,
                    proof: Proof::default(),
                },
            });
        }
        Ok(access)
    }

    /// Makes sure that everybody exists as described, and disables whoever was taken out of the file. A secret that is
    /// stored already is not hashed again; a new one ends the logins of its person.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer; nobody was changed then.
    pub async fn apply(self, store: &Store) -> Result<(), StoreError> {
        let mut unit = store.begin().await?;
        let names = |entries: &[Entry]| -> Vec<String> {
            entries
                .iter()
                .map(|entry| entry.principal.subject.clone())
                .collect()
        };
        Store::disable_others(&mut unit, &names(&self.people), &names(&self.clients)).await?;
        for entry in self.people {
            let stored = store
                .person(&entry.principal.subject)
                .await?
                .and_then(|person| person.password_hash);
            let (hash, is_new) = hash_of(entry.secret, stored).await;
            Store::put_person(&mut unit, &entry.principal, &hash).await?;
            if is_new {
                Store::end_logins(&mut unit, &entry.principal.subject).await?;
            }
        }
        for entry in self.clients {
            let stored = store
                .client(&entry.principal.subject)
                .await?
                .map(|client| client.secret_hash);
            let (hash, _) = hash_of(entry.secret, stored).await;
            Store::put_client(&mut unit, &entry.principal, &hash).await?;
        }
        Ok(unit.commit().await?)
    }
}

/// A hash of the secret: the stored one if it is that, else a new one.
async fn hash_of(secret: String, stored: Option<String>) -> (String, bool) {
    let hashed = tokio::task::spawn_blocking(move || match stored {
        Some(stored) if password::matches(&secret, &stored) => (stored, false),
        _ => (password::hash(&secret), true),
    });
    hashed.await.expect("hashing does not panic")
}
