//! Reading a policy file, with the line of each rule: whoever asks why is told where it stands. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use contract::Role;
use contract::destination::{SENT_TO, SUBSCRIBED_TO};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::pattern::Pattern;
use super::permission::list;
use super::{Permission, Policy, Rights, Rule, SecondFactor};
use crate::config::ConfigError;
use crate::identity::digest::of_text;

/// Rules of one role and key: each may be looked at on a message, and nobody can oversee more.
const RULES_MAX: usize = 200;

/// Longer than any shift: a second factor that is good for longer is none.
const MINUTES_MAX: u64 = 24 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    second_factor: Option<Spanned<Asked>>,
    #[serde(default)]
    role: BTreeMap<Spanned<String>, Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    roles: Vec<Spanned<String>>,
    #[serde(default)]
    permissions: Vec<Spanned<String>>,
    minutes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    /// A role all of whose rights this one has, too.
    like: Option<Spanned<String>>,
    #[serde(default)]
    may: Vec<Spanned<String>>,
    #[serde(default)]
    send: Vec<Spanned<Entry>>,
    #[serde(default)]
    subscribe: Vec<Spanned<Entry>>,
    deliver: Option<Vec<Spanned<Entry>>>,
}

/// A pattern as it stands in a list: a text, or `{ to = "…", zones = "all" }`.
struct Entry {
    to: String,
    every_zone: bool,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a destination such as \"/queue/notes\", or { to = \"…\", zones = \"all\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
        Ok(Entry {
            to: text.to_owned(),
            every_zone: false,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            to: String,
            zones: All,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum All {
            All,
        }
        let Table {
            to,
            zones: All::All,
        } = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Entry {
            to,
            every_zone: true,
        })
    }
}

/// What is read, to tell where something stands.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn line<T>(&self, at: &Spanned<T>) -> usize {
        let before = self.text.get(..at.span().start).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    fn wrong<T>(&self, at: &Spanned<T>, key: &str, wrong: &str) -> ConfigError {
        let key = format!("line {}: {key}", self.line(at));
        ConfigError::invalid(self.path, &key, wrong)
    }

    fn words<T: std::str::FromStr<Err: fmt::Display>>(
        &self,
        key: &str,
        words: &[Spanned<String>],
    ) -> Result<Vec<(T, usize)>, ConfigError> {
        words
            .iter()
            .map(|word| {
                let read = word.get_ref().parse();
                let read =
                    read.map_err(|error: T::Err| self.wrong(word, key, &error.to_string()))?;
                Ok((read, self.line(word)))
            })
            .collect()
    }

    fn rules(
        &self,
        key: &str,
        entries: &[Spanned<Entry>],
        below: &[&str],
    ) -> Result<Vec<Rule>, ConfigError> {
        if let Some(last) = entries.get(RULES_MAX) {
            let wrong = format!("these are more than {RULES_MAX} rules: use wildcards");
            return Err(self.wrong(last, key, &wrong));
        }
        entries
            .iter()
            .map(|entry| {
                let Entry { to, every_zone } = entry.get_ref();
                let pattern = Pattern::parse(to, *every_zone)
                    .and_then(|pattern| may_be_granted(pattern, below))
                    .map_err(|wrong| self.wrong(entry, &format!("{key} {to:?}"), &wrong))?;
                Ok(Rule {
                    pattern,
                    line: self.line(entry),
                })
            })
            .collect()
    }
}

/// Refuses what nobody may be granted.
fn may_be_granted(pattern: Pattern, below: &[&str]) -> Result<Pattern, String> {
    if !pattern.is_below(below) {
        let reason = if below == SENT_TO && pattern.is_below(&["/topic"]) {
            "nobody may SEND there, what topics tell comes from the server only; "
        } else {
            ""
        };
        let known = list(below.iter().copied());
        return Err(format!("{reason}grant destinations below {known}"));
    }
    if pattern.is_below(&["/topic"]) && !pattern.is_bound_to_zones() {
        let wrong = "it would be granted whatever somebody's zones are: put {zone} or {device} where its topics name them, or write { to = \"…\", zones = \"all\" } for those who have every zone";
        return Err(wrong.to_owned());
    }
    Ok(pattern)
}

