//! What belongs to a session from CONNECTED to its end.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use stomp::Frame;
use stomp::server::SubscriptionKey;

use crate::guard::Guard;
use crate::handler::{Handler, SessionInfo};
use crate::outbox::Lane;
use crate::permits::Seat;
use crate::router::{Outbound, Serial};
use crate::server::Shared;

/// The wall clock is looked at this often while a token is valid: it may be set while a timer runs.
const LOOK_AT_WALL_CLOCK: Duration = Duration::from_secs(30);

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
}

/// An open session. Dropping it ends the session at the router and tells the handler, also after a panic.
pub(super) struct Open<G: Guard, H: Handler<G::Principal>> {
    shared: Arc<Shared<G, H>>,
    pub(super) info: Arc<SessionInfo<G::Principal>>,
    pub(super) live: HashMap<Serial, Live>,
    /// The names under which others reach the session's reply queues, by its own. Bounded by
    /// [`crate::QueueLimits::reply_queues`].
    pub(super) replies: HashMap<String, String>,
    expires_at: Option<SystemTime>,
    /// When to see whether that is past.
    look_at_expiry: Option<Instant>,
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
            expires_at: None,
            look_at_expiry: None,
            _seat: seat,
        }
    }

    /// From `now` on the token is good until `expires_at`.
    pub(super) fn set_expiry(&mut self, expires_at: Option<SystemTime>, now: Instant) {
        self.expires_at = expires_at;
        self.look_again(now);
    }

    pub(super) fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= SystemTime::now())
    }

    /// As [`Self::is_expired`], when it is time to look.
    pub(super) fn has_expired(&mut self, now: Instant) -> bool {
        if self.look_at_expiry.is_none_or(|at| at > now) {
            return false;
        }
        self.look_again(now);
        self.is_expired()
    }

    pub(super) fn look_at_expiry(&self) -> Option<Instant> {
        self.look_at_expiry
    }

    fn look_again(&mut self, now: Instant) {
        self.look_at_expiry = self.expires_at.map(|at| {
            let left = at.duration_since(SystemTime::now()).unwrap_or_default();
            now + left.min(LOOK_AT_WALL_CLOCK)
        });
    }
}

impl<G: Guard, H: Handler<G::Principal>> Drop for Open<G, H> {
    fn drop(&mut self) {
        self.shared.publisher.close(self.info.id);
        self.shared.handler.ended(&self.info);
    }
}
