//! `[tokens]`: how long what the server signs is good.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use crate::identity::token::TOKEN_LIFE_MAX;

/// Agents believe no shorter life; and less than a moment's outage of the network would end everybody's session.
const LIFE_SECONDS: RangeInclusive<u64> = 30..=TOKEN_LIFE_MAX.as_secs();

const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[tokens]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokensSection {
    life_seconds: u64,
    key_days: u16,
}

impl Default for TokensSection {
    fn default() -> Self {
        Self {
            life_seconds: 600,
            key_days: 30,
        }
    }
}

impl TokensSection {
    /// How long a token is good, and how long a key signs.
    ///
    /// # Errors
    /// The key that is wrong, and what it may be.
    pub(super) fn read(&self) -> Result<(Duration, Duration), (&'static str, String)> {
        if !LIFE_SECONDS.contains(&self.life_seconds) {
            let (min, max) = (LIFE_SECONDS.start(), LIFE_SECONDS.end());
            let wrong = format!("use a number of seconds from {min} to {max}");
            return Err(("tokens.life_seconds", wrong));
        }
        if self.key_days == 0 {
            let wrong = "use a number of days from 1 on".to_owned();
            return Err(("tokens.key_days", wrong));
        }
        let life = Duration::from_secs(self.life_seconds);
        Ok((life, DAY * u32::from(self.key_days)))
    }
}