impl Policy {
    /// Reads a policy; `path` is how it is called in errors and explanations.
    ///
    /// # Errors
    /// [`ConfigError`]: one sentence with file, line, key, and what to do.
    pub fn read(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file: File =
            toml::from_str(text).map_err(|error| ConfigError::parse(path, text, &error))?;
        let source = Source { path, text };
        let mut roles = BTreeMap::new();
        for (name, section) in &file.role {
            let role = name.get_ref().parse::<Role>();
            let role = role.map_err(|error| source.wrong(name, "role", &error.to_string()))?;
            roles.insert(role, rights(&source, role, section)?);
        }
        let alone = roles.clone();
        for (name, section) in &file.role {
            let Some(like) = &section.like else { continue };
            let role = name.get_ref().parse::<Role>();
            let role = role.map_err(|error| source.wrong(name, "role", &error.to_string()))?;
            let other = liked(&source, &file.role, role, like)?;
            if let (Some(rights), Some(other)) = (roles.get_mut(&role), alone.get(&other)) {
                rights.add(other);
            }
        }
        let second_factor = match &file.second_factor {
            Some(asked) => second_factor(&source, asked)?,
            None => SecondFactor::default(),
        };
        Ok(Self {
            name: path.display().to_string(),
            hash: of_text(text),
            roles,
            second_factor,
        })
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::read(Path::new(Self::DEFAULT_NAME), Self::DEFAULT)
            .expect("the built-in policy is good, as its test says")
    }
}

/// The role that another is to be like: one that stands here and is like no other itself, so that who has what is seen at one
/// look.
fn liked(
    source: &Source<'_>,
    sections: &BTreeMap<Spanned<String>, Section>,
    role: Role,
    like: &Spanned<String>,
) -> Result<Role, ConfigError> {
    let key = format!("role.{role}.like");
    let wrong = |wrong: &str| source.wrong(like, &key, wrong);
    let other = like.get_ref().parse::<Role>();
    let other = other.map_err(|error| wrong(&error.to_string()))?;
    let section = sections
        .iter()
        .find(|(name, _)| name.get_ref() == like.get_ref());
    match section {
        None => Err(wrong(&format!("there is no [role.{other}] here"))),
        Some(_) if other == role => Err(wrong("it is this role itself")),
        Some((_, section)) if section.like.is_some() => Err(wrong(&format!(
            "{other} is like another role itself: name that one, and add what {role} has beyond it"
        ))),
        Some(_) => Ok(other),
    }
}

fn rights(source: &Source<'_>, role: Role, section: &Section) -> Result<Rights, ConfigError> {
    let key = |name: &str| format!("role.{role}.{name}");
    let subscribed =
        |name: &str, entries: &[Spanned<Entry>]| source.rules(&key(name), entries, &SUBSCRIBED_TO);
    Ok(Rights {
        may: source
            .words(&key("may"), &section.may)?
            .into_iter()
            .collect(),
        send: source.rules(&key("send"), &section.send, &SENT_TO)?,
        subscribe: subscribed("subscribe", &section.subscribe)?,
        deliver: match &section.deliver {
            Some(entries) => Some(subscribed("deliver", entries)?),
            None => None,
        },
    })
}

fn second_factor(source: &Source<'_>, asked: &Spanned<Asked>) -> Result<SecondFactor, ConfigError> {
    let Asked {
        roles,
        permissions,
        minutes,
    } = asked.get_ref();
    if !(1..=MINUTES_MAX).contains(minutes) {
        let wrong = format!("{minutes} is not between 1 and {MINUTES_MAX}");
        return Err(source.wrong(asked, "second_factor.minutes", &wrong));
    }
    let named = source.words::<Permission>("second_factor.permissions", permissions)?;
    for (permission, at) in named.iter().zip(permissions) {
        if !permission.0.may_wait() {
            let wrong = match permission.0 {
                Permission::See | Permission::CommandEmergency => "must never be hindered",
                _ => "is of machines, which have no second factor",
            };
            let wrong = format!("{} {wrong}: take it out", permission.0);
            return Err(source.wrong(at, "second_factor.permissions", &wrong));
        }
    }
    Ok(SecondFactor {
        roles: source
            .words("second_factor.roles", roles)?
            .into_iter()
            .map(|(role, _)| role)
            .collect::<BTreeSet<Role>>(),
        permissions: named
            .into_iter()
            .map(|(permission, _)| permission)
            .collect(),
        seconds: minutes * 60,
    })
}
