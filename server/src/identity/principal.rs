//! Somebody who has shown who they are. Pure.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

use contract::{IdError, Role, ZoneId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The zones somebody may see and act in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zones {
    /// Every zone, also those that come later.
    All,
    /// These.
    Some(BTreeSet<ZoneId>),
}

impl Zones {
    /// The word for "every zone" in tokens and configuration.
    pub const ALL_WORD: &'static str = "*";

    /// Reads zone ids, or `*`.
    ///
    /// # Errors
    /// [`IdError`] for a word that is neither.
    pub fn from_words(words: &[String]) -> Result<Self, IdError> {
        if words.iter().any(|word| word == Self::ALL_WORD) {
            return Ok(Self::All);
        }
        words
            .iter()
            .map(|word| word.parse())
            .collect::<Result<_, _>>()
            .map(Self::Some)
    }

    /// Reads ids of zones that are known here, or `*`.
    ///
    /// # Errors
    /// [`ZonesError`] with the word that is neither, and what to do.
    pub fn among<Z: Borrow<ZoneId>>(words: &[String], known: &[Z]) -> Result<Self, ZonesError> {
        let zones = Self::from_words(words)?;
        if let Self::Some(named) = &zones {
            let is_known = |zone: &ZoneId| known.iter().any(|known| known.borrow() == zone);
            if let Some(unknown) = named.iter().find(|zone| !is_known(zone)) {
                let known = known.iter().map(|zone| zone.borrow().to_string()).collect();
                return Err(ZonesError::Unknown(unknown.clone(), known));
            }
        }
        Ok(zones)
    }

    /// The inverse of [`Self::from_words`].
    pub fn to_words(&self) -> Vec<String> {
        match self {
            Self::All => vec![Self::ALL_WORD.to_owned()],
            Self::Some(zones) => zones.iter().map(ZoneId::to_string).collect(),
        }
    }

    /// For a person to read.
    pub fn in_words(&self) -> String {
        match self {
            Self::All => "every zone".to_owned(),
            Self::Some(zones) if zones.is_empty() => "no zone".to_owned(),
            Self::Some(_) => format!("the zones {}", self.to_words().join(", ")),
        }
    }

    /// Whether all of `others` are among them.
    pub fn include(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::All, _) => true,
            (Self::Some(_), Self::All) => false,
            (Self::Some(zones), Self::Some(others)) => others.is_subset(zones),
        }
    }

    /// Whether `zone` is among them.
    pub fn contains(&self, zone: &ZoneId) -> bool {
        match self {
            Self::All => true,
            Self::Some(zones) => zones.contains(zone),
        }
    }
}

/// Why words are no zones of this site.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZonesError {
    /// It is not written as one.
    #[error(transparent)]
    Id(#[from] IdError),
    /// And those that there are.
    #[error("there is no zone {0}: name one of the configuration ({list}), or \"*\" for all", list = .1.join(", "))]
    Unknown(ZoneId, Vec<String>),
}

/// Somebody who has shown who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// A person's login name, or a program's id.
    pub subject: String,
    /// What others call them.
    pub full_name: String,
    /// What they are.
    pub roles: Vec<Role>,
    /// Where.
    pub zones: Zones,
    /// How they have shown it.
    pub proof: Proof,
}

impl Principal {
    /// Somebody with a token of their own right, not a person who acts through a page or an application.
    pub fn is_program(&self) -> bool {
        self.proof.holder == Holder::Program
    }

    /// Equipment, or what speaks for it: without it nobody sees anything, so people may not take its place.
    pub fn is_machine(&self) -> bool {
        self.roles.iter().any(|role| role.is_machine())
    }
}

/// In whose hands a proof is: a fact of its own, whatever anybody is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// The person's own: on a page of ours, or by a provider's token.
    #[default]
    Person,
    /// An application's, through which the person acts, with its rights of this generation.
    Application(i64),
    /// The program's that it speaks of.
    Program,
}

/// How old the rights are that somebody came in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Ours have a generation, which is counted up whenever something is taken away.
    Generation(i64),
    /// Of an external provider's token only this is known: when it was made, in seconds since 1970 (`iat`).
    Second(u64),
}

impl AsOf {
    /// The generation; rights of others are of none of ours.
    pub fn generation(self) -> i64 {
        match self {
            Self::Generation(generation) => generation,
            Self::Second(_) => 0,
        }
    }
}

impl Default for AsOf {
    fn default() -> Self {
        Self::Generation(0)
    }
}

/// How somebody has shown who they are: what can be called back, and what they showed beyond a password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// The token they brought (`jti`). None: a page's cookie.
    pub token: Option<Uuid>,
    /// What the token came from (`sid`): a person's login, or a family of refresh tokens. When that ends, so do its tokens.
    pub grant: Option<Uuid>,
    /// To whom the token was given (`client_id`): an application, or the program itself. None: a page of ours.
    pub client: Option<String>,
    /// In whose hands it is.
    pub holder: Holder,
    /// The key that signed the token (`kid`). When it is removed, so are its tokens.
    pub key: Option<Arc<str>>,
    /// How old the rights are.
    pub as_of: AsOf,
    /// When a second factor was shown, in seconds since 1970.
    pub second_factor_at: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_is_none_is_an_error() {
        let p1: ZoneId = "p1".parse().unwrap();
        for (word, wrong) in [
            ("P 1", Some("P 1")),
            (
                "p9",
                Some("there is no zone p9: name one of the configuration (p1)"),
            ),
            ("p1", None),
            ("*", None),
        ] {
            let said = Zones::among(&[word.to_owned()], &[&p1]).map_err(|error| error.to_string());
            match (said, wrong) {
                (Ok(_), None) => {}
                (Err(said), Some(wrong)) => assert!(said.contains(wrong), "{said}"),
                (got, _) => panic!("{word}: {got:?}"),
            }
        }
    }
}
