//! The router's handle: what the application publishes with, and what sessions are opened at.
//!
//! One lock covers the router and the sessions' queues: a message is put into all its queues before the next one gets
//! its position, so each queue is in order of positions. Nothing waits while the lock is held.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use stomp::Version;
use stomp::server::SubscriptionKey;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::BrokerConfig;
use crate::guard::Denied;
use crate::message::Outgoing;
use crate::position::{Position, SessionId};
use crate::router::{Outbound, ReplayBounds, Router, Serial, Wanted, assert_topic};

/// Digits of an incarnation: 64 bits of chance, so that no two lives of a broker are ever taken for one.
const INCARNATION_DIGITS: usize = 16;

/// What became of a message to one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It waits for the session's socket.
    Queued,
    /// The session is over.
    NoSuchSession,
    /// The session lives and has not subscribed to that queue: nothing is kept for it.
    NotSubscribed,
    /// The session's queue was full: it is being ended as a slow consumer.
    Full,
}

/// Counts for metrics; all but the first two only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Open sessions.
    pub sessions: usize,
    /// Their subscriptions.
    pub subscriptions: usize,
    /// Messages published to topics.
    pub published: u64,
    /// Messages put into sessions' queues.
    pub delivered: u64,
    /// Sessions ended because their queue was full.
    pub slow_consumers: u64,
}

/// Publishes, and sends to sessions. Cheap to clone: all clones are one broker.
#[derive(Debug, Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: BrokerConfig,
    hub: Mutex<Hub>,
}

#[derive(Debug)]
struct Hub {
    router: Router,
    outlets: HashMap<SessionId, Outlet>,
    statistics: Statistics,
}

/// The broker's end of one session's queue.
#[derive(Debug)]
struct Outlet {
    queue: mpsc::Sender<Outbound>,
    queued_bytes: Arc<AtomicUsize>,
    end: Arc<EndSignal>,
}

/// Tells a session's task from outside that the session is over.
#[derive(Debug, Default)]
pub(crate) struct EndSignal {
    reason: OnceLock<Denied>,
    raised: CancellationToken,
}

impl EndSignal {
    /// The first reason stands.
    fn raise(&self, reason: Denied) {
        self.reason.get_or_init(|| reason);
        self.raised.cancel();
    }

    /// Waits until it is raised. Cancel-safe.
    pub(crate) async fn wait(&self) -> Denied {
        self.raised.cancelled().await;
        self.reason
            .get()
            .cloned()
            .expect("the reason is set before the signal is raised")
    }
}

/// The session's end of its queue.
#[derive(Debug)]
pub(crate) struct Inlet {
    pub(crate) id: SessionId,
    pub(crate) end: Arc<EndSignal>,
    queue: mpsc::Receiver<Outbound>,
    queued_bytes: Arc<AtomicUsize>,
}

impl Inlet {
    /// The next message; never ends while the session is open. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Option<Outbound> {
        let outbound = self.queue.recv().await?;
        Some(self.taken(outbound))
    }

    /// The next message, if one waits.
    pub(crate) fn try_recv(&mut self) -> Option<Outbound> {
        let outbound = self.queue.try_recv().ok()?;
        Some(self.taken(outbound))
    }

    fn taken(&self, outbound: Outbound) -> Outbound {
        self.queued_bytes
            .fetch_sub(outbound.payload.len(), Ordering::Relaxed);
        outbound
    }
}

impl Publisher {
    /// A broker without sessions, in a new incarnation.
    pub fn new(config: BrokerConfig) -> Self {
        let incarnation = Uuid::new_v4().simple().to_string();
        let bounds = ReplayBounds {
            messages_per_destination: config.replay_messages_per_destination,
            messages: config.replay_messages,
            bytes: config.replay_bytes,
        };
        let hub = Hub {
            router: Router::new(&incarnation[..INCARNATION_DIGITS], bounds),
            outlets: HashMap::new(),
            statistics: Statistics::default(),
        };
        Self {
            shared: Arc::new(Shared {
                config,
                hub: Mutex::new(hub),
            }),
        }
    }

    /// Publishes to all subscribers of `destination` (a `/topic/…` without wildcards). Never waits: whoever cannot
    /// keep up is ended.
    ///
    /// Returns the position after this message.
    pub fn publish(&self, destination: &str, message: Outgoing) -> Position {
        assert_topic(destination);
        self.hub().publish(destination, message, self.config())
    }

    /// Publishes to topics in order, and nothing of others in between.
    pub(crate) fn publish_all(&self, messages: Vec<(&str, Outgoing)>) {
        let mut hub = self.hub();
        for (destination, message) in messages {
            hub.publish(destination, message, self.config());
        }
    }

    /// Where the stream of all messages stands. Take it *before* reading a state: a subscription with
    /// `x-resume-from` set to it then misses no change of that state.
    pub fn position(&self) -> Position {
        self.hub().router.position()
    }

    /// Sends to one session's `/user/queue/…`. Nothing is kept when it has not subscribed.
    pub fn send_to_session(
        &self,
        session: SessionId,
        user_destination: &str,
        message: Outgoing,
    ) -> Delivery {
        self.hub()
            .send_to_session(session, user_destination, &message, self.config())
    }

