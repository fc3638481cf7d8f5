//! The router's handle: what the application publishes with, and what sessions are opened at.
//!
//! One lock covers the router and the sessions' queues: a message is put into all its queues before the next one gets
//! its position, so each queue is in order of positions. Nothing waits while the lock is held.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use stomp::Version;
use stomp::server::SubscriptionKey;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::BrokerConfig;
use crate::destination::{self, Kind};
use crate::guard::Denied;
use crate::message::Outgoing;
use crate::permits::{Permits, TurnedAway};
use crate::position::{Position, SessionId};
use crate::router::{
    Effect, Outbound, QueueFull, ReplayBounds, Router, Serial, Wanted, assert_queue, assert_topic,
};

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

/// Counts for metrics; all but the first three and `strangers` only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Open sessions.
    pub sessions: usize,
    /// Their subscriptions.
    pub subscriptions: usize,
    /// Messages in queues, those that consumers have not acknowledged included.
    pub queued: usize,
    /// Messages published to topics.
    pub published: u64,
    /// Messages put into sessions' queues.
    pub delivered: u64,
    /// Sessions ended because their queue was full.
    pub slow_consumers: u64,
    /// Messages of queues that were given to a consumer after another one had them.
    pub redelivered: u64,
    /// Messages that were moved to a dead-letter queue.
    pub dead_lettered: u64,
    /// Messages of queues that were dropped because their `expires` had passed.
    pub expired: u64,
    /// Dead letters that were dropped because their queue was full.
    pub dead_letters_dropped: u64,
    /// Connections that have not been let in yet.
    pub strangers: usize,
    /// Who was turned away, by the bound that was met.
    pub turned_away: TurnedAway,
}

