//! The question whether an application may act for somebody. Pure.

use askama::Template;
use contract::{Role, Text};

use crate::viewing::Viewing;

/// `/oauth/authorize`
#[derive(Template)]
#[template(path = "authorize.html")]
pub struct Authorize<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// What the application is called.
    pub application: &'a str,
    /// Who is asked.
    pub full_name: &'a str,
    /// Their user name.
    pub user_name: &'a str,
    /// What they would be there.
    pub roles: &'a [Role],
    /// And where; none: everywhere.
    pub zones: Option<Vec<&'a Text>>,
    /// Where the answer goes: its host or scheme.
    pub destination: &'a str,
    /// The token of this login against forged answers.
    pub csrf: &'a str,
    /// What the application asked for, to come back with the answer.
    pub fields: &'a [(&'static str, &'a str)],
}

impl Authorize<'_> {
    fn role_names(&self) -> String {
        let words = self.viewing.words();
        let names: Vec<&str> = self.roles.iter().map(|role| words.role(role)).collect();
        names.join(", ")
    }

    fn zone_names(&self) -> String {
        match &self.zones {
            None => self.viewing.words().every_zone.to_owned(),
            Some(zones) => {
                let names: Vec<&str> = zones.iter().map(|zone| self.viewing.text(zone)).collect();
                names.join(", ")
            }
        }
    }
}
