//! What a server session tells its owner. Pure.

use super::subscriptions::{Delivery, SubscriptionKey};
use crate::error::CloseReason;
use crate::frame::{AckMode, Frame};

/// One frame that a transaction held, at COMMIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// SEND; it has a `destination`.
    Send(Frame),
    /// ACK: these messages are consumed.
    Ack {
        /// Which ones, oldest first.
        deliveries: Vec<Delivery>,
        /// The whole frame.
        frame: Frame,
    },
    /// NACK: these messages are not consumed.
    Nack {
        /// Which ones, oldest first.
        deliveries: Vec<Delivery>,
        /// The whole frame.
        frame: Frame,
    },
}

/// What a client wants. Each but [`Self::Closed`] carries its frame; after doing what it says, call
/// [`super::ServerSession::receipt`] with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// CONNECT or STOMP: answer with [`super::ServerSession::accept`] or [`super::ServerSession::reject`]. Until then no event
    /// follows.
    Connect(Frame),
    /// SEND; it has a `destination`.
    Send(Frame),
    /// SUBSCRIBE, with an id that was free and is taken now.
    Subscribe {
        /// Names the subscription from here on.
        subscription: SubscriptionKey,
        /// The `destination` header.
        destination: String,
        /// The `ack` header.
        ack: AckMode,
        /// The whole frame.
        frame: Frame,
    },
    /// UNSUBSCRIBE of a subscription that was there. Nothing may be sent to it any more.
    Unsubscribe {
        /// Which one.
        subscription: SubscriptionKey,
        /// The whole frame.
        frame: Frame,
    },
    /// ACK: these messages are consumed. More than one for a cumulative acknowledgement.
    Ack {
        /// Which ones, oldest first.
        deliveries: Vec<Delivery>,
        /// The whole frame.
        frame: Frame,
    },
    /// NACK: these messages are not consumed; whoever sent them decides what becomes of them.
    Nack {
        /// Which ones, oldest first.
        deliveries: Vec<Delivery>,
        /// The whole frame.
        frame: Frame,
    },
    /// BEGIN of a transaction whose id was free. Nothing to do.
    Begin(Frame),
    /// SEND, ACK or NACK with the `transaction` of an open one: it is held, and comes again with
    /// [`Self::Commit`] unless the transaction is aborted. Whoever sees now that it cannot be done answers with
    /// [`super::ServerSession::error`].
    Hold(Frame),
    /// COMMIT: do all of its steps in order, or end the session with [`super::ServerSession::error`] and do none.
    Commit {
        /// What the transaction held, oldest first.
        steps: Vec<Step>,
        /// The COMMIT.
        frame: Frame,
    },
    /// ABORT of a transaction that was open: what it held is gone. Nothing to do.
    Abort(Frame),
    /// The session is over: write what [`super::ServerSession::poll_transmit`] has and close. No event follows.
    Closed(CloseReason),
}

impl ServerEvent {
    /// The frame that led to it; none for [`Self::Closed`].
    pub fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Connect(frame)
            | Self::Send(frame)
            | Self::Subscribe { frame, .. }
            | Self::Unsubscribe { frame, .. }
            | Self::Ack { frame, .. }
            | Self::Nack { frame, .. }
            | Self::Begin(frame)
            | Self::Hold(frame)
            | Self::Commit { frame, .. }
            | Self::Abort(frame) => Some(frame),
            Self::Closed(_) => None,
        }
    }
}

impl From<Step> for ServerEvent {
    /// Outside a transaction, each step is an event of its own.
    fn from(step: Step) -> Self {
        match step {
            Step::Send(frame) => Self::Send(frame),
            Step::Ack { deliveries, frame } => Self::Ack { deliveries, frame },
            Step::Nack { deliveries, frame } => Self::Nack { deliveries, frame },
        }
    }
}
