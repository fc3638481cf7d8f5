//! Where a subscription stands in the stream of all messages, and what names a session. Pure.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Marks the id of a gap notice, which must differ from that of the message whose place it takes.
const GAP_SUFFIX: &str = "-gap";

/// The place after a message: `{incarnation}-{sequence}`, the value of `message-id` and of `x-resume-from`.
///
/// One sequence runs over all destinations of a broker's life, so a position taken before a state is read resumes any
/// subscription to changes of that state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    pub(crate) incarnation: Arc<str>,
    pub(crate) sequence: u64,
}

impl Position {
    pub(crate) fn gap_id(&self) -> String {
        format!("{self}{GAP_SUFFIX}")
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation, self.sequence)
    }
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no position: use the message-id of a MESSAGE")]
pub struct UnknownPosition(String);

impl FromStr for Position {
    type Err = UnknownPosition;

    fn from_str(text: &str) -> Result<Self, UnknownPosition> {
        let id = text.strip_suffix(GAP_SUFFIX).unwrap_or(text);
        id.rsplit_once('-')
            .filter(|(incarnation, digits)| {
                !incarnation.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            })
            .and_then(|(incarnation, digits)| {
                Some(Self {
                    incarnation: incarnation.into(),
                    sequence: digits.parse().ok()?,
                })
            })
            .ok_or_else(|| UnknownPosition(text.to_owned()))
    }
}

/// One session of this broker's life; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_itself() {
        let position = Position {
            incarnation: "1f3a".into(),
            sequence: 42,
        };
        assert_eq!(position.to_string(), "1f3a-42");
        assert_eq!("1f3a-42".parse(), Ok(position.clone()));
        assert_eq!(position.gap_id().parse(), Ok(position));
    }

    #[test]
    fn what_is_not_a_position_is_refused() {
        for bad in [
            "",
            "-",
            "1f3a",
            "1f3a-",
            "-42",
            "1f3a-+1",
            "1f3a-99999999999999999999",
        ] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