    /// Sends to the `/user/queue/…` of every session of `subject`. Returns for how many sessions it was queued.
    pub fn send_to_user(&self, subject: &str, user_destination: &str, message: Outgoing) -> usize {
        let mut hub = self.hub();
        let sessions = hub.router.sessions_of(subject);
        sessions
            .into_iter()
            .filter(|session| {
                hub.send_to_session(*session, user_destination, &message, self.config())
                    == Delivery::Queued
            })
            .count()
    }

    /// Ends a session with ERROR: a newer one takes its place, or its rights were taken away. Returns whether there
    /// was such a session; from here on no message reaches it.
    pub fn end_session(&self, session: SessionId, reason: Denied) -> bool {
        self.hub().end(session, reason)
    }

    /// Ends every session of `subject` with ERROR. Returns how many there were.
    pub fn end_sessions_of(&self, subject: &str, reason: &Denied) -> usize {
        let mut hub = self.hub();
        let sessions = hub.router.sessions_of(subject);
        sessions
            .into_iter()
            .filter(|session| hub.end(*session, reason.clone()))
            .count()
    }

    /// The open sessions of `subject`, oldest first.
    pub fn sessions_of(&self, subject: &str) -> Vec<SessionId> {
        self.hub().router.sessions_of(subject)
    }

    /// How many sessions are open.
    pub fn session_count(&self) -> usize {
        self.hub().router.session_count()
    }

    /// Counts for metrics.
    pub fn statistics(&self) -> Statistics {
        let hub = self.hub();
        Statistics {
            sessions: hub.router.session_count(),
            subscriptions: hub.router.subscription_count(),
            ..hub.statistics
        }
    }

    pub(crate) fn config(&self) -> &BrokerConfig {
        &self.shared.config
    }

    /// Opens a session with a queue of its own.
    pub(crate) fn open(&self, subject: &str, version: Version) -> Inlet {
        // Full: the session is ended as a slow consumer, see `Hub::enqueue`.
        let (sender, receiver) = mpsc::channel(self.config().queue_messages);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let end = Arc::new(EndSignal::default());
        let mut hub = self.hub();
        let id = hub.router.open(subject, version);
        hub.outlets.insert(
            id,
            Outlet {
                queue: sender,
                queued_bytes: Arc::clone(&queued_bytes),
                end: Arc::clone(&end),
            },
        );
        Inlet {
            id,
            end,
            queue: receiver,
            queued_bytes,
        }
    }

    pub(crate) fn close(&self, session: SessionId) {
        self.hub().close(session);
    }

    /// Makes a subscription live. What it missed is returned, older than anything that its queue will hold.
    pub(crate) fn subscribe(
        &self,
        session: SessionId,
        wanted: &Wanted<'_>,
    ) -> Option<(Serial, Vec<Outbound>)> {
        self.hub().router.subscribe(session, wanted)
    }

    pub(crate) fn unsubscribe(
        &self,
        session: SessionId,
        subscription: &SubscriptionKey,
    ) -> Option<Serial> {
        self.hub().router.unsubscribe(session, subscription)
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        // A panic under the lock is a bug in the router; its state is then not to be trusted.
        self.shared
            .hub
            .lock()
            .expect("no panic happened while the router was locked")
    }
}

impl Hub {
    fn publish(&mut self, topic: &str, message: Outgoing, config: &BrokerConfig) -> Position {
        let (position, deliveries) = self.router.publish(topic, message);
        self.statistics.published += 1;
        for (session, outbound) in deliveries {
            self.enqueue(session, outbound, config);
        }
        position
    }

    fn send_to_session(
        &mut self,
        session: SessionId,
        queue: &str,
        message: &Outgoing,
        config: &BrokerConfig,
    ) -> Delivery {
        let Some(deliveries) = self.router.for_session(session, queue, message) else {
            return Delivery::NoSuchSession;
        };
        if deliveries.is_empty() {
            return Delivery::NotSubscribed;
        }
        for outbound in deliveries {
            if !self.enqueue(session, outbound, config) {
                return Delivery::Full;
            }
        }
        Delivery::Queued
    }

    /// Puts a message into a session's queue. A session whose queue is full is ended: it would show a wrong picture,
    /// or others would have to wait for it.
    fn enqueue(&mut self, session: SessionId, outbound: Outbound, config: &BrokerConfig) -> bool {
        let Some(outlet) = self.outlets.get(&session) else {
            return false;
        };
        let bytes = outbound.payload.len();
        let before = outlet.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        // A message that is alone may be as long as it likes: it was allowed in.
        let fits = before == 0 || before + bytes <= config.queue_bytes;
        if fits && outlet.queue.try_send(outbound).is_ok() {
            self.statistics.delivered += 1;
            return true;
        }
        self.statistics.slow_consumers += 1;
        self.end(
            session,
            Denied::new(
                "slow-consumer",
                "messages came faster than this connection took them",
            ),
        );
        false
    }

    fn end(&mut self, session: SessionId, reason: Denied) -> bool {
        let Some(outlet) = self.close(session) else {
            return false;
        };
        outlet.end.raise(reason);
        true
    }

    fn close(&mut self, session: SessionId) -> Option<Outlet> {
        self.router.close(session);
        self.outlets.remove(&session)
    }
}
