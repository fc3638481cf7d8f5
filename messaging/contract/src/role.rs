//! Who somebody is: carried in tokens, decided on by the server's guard.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A role. People have one of the first five; the others belong to machines and programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees.
    Viewer,
    /// Sees, acknowledges, gives normal commands.
    Operator,
    /// As an operator, and commands marked critical.
    Technician,
    /// As a technician, and overrides.
    Supervisor,
    /// Connects equipment and gives out access.
    Administrator,
    /// A device-agent: reports, and receives commands for its devices.
    Agent,
    /// A machine that reports for itself.
    Device,
    /// A program of somebody else's; what it may do is said by the other roles of its token.
    Program,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Viewer,
        Self::Operator,
        Self::Technician,
        Self::Supervisor,
        Self::Administrator,
        Self::Agent,
        Self::Device,
        Self::Program,
    ];

    /// The role as it stands in a token and in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Technician => "technician",
            Self::Supervisor => "supervisor",
            Self::Administrator => "administrator",
            Self::Agent => "agent",
            Self::Device => "device",
            Self::Program => "program",
        }
    }

    /// Whether somebody who signs in may have it; the others are for what gets its tokens by a secret.
    pub fn is_for_people(self) -> bool {
        !self.is_machine() && self != Self::Program
    }

    /// Equipment, or what speaks for it.
    pub fn is_machine(self) -> bool {
        matches!(self, Self::Agent | Self::Device)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no role: use viewer, operator, technician, supervisor, administrator, agent, device or program"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}
