//! The router's handle: what the application publishes with, and what sessions are opened at.
//!
//! One lock covers the router and what is put into the sessions' outboxes: a message is put into all of them before the
//! next one gets its position, so each lane of an outbox is in order of positions. Nothing waits while the lock is held.

mod rights;

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use stomp::server::SubscriptionKey;
use stomp::{ServerConfig, Version};
use uuid::Uuid;

use crate::config::BrokerConfig;
use crate::destination::{self, Kind};
use crate::guard::Denied;
use crate::message::Outgoing;
use crate::outbox::{Lane, Offered, Outbox};
use crate::permits::{Permits, TurnedAway};
use crate::position::{Position, SessionId};
use crate::router::{Deliveries, Effect, Outbound, Router, Serial, Wanted, assert_kind};

/// Digits of an incarnation: 64 bits of chance, so that no two lives of a broker are ever taken for one.
const INCARNATION_DIGITS: usize = 16;

/// What became of a message to one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It waits in the session's outbox.
    Queued,
    /// The session is over.
    NoSuchSession,
    /// The session lives and has not subscribed to that queue: nothing is kept for it.
    NotSubscribed,
    /// The session's outbox was full: it is being ended as a slow consumer.
    Full,
}

/// Counts for metrics; all but the first six and `strangers` only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Open sessions.
    pub sessions: usize,
    /// Their subscriptions.
    pub subscriptions: usize,
    /// Messages in queues, those that consumers have not acknowledged included.
    pub queued: usize,
    /// Last values of topics.
    pub retained: usize,
    /// Durable subscriptions, whether somebody is attached or not.
    pub durable_subscriptions: usize,
    /// Their messages, those that were not acknowledged included, and notices for what was dropped.
    pub durable_queued: usize,
    /// Messages published to topics.
    pub published: u64,
    /// Messages put into sessions' outboxes.
    pub delivered: u64,
    /// Sessions ended because their outbox was full.
    pub slow_consumers: u64,
    /// Messages of queues and durable subscriptions that were given to a consumer after another one had them.
    pub redelivered: u64,
    /// Messages that were moved to a dead-letter queue.
    pub dead_lettered: u64,
    /// Messages that were dropped because their `expires` had passed.
    pub expired: u64,
    /// Messages that took the place of an older one in the outbox of a subscriber that conflates.
    pub conflated: u64,
    /// Dead letters that were dropped because their queue was full.
    pub dead_letters_dropped: u64,
    /// Messages that were given again to subscriptions that resume.
    pub replayed: u64,
    /// Gap notices.
    pub gaps: u64,
    /// Messages that were published and should have been retained, when there was no room for them.
    pub retained_refused: u64,
    /// Messages that durable subscriptions lost for lack of room, or because they came back too often.
    pub durable_dropped: u64,
    /// Messages that were left out since their receiver may not be given them ([`crate::Action::Deliver`]); of a queue
    /// that a consumer may not be given anything of, the first one counts.
    pub withheld: u64,
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
    /// Of the configuration, for all sessions together.
    stomp: Arc<ServerConfig>,
    permits: Permits,
    hub: Mutex<Hub>,
    /// Rises when rights are changed: whoever is just being let in may have been judged by the old ones, and what a
    /// session remembers of its guard holds no more.
    rights: AtomicU64,
    /// Apart from the other statistics: no lock is taken for it.
    withheld: AtomicU64,
}

#[derive(Debug)]
struct Hub {
    router: Router,
    outboxes: HashMap<SessionId, Arc<Outbox>>,
    /// Sessions whose outbox was full: they are ended when what is being done is done.
    slow: Vec<SessionId>,
    statistics: Statistics,
    /// How often something was offered to an outbox, whatever became of it: what work took.
    offers: u64,
}

/// The locked hub; slow sessions are ended before others have it.
struct Locked<'hub>(MutexGuard<'hub, Hub>);

impl Deref for Locked<'_> {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.0
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Hub {
        &mut self.0
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.0.end_slow();
    }
}

