//! What belongs to a session from CONNECTED to its end.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use stomp::Frame;
use stomp::server::SubscriptionKey;

use super::now;
use crate::guard::Guard;
use crate::handler::{Handler, SessionInfo};
use crate::permits::Seat;
use crate::publisher::Inlet;
use crate::router::{Outbound, Serial};
use crate::server::Shared;

/// The wall clock is looked at this often while a token is valid: it may be set while a timer runs.
const LOOK_AT_WALL_CLOCK: Duration = Duration::from_secs(30);

/// Messages that a new subscription has missed, and the SUBSCRIBE to answer when they are out.
pub(super) struct Replaying {
    pub(super) messages: VecDeque<Outbound>,
    pub(super) subscribe: Frame,
}

/// A live subscription.
pub(super) struct Live {
    pub(super) key: SubscriptionKey,
    pub(super) destination: String,
}

/// An open session. Dropping it ends the session at the router and tells the handler, also after a panic.
pub(super) struct Open<G: Guard, H: Handler<G::Principal>> {
    shared: Arc<Shared<G, H>>,
    pub(super) info: Arc<SessionInfo<G::Principal>>,
    pub(super) inlet: Inlet,
    pub(super) live: HashMap<Serial, Live>,
    /// The names under which others reach the session's reply queues, by its own. Bounded by
    /// [`crate::QueueLimits::reply_queues`].
    pub(super) replies: HashMap<String, String>,
    pub(super) expires_at: Option<SystemTime>,
    _seat: Seat,
}

impl<G: Guard, H: Handler<G::Principal>> Open<G, H> {
    pub(super) fn new(
        shared: Arc<Shared<G, H>>,
        info: SessionInfo<G::Principal>,
        inlet: Inlet,
        expires_at: Option<SystemTime>,
        seat: Seat,
    ) -> Self {
        Self {
            shared,
            info: Arc::new(info),
            inlet,
            live: HashMap::new(),
            replies: HashMap::new(),
            expires_at,
            _seat: seat,
        }
    }

    pub(super) fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= SystemTime::now())
    }

    /// When to see whether the token has expired.
    pub(super) fn look_at_expiry(&self) -> Option<Instant> {
        let left = self
            .expires_at?
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        Some(now() + left.min(LOOK_AT_WALL_CLOCK))
    }
}

impl<G: Guard, H: Handler<G::Principal>> Drop for Open<G, H> {
    fn drop(&mut self) {
        self.shared.publisher.close(self.info.id);
        self.shared.handler.ended(&self.info);
    }
}
