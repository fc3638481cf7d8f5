//! People and programs that must exist: a file beside the configuration, applied when the server starts.
//!
//! It holds no secrets, only the names of the environment variables that do.

use std::path::Path;

use contract::Role;
use serde::Deserialize;

use super::password;
use super::policy::{Principal, Zones};
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
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::read(path, source))?;
        let file: File = toml::from_str(&text).map_err(|error| ConfigError::parse(path, &error))?;
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
        let zones = |owner: &str, zones: &[String]| {
            Zones::from_words(zones)
                .map_err(|error| ConfigError::invalid(path, owner, &error.to_string()))
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
                },
            });
        }
        Ok(access)
    }

    /// Makes sure that everybody exists as described. A secret that is stored already is not hashed again.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer; nobody was changed then.
    pub async fn apply(self, store: &Store) -> Result<(), StoreError> {
        let mut unit = store.begin().await?;
        for entry in self.people {
            let hash = hash_of(store, &entry).await?;
            Store::put_person(&mut unit, &entry.principal, &hash).await?;
        }
        for entry in self.clients {
            let hash = hash_of(store, &entry).await?;
            Store::put_client(&mut unit, &entry.principal, &hash).await?;
        }
        Ok(unit.commit().await?)
    }
}

async fn hash_of(store: &Store, entry: &Entry) -> Result<String, StoreError> {
    let stored = store.stored_hashes(&entry.principal.subject).await?;
    let secret = entry.secret.clone();
    let hashed = tokio::task::spawn_blocking(move || {
        let same = stored
            .into_iter()
            .find(|stored| password::matches(&secret, stored));
        same.unwrap_or_else(|| password::hash(&secret))
    });
    Ok(hashed.await.expect("hashing does not panic"))
}
