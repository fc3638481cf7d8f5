//! People and programs that must exist: a file beside the configuration, applied when the server starts, and when it changes.
//!
//! It holds no secrets, only the names of the environment variables that do.

use std::collections::HashSet;
use std::path::Path;

use contract::{Role, ZoneId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::call_back::CallBack;
use super::name::{NAME_RULE, is_name};
use super::principal::{Holder, Principal, Proof, Zones};
use super::standing::CalledBack;
use super::{password, secret};
use crate::audit::{AuditEntry, SERVER};
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
                        &format!(
                            "the environment variable {variable} is not set where this program was started; a server that runs sees no new ones: set it, then start the server again"
                        ),
                    )
                })
        };
        let zones = |owner: &str, words: &[String]| {
            let zones = Zones::among(words, known);
            zones.map_err(|error| ConfigError::invalid(path, owner, &error.to_string()))
        };
        let mut access = Self::default();
        for user in file.user {
            if !user.role.is_for_people() {
                let wrong = format!(
                    "role {} is for programs; people are viewer, operator, technician, supervisor or administrator",
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
                    proof: Proof {
                        holder: Holder::Program,
                        ..Proof::default()
                    },
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
        if let Some(wrong) = access.names().find(|name| !is_name(name)) {
            let rule = format!("nobody is called so: {NAME_RULE}");
            return Err(ConfigError::invalid(path, wrong, &rule));
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
        let mut seen = HashSet::new();
        self.names().find(|name| !seen.insert(*name))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let entries = self.people.iter().chain(&self.clients);
        let names = entries.map(|entry| entry.principal.subject.as_str());
        names.chain(self.applications.iter().map(application::Entry::id))
    }

    /// Programs and applications whose secret may be guessed.
    pub fn weak_secrets(&self) -> Vec<&str> {
        let of_clients = self.clients.iter();
        let of_clients = of_clients.map(|entry| (&*entry.principal.subject, Some(&entry.secret)));
        let of_applications = self.applications.iter();
        let of_applications = of_applications.map(|entry| (entry.id(), entry.secret()));
        of_clients
            .chain(of_applications)
            .filter(|(_, secret)| secret.is_some_and(|secret| !secret::is_random(secret)))
            .map(|(name, _)| name)
            .collect()
    }

    /// Makes sure that everybody exists as described, and disables whoever was taken out of the file. A secret that is
    /// stored already is not hashed again; a new one ends the logins of its person. What they hold is called back, in the
    /// same transaction, from everybody who lost something: let it take effect.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer, or a name is taken; nobody was changed then.
    pub async fn apply(self, store: &Store) -> Result<Applied, StoreError> {
        let (mut back, changes) = self.put(store).await?;
        for change in &changes {
            let entry = AuditEntry::new(SERVER, "access file", "access.change", &change.subject)
                .detail(change.detail.clone());
            Store::audit(&mut back.unit, entry).await?;
        }
        Ok(Applied {
            changes,
            called_back: back.store().await?,
        })
    }

    /// Whether that could be done. Nothing is.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub(crate) async fn try_out(self, store: &Store) -> Result<(), StoreError> {
        let (back, _) = self.put(store).await?;
        Ok(back.unit.rollback().await?)
    }

    /// All of [`Self::apply`] but for what is written down and stored at the end: who changed.
    async fn put(self, store: &Store) -> Result<(CallBack, Vec<Changed>), StoreError> {
        // Hashing takes its time: nothing is held for so long.
        let people = settle(self.people, store, Kind::Person).await?;
        let clients = settle(self.clients, store, Kind::Client).await?;
        let applications = application::settle(self.applications, store).await?;

        let mut back = CallBack::begin(store).await?;
        let names = |settled: &[Settled]| -> Vec<String> {
            let names = settled.iter().map(|one| one.now.subject.clone());
            names.collect()
        };
        let (gone_people, gone_clients) =
            Store::disable_others(&mut back.unit, &names(&people), &names(&clients)).await?;
        let ids: Vec<String> = applications.iter().map(|one| one.id().to_owned()).collect();
        let gone = Store::disable_other_applications(&mut back.unit, &ids).await?;
        let gone = gone_people.iter().chain(&gone_clients).chain(&gone);
        let mut changes: Vec<Changed> = gone.map(|name| Changed::removed(name)).collect();
        let everybody = people.iter().chain(&clients);
        changes.extend(everybody.filter_map(Settled::changed));
        changes.extend(
            applications
                .iter()
                .filter_map(application::Settled::changed),
        );
        for lost in changes.iter().filter(|change| change.loses) {
            back.subject(&lost.subject).await?;
        }
        let with_new = people.iter().filter(|person| person.has_new_secret);
        let with_new = with_new.map(|person| &person.now.subject);
        for person in gone_people.iter().chain(with_new) {
            Store::end_logins(&mut back.unit, person).await?;
        }
        for person in &people {
            Store::put_person(&mut back.unit, &person.now, &person.hash).await?;
        }
        for client in &clients {
            Store::put_client(&mut back.unit, &client.now, &client.hash).await?;
        }
        for application in &applications {
            application.put(&mut back.unit).await?;
        }
        for (grant, holder) in Store::end_grants_of_nobody(&mut back.unit).await? {
            back.grant(grant, &holder).await?;
        }
        Ok((back, changes))
    }
}

/// What came of an access file.
#[derive(Debug, Default)]
pub struct Applied {
    /// Who is not as they were before.
    pub changes: Vec<Changed>,
    /// What is void: let it take effect.
    pub(crate) called_back: Vec<CalledBack>,
}

/// What somebody shows, which decides how it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A password, which a person chose.
    Person,
    /// A secret, of a program or an application.
    Client,
}

