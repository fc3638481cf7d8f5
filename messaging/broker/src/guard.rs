//! Who may do what: asked on CONNECT, on each SEND and SUBSCRIBE, and about each message before it goes out.

use std::borrow::Cow;
use std::future::Future;
use std::time::SystemTime;

use stomp::Frame;

use crate::peer::Peer;

/// What somebody wants to do with a destination, each with a right of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// SEND to it.
    Send,
    /// SUBSCRIBE to it. The destination may have wildcards: the guard must refuse a pattern that is wider than what
    /// the principal may see.
    Subscribe,
    /// Be given a message of it, whatever the subscription says: one destination, never a pattern. Topics and queues
    /// only: what is sent to the session's own `/user/queue/**` and reply queues is for nobody else.
    Deliver,
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
    /// SENDs of a transaction, about each message before it goes out, and for all live subscriptions after a renewal or
    /// [`crate::Publisher::rights_changed`]. It must be quick: the session waits.
    ///
    /// The session remembers some hundred answers until its token is renewed or rights were changed for anybody. So an
    /// answer may depend on what changes only together with a call of [`crate::Publisher::rights_changed`],
    /// [`crate::Publisher::all_rights_changed`] or [`crate::Publisher::end_sessions_of`], and never on the time.
    ///
    /// A SEND or SUBSCRIBE that is refused ends the session. A message that may not be delivered is left out and counted
    /// in [`crate::Statistics::withheld`], and the session lives.
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

    /// Whether `principal`, who was let in, may stay: asked when rights were changed, before anything more is done for
    /// the session or delivered to it. A guard whose tokens can be taken back says so here: a refusal (with a code of
    /// its own, such as `token-revoked`) ends the session with ERROR, whether it has subscribed to something or not. It
    /// must be quick.
    ///
    /// # Errors
    /// [`Denied`]: what the ERROR frame says.
    fn admitted(&self, _principal: &Self::Principal) -> Result<(), Denied> {
        Ok(())
    }
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
