//! Names of things, validated once: an id that exists is fit for a destination, a URL and a file name.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest id, in bytes: readable on one line of a console, and far below any limit of a header or an index.
pub const MAX_ID_BYTES: usize = 64;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {rule}")]
pub struct IdError {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

const LOWER: &str = "use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit";
const UPPER: &str = "use 1 to 64 of A-Z, 0-9 and '-', starting with a letter";

fn is_lower_id(text: &str) -> bool {
    text.len() <= MAX_ID_BYTES
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
        })
}

fn is_upper_id(text: &str) -> bool {
    text.len() <= MAX_ID_BYTES
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-')
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                if $check(&text) { Ok(Self(text)) } else { Err(IdError { kind: $kind, text, rule: $rule }) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// One machine, for example `gate-p1-in-1`.
    DeviceId, "device id", is_lower_id, LOWER
);
text_id!(
    /// A part of the site with its own rights, for example `p1`.
    ZoneId, "zone id", is_lower_id, LOWER
);
text_id!(
    /// A lane of a zone, for example `in-1`.
    LaneId, "lane id", is_lower_id, LOWER
);
text_id!(
    /// One measured or commanded quantity of a device, for example `position`.
    PointId, "point id", is_lower_id, LOWER
);
text_id!(
    /// A device-agent: the subject of its token.
    AgentId, "agent id", is_lower_id, LOWER
);
text_id!(
    /// One physical bus or connection of an agent.
    LineId, "line id", is_lower_id, LOWER
);
text_id!(
    /// A type of device, for example `gate.came.crp`.
    ProfileId, "profile id", is_lower_id, LOWER
);
text_id!(
    /// What is wrong, as its profile names it, for example `BAR-STUCK`.
    FaultCode, "fault code", is_upper_id, UPPER
);

impl FaultCode {
    /// The fault that every device has without its profile saying so: the agent cannot reach it.
    pub const CONTACT_LOST: &'static str = "COMM";

    /// [`Self::CONTACT_LOST`] as a code.
    pub fn contact_lost() -> Self {
        Self(Self::CONTACT_LOST.to_owned())
    }

    /// Whether this is [`Self::CONTACT_LOST`].
    pub fn is_contact_lost(&self) -> bool {
        self.0 == Self::CONTACT_LOST
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// Made with an outbox file: a wiped disk is a new epoch, so its sequences start again without colliding.
    Epoch
);
uuid_id!(
    /// Made with an agent's process: tells a restarted agent from the one before.
    InstanceId
);
uuid_id!(
    /// One command, however often it is delivered.
    CommandId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_fit_for_destinations() {
        for good in ["gate-1", "p1", "0", "printer.paper", "a_b"] {
            assert!(good.parse::<DeviceId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "Gate",
            "a/b",
            "a*",
            "-a",
            ".a",
            "게이트",
            "a b",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_names_the_text_and_the_rule() {
        let error = "Gate 1".parse::<DeviceId>().unwrap_err().to_string();
        assert!(
            error.contains("\"Gate 1\"") && error.contains("device id") && error.contains("a-z"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_id_is_refused_inside_json() {
        assert!(serde_json::from_str::<DeviceId>("\"a/b\"").is_err());
        assert!(serde_json::from_str::<FaultCode>("\"bar\"").is_err());
    }
}