/// Somebody as the file says, beside what is stored of them.
struct Settled {
    /// None: nobody, or disabled.
    before: Option<Principal>,
    now: Principal,
    hash: String,
    has_new_secret: bool,
}

impl Settled {
    fn changed(&self) -> Option<Changed> {
        Changed::between(self.before.as_ref(), &self.now, self.has_new_secret)
    }
}

async fn settle(
    entries: Vec<Entry>,
    store: &Store,
    kind: Kind,
) -> Result<Vec<Settled>, StoreError> {
    let mut settled = Vec::with_capacity(entries.len());
    for Entry { principal, secret } in entries {
        let (before, stored) = match kind {
            Kind::Person => match store.person(&principal.subject).await? {
                Some(person) => (Some(person.principal), person.password_hash),
                None => (None, None),
            },
            Kind::Client => match store.client(&principal.subject).await? {
                Some(client) => (Some(client.principal), Some(client.secret_hash)),
                None => (None, None),
            },
        };
        let (hash, has_new_secret) = hash_of(secret, stored, kind).await;
        settled.push(Settled {
            before,
            now: principal,
            hash,
            has_new_secret,
        });
    }
    Ok(settled)
}

/// Somebody who is not as they were before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Who.
    pub subject: String,
    /// How.
    pub what: Change,
    /// Whether they lost a role, a zone or their secret: what they hold is void.
    pub loses: bool,
    /// What the audit says of it.
    detail: Value,
}

/// How somebody changed, in a word: whoever gets a higher role is raised, though they hold the lower one no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They may come in now.
    Added,
    /// They may more.
    Raised,
    /// They may less.
    Lowered,
    /// They may other things, or have another secret.
    Changed,
    /// They may not come in any more.
    Removed,
}

