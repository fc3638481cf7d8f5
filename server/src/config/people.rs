//! `[identity]`: the control room, and what is asked of people.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use super::http::addresses;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IdentitySection {
    #[serde(deserialize_with = "addresses")]
    pub(super) consoles: Vec<IpAddr>,
    idle_lock_minutes: u16,
}

impl Default for IdentitySection {
    fn default() -> Self {
        Self {
            consoles: Vec::new(),
            idle_lock_minutes: 15,
        }
    }
}

/// What is asked of people.
#[derive(Debug, Clone)]
pub struct IdentityConfig {
    /// After this time in which nobody does anything at a console its controls are locked (`idle_lock_minutes`); 0 is
    /// never. Alarms and live state go on.
    pub idle_lock: Option<Duration>,
}

impl From<IdentitySection> for IdentityConfig {
    fn from(section: IdentitySection) -> Self {
        let minutes =
            |minutes: u16| (minutes > 0).then(|| Duration::from_secs(u64::from(minutes) * 60));
        Self {
            idle_lock: minutes(section.idle_lock_minutes),
        }
    }
}
