//! Frames as values: commands, headers, bodies (STOMP 1.2, STOMP Frames). Pure.
//!
//! Headers hold *decoded* text; what a version can express of it is the encoder's business.

mod headers;

use std::fmt;

use bytes::Bytes;

pub use self::headers::Headers;

/// The command of a frame. Names are case-sensitive on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Client: opens a session.
    Connect,
    /// Client: opens a session, with a name that tells STOMP from HTTP at the first byte.
    Stomp,
    /// Server: the session is open.
    Connected,
    /// Client: a message to a destination.
    Send,
    /// Client: asks for the messages of a destination.
    Subscribe,
    /// Client: wants no more of them.
    Unsubscribe,
    /// Client: a message was consumed.
    Ack,
    /// Client: a message was not consumed.
    Nack,
    /// Client: opens a transaction.
    Begin,
    /// Client: makes a transaction happen.
    Commit,
    /// Client: drops a transaction.
    Abort,
    /// Client: wants to go.
    Disconnect,
    /// Server: a message of a subscription.
    Message,
    /// Server: a frame was processed.
    Receipt,
    /// Server: something is wrong, and the connection ends.
    Error,
}

impl Command {
    /// Every command.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Stomp,
        Self::Connected,
        Self::Send,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Ack,
        Self::Nack,
        Self::Begin,
        Self::Commit,
        Self::Abort,
        Self::Disconnect,
        Self::Message,
        Self::Receipt,
        Self::Error,
    ];

    /// The command as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Stomp => "STOMP",
            Self::Connected => "CONNECTED",
            Self::Send => "SEND",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Abort => "ABORT",
            Self::Disconnect => "DISCONNECT",
            Self::Message => "MESSAGE",
            Self::Receipt => "RECEIPT",
            Self::Error => "ERROR",
        }
    }

    /// Reads a command line without its end; `None` for an unknown command.
    pub fn parse(line: &[u8]) -> Option<Self> {
        Some(match line {
            b"CONNECT" => Self::Connect,
            b"STOMP" => Self::Stomp,
            b"CONNECTED" => Self::Connected,
            b"SEND" => Self::Send,
            b"SUBSCRIBE" => Self::Subscribe,
            b"UNSUBSCRIBE" => Self::Unsubscribe,
            b"ACK" => Self::Ack,
            b"NACK" => Self::Nack,
            b"BEGIN" => Self::Begin,
            b"COMMIT" => Self::Commit,
            b"ABORT" => Self::Abort,
            b"DISCONNECT" => Self::Disconnect,
            b"MESSAGE" => Self::Message,
            b"RECEIPT" => Self::Receipt,
            b"ERROR" => Self::Error,
            _ => return None,
        })
    }

    /// Whether a frame of this command may carry a body (STOMP 1.2, Body).
    pub fn may_have_body(self) -> bool {
        matches!(self, Self::Send | Self::Message | Self::Error)
    }

    /// Whether headers of this command are escaped. CONNECT and CONNECTED stay as STOMP 1.0 had them, and STOMP is
    /// handled as CONNECT.
    pub fn is_escaped(self) -> bool {
        !matches!(self, Self::Connect | Self::Stomp | Self::Connected)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One frame. `content-length` is framing, not meaning: the decoder takes it out and the encoder writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the frame does.
    pub command: Command,
    /// Its headers, decoded.
    pub headers: Headers,
    /// Its body: opaque octets. Empty for all but SEND, MESSAGE and ERROR.
    pub body: Bytes,
}

impl Frame {
    /// A frame without headers and body.
    pub fn new(command: Command) -> Self {
        Self {
            command,
            headers: Headers::new(),
            body: Bytes::new(),
        }
    }

    /// The frame with one more header at the end.
    #[must_use]
    pub fn with_header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The frame with `body`.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The value of the first header called `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}

/// How the messages of a subscription are acknowledged (STOMP 1.2, SUBSCRIBE ack Header).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AckMode {
    /// Sent is received.
    #[default]
    Auto,
    /// An ACK covers its message and all messages sent to the subscription before it.
    Client,
    /// An ACK covers its message alone.
    ClientIndividual,
}

impl AckMode {
    /// The mode as it stands in the `ack` header of SUBSCRIBE.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Client => "client",
            Self::ClientIndividual => "client-individual",
        }
    }

    /// Reads the `ack` header of SUBSCRIBE; `None` for an unknown mode.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Auto, Self::Client, Self::ClientIndividual]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_repeated_headers_is_the_value() {
        let frame = Frame::new(Command::Message)
            .with_header("foo", "World")
            .with_header("foo", "Hello");
        assert_eq!(frame.header("foo"), Some("World"));
        assert_eq!(frame.header("Foo"), None);
        assert_eq!(frame.headers.get_ignore_case("FOO"), Some("World"));
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let frame = Frame::new(Command::Connect)
            .with_header("Authorization", "Bearer abc")
            .with_header("passcode", "abc")
            .with_header("login", "kiosk");
        let shown = format!("{frame:?}");
        assert!(!shown.contains("abc"), "{shown}");
        assert!(shown.contains("kiosk"), "{shown}");
    }

    #[test]
    fn commands_are_case_sensitive() {
        for command in Command::ALL {
            assert_eq!(Command::parse(command.as_str().as_bytes()), Some(command));
        }
        assert_eq!(Command::parse(b"send"), None);
    }
}