impl Change {
    /// By whether the rights of now hold all those of before, and the other way round.
    fn of(now_holds_before: bool, before_holds_now: bool) -> Self {
        match (now_holds_before, before_holds_now) {
            (true, false) => Self::Raised,
            (false, true) => Self::Lowered,
            _ => Self::Changed,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Raised => "raised",
            Self::Lowered => "lowered",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

impl Changed {
    fn new(subject: &str, what: Change, loses: bool, mut detail: Value) -> Self {
        detail["change"] = what.as_str().into();
        Self {
            subject: subject.to_owned(),
            what,
            loses,
            detail,
        }
    }

    fn removed(subject: &str) -> Self {
        Self::new(subject, Change::Removed, true, json!({}))
    }

    /// What differs, if anything that decides rights does.
    fn between(before: Option<&Principal>, now: &Principal, new_secret: bool) -> Option<Self> {
        let told = |who: &Principal| json!({"roles": who.roles, "zones": who.zones.to_words()});
        let Some(before) = before else {
            let detail = json!({"to": told(now)});
            return Some(Self::new(&now.subject, Change::Added, false, detail));
        };
        if before.zones == now.zones && before.roles == now.roles && !new_secret {
            return None;
        }
        let keeps = now.zones.include(&before.zones)
            && before.roles.iter().all(|role| now.roles.contains(role));
        let what = Change::of(holds(now, before), holds(before, now));
        let detail = json!({"from": told(before), "to": told(now), "new_secret": new_secret});
        let loses = new_secret || !keeps;
        Some(Self::new(&now.subject, what, loses, detail))
    }
}

/// Whether somebody has all zones of another, and all their roles or, of people, higher ones.
fn holds(one: &Principal, other: &Principal) -> bool {
    let is_higher =
        |held: Role, role: Role| held.is_for_people() && role.is_for_people() && held > role;
    one.zones.include(&other.zones)
        && other.roles.iter().all(|role| {
            let mut held = one.roles.iter();
            held.any(|held| held == role || is_higher(*held, *role))
        })
}

/// A hash of the secret, and whether it is another than the stored one.
async fn hash_of(secret: String, stored: Option<String>, kind: Kind) -> (String, bool) {
    let hashed = tokio::task::spawn_blocking(move || match (kind, stored) {
        (Kind::Person, Some(stored)) if password::matches(&secret, &stored) => (stored, false),
        (Kind::Person, _) => (password::hash(&secret), true),
        (Kind::Client, Some(stored)) if secret::is_kept_well(&secret, &stored) => (stored, false),
        // It may be the same one, to be kept in a better way from now on.
        (Kind::Client, Some(stored)) => (secret::hash(&secret), !secret::matches(&secret, &stored)),
        (Kind::Client, None) => (secret::hash(&secret), true),
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
        use Change::{Added, Changed as Other, Lowered, Raised};
        let (viewer, both) = ([Role::Viewer], [Role::Viewer, Role::Operator]);
        let (administrator, all) = ([Role::Administrator], ["*"]);
        for (before, zones, now, zones_now, new_secret, expected) in [
            (
                &viewer[..],
                &["p1"][..],
                &viewer[..],
                &["p1"][..],
                false,
                None,
            ),
            (
                &viewer,
                &["p1"],
                &viewer,
                &["p1"],
                true,
                Some((Other, true)),
            ),
            (
                &viewer,
                &["p1"],
                &viewer,
                &["p1", "p2"],
                false,
                Some((Raised, false)),
            ),
            (
                &viewer,
                &["p1"],
                &viewer,
                &all,
                false,
                Some((Raised, false)),
            ),
            (&viewer, &["p1"], &viewer, &all, true, Some((Raised, true))),
            (
                &viewer,
                &["p1"],
                &both,
                &["p1"],
                false,
                Some((Raised, false)),
            ),
            (
                &viewer,
                &["p1"],
                &administrator,
                &all,
                false,
                Some((Raised, true)),
            ),
            (
                &administrator,
                &all,
                &viewer,
                &["p1"],
                false,
                Some((Lowered, true)),
            ),
            (
                &administrator,
                &["p1"],
                &viewer,
                &all,
                false,
                Some((Other, true)),
            ),
            (
                &both,
                &["p1"],
                &viewer,
                &["p1"],
                false,
                Some((Lowered, true)),
            ),
            (&both, &["p1"], &both, &["p2"], false, Some((Other, true))),
            (
                &both,
                &all,
                &both,
                &["p1", "p2"],
                false,
                Some((Lowered, true)),
            ),
        ] {
            let (before, now) = (somebody(before, zones), somebody(now, zones_now));
            let changed = Changed::between(Some(&before), &now, new_secret);
            let got = changed.as_ref().map(|change| (change.what, change.loses));
            assert_eq!(got, expected, "{before:?} {now:?}");
        }
        let added = Changed::between(None, &somebody(&viewer, &all), true).unwrap();
        assert_eq!((added.what, added.loses), (Added, false));
        let from = somebody(&viewer, &["p1"]);
        let told = Changed::between(Some(&from), &somebody(&administrator, &all), false);
        let expected = json!({
            "change": "raised", "new_secret": false,
            "from": {"roles": ["viewer"], "zones": ["p1"]},
            "to": {"roles": ["administrator"], "zones": ["*"]},
        });
        assert_eq!(told.unwrap().detail, expected);
    }
}
