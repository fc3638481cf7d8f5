//! The policy in words: who may do what, by which line, or what the nearest rule lacks. Pure.

use std::fmt::Write;

use contract::{Destination, Role, ZoneId};

use super::permission::list;
use super::{Granted, Lack, Permission, Place, Places, Policy, Refused, Right, Scope};
use crate::identity::principal::{Principal, Zones};

/// An answer, and the words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, in a few lines.
    pub text: String,
}

/// All that was asked stands in one zone, if one was named: what a policy is explained with while no server runs.
#[derive(Debug, Clone, Copy)]
pub struct Supposed<'a>(pub Option<&'a ZoneId>);

impl Places for Supposed<'_> {
    fn zone_of(&self, _device: &str) -> Option<&ZoneId> {
        self.0
    }
}

impl Policy {
    /// Whether somebody may do something in a zone (or anywhere, if none is named), and why.
    pub fn explain_may(
        &self,
        who: &Principal,
        permission: Permission,
        zone: Option<&ZoneId>,
    ) -> Answer {
        let allowed = self.entitles(who, permission, zone.map_or(Place::Anywhere, Place::In));
        let place = match (permission.scope(), zone) {
            (Scope::Zone, Some(zone)) => format!(" in {zone}"),
            (Scope::Zone, None) => " in one of their zones".to_owned(),
            (Scope::Site | Scope::Own, _) => String::new(),
        };
        let reason = match (self.grant(who, permission), allowed) {
            (Some(granted), true) => self.by(&granted),
            (Some(granted), false) => {
                let lack = match permission.scope() {
                    Scope::Site => "but it takes every zone",
                    Scope::Zone | Scope::Own => "but not outside their zones",
                };
                format!("{}; {lack}", self.by(&granted))
            }
            (None, _) => self.nobody(who, permission),
        };
        answer(
            allowed,
            &format!("{} {permission}{place}", describe(who)),
            &reason,
        )
    }

    /// Whether somebody may do this with a destination, and why.
    pub fn explain_destination(
        &self,
        who: &Principal,
        right: Right,
        destination: &str,
        zone: Option<&ZoneId>,
    ) -> Answer {
        let asked = self.allows(who, right, destination, &Supposed(zone));
        let mut reason = match asked {
            Ok(granted) => self.by(&granted),
            Err(Refused::Malformed) => "it is not written as destinations are: single slashes, no empty segment, . or .., nothing encoded, and wildcards (* for one segment, ** for the rest) in a SUBSCRIBE only".to_owned(),
            Err(Refused::Nothing) => match role_names(who).as_slice() {
                [] => "they have no role".to_owned(),
                names => format!("no rule of {} is about it", list(names.iter().copied())),
            },
            Err(Refused::Nearest(granted, lack)) => {
                format!("the nearest is {}; {}", self.by(&granted), lack.words())
            }
        };
        let mut allowed = asked.is_ok();
        if let (true, Right::Send, Ok(parsed)) = (allowed, right, destination.parse()) {
            let (may, words) = self.explain_handler(who, &parsed, zone);
            allowed = may;
            reason += &words;
        }
        let subject = format!("{} {} {destination}", describe(who), right.key());
        answer(allowed, &subject, &reason)
    }

    /// Whether what is sent there is done once it has got in, and why.
    fn explain_handler(
        &self,
        who: &Principal,
        destination: &Destination,
        zone: Option<&ZoneId>,
    ) -> (bool, String) {
        let asked = Permission::to_send(destination);
        let place = zone.map_or(Place::Anywhere, Place::In);
        let may: Vec<&str> = asked
            .iter()
            .filter(|permission| self.entitles(who, **permission, place))
            .map(|permission| permission.as_str())
            .collect();
        let allowed = asked.is_empty() || !may.is_empty();
        let text = match asked {
            [] => String::new(),
            [one] => format!(
                "\n  then {}",
                self.explain_may(who, *one, zone).text.trim_end()
            ),
            [..] if may.is_empty() => format!(
                "\n  then, by the risk of the command, one of {} is asked: they may none of them",
                list(asked.iter().map(|permission| permission.as_str()))
            ),
            [..] => format!(
                "\n  then, by the risk of the command, they may {}",
                may.join(", ")
            ),
        };
        (allowed, text)
    }

