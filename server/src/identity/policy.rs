//! Who may do what: roles x zones x actions, from one file. The one place where rights are decided, for pages, API and
//! every way to the broker alike. Pure.
//!
//! The rights of somebody with several roles are those of all of them together; their zones bind every one. What the
//! file does not grant is denied; what it must not grant (a SEND to topics, a topic without its zones) makes it a bad file.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use contract::{Role, ZoneId};

use super::principal::{Principal, Zones};

pub mod explain;
mod file;
mod pattern;
mod permission;

use pattern::{Claims, Pattern};
pub use pattern::{Lack, Places};
pub use permission::{Permission, Scope, UnknownPermission};

/// What can be done with a destination. Each is a right of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// SEND to it.
    Send,
    /// SUBSCRIBE to it, or to a pattern of which all must be granted.
    Subscribe,
    /// Be given a message of it.
    Deliver,
}

impl Right {
    /// Its key in a policy file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Subscribe => "subscribe",
            Self::Deliver => "deliver",
        }
    }

    /// As in "you may not … a destination".
    pub fn verb(self) -> &'static str {
        match self {
            Self::Send => "send to",
            Self::Subscribe => "subscribe to",
            Self::Deliver => "be given messages of",
        }
    }
}

/// Where something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In a zone.
    In(&'a ZoneId),
    /// In any of one's zones; or what belongs to no zone.
    Anywhere,
}

/// Why somebody may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// They have no right to, whatever they show.
    #[error("you may not do this here")]
    NotGranted,
    /// They have the right, and not shown their second factor, or too long ago.
    #[error(
        "this takes your second factor: show it on the page /second-factor, and bring a token that you got after that"
    )]
    SecondFactorNeeded,
}

/// A rule, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    line: usize,
}

/// What one role may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rights {
    /// With the lines that grant it.
    may: BTreeMap<Permission, usize>,
    send: Vec<Rule>,
    subscribe: Vec<Rule>,
    /// None: as `subscribe`.
    deliver: Option<Vec<Rule>>,
}

impl Rights {
    /// All of another role's as well. What both have stays where this role says it.
    fn add(&mut self, other: &Self) {
        if self.deliver.is_some() || other.deliver.is_some() {
            let (_, own) = self.rules(Right::Deliver);
            let (_, more) = other.rules(Right::Deliver);
            self.deliver = Some([own, more].concat());
        }
        for (permission, line) in &other.may {
            self.may.entry(*permission).or_insert(*line);
        }
        self.send.extend_from_slice(&other.send);
        self.subscribe.extend_from_slice(&other.subscribe);
    }

    fn rules(&self, right: Right) -> (&'static str, &[Rule]) {
        match (right, &self.deliver) {
            (Right::Send, _) => ("send", &self.send),
            (Right::Deliver, Some(rules)) => ("deliver", rules),
            (Right::Subscribe, _) | (Right::Deliver, None) => ("subscribe", &self.subscribe),
        }
    }
}

/// Who must show a second factor, and for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct SecondFactor {
    /// Once for as long as a login lasts, for whatever they do.
    roles: BTreeSet<Role>,
    /// By everybody, not longer ago than `seconds`.
    permissions: BTreeSet<Permission>,
    seconds: u64,
}

/// A policy: everything that is permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How people call the file.
    name: String,
    /// The SHA-256 of its text.
    hash: String,
    roles: BTreeMap<Role, Rights>,
    second_factor: SecondFactor,
}

/// The rule by which something is allowed, or the one that came nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted<'a> {
    /// Whose.
    pub role: Role,
    /// The key under which it stands: `may`, `send`, `subscribe` or `deliver`.
    pub key: &'static str,
    /// As it stands in the file.
    pub text: &'a str,
    /// Whether it is for those only who have all zones.
    pub every_zone: bool,
    /// Where.
    pub line: usize,
}

/// Why something is not allowed with a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<'a> {
    /// It is not written as destinations are, so that no rule can mean it.
    Malformed,
    /// No role of theirs has a rule that is about anything like it.
    Nothing,
    /// The rule that comes nearest, and what it lacks.
    Nearest(Granted<'a>, Lack),
}

impl Policy {
    /// The name of the policy that is in force where no file is named.
    pub const DEFAULT_NAME: &'static str = "the built-in policy";

    /// The built-in policy, as a file that a site's own can start from.
    pub const DEFAULT: &'static str = include_str!("policy/default.toml");

    /// How people call the file that it came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells it apart from others: the SHA-256 of its text, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Roles that the file does not name: they have no rights.
    pub fn roles_without_rights(&self) -> Vec<Role> {
        Role::ALL
            .into_iter()
            .filter(|role| !self.roles.contains_key(role))
            .collect()
    }

