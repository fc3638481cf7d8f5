//! What belongs to a session from CONNECTED to its end.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use stomp::Frame;
use stomp::server::SubscriptionKey;

use super::answers::Answers;
use super::validity::Validity;
use crate::guard::Guard;
use crate::handler::{Handler, SessionInfo};
use crate::outbox::Lane;
use crate::permits::Seat;
use crate::router::{Outbound, Serial};
use crate::server::Shared;

/// Messages that a new subscription has missed, and the SUBSCRIBE to answer when they are out.
pub(super) struct Replaying {
    pub(super) messages: VecDeque<Outbound>,
    pub(super) subscribe: Frame,
    /// The subscription's.
    pub(super) lane: Lane,
}

/// A live subscription.
pub(super) struct Live {
    pub(super) key: SubscriptionKey,
    pub(super) destination: String,
    /// It is a queue's, and gets nothing of it until rights are changed.
    pub(super) barred: bool,
}

/// An open session. Dropping it ends the session at the router and tells the handler, also after a panic.
pub(super) struct Open<G: Guard, H: Handler<G::Principal>> {
    pub(super) shared: Arc<Shared<G, H>>,
    pub(super) info: Arc<SessionInfo<G::Principal>>,
    pub(super) live: HashMap<Serial, Live>,
    /// The names under which others reach the session's reply queues, by its own. Bounded by
    /// [`crate::QueueLimits::reply_queues`].
    pub(super) replies: HashMap<String, String>,
    /// What the guard has said to this session.
    pub(super) answers: Answers,
    /// `None`: the token never ends.
    pub(super) validity: Option<Validity>,
    _seat: Seat,
}

impl<G: Guard, H: Handler<G::Principal>> Open<G, H> {
    pub(super) fn new(
        shared: Arc<Shared<G, H>>,
        info: SessionInfo<G::Principal>,
        seat: Seat,
    ) -> Self {
        Self {
            shared,
            info: Arc::new(info),
            live: HashMap::new(),
            replies: HashMap::new(),
            answers: Answers::default(),
            validity: None,
            _seat: seat,
        }
    }
}

impl<G: Guard, H: Handler<G::Principal>> Drop for Open<G, H> {
    fn drop(&mut self) {
        self.shared.publisher.close(self.info.id);
        self.shared.handler.ended(&self.info);
    }
}