    /// The whole table of roles and permissions, then who must show a second factor, then the roles without rights.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n\n{:18}", self.name, "");
        for role in Role::ALL {
            let _ = write!(text, " {role:>13}", role = role.as_str());
        }
        text.push('\n');
        for permission in Permission::ALL {
            let _ = write!(text, "{permission:18}");
            for role in Role::ALL {
                let line = self
                    .roles
                    .get(&role)
                    .and_then(|rights| rights.may.get(&permission));
                let cell = line.map_or_else(|| "-".to_owned(), |line| format!("line {line}"));
                let _ = write!(text, " {cell:>13}");
            }
            text.push('\n');
        }
        text.push('\n');
        text + &self.second_factor_words() + &self.missing_words()
    }

    /// Everything that somebody may do.
    pub fn list(&self, who: &Principal) -> String {
        let mut text = format!("{} may, by {}:\n", describe(who), self.name);
        for permission in Permission::ALL {
            if let Some(granted) = self.grant(who, permission)
                && self.entitles(who, permission, Place::Anywhere)
            {
                let _ = writeln!(
                    text,
                    "  {permission:18} line {}, role.{}",
                    granted.line, granted.role
                );
            }
        }
        for right in [Right::Send, Right::Subscribe, Right::Deliver] {
            let _ = writeln!(text, "{}:", right.key());
            for role in &who.roles {
                let Some(rights) = self.roles.get(role) else {
                    continue;
                };
                let (key, rules) = rights.rules(right);
                if right == Right::Deliver && key != right.key() {
                    let _ = writeln!(text, "  as subscribe of role.{role}");
                    continue;
                }
                let usable = rules
                    .iter()
                    .filter(|rule| !rule.pattern.needs_every_zone() || who.zones == Zones::All);
                for rule in usable {
                    let _ = writeln!(text, "  {}  line {}, role.{role}", rule.pattern, rule.line);
                }
            }
        }
        text
    }

    /// Which roles have no rights, as a sentence; nothing when all have some.
    pub fn missing_words(&self) -> String {
        let missing = self.roles_without_rights();
        let mut text = String::new();
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter().map(|role| role.as_str()).collect();
            let names = names.join(", ");
            let _ = writeln!(
                text,
                "without any rights, since {} does not name them: {names}",
                self.name
            );
        }
        if self.roles_with(Permission::PeopleManage).is_empty() {
            text += "nobody may people.manage, so a server that runs does not take this file\n";
        }
        text
    }

    fn second_factor_words(&self) -> String {
        let asked = &self.second_factor;
        if asked.roles.is_empty() && asked.permissions.is_empty() {
            return "a second factor is never asked for\n".to_owned();
        }
        let roles: Vec<&str> = asked.roles.iter().map(|role| role.as_str()).collect();
        let permissions: Vec<&str> = asked
            .permissions
            .iter()
            .map(|known| known.as_str())
            .collect();
        let mut text = "a second factor is asked for".to_owned();
        if !roles.is_empty() {
            let _ = write!(text, " once for each login of {}", roles.join(", "));
        }
        if !permissions.is_empty() {
            let and = if roles.is_empty() { "" } else { ", and" };
            let minutes = asked.seconds / 60;
            let _ = write!(
                text,
                "{and} for {}, not longer ago than {minutes} minutes",
                permissions.join(", ")
            );
        }
        text + "; never from programs\n"
    }

    /// Where a rule stands, as it stands there.
    fn by(&self, granted: &Granted<'_>) -> String {
        let everywhere = if granted.every_zone && granted.key != "may" {
            " for all zones"
        } else {
            ""
        };
        format!(
            "{}, line {}: role.{} {} {:?}{everywhere}",
            self.name, granted.line, granted.role, granted.key, granted.text
        )
    }

    fn nobody(&self, who: &Principal, permission: Permission) -> String {
        let others: Vec<&str> = self
            .roles
            .iter()
            .filter(|(_, rights)| rights.may.contains_key(&permission))
            .map(|(role, _)| role.as_str())
            .collect();
        let own = match role_names(who).as_slice() {
            [] => "they have no role".to_owned(),
            names => format!("{} may not by {}", list(names.iter().copied()), self.name),
        };
        if others.is_empty() {
            return format!("{own}, and nobody else may");
        }
        format!("{own}; {} may", others.join(", "))
    }
}

impl Lack {
    /// What is missing.
    pub fn words(self) -> &'static str {
        match self {
            Self::Elsewhere => "it is about something else",
            Self::Wider => "what is asked for is wider than it",
            Self::Zone => "the zone is none of theirs",
            Self::EveryZone => "it takes every zone",
            Self::DeviceElsewhere => "the device stands in none of their zones",
            Self::DeviceUnknown => {
                "only a running server knows where a device stands: say --zone to suppose it"
            }
            Self::Subject => "the name is not theirs",
            Self::Language => "there is no such language",
        }
    }
}

fn answer(allowed: bool, subject: &str, reason: &str) -> Answer {
    let word = if allowed { "allowed" } else { "denied" };
    Answer {
        allowed,
        text: format!("{word}: {subject}\n  {reason}\n"),
    }
}

fn role_names(who: &Principal) -> Vec<&'static str> {
    who.roles.iter().map(|role| role.as_str()).collect()
}

/// "kim (operator, program) with the zones p1, p2".
fn describe(who: &Principal) -> String {
    let zones = who.zones.in_words();
    let roles = role_names(who).join(", ");
    if who.subject.is_empty() {
        format!("{roles} with {zones}")
    } else {
        format!("{} ({roles}) with {zones}", who.subject)
    }
}
