//! Every way in which a peer can break the protocol, and every way in which a session ends. Pure.

use thiserror::Error;

use crate::frame::Command;

/// What a peer did wrong, and where. [`Self::code`] is stable and for machines, the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The command line names no command. Carries at most 32 characters of it.
    #[error("unknown command {0:?}: {hint}", hint = hint_at(.0))]
    UnknownCommand(String),
    /// A line of the head is longer than [`crate::Limits::line_bytes`].
    #[error("line {line} of the frame is longer than {limit} bytes")]
    LineTooLong {
        /// 1 is the command.
        line: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// The head is longer than [`crate::Limits::head_bytes`].
    #[error("the headers of the frame take more than {limit} bytes")]
    HeadTooLong {
        /// The bound in bytes.
        limit: usize,
    },
    /// The frame has more headers than [`crate::Limits::headers`].
    #[error("the frame has more than {limit} headers")]
    TooManyHeaders {
        /// The bound.
        limit: usize,
    },
    /// The body is longer than [`crate::Limits::body_bytes`].
    #[error("the body of the {command} is longer than {limit} bytes")]
    BodyTooLong {
        /// Which frame.
        command: Command,
        /// The bound in bytes.
        limit: usize,
    },
    /// More than [`crate::Limits::frame_bytes_before_connect`] before the session is open.
    #[error("before CONNECTED, a frame and what is sent without waiting may have {limit} bytes")]
    FrameTooLong {
        /// The bound in bytes.
        limit: usize,
    },
    /// A header line has no colon.
    #[error("line {line} of the {command} has no colon: a header is name:value")]
    HeaderWithoutColon {
        /// Which frame.
        command: Command,
        /// 1 is the command.
        line: usize,
    },
    /// A header has no name.
    #[error("line {line} of the {command} has an empty header name")]
    EmptyHeaderName {
        /// Which frame.
        command: Command,
        /// 1 is the command.
        line: usize,
    },
    /// An escape that the version does not know, or a lone backslash at the end.
    #[error(
        "line {line} of the {command} has the undefined escape {escape:?}: write \\\\ for a backslash"
    )]
    UndefinedEscape {
        /// Which frame.
        command: Command,
        /// 1 is the command.
        line: usize,
        /// The backslash and what follows it.
        escape: String,
    },
    /// A carriage return inside a header line; 1.2 writes it `\r`.
    #[error("line {line} of the {command} has a carriage return that no line feed follows")]
    BareCarriageReturn {
        /// Which frame.
        command: Command,
        /// 1 is the command.
        line: usize,
    },
    /// A NUL before the blank line that ends the headers.
    #[error("line {line} of the frame has a NUL: a blank line must end the headers first{}",
        if *.line == 1 { "; if it is TLS, this is plain STOMP over TCP" } else { "" })]
    NulInHead {
        /// 1 is the command.
        line: usize,
    },
    /// A line of the head is not UTF-8.
    #[error("line {line} of the frame is not UTF-8")]
    NotUtf8 {
        /// 1 is the command.
        line: usize,
    },
    /// `content-length` is not a number of octets.
    #[error("content-length {value:?} of the {command} is not a number of octets")]
    BadContentLength {
        /// Which frame.
        command: Command,
        /// What was sent.
        value: String,
    },
    /// No NUL after as many octets as `content-length` says.
    #[error("no NUL after the {length} octets of body that the {command} announced")]
    MissingNul {
        /// Which frame.
        command: Command,
        /// What `content-length` said.
        length: usize,
    },
    /// A frame that may not come now, or not from this side.
    #[error("{command} is not allowed {when}")]
    UnexpectedFrame {
        /// Which frame.
        command: Command,
        /// For example `before CONNECT`.
        when: &'static str,
    },
    /// A header that the frame needs is not there.
    #[error("{command} needs the header {header}")]
    MissingHeader {
        /// Which frame.
        command: Command,
        /// Which header.
        header: &'static str,
    },
    /// `heart-beat` is not two numbers of milliseconds.
    #[error("heart-beat {value:?} is not two numbers of milliseconds such as 10000,10000")]
    BadHeartBeat {
        /// What was sent.
        value: String,
    },
    /// CONNECT asks for a virtual host that is not served here.
    #[error("there is no virtual host {host:?} here")]
    UnknownHost {
        /// Its `host` header.
        host: String,
    },
    /// No version in common.
    #[error("no common version: offered {offered:?}, supported are 1.0, 1.1 and 1.2")]
    NoCommonVersion {
        /// The peer's `accept-version` or `version`.
        offered: String,
    },
    /// `ack` of a SUBSCRIBE is none of the version's modes.
    #[error(
        "ack mode {value:?} is unknown: use auto, client or client-individual (1.0: auto or client)"
    )]
    BadAckMode {
        /// What was sent.
        value: String,
    },
    /// Two subscriptions with one id.
    #[error("subscription {id:?} exists already: UNSUBSCRIBE it first, or use another id")]
    DuplicateSubscription {
        /// Its id (1.0 without id: its destination).
        id: String,
    },
    /// UNSUBSCRIBE names no subscription.
    #[error("there is no subscription {id:?}")]
    UnknownSubscription {
        /// The id (1.0: or destination).
        id: String,
    },
    /// More subscriptions than [`crate::Limits::subscriptions`].
    #[error(
        "more than {limit} subscriptions: UNSUBSCRIBE what is not needed, or use a wildcard for many topics"
    )]
    TooManySubscriptions {
        /// The bound.
        limit: usize,
    },
    /// A longer `id` than [`crate::Limits::subscription_id_bytes`].
    #[error("the id of a subscription has more than {limit} bytes")]
    SubscriptionIdTooLong {
        /// The bound.
        limit: usize,
    },
    /// ACK or NACK names no message that waits for it.
    #[error("{command} names no message that waits for it: {id:?}")]
    UnknownAck {
        /// ACK or NACK.
        command: Command,
        /// What it named.
        id: String,
    },
    /// More messages without ACK than [`crate::Limits::pending_acks`].
    #[error("more than {limit} messages wait for ACK or NACK")]
    TooManyPendingAcks {
        /// The bound.
        limit: usize,
    },
    /// BEGIN names a transaction that is open.
    #[error("transaction {id:?} is open already")]
    DuplicateTransaction {
        /// Its id.
        id: String,
    },
    /// A frame names a transaction that is not open.
    #[error("{command} names no open transaction: {id:?}")]
    UnknownTransaction {
        /// Which frame.
        command: Command,
        /// What it named.
        id: String,
    },
    /// More open transactions than [`crate::Limits::transactions`].
    #[error("more than {limit} open transactions")]
    TooManyTransactions {
        /// The bound.
        limit: usize,
    },
    /// A transaction would hold more than [`crate::Limits::transaction_frames`] or
    /// [`crate::Limits::transaction_bytes`].
    #[error("a transaction holds at most {frames} frames and {bytes} bytes")]
    TransactionTooLarge {
        /// The bound on frames.
        frames: usize,
        /// The bound in bytes.
        bytes: usize,
    },
}

