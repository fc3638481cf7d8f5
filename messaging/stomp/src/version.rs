//! The three versions of the protocol, and how client and server agree on one (STOMP 1.2, Protocol Negotiation). Pure.

use std::fmt;

use crate::error::ProtocolError;

/// A version of STOMP. Later versions compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 1.0: no escaping, no heart-beat, no NACK, subscription ids optional.
    V1_0,
    /// 1.1: escapes `\n`, `\c`, `\\`; ACK by message id and subscription.
    V1_1,
    /// 1.2: escapes `\r` too; CRLF ends a line as well; ACK by the MESSAGE's `ack` header.
    V1_2,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::V1_0, Self::V1_1, Self::V1_2];

    /// Every version as the `version` header of a refusal names them.
    pub const SUPPORTED: &'static str = "1.0,1.1,1.2";

    /// The version as it stands in `accept-version` and `version`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// Reads one version number; `None` for one that is not spoken here.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
    }

    /// Chooses the highest common version from the `accept-version` header of a CONNECT. A client that sends none
    /// speaks 1.0. Blanks around the list's items are forgiven: `1.1, 1.2` is common and means what it seems to.
    ///
    /// # Errors
    /// [`ProtocolError::NoCommonVersion`] with what was offered.
    pub fn negotiate(accept_version: Option<&str>) -> Result<Self, ProtocolError> {
        let Some(offered) = accept_version else {
            return Ok(Self::V1_0);
        };
        offered
            .split(',')
            .filter_map(|item| Self::parse(item.trim()))
            .max()
            .ok_or_else(|| ProtocolError::NoCommonVersion {
                offered: offered.to_owned(),
            })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept_version: Option<&str>, expected: Option<Version>) {
        assert_eq!(
            Version::negotiate(accept_version).ok(),
            expected,
            "{accept_version:?}"
        );
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        check(None, Some(Version::V1_0));
        check(Some("1.0"), Some(Version::V1_0));
        check(Some("1.2,1.0"), Some(Version::V1_2));
        check(Some("1.1, 1.2"), Some(Version::V1_2));
        check(Some("1.1,3.0"), Some(Version::V1_1));
        check(Some("3.0"), None);
        check(Some(""), None);
    }
}
