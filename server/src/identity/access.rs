//! People and programs that must exist: a file beside the configuration, applied when the server starts, and when it changes.
//!
//! It holds no secrets, only the names of the environment variables that do.

use std::collections::HashSet;
use std::path::Path;

use chrono::Utc;
use contract::{Role, ZoneId};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::password;
use super::principal::{Principal, Proof, Zones};
use super::standing::Revocation;
use crate::audit::AuditEntry;
use crate::config::ConfigError;
use crate::store::{Store, StoreError};

mod application;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    user: Vec<User>,
    #[serde(default)]
    client: Vec<Client>,
    #[serde(default)]
    application: Vec<application::Section>,
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
    applications: Vec<application::Entry>,
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
    /// Reads the text of an access file and takes the secrets that it names from `environment`.
    ///
    /// # Errors
    /// [`ConfigError`] naming the file and what is wrong in it, or the variable that is not set.
    pub fn read(
        path: &Path,
        text: &str,
        known: &[&ZoneId],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let file: File =
            toml::from_str(text).map_err(|error| ConfigError::parse(path, text, &error))?;
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
        for section in file.application {
            let id = section.id().to_owned();
            let entry = section.read(&secret, &zones).map_err(|wrong| match wrong {
                application::Wrong::Sentence(wrong) => ConfigError::invalid(path, &id, &wrong),
                application::Wrong::Told(error) => error,
            })?;
            access.applications.push(entry);
        }
        if let Some(twice) = access.named_twice() {
            let wrong = "is there twice: people, programs and applications share one name space";
            return Err(ConfigError::invalid(path, twice, wrong));
        }
        Ok(access)
    }

    /// Somebody whom the file names.
    pub fn principal(&self, subject: &str) -> Option<&Principal> {
        let everybody = self.people.iter().chain(&self.clients);
        everybody
            .map(|entry| &entry.principal)
            .find(|principal| principal.subject == subject)
    }

    /// The people whom the file names.
    pub(crate) fn people(&self) -> impl Iterator<Item = &Principal> {
        self.people.iter().map(|entry| &entry.principal)
    }

    /// Rights and revocations go by name: nobody may have another's.
    fn named_twice(&self) -> Option<&str> {
        let entries = self.people.iter().chain(&self.clients);
        let names = entries.map(|entry| entry.principal.subject.as_str());
        let mut names = names.chain(self.applications.iter().map(application::Entry::id));
        let mut seen = HashSet::new();
        names.find(|name| !seen.insert(*name))
    }

    /// Makes sure that everybody exists as described, and disables whoever was taken out of the file. A secret that is
    /// stored already is not hashed again; a new one ends the logins of its person. What they hold is called back, in the
    /// same transaction, from everybody who lost something: let it take effect ([`Change::loses`]).
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer; nobody was changed then.
    pub async fn apply(self, store: &Store) -> Result<Applied, StoreError> {
        let mut unit = store.begin().await?;
        let names = |entries: &[Entry]| -> Vec<String> {
            entries
                .iter()
                .map(|entry| entry.principal.subject.clone())
                .collect()
        };
        let (people, clients) =
            Store::disable_others(&mut unit, &names(&self.people), &names(&self.clients)).await?;
        for person in &people {
            Store::end_logins(&mut unit, person).await?;
        }
        let removed = people.into_iter().chain(clients);
        let mut changes: Vec<Changed> = removed.map(Changed::removed).collect();
        for entry in self.people {
            let stored = store.person(&entry.principal.subject).await?;
            let (before, stored) = stored
                .map(|person| (person.principal, person.password_hash))
                .unzip();
            let stored = Option::flatten(stored);
            let (hash, is_new) = hash_of(entry.secret, stored).await;
            Store::put_person(&mut unit, &entry.principal, &hash).await?;
            if is_new {
                Store::end_logins(&mut unit, &entry.principal.subject).await?;
            }
            changes.extend(Changed::between(before, entry.principal, is_new));
        }
        for entry in self.clients {
            let stored = store.client(&entry.principal.subject).await?;
            let (before, stored) = stored
                .map(|client| (client.principal, client.secret_hash))
                .unzip();
            let (hash, is_new) = application::hash_of(entry.secret, stored).await;
            Store::put_client(&mut unit, &entry.principal, &hash).await?;
            changes.extend(Changed::between(before, entry.principal, is_new));
        }
        // After all the hashing: what was issued meanwhile is void as well.
        let at = Utc::now();
        let ended = application::apply(self.applications, store, &mut unit, at).await?;
        for lost in changes.iter().filter(|change| change.what.loses()) {
            let revocation = Revocation::Subject(lost.subject.clone());
            Store::put_revocation(&mut unit, &revocation, at).await?;
        }
        for change in &changes {
            let subject = &change.subject;
            let entry = AuditEntry::new("server", "access file", "access.change", subject)
                .detail(change.detail());
            Store::audit(&mut unit, entry).await?;
        }
        unit.commit().await?;
        Ok(Applied { changes, ended })
    }
}

