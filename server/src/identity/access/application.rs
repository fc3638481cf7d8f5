//! Applications through which people act, as the access file describes them.

use contract::Role;
use serde::Deserialize;
use serde_json::json;

use super::{Change, Changed, Kind, hash_of};
use crate::config::ConfigError;
use crate::identity::grant::{Application, redirect_problem};
use crate::identity::principal::Zones;
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

    pub(super) fn secret(&self) -> Option<&String> {
        self.secret.as_ref()
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
                generation: 0,
            },
        })
    }
}

/// An application as the file says, beside what is stored of it.
pub(super) struct Settled {
    /// None: there is none, or it is disabled.
    before: Option<Application>,
    now: Application,
    hash: Option<String>,
    has_new_secret: bool,
}

pub(super) async fn settle(entries: Vec<Entry>, store: &Store) -> Result<Vec<Settled>, StoreError> {
    let mut settled = Vec::with_capacity(entries.len());
    for Entry {
        application,
        secret,
    } in entries
    {
        let known = store.application(&application.id).await?;
        let (before, stored) = match known {
            Some(known) => (Some(known.application), known.secret_hash),
            None => (None, None),
        };
        let (hash, has_new_secret) = match secret {
            Some(secret) => {
                let (hash, is_new) = hash_of(secret, stored, Kind::Client).await;
                (Some(hash), is_new)
            }
            None => (None, stored.is_some()),
        };
        settled.push(Settled {
            before,
            now: application,
            hash,
            has_new_secret,
        });
    }
    Ok(settled)
}

impl Settled {
    pub(super) fn id(&self) -> &str {
        &self.now.id
    }

    pub(super) async fn put(&self, unit: &mut Unit<'_>) -> Result<(), StoreError> {
        Store::put_application(unit, &self.now, self.hash.as_deref()).await
    }

    /// What differs, if anything that people are told or that decides rights does.
    pub(super) fn changed(&self) -> Option<Changed> {
        let (now, new_secret) = (&self.now, self.has_new_secret);
        let told = |one: &Application| {
            json!({
                "roles": one.roles,
                "zones": one.zones.to_words(),
                "redirect_uris": one.redirect_uris,
            })
        };
        let Some(before) = &self.before else {
            let detail = json!({"to": told(now)});
            return Some(Changed::new(&now.id, Change::Added, false, detail));
        };
        // What is not known here is how it was counted up.
        let same = Application {
            generation: before.generation,
            ..now.clone()
        } == *before;
        if same && !new_secret {
            return None;
        }
        let keeps_all = keeps(before, now);
        let what = Change::of(keeps_all, keeps(now, before));
        let detail = json!({"from": told(before), "to": told(now), "new_secret": new_secret});
        Some(Changed::new(
            &now.id,
            what,
            new_secret || !keeps_all,
            detail,
        ))
    }
}

/// Whether an application lost nothing of what it might.
fn keeps(before: &Application, now: &Application) -> bool {
    let keeps_roles = match (&before.roles, &now.roles) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(before), Some(now)) => before.iter().all(|role| now.contains(role)),
    };
    let uris = &now.redirect_uris;
    keeps_roles
        && now.zones.include(&before.zones)
        && before.redirect_uris.iter().all(|uri| uris.contains(uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(roles: Option<&[Role]>, zones: &[&str], uris: &[&str]) -> Application {
        let owned = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        Application {
            id: "app".to_owned(),
            name: "App".to_owned(),
            redirect_uris: owned(uris),
            roles: roles.map(<[Role]>::to_vec),
            zones: Zones::from_words(&owned(zones)).unwrap(),
            generation: 0,
        }
    }

    #[test]
    fn what_an_application_holds_is_void_only_if_it_lost_something() {
        let both: &[Role] = &[Role::Viewer, Role::Operator];
        let before = application(Some(both), &["p1", "p2"], &["a:/", "b:/"]);
        let of = |roles, zones: &[&str], uris: &[&str]| application(roles, zones, uris);
        let (zones, uris) = (["p1", "p2"], ["a:/", "b:/"]);
        let lost = |what| Some((what, true));
        let kept = |what| Some((what, false));
        for (now, new_secret, expected) in [
            (of(Some(both), &zones, &uris), false, None),
            (of(Some(both), &zones, &uris), true, lost(Change::Changed)),
            (of(None, &zones, &uris), false, kept(Change::Raised)),
            (
                of(Some(&both[..1]), &zones, &uris),
                false,
                lost(Change::Lowered),
            ),
            (of(Some(both), &["*"], &uris), false, kept(Change::Raised)),
            (of(Some(both), &["p1"], &uris), false, lost(Change::Lowered)),
            (
                of(Some(both), &["p1", "p3"], &uris),
                false,
                lost(Change::Changed),
            ),
            (
                of(Some(both), &zones, &["a:/"]),
                false,
                lost(Change::Lowered),
            ),
            (
                of(Some(both), &zones, &["a:/", "b:/", "c:/"]),
                false,
                kept(Change::Raised),
            ),
        ] {
            let case = format!("{now:?} {new_secret}");
            let settled = Settled {
                before: Some(before.clone()),
                now,
                hash: None,
                has_new_secret: new_secret,
            };
            assert_eq!(
                settled.changed().map(|change| (change.what, change.loses)),
                expected,
                "{case}"
            );
        }
        let everything = of(None, &["*"], &uris);
        assert!(!keeps(&everything, &before) && keeps(&before, &everything));
        let added = Settled {
            before: None,
            now: before,
            hash: None,
            has_new_secret: false,
        };
        assert_eq!(
            added.changed().map(|change| change.what),
            Some(Change::Added)
        );
    }
}
