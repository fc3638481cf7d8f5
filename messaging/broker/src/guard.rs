//! Who may do what: asked on CONNECT, and again on each SEND and SUBSCRIBE.

use std::borrow::Cow;
use std::future::Future;
use std::time::SystemTime;

use stomp::Frame;

use crate::peer::Peer;

/// What a client wants to do with a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// SEND to it.
    Send,
    /// SUBSCRIBE to it. The destination may have wildcards: the guard must refuse a pattern that is wider than what
    /// the principal may see.
    Subscribe,
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission<P> {
    /// What the guard wants to remember: it comes back in [`Guard::authorize`] and in [`crate::SessionInfo`].
    pub principal: P,
    /// Who it is, for [`crate::Publisher::send_to_user`]. Stays the same for the session's whole life.
    pub subject: String,
    /// When the session ends with `token-expired`, unless its token is renewed. `None`: never.
    pub expires_at: Option<SystemTime>,
    /// Whether it may use the sessions that [`crate::BrokerConfig::sessions_reserved`] keeps: for machines without which
    /// nobody sees anything. What counts is what the guard said at CONNECT.
    pub reserved: bool,
}

/// A refusal: the client gets ERROR with this `code` and `message`, and the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// For machines: lower case with hyphens.
    pub code: Cow<'static, str>,
    /// For people.
    pub message: String,
}

impl Denied {
    /// A refusal with a code of its own.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    /// `unauthenticated`: not known, or not proved.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new("unauthenticated", message)
    }

    /// `token-expired`: known, but the proof is too old: fetch a new token, then connect again.
    pub fn token_expired() -> Self {
        Self::new("token-expired", "the token has expired")
    }

    /// `forbidden`: known, and not allowed.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new("forbidden", message)
    }
}

/// Decides who may do what.
pub trait Guard: Send + Sync + 'static {
    /// What the guard remembers of somebody who was let in.
    type Principal: Send + Sync + 'static;

    /// Lets somebody in. Called with CONNECT, and with each later frame that has an `Authorization` header, to renew
    /// the token in place; [`token_of`] finds the token in both. A frame that renews must lead to the same subject.
    ///
    /// # Errors
    /// [`Denied`]: what the ERROR frame says.
    fn authenticate(
        &self,
        frame: &Frame,
        peer: &Peer,
    ) -> impl Future<Output = Result<Admission<Self::Principal>, Denied>> + Send;

    /// Whether `principal` may do `action` with `destination`: asked on each SEND and SUBSCRIBE, again at COMMIT for the
    /// SENDs of a transaction, and for all live subscriptions after a renewal or [`crate::Publisher::rights_changed`]. It
    /// must be quick: the session waits.
    ///
    /// A SUBSCRIBE may name a pattern, and whoever gets `/topic/**` gets everything. Compare patterns, not beginnings:
    ///
    /// ```
    /// use broker::destination::{covers, overlaps};
    ///
    /// // What is allowed must cover all that is asked for.
    /// assert!(covers("/topic/open/**", "/topic/open/news"));
    /// assert!(!covers("/topic/open/**", "/topic/**"));
    /// // What is forbidden must not be reached by any of it.
    /// assert!(overlaps("/topic/secret/**", "/topic/**"));
    /// assert!(!overlaps("/topic/secret/**", "/topic/open/*"));
    /// ```
    ///
    /// # Errors
    /// [`Denied`]: what the ERROR frame says, usually [`Denied::forbidden`].
    fn authorize(
        &self,
        principal: &Self::Principal,
        action: Action,
        destination: &str,
    ) -> Result<(), Denied>;
}

/// The bearer token of a frame: `Authorization: Bearer …` (the header's name and the scheme in any case, as in HTTP),
/// else `passcode`.
pub fn token_of(frame: &Frame) -> Option<&str> {
    frame.headers.get_ignore_case("authorization").map_or_else(
        || frame.header("passcode"),
        |value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        },
    )
}

#[cfg(test)]
mod tests {
    use stomp::Command;

    use super::*;

    fn check(headers: &[(&str, &str)], expected: Option<&str>) {
        let mut frame = Frame::new(Command::Connect);
        for (name, value) in headers {
            frame.headers.push(*name, *value);
        }
        assert_eq!(token_of(&frame), expected, "{headers:?}");
    }

    #[test]
    fn the_token_is_found_where_clients_put_it() {
        check(&[], None);
        check(&[("Authorization", "Bearer abc")], Some("abc"));
        check(&[("authorization", "bearer abc")], Some("abc"));
        check(&[("passcode", "abc")], Some("abc"));
        check(
            &[("passcode", "abc"), ("Authorization", "Bearer def")],
            Some("def"),
        );
        check(&[("passcode", "abc"), ("Authorization", "Basic def")], None);
    }
}