/// A subscription that was just made.
pub(crate) struct Subscribed {
    pub(crate) serial: Serial,
    /// What comes before anything that its outbox will hold.
    pub(crate) past: Vec<Outbound>,
    pub(crate) lane: Lane,
    /// Places that were looked at to find the past: each takes about as long as offering a message.
    pub(crate) steps: u64,
}

impl Publisher {
    /// A broker without sessions, in a new incarnation.
    pub fn new(config: BrokerConfig) -> Self {
        let incarnation = Uuid::new_v4().simple().to_string();
        let hub = Hub {
            router: Router::new(&incarnation[..INCARNATION_DIGITS], &config),
            outboxes: HashMap::new(),
            slow: Vec::new(),
            statistics: Statistics::default(),
            offers: 0,
        };
        Self {
            shared: Arc::new(Shared {
                permits: Permits::new(&config),
                stomp: Arc::new(config.stomp.clone()),
                config,
                hub: Mutex::new(hub),
                rights: AtomicU64::new(0),
                withheld: AtomicU64::new(0),
            }),
        }
    }

    /// Publishes to all subscribers of `destination` (a `/topic/…` without wildcards). Never waits: whoever cannot
    /// keep up is ended. One that is [`Outgoing::retained`] and finds no room for it is published all the same, see
    /// [`crate::RetainedLimits`].
    ///
    /// Returns the position after this message.
    ///
    /// # Panics
    /// `destination` is no topic, malformed, or has wildcards: [`crate::destination::check_topic`] says so before.
    pub fn publish(&self, destination: &str, message: Outgoing) -> Position {
        assert_kind(destination, Kind::Topic);
        let now = epoch_milliseconds();
        self.hub().publish(destination, message, now)
    }

    /// Puts a message into `destination` (a `/queue/…`): one of its consumers gets it. It may have the header
    /// `expires`. Never waits.
    ///
    /// # Errors
    /// [`Denied`] with the code `queue-full`: see [`crate::QueueLimits`].
    ///
    /// # Panics
    /// `destination` is no queue, or malformed.
    pub fn send_to_queue(&self, destination: &str, message: Outgoing) -> Result<(), Denied> {
        assert_kind(destination, Kind::Queue);
        self.transact(None, vec![Effect::Enqueue(destination, message)])
            .map(|_| ())
    }

    /// Answers a question: sends to the `reply-to` of the frame that asked it. Nothing happens when the session that
    /// asked is over.
    ///
    /// Returns whether the answer was put on its way.
    pub fn reply(&self, reply_to: &str, answer: Outgoing) -> bool {
        let mut hub = self.hub();
        let answers = hub.router.reply(reply_to, answer);
        // At most one: a reply queue is one session's.
        answers
            .into_iter()
            .any(|(session, outbound)| hub.put(session, outbound))
    }