    /// Whether somebody may do something here at `now`: the one answer that everything which is done waits for. It takes the
    /// right, and the second factor where one is asked for it.
    ///
    /// # Errors
    /// [`Denial`]: which of the two is missing.
    pub fn decide(
        &self,
        who: &Principal,
        permission: Permission,
        place: Place<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), Denial> {
        if !self.entitles(who, permission, place) {
            return Err(Denial::NotGranted);
        }
        if self.awaits_second_factor(who, permission, now) {
            return Err(Denial::SecondFactorNeeded);
        }
        Ok(())
    }

    /// Whether somebody sees a zone, which no second factor is ever asked for.
    pub fn may_see(&self, who: &Principal, zone: &ZoneId) -> bool {
        self.entitles(who, Permission::See, Place::In(zone))
    }

    /// Whether somebody has the right to do something, leaving aside what they must show first: for what is offered and
    /// explained. What is done waits for [`Self::decide`]. What reaches over the whole site needs every zone.
    pub fn entitles(&self, who: &Principal, permission: Permission, place: Place<'_>) -> bool {
        let here = match (permission.scope(), &who.zones) {
            (Scope::Own, _) | (_, Zones::All) => true,
            (Scope::Site, Zones::Some(_)) => false,
            (Scope::Zone, Zones::Some(zones)) => match place {
                Place::In(zone) => zones.contains(zone),
                Place::Anywhere => !zones.is_empty(),
            },
        };
        here && self.grant(who, permission).is_some()
    }

    /// The roles that have a permission, wherever.
    pub fn roles_with(&self, permission: Permission) -> Vec<Role> {
        let has = |(_, rights): &(&Role, &Rights)| rights.may.contains_key(&permission);
        self.roles
            .iter()
            .filter(has)
            .map(|(role, _)| *role)
            .collect()
    }

    /// The line that grants somebody something, whatever their zones are.
    pub fn grant(&self, who: &Principal, permission: Permission) -> Option<Granted<'static>> {
        who.roles.iter().find_map(|role| {
            let line = *self.roles.get(role)?.may.get(&permission)?;
            Some(Granted {
                role: *role,
                key: "may",
                text: permission.as_str(),
                every_zone: permission.scope() == Scope::Site,
                line,
            })
        })
    }

    /// Whether somebody may do this with a destination, and by which rule.
    ///
    /// # Errors
    /// [`Refused`]: why not.
    pub fn allows(
        &self,
        who: &Principal,
        right: Right,
        destination: &str,
        places: &dyn Places,
    ) -> Result<Granted<'_>, Refused<'_>> {
        if !pattern::is_well_formed(destination)
            || (right != Right::Subscribe && pattern::has_wildcard(destination))
        {
            return Err(Refused::Malformed);
        }
        let claims = Claims {
            subject: &who.subject,
            zones: &who.zones,
            places,
        };
        let mut nearest: Option<(usize, Granted<'_>, Lack)> = None;
        for role in &who.roles {
            let Some(rights) = self.roles.get(role) else {
                continue;
            };
            let (key, rules) = rights.rules(right);
            for rule in rules {
                let granted = Granted {
                    role: *role,
                    key,
                    text: rule.pattern.text(),
                    every_zone: rule.pattern.needs_every_zone(),
                    line: rule.line,
                };
                match rule.pattern.covers(destination, claims) {
                    Ok(()) => return Ok(granted),
                    Err((reached, lack)) => {
                        // The first segment, `/app` or `/topic`, says nothing yet of what is meant.
                        if reached > nearest.map_or(1, |(before, ..)| before) {
                            nearest = Some((reached, granted, lack));
                        }
                    }
                }
            }
        }
        Err(nearest.map_or(Refused::Nothing, |(_, granted, lack)| {
            Refused::Nearest(granted, lack)
        }))
    }

    /// Whether somebody with these roles comes in with a second factor only.
    pub fn asks_at_sign_in(&self, roles: &[Role]) -> bool {
        let asked = &self.second_factor.roles;
        roles.iter().any(|role| asked.contains(role))
    }

    /// Whether somebody must show a second factor before they do this at `now`. Programs never: their secret is none that a
    /// person types. What is only looked at, and emergencies, never: neither may be hindered.
    pub fn awaits_second_factor(
        &self,
        who: &Principal,
        permission: Permission,
        now: DateTime<Utc>,
    ) -> bool {
        if who.is_program() || !permission.may_wait() {
            return false;
        }
        let now = u64::try_from(now.timestamp()).unwrap_or_default();
        let shown = who.proof.second_factor_at;
        let once = self.asks_at_sign_in(&who.roles);
        let recently = self.second_factor.permissions.contains(&permission);
        let is_recent = shown.is_some_and(|at| now.saturating_sub(at) < self.second_factor.seconds);
        (once && shown.is_none()) || (recently && !is_recent)
    }
}

#[cfg(test)]
mod tests;
