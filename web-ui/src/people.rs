//! What administrators see and change of people. Pure.

use askama::Template;
use chrono::{DateTime, Utc};
use contract::Role;

use crate::shell::Shell;

/// One person.
#[derive(Debug, Clone, Copy)]
pub struct PersonRow<'a> {
    /// By which name they sign in.
    pub name: &'a str,
    /// What others call them.
    pub full_name: &'a str,
    /// What they are.
    pub role: Role,
    /// Their zones, spaced, or `*`.
    pub zones: &'a str,
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

/// A link that was just made: shown once.
#[derive(Debug, Clone, Copy)]
pub struct NewLink<'a> {
    /// For whom.
    pub name: &'a str,
    /// The whole address.
    pub url: &'a str,
    /// Until when it is good.
    pub until: DateTime<Utc>,
}

/// `/people`
#[derive(Template)]
#[template(path = "people.html")]
pub struct PeoplePage<'a> {
    /// What is around it.
    pub shell: Shell<'a>,
    /// Everybody, by name.
    pub people: &'a [PersonRow<'a>],
    /// A link that was just made.
    pub link: Option<NewLink<'a>>,
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

    fn zones<'b>(&self, row: &'b PersonRow<'_>) -> &'b str
    where
        Self: 'b,
    {
        if row.zones == "*" {
            self.shell.viewing.words().every_zone
        } else {
            row.zones
        }
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
