//! What administrators see and change of people. Pure.

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};
use contract::{Role, Text, ZoneId};

use crate::notice::Notice;
use crate::shell::Shell;
use crate::sign_in::percent_encode;
use crate::viewing::Viewing;

/// One person.
#[derive(Debug, Clone, Copy)]
pub struct PersonRow<'a> {
    /// By which name they sign in.
    pub name: &'a str,
    /// What others call them.
    pub full_name: &'a str,
    /// What they are.
    pub role: Role,
    /// The ids of their zones, or `*`.
    pub zones: &'a [String],
    /// Kept by the access file: rights and password are changed there.
    pub from_file: bool,
    /// Of the external provider, which says what they may.
    pub is_external: bool,
    /// May not come.
    pub disabled: bool,
    /// Never set a password.
    pub is_awaited: bool,
    /// Until when their link is good.
    pub invited_until: Option<DateTime<Utc>>,
    /// Has an app for codes.
    pub has_second_factor: bool,
    /// When they were last there.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The one who looks.
    pub is_self: bool,
}

impl PersonRow<'_> {
    /// The page with what can be changed of them.
    fn path(&self) -> String {
        format!("/people?change={}", percent_encode(self.name))
    }
}

/// A link that was just made.
#[derive(Debug, Clone, Copy)]
pub struct NewLink<'a> {
    /// For whom.
    pub name: &'a str,
    /// The whole address.
    pub url: &'a str,
    /// Until when it is good.
    pub until: DateTime<Utc>,
}

/// A zone that somebody can be given.
#[derive(Debug, Clone, Copy)]
pub struct ZoneChoice<'a> {
    /// Which.
    pub id: &'a ZoneId,
    /// What it is called.
    pub name: &'a Text,
}

/// What was typed to invite somebody, and what of it is wrong.
#[derive(Debug, Clone, Copy)]
pub struct InviteFields<'a> {
    /// The name to sign in by.
    pub name: &'a str,
    /// What others call them.
    pub full_name: &'a str,
    /// What they will be.
    pub role: Role,
    /// The ids of the zones, or `*`.
    pub zones: &'a [String],
    /// Why nobody can be invited by this name.
    pub wrong_name: Option<&'a Notice>,
    /// The full name is missing or too long.
    pub wrong_full_name: bool,
    /// No zone is chosen, or one that is not there.
    pub wrong_zones: bool,
}

impl Default for InviteFields<'_> {
    /// The lowest role, and no zone: who invites says what for.
    fn default() -> Self {
        Self {
            name: "",
            full_name: "",
            role: Role::Viewer,
            zones: &[],
            wrong_name: None,
            wrong_full_name: false,
            wrong_zones: false,
        }
    }
}

/// Boxes to choose zones by.
#[derive(Template)]
#[template(path = "zone_boxes.html")]
struct ZoneBoxes<'a> {
    viewing: Viewing,
    zones: &'a [ZoneChoice<'a>],
    chosen: &'a [String],
    is_wrong: bool,
}

impl HtmlSafe for ZoneBoxes<'_> {}

impl ZoneBoxes<'_> {
    fn has(&self, id: &str) -> bool {
        self.chosen.iter().any(|chosen| chosen == id)
    }
}

/// `/people`
#[derive(Template)]
#[template(path = "people.html")]
pub struct PeoplePage<'a> {
    /// What is around it.
    pub shell: Shell<'a>,
    /// Everybody, by name.
    pub people: &'a [PersonRow<'a>],
    /// Of whom something is to be changed.
    pub changing: Option<&'a str>,
    /// A link that was just made.
    pub link: Option<NewLink<'a>>,
    /// The zones of the site.
    pub zones: &'a [ZoneChoice<'a>],
    /// The form to invite somebody.
    pub invite: InviteFields<'a>,
}

impl PeoplePage<'_> {
    /// What a person can be.
    const ROLES: [Role; 5] = [
        Role::Viewer,
        Role::Operator,
        Role::Technician,
        Role::Supervisor,
        Role::Administrator,
    ];

    fn roles(&self) -> [Role; 5] {
        Self::ROLES
    }

    fn is_changing(&self, row: &PersonRow<'_>) -> bool {
        !row.is_self && self.changing == Some(row.name)
    }

    fn zones(&self, row: &PersonRow<'_>) -> String {
        match row.zones {
            [all] if all == "*" => self.shell.viewing.words().every_zone.to_owned(),
            zones => zones.join(" "),
        }
    }

    fn zone_boxes<'b>(&'b self, chosen: &'b [String], is_wrong: &bool) -> ZoneBoxes<'b> {
        ZoneBoxes {
            viewing: self.shell.viewing,
            zones: self.zones,
            chosen,
            is_wrong: *is_wrong,
        }
    }

    /// Why the name is wrong; the rule itself, where it breaks that.
    fn wrong_name(&self) -> Option<String> {
        let viewing = &self.shell.viewing;
        self.invite.wrong_name.map(|notice| match notice {
            Notice::BadInput => viewing.words().user_name_rule.to_owned(),
            notice => notice.sentence(viewing),
        })
    }

    /// A question about somebody.
    fn about(&self, question: &str, row: &PersonRow<'_>) -> String {
        let viewing = &self.shell.viewing;
        viewing.sentence(question, &[("name", row.name)])
    }

    fn link_sentence(&self, link: &NewLink<'_>) -> String {
        let viewing = &self.shell.viewing;
        let until = viewing.short_time(&link.until);
        viewing.sentence(
            viewing.words().link_made,
            &[("name", link.name), ("time", &until)],
        )
    }
}