/// Publishes, and sends to sessions. Cheap to clone: all clones are one broker.
#[derive(Debug, Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: BrokerConfig,
    permits: Permits,
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
    pub(crate) fn raise(&self, reason: Denied) {
        self.reason.get_or_init(|| reason);
        self.raised.cancel();
    }

    /// Whether it was raised.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.is_cancelled()
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
            router: Router::new(
                &incarnation[..INCARNATION_DIGITS],
                bounds,
                config.queues.clone(),
            ),
            outlets: HashMap::new(),
            statistics: Statistics::default(),
        };
        Self {
            shared: Arc::new(Shared {
                permits: Permits::new(&config),
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

    /// Puts a message into `destination` (a `/queue/…`): one of its consumers gets it. It may have the header
    /// `expires`. Never waits.
    ///
    /// # Errors
    /// [`Denied`] with the code `queue-full`: see [`crate::QueueLimits`].
    pub fn send_to_queue(&self, destination: &str, message: Outgoing) -> Result<(), Denied> {
        assert_queue(destination);
        self.transact(None, vec![Effect::Enqueue(destination, message)])
    }

    /// Does all of `effects` in order, with nothing of others in between, or nothing. `session` is whose
    /// acknowledgements they are.
    pub(crate) fn transact(
        &self,
        session: Option<SessionId>,
        effects: Vec<Effect<'_>>,
    ) -> Result<(), Denied> {
        let now = epoch_milliseconds();
        let mut hub = self.hub();
        hub.router
            .check_room(&effects, now)
            .map_err(|QueueFull { queue }| {
                let message = format!("there is no room in {queue} now: send it again later");
                Denied::new("queue-full", message)
            })?;
        for effect in effects {
            let deliveries = match (effect, session) {
                (Effect::Publish(topic, message), _) => {
                    hub.publish(topic, message, self.config());
                    continue;
                }
                (Effect::Enqueue(queue, message), _) => hub.router.enqueue(queue, message, now),
                (Effect::Reply(queue, message), _) => hub.router.reply(queue, message),
                (Effect::Ack(deliveries), Some(session)) => {
                    hub.router.settle(session, deliveries, true, now)
                }
                (Effect::Nack(deliveries), Some(session)) => {
                    hub.router.settle(session, deliveries, false, now)
                }
                (Effect::Ack(_) | Effect::Nack(_), None) => continue,
            };
            hub.enqueue_all(deliveries, self.config());
        }
        Ok(())
    }

    /// Opens a reply queue for a session that calls it `own_name`, under a name that nobody can guess.
    pub(crate) fn open_reply_queue(
        &self,
        session: SessionId,
        own_name: &str,
    ) -> Option<(Serial, String)> {
        let name = destination::reply_queue(&Uuid::new_v4().simple().to_string());
        let serial = self
            .hub()
            .router
            .open_reply_queue(session, own_name, &name)?;
        Some((serial, name))
    }

    /// A session is about to write a message of a queue. `false`: it must not, somebody else gets it.
    pub(crate) fn take(&self, subscription: Serial, sequence: u64) -> bool {
        let mut hub = self.hub();
        let Some(next) = hub
            .router
            .take(subscription, sequence, epoch_milliseconds())
        else {
            return false;
        };
        hub.enqueue_all(next, self.config());
        true
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
        self.hub().end(session, reason, self.config())
    }

    /// Ends every session of `subject` with ERROR. Returns how many there were.
    pub fn end_sessions_of(&self, subject: &str, reason: &Denied) -> usize {
        let mut hub = self.hub();
        let sessions = hub.router.sessions_of(subject);
        sessions
            .into_iter()
            .filter(|session| hub.end(*session, reason.clone(), self.config()))
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
        let queues = hub.router.queue_counts();
        Statistics {
            sessions: hub.router.session_count(),
            subscriptions: hub.router.subscription_count(),
            queued: queues.held,
            redelivered: queues.redelivered,
            dead_lettered: queues.dead_lettered,
            expired: queues.expired,
            dead_letters_dropped: queues.dropped,
            strangers: self.shared.permits.strangers(),
            turned_away: self.shared.permits.turned_away(),
            ..hub.statistics
        }
    }

    pub(crate) fn config(&self) -> &BrokerConfig {
        &self.shared.config
    }

    pub(crate) fn permits(&self) -> &Permits {
        &self.shared.permits
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
        let mut hub = self.hub();
        if let Some((_, freed)) = hub.close(session) {
            hub.enqueue_all(freed, self.config());
        }
    }

    /// Makes a subscription live. What it missed is returned, older than anything that its queue will hold. `None`:
    /// there is no such session any more.
    pub(crate) fn subscribe(
        &self,
        session: SessionId,
        wanted: &Wanted<'_>,
    ) -> Result<Option<(Serial, Vec<Outbound>)>, Denied> {
        let mut hub = self.hub();
        if wanted.kind == Kind::Queue && !hub.router.may_consume(wanted.destination) {
            let message = "there are too many queues: try again later";
            return Err(Denied::new("too-many-queues", message));
        }
        let Some((serial, missed)) = hub.router.subscribe(session, wanted) else {
            return Ok(None);
        };
        let waiting = hub
            .router
            .consume(serial, wanted.prefetch, epoch_milliseconds());
        hub.enqueue_all(waiting, self.config());
        Ok(Some((serial, missed)))
    }

    pub(crate) fn unsubscribe(
        &self,
        session: SessionId,
        subscription: &SubscriptionKey,
    ) -> Option<Serial> {
        let mut hub = self.hub();
        let (serial, freed) =
            hub.router
                .unsubscribe(session, subscription, epoch_milliseconds())?;
        hub.enqueue_all(freed, self.config());
        Some(serial)
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
        let queued = self.offer(session, outbound, config);
        if let Err(freed) = queued {
            self.enqueue_all(freed, config);
            return false;
        }
        true
    }

    /// Puts messages of queues into their sessions' queues. What a session had that is ended for it goes to others,
    /// round after round: each ends at least one session, so there is a last one.
    fn enqueue_all(&mut self, deliveries: Vec<(SessionId, Outbound)>, config: &BrokerConfig) {
        let mut waiting = VecDeque::from(deliveries);
        while let Some((session, outbound)) = waiting.pop_front() {
            if let Err(freed) = self.offer(session, outbound, config) {
                waiting.extend(freed);
            }
        }
    }

    /// Puts a message into a session's queue, or ends the session and says what it had of others' messages.
    fn offer(
        &mut self,
        session: SessionId,
        outbound: Outbound,
        config: &BrokerConfig,
    ) -> Result<(), Vec<(SessionId, Outbound)>> {
        let Some(outlet) = self.outlets.get(&session) else {
            return Err(Vec::new());
        };
        let bytes = outbound.payload.len();
        let before = outlet.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        // A message that is alone may be as long as it likes: it was allowed in.
        let fits = before == 0 || before + bytes <= config.queue_bytes;
        if fits && outlet.queue.try_send(outbound).is_ok() {
            self.statistics.delivered += 1;
            return Ok(());
        }
        self.statistics.slow_consumers += 1;
        let slow = Denied::new(
            "slow-consumer",
            "messages came faster than this connection took them",
        );
        Err(self.raise(session, slow).unwrap_or_default())
    }

    fn end(&mut self, session: SessionId, reason: Denied, config: &BrokerConfig) -> bool {
        let Some(freed) = self.raise(session, reason) else {
            return false;
        };
        self.enqueue_all(freed, config);
        true
    }

    /// Ends a session, and says what it had of others' messages.
    fn raise(&mut self, session: SessionId, reason: Denied) -> Option<Vec<(SessionId, Outbound)>> {
        let (outlet, freed) = self.close(session)?;
        outlet.end.raise(reason);
        Some(freed)
    }

    fn close(&mut self, session: SessionId) -> Option<(Outlet, Vec<(SessionId, Outbound)>)> {
        let freed = self.router.close(session, epoch_milliseconds());
        Some((self.outlets.remove(&session)?, freed))
    }
}

/// What `expires` is compared with.
fn epoch_milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