/// What came of an access file. Let it take effect: [`Change::loses`], and what ended.
#[derive(Debug, Default)]
pub struct Applied {
    /// Who is not as they were before.
    pub changes: Vec<Changed>,
    /// What people had let applications do that may no more: its `sid`, and whose it was.
    pub ended: Vec<(Uuid, String)>,
}

/// Somebody who is not as they were before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Who.
    pub subject: String,
    /// How.
    pub what: Change,
    /// As they are now.
    now: Option<Principal>,
}

/// How somebody changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They may come in now.
    Added,
    /// They kept what they had, and may have got more: a new token brings it.
    Raised,
    /// They lost a role, a zone or their secret: what they hold is void.
    Lowered,
    /// They may not come in any more: what they hold is void.
    Removed,
}

impl Change {
    /// Whether what they hold is called back.
    pub fn loses(self) -> bool {
        matches!(self, Self::Lowered | Self::Removed)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Raised => "raised",
            Self::Lowered => "lowered",
            Self::Removed => "removed",
        }
    }
}

impl Changed {
    fn removed(subject: String) -> Self {
        Self {
            subject,
            what: Change::Removed,
            now: None,
        }
    }

    /// What differs, if anything that decides rights does.
    fn between(before: Option<Principal>, now: Principal, new_secret: bool) -> Option<Self> {
        let what = match before {
            None => Change::Added,
            Some(before) => {
                let keeps = now.zones.include(&before.zones)
                    && before.roles.iter().all(|role| now.roles.contains(role));
                let same = before.zones == now.zones && before.roles == now.roles;
                match (keeps && !new_secret, same) {
                    (false, _) => Change::Lowered,
                    (true, false) => Change::Raised,
                    (true, true) => return None,
                }
            }
        };
        Some(Self {
            subject: now.subject.clone(),
            what,
            now: Some(now),
        })
    }

    fn detail(&self) -> Value {
        let now = self.now.as_ref();
        json!({
            "change": self.what.as_str(),
            "roles": now.map(|now| &now.roles),
            "zones": now.map(|now| now.zones.to_words()),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody(roles: &[Role], zones: &[&str]) -> Principal {
        let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
        Principal {
            subject: "kim".to_owned(),
            full_name: String::new(),
            roles: roles.to_vec(),
            zones: Zones::from_words(&zones).unwrap(),
            proof: Proof::default(),
        }
    }

    #[test]
    fn what_somebody_holds_is_void_only_if_they_lost_something() {
        let (viewer, both) = ([Role::Viewer], [Role::Viewer, Role::Operator]);
        let of = |roles: &[Role], zones: &[&str]| Some(somebody(roles, zones));
        for (before, now, new_secret, expected) in [
            (None, somebody(&viewer, &["p1"]), true, Some(Change::Added)),
            (
                of(&viewer, &["p1"]),
                somebody(&viewer, &["p1"]),
                false,
                None,
            ),
            (
                of(&viewer, &["p1"]),
                somebody(&viewer, &["p1"]),
                true,
                Some(Change::Lowered),
            ),
            (
                of(&viewer, &["p1"]),
                somebody(&viewer, &["p1", "p2"]),
                false,
                Some(Change::Raised),
            ),
            (
                of(&viewer, &["p1"]),
                somebody(&viewer, &["*"]),
                false,
                Some(Change::Raised),
            ),
            (
                of(&viewer, &["p1"]),
                somebody(&both, &["p1"]),
                false,
                Some(Change::Raised),
            ),
            (
                of(&both, &["p1"]),
                somebody(&viewer, &["p1"]),
                false,
                Some(Change::Lowered),
            ),
            (
                of(&both, &["p1"]),
                somebody(&both, &["p2"]),
                false,
                Some(Change::Lowered),
            ),
            (
                of(&both, &["*"]),
                somebody(&both, &["p1", "p2"]),
                false,
                Some(Change::Lowered),
            ),
        ] {
            let case = format!("{before:?} {now:?}");
            let what = Changed::between(before, now, new_secret).map(|change| change.what);
            assert_eq!(what, expected, "{case}");
        }
    }
}