    /// Does all of `effects` in order, with nothing of others in between, or nothing. `session` is whose
    /// acknowledgements they are. Returns to how many outboxes it offered something.
    pub(crate) fn transact(
        &self,
        session: Option<SessionId>,
        effects: Vec<Effect<'_>>,
    ) -> Result<u64, Denied> {
        let now = epoch_milliseconds();
        let mut hub = self.hub();
        if session.is_some_and(|session| !hub.outboxes.contains_key(&session)) {
            // Its task is about to learn why; nothing may be called done that was not.
            return Err(Denied::new("unavailable", "the session is over"));
        }
        let offers_before = hub.offers;
        hub.router.check_room(&effects, now)?;
        for effect in effects {
            let deliveries = match (effect, session) {
                (Effect::Publish(topic, message), _) => {
                    hub.publish(topic, message, now);
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
            hub.put_all(deliveries);
        }
        Ok(hub.offers - offers_before)
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
        hub.put_all(next);
        true
    }

    /// Where the stream of all messages stands. Take it *before* reading a state: a subscription with
    /// `x-resume-from` set to it then misses no change of that state.
    pub fn position(&self) -> Position {
        self.hub().router.position()
    }

    /// Sends to one session's `/user/queue/…`. Nothing is kept when it has not subscribed.
    ///
    /// # Panics
    /// `user_destination` is no `/user/queue/…`.
    pub fn send_to_session(
        &self,
        session: SessionId,
        user_destination: &str,
        message: Outgoing,
    ) -> Delivery {
        assert_kind(user_destination, Kind::User);
        self.hub()
            .send_to_session(session, user_destination, &message)
    }

    /// Sends to the `/user/queue/…` of every session of `subject`. Returns for how many sessions it was queued.
    ///
    /// # Panics
    /// `user_destination` is no `/user/queue/…`.
    pub fn send_to_user(&self, subject: &str, user_destination: &str, message: Outgoing) -> usize {
        assert_kind(user_destination, Kind::User);
        let mut hub = self.hub();
        let sessions = hub.router.sessions_of(subject);
        sessions
            .into_iter()
            .filter(|session| {
                hub.send_to_session(*session, user_destination, &message) == Delivery::Queued
            })
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
        let told = hub.router.told();
        let retained = hub.router.retained_counts();
        let (durable_subscriptions, durable) = hub.router.durable_counts();
        Statistics {
            sessions: hub.router.session_count(),
            subscriptions: hub.router.subscription_count(),
            queued: queues.held,
            durable_subscriptions,
            durable_queued: durable.held,
            durable_dropped: durable.dropped,
            redelivered: queues.redelivered + durable.redelivered,
            dead_lettered: queues.dead_lettered,
            expired: hub.statistics.expired + queues.expired + durable.expired,
            dead_letters_dropped: queues.dropped,
            retained: retained.held,
            retained_refused: retained.refused,
            replayed: told.replayed,
            gaps: told.gaps,
            strangers: self.shared.permits.strangers(),
            turned_away: self.shared.permits.turned_away(),
            withheld: self.shared.withheld.load(Ordering::Relaxed),
            ..hub.statistics
        }
    }

    pub(crate) fn stomp(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shared.stomp)
    }

    /// The bounds it keeps.
    pub fn config(&self) -> &BrokerConfig {
        &self.shared.config
    }

    pub(crate) fn permits(&self) -> &Permits {
        &self.shared.permits
    }

    /// Opens a session; what comes for it is put into `outbox`.
    pub(crate) fn open(&self, subject: &str, version: Version, outbox: Arc<Outbox>) -> SessionId {
        let mut hub = self.hub();
        let id = hub.router.open(subject, version, Arc::clone(&outbox));
        hub.outboxes.insert(id, outbox);
        id
    }

    /// Messages were dropped at the last moment, since their `expires` had passed.
    pub(crate) fn count_expired(&self) {
        self.hub().statistics.expired += 1;
    }

    pub(crate) fn close(&self, session: SessionId) {
        let mut hub = self.hub();
        if let Some((_, freed)) = hub.close(session) {
            hub.put_all(freed);
        }
    }

    /// Makes a subscription live. What it missed is returned, older than anything that its queue will hold. `None`:
    /// there is no such session any more.
    pub(crate) fn subscribe(
        &self,
        session: SessionId,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Subscribed>, Denied> {
        let now = epoch_milliseconds();
        let mut hub = self.hub();
        hub.router.may_consume(session, wanted, now)?;
        let steps_before = hub.router.steps();
        let Some((serial, past)) = hub.router.subscribe(session, wanted, now) else {
            return Ok(None);
        };
        let waiting = hub.router.consume(serial, wanted, now);
        hub.put_all(waiting);
        let lane = hub.router.lane_of(serial);
        Ok(Some(Subscribed {
            serial,
            past,
            lane,
            steps: hub.router.steps() - steps_before,
        }))
    }

    /// Ends a subscription, and the durable subscription called `deletes` with it. `None`: there is no such
    /// subscription any more.
    pub(crate) fn unsubscribe(
        &self,
        session: SessionId,
        subscription: &SubscriptionKey,
        deletes: Option<&str>,
    ) -> Result<Option<Serial>, Denied> {
        let now = epoch_milliseconds();
        let mut hub = self.hub();
        let ended = hub
            .router
            .unsubscribe(session, subscription, deletes, now)?;
        let Some((serial, freed)) = ended else {
            return Ok(None);
        };
        if let Some(outbox) = hub.outboxes.get(&session) {
            outbox.forget(serial);
        }
        hub.put_all(freed);
        Ok(Some(serial))
    }

    fn hub(&self) -> Locked<'_> {
        // A panic under the lock is a bug in the router; its state is then not to be trusted.
        let hub = self.shared.hub.lock();
        Locked(hub.expect("no panic happened while the router was locked"))
    }
}

impl Hub {
    fn publish(&mut self, topic: &str, message: Outgoing, now: u64) -> Position {
        let Self {
            router,
            slow,
            statistics,
            offers,
            ..
        } = self;
        let (position, handed) =
            router.publish(topic, message, now, |subscriber, outbound, conflate| {
                let offered = subscriber.outbox.offer(outbound, subscriber.lane, conflate);
                *offers += 1;
                statistics.count(offered);
                if offered == Offered::Full {
                    slow.push(subscriber.session);
                }
            });
        self.statistics.published += 1;
        self.put_all(handed);
        position
    }