/// What somebody who sends `command` should know: HTTP and TLS come by when a port is mixed up.
fn hint_at(command: &str) -> &'static str {
    /// How requests of HTTP (PRI: HTTP/2) and a TLS handshake begin.
    const OTHER_PROTOCOLS: [&str; 8] = [
        "GET ",
        "HEAD ",
        "POST ",
        "PUT ",
        "OPTIONS ",
        "CONNECT ",
        "PRI ",
        "\u{16}\u{3}",
    ];
    if OTHER_PROTOCOLS
        .iter()
        .any(|begin| command.starts_with(begin))
    {
        "this is plain STOMP over TCP, neither HTTP nor TLS"
    } else {
        "commands are case-sensitive, for example SEND"
    }
}

impl ProtocolError {
    /// The value of the ERROR frame's `code` header.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCommand(_) => "unknown-command",
            Self::LineTooLong { .. } | Self::HeadTooLong { .. } | Self::TooManyHeaders { .. } => {
                "head-too-large"
            }
            Self::BodyTooLong { .. } => "body-too-large",
            Self::FrameTooLong { .. } => "frame-too-large",
            Self::HeaderWithoutColon { .. }
            | Self::EmptyHeaderName { .. }
            | Self::UndefinedEscape { .. }
            | Self::BareCarriageReturn { .. }
            | Self::NulInHead { .. }
            | Self::NotUtf8 { .. }
            | Self::BadContentLength { .. }
            | Self::MissingNul { .. } => "malformed-frame",
            Self::UnexpectedFrame { .. } => "unexpected-frame",
            Self::MissingHeader { .. } => "missing-header",
            Self::BadHeartBeat { .. } => "bad-heart-beat",
            Self::UnknownHost { .. } => "unknown-host",
            Self::NoCommonVersion { .. } => "unsupported-version",
            Self::BadAckMode { .. } => "bad-ack-mode",
            Self::DuplicateSubscription { .. } => "duplicate-subscription",
            Self::UnknownSubscription { .. } => "unknown-subscription",
            Self::TooManySubscriptions { .. } => "too-many-subscriptions",
            Self::SubscriptionIdTooLong { .. } => "subscription-id-too-long",
            Self::UnknownAck { .. } => "unknown-ack",
            Self::TooManyPendingAcks { .. } => "too-many-unacknowledged",
            Self::DuplicateTransaction { .. } => "duplicate-transaction",
            Self::UnknownTransaction { .. } => "unknown-transaction",
            Self::TooManyTransactions { .. } => "too-many-transactions",
            Self::TransactionTooLarge { .. } => "transaction-too-large",
        }
    }
}

/// Why a session is over. The owner of the socket writes what [`poll_transmit`] still has, then closes.
///
/// [`poll_transmit`]: crate::ServerSession::poll_transmit
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// The client said DISCONNECT (and has its RECEIPT, when it asked for one).
    #[error("disconnected")]
    Disconnected,
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(#[from] ProtocolError),
    /// An ERROR frame ended the session: the server's refusal.
    #[error("ended with ERROR {code}")]
    Error {
        /// Its `code` header; empty when it has none.
        code: String,
    },
    /// Nothing was heard from the peer for longer than was agreed.
    #[error("no heart-beat for longer than agreed")]
    HeartBeatLost,
    /// The session was not open in time (or its DISCONNECT not answered in time).
    #[error("timed out")]
    TimedOut,
}