    fn send_to_session(&mut self, session: SessionId, queue: &str, message: &Outgoing) -> Delivery {
        let Some(deliveries) = self.router.for_session(session, queue, message) else {
            return Delivery::NoSuchSession;
        };
        if deliveries.is_empty() {
            return Delivery::NotSubscribed;
        }
        for outbound in deliveries {
            if !self.put(session, outbound) {
                return Delivery::Full;
            }
        }
        Delivery::Queued
    }

    fn put_all(&mut self, deliveries: Deliveries) {
        for (session, outbound) in deliveries {
            self.put(session, outbound);
        }
    }

    /// Puts a message into a session's outbox. What comes from a queue and finds no room there goes to others when the
    /// session is ended for it.
    fn put(&mut self, session: SessionId, outbound: Outbound) -> bool {
        let Some(outbox) = self.outboxes.get(&session) else {
            return false;
        };
        let lane = self.router.lane_of(outbound.serial);
        let offered = outbox.offer(outbound, lane, None);
        self.offers += 1;
        self.statistics.count(offered);
        if offered == Offered::Full {
            self.slow.push(session);
        }
        offered != Offered::Full
    }

    /// Ends the sessions whose outbox was full: they would show a wrong picture, or others would have to wait for them.
    /// What they had of queues goes to others, which may fill their outboxes, too; each round ends a session, so there is
    /// a last one.
    fn end_slow(&mut self) {
        while let Some(session) = self.slow.pop() {
            let slow = Denied::new(
                "slow-consumer",
                "messages came faster than this connection took them",
            );
            if let Some(freed) = self.raise(session, slow) {
                self.statistics.slow_consumers += 1;
                self.put_all(freed);
            }
        }
    }

    fn end(&mut self, session: SessionId, reason: Denied) -> bool {
        let Some(freed) = self.raise(session, reason) else {
            return false;
        };
        self.put_all(freed);
        true
    }

    /// Ends a session, and says what it had of others' messages.
    fn raise(&mut self, session: SessionId, reason: Denied) -> Option<Deliveries> {
        let (outbox, freed) = self.close(session)?;
        outbox.end(reason);
        Some(freed)
    }

    fn close(&mut self, session: SessionId) -> Option<(Arc<Outbox>, Deliveries)> {
        let freed = self.router.close(session, epoch_milliseconds());
        Some((self.outboxes.remove(&session)?, freed))
    }
}

impl Statistics {
    fn count(&mut self, offered: Offered) {
        match offered {
            Offered::Queued => self.delivered += 1,
            Offered::Replaced => self.conflated += 1,
            Offered::Full => {}
        }
    }
}

/// What `expires` is compared with.
pub(crate) fn epoch_milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
