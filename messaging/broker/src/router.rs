//! Who gets which message. Pure: messages go in, deliveries come out; the publisher puts them into the sessions' queues
//! under the same lock, so that order is kept.

mod durable;
mod names;
mod past;
mod queue;
mod queueing;
mod replay;
mod retained;
mod trie;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use stomp::server::SubscriptionKey;
use stomp::{AckMode, Command, Frame, Version, encode};

use self::durable::Durables;
pub(crate) use self::durable::check_name;
use self::past::PastLimits;
pub(crate) use self::past::Told;
pub(crate) use self::queue::Counts;
use self::queue::{Queues, Terms};
pub(crate) use self::queueing::{Effect, parse_expires};
use self::replay::Replay;
use self::retained::{Retain, Retained};
use self::trie::Trie;
use crate::config::{BrokerConfig, QueueLimits};
use crate::destination::{self, Kind};
use crate::message::Outgoing;
use crate::position::{Position, SessionId};

/// Names one subscription of the broker's life. A new one under the same id has another serial, so that what was on
/// its way to the old one is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Serial(u64);

/// A message on its way to one subscription.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    pub(crate) serial: Serial,
    pub(crate) payload: Payload,
}

/// How a message travels inside the broker.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// Encoded for the receiver's version and subscription id, shared with others that have the same.
    Encoded(Bytes),
    /// For a subscription that acknowledges, since each delivery has an `ack` header of its own; and for what a
    /// subscription has missed.
    Frame(Arc<Frame>),
    /// From a queue, with its sequence there: the session must take it before it writes it.
    Queued(u64, Arc<Frame>),
}

impl Payload {
    /// Bytes, for the bound of the session's queue.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Encoded(bytes) => bytes.len(),
            Self::Frame(frame) | Self::Queued(_, frame) => replay::weight(frame),
        }
    }
}

/// What a SUBSCRIBE asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'request> {
    pub(crate) key: SubscriptionKey,
    pub(crate) destination: &'request str,
    pub(crate) kind: Kind,
    pub(crate) ack: AckMode,
    /// The value of `x-resume-from`.
    pub(crate) resume_from: Option<&'request str>,
    /// Last values first.
    pub(crate) retained: bool,
    /// The value of `durable-subscription-name`, of topics only.
    pub(crate) durable: Option<&'request str>,
    /// The value of `prefetch-count`; 0 for as many as there may be.
    pub(crate) prefetch: Option<usize>,
}

#[derive(Debug)]
struct Subscription {
    session: SessionId,
    key: SubscriptionKey,
    destination: String,
    kind: Kind,
    version: Version,
    ack: AckMode,
}

#[derive(Debug)]
struct Session {
    subject: String,
    version: Version,
    /// Few, so a list. Bounded by the protocol's limit on subscriptions.
    subscriptions: Vec<Serial>,
}

#[derive(Debug)]
pub(crate) struct Router {
    incarnation: Arc<str>,
    sequence: u64,
    last_id: u64,
    sessions: HashMap<SessionId, Session>,
    by_subject: HashMap<String, BTreeSet<SessionId>>,
    subscriptions: HashMap<Serial, Subscription>,
    topics: Trie<Serial>,
    replay: Replay,
    retained: Retained,
    durables: Durables,
    past_limits: PastLimits,
    told: Told,
    queues: Queues,
    /// By the name that others use. Bounded by sessions and [`QueueLimits::reply_queues`].
    replies: HashMap<String, Serial>,
    queue_limits: QueueLimits,
}

impl Router {
    /// A router whose positions begin with `incarnation`: no two processes may share it.
    pub(crate) fn new(incarnation: &str, config: &BrokerConfig) -> Self {
        Self {
            incarnation: incarnation.into(),
            sequence: 0,
            last_id: 0,
            sessions: HashMap::new(),
            by_subject: HashMap::new(),
            subscriptions: HashMap::new(),
            topics: Trie::default(),
            replay: Replay::new(config),
            retained: Retained::new(config.retained.clone()),
            durables: Durables::new(incarnation, config),
            past_limits: PastLimits::new(config),
            told: Told::default(),
            replies: HashMap::new(),
            queues: Queues::new(config.queues.clone()),
            queue_limits: config.queues.clone(),
        }
    }

    pub(crate) fn position(&self) -> Position {
        self.position_at(self.sequence)
    }

    pub(crate) fn open(&mut self, subject: &str, version: Version) -> SessionId {
        let id = SessionId(self.next_id());
        self.sessions.insert(
            id,
            Session {
                subject: subject.to_owned(),
                version,
                subscriptions: Vec::new(),
            },
        );
        self.by_subject
            .entry(subject.to_owned())
            .or_default()
            .insert(id);
        id
    }

    /// Ends a session. What it had of queues goes to others.
    pub(crate) fn close(&mut self, id: SessionId, now: u64) -> Vec<(SessionId, Outbound)> {
        let Some(session) = self.sessions.remove(&id) else {
            return Vec::new();
        };
        // All of its subscriptions are over before any message looks for a new one.
        for serial in &session.subscriptions {
            self.forget(*serial);
        }
        let freed = session
            .subscriptions
            .into_iter()
            .flat_map(|serial| self.release(serial, now))
            .collect();
        let deliveries = self.addressed(freed);
        if let Some(ids) = self.by_subject.get_mut(&session.subject) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_subject.remove(&session.subject);
            }
        }
        deliveries
    }

    /// Makes a subscription live, and says what it has missed. `None`: there is no such session any more.
    pub(crate) fn subscribe(
        &mut self,
        session: SessionId,
        wanted: &Wanted<'_>,
        now: u64,
    ) -> Option<(Serial, Vec<Outbound>)> {
        let serial = Serial(self.next_id());
        let entry = self.sessions.get_mut(&session)?;
        entry.subscriptions.push(serial);
        let subscription = Subscription {
            session,
            key: wanted.key.clone(),
            destination: wanted.destination.to_owned(),
            kind: wanted.kind,
            version: entry.version,
            ack: wanted.ack,
        };
        let past = self.past(serial, wanted, now);
        if wanted.kind == Kind::Topic && wanted.durable.is_none() {
            self.topics.insert(wanted.destination, serial);
        }
        self.subscriptions.insert(serial, subscription);
        Some((serial, past))
    }

    fn find(&self, session: SessionId, key: &SubscriptionKey) -> Option<Serial> {
        let mut serials = self.sessions.get(&session)?.subscriptions.iter().copied();
        serials.find(|serial| {
            self.subscriptions
                .get(serial)
                .is_some_and(|s| s.key == *key && s.kind != Kind::Reply)
        })
    }

    /// Publishes to everybody who subscribed to `topic`.
    pub(crate) fn publish(
        &mut self,
        topic: &str,
        message: Outgoing,
        now: u64,
    ) -> (Position, Vec<(SessionId, Outbound)>) {
        let retain = Retain::of(topic, &message);
        let frame = Arc::new(self.message_frame(topic, message));
        if let Some(retain) = retain {
            self.retained
                .keep(self.sequence, topic, &retain, &frame, now);
        }
        let mut encoder = Encoder::new(&frame);
        let mut deliveries = Vec::new();
        self.topics.for_each_match(topic, |serial| {
            let subscription = self
                .subscriptions
                .get(serial)
                .expect("the tree holds live subscriptions only");
            let outbound = encoder.outbound(*serial, subscription);
            deliveries.push((subscription.session, outbound));
        });
        let handed = self.durables.publish(topic, self.sequence, &frame, now);
        deliveries.extend(self.addressed(handed));
        self.replay.keep(self.sequence, topic, frame);
        (self.position(), deliveries)
    }

    /// A message for one session's own queue. `None`: there is no such session. Empty: it has not subscribed.
    pub(crate) fn for_session(
        &mut self,
        session: SessionId,
        queue: &str,
        message: &Outgoing,
    ) -> Option<Vec<Outbound>> {
        let subscribed: Vec<Serial> = self
            .sessions
            .get(&session)?
            .subscriptions
            .iter()
            .copied()
            .filter(|serial| {
                self.subscriptions
                    .get(serial)
                    .is_some_and(|s| s.kind == Kind::User && s.destination == queue)
            })
            .collect();
        if subscribed.is_empty() {
            return Some(Vec::new());
        }
        let frame = Arc::new(self.message_frame(queue, message.clone()));
        let mut encoder = Encoder::new(&frame);
        Some(
            subscribed
                .into_iter()
                .map(|serial| encoder.outbound(serial, &self.subscriptions[&serial]))
                .collect(),
        )
    }

    pub(crate) fn sessions_of(&self, subject: &str) -> Vec<SessionId> {
        self.by_subject
            .get(subject)
            .map(|ids| ids.iter().copied().collect())
            .unwrap_or_default()
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    fn forget(&mut self, serial: Serial) {
        let Some(subscription) = self.subscriptions.remove(&serial) else {
            return;
        };
        match subscription.kind {
            Kind::Topic => self.topics.remove(&subscription.destination, &serial),
            Kind::Reply => {
                self.replies.remove(&subscription.destination);
            }
            Kind::App | Kind::User | Kind::Queue => {}
        }
    }

    fn message_frame(&mut self, destination: &str, message: Outgoing) -> Frame {
        self.sequence += 1;
        let mut frame = Frame::new(Command::Message)
            .with_header("destination", destination)
            .with_header("message-id", self.position().to_string())
            .with_body(message.body);
        if let Some(content_type) = message.content_type {
            frame.headers.push("content-type", content_type);
        }
        for (name, value) in message.headers {
            frame.headers.push(name, value);
        }
        frame
    }

    fn position_at(&self, sequence: u64) -> Position {
        Position {
            incarnation: Arc::clone(&self.incarnation),
            sequence,
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// Encodes a message once for each (version, subscription id): most clients use the same ids.
struct Encoder {
    message: Arc<Frame>,
    /// By version and subscription id; an empty one stands for none, since no id is empty.
    encoded: HashMap<Version, HashMap<String, Bytes>>,
}

impl Encoder {
    fn new(message: &Arc<Frame>) -> Self {
        Self {
            message: Arc::clone(message),
            encoded: HashMap::new(),
        }
    }

    fn outbound(&mut self, serial: Serial, subscription: &Subscription) -> Outbound {
        let payload = if subscription.ack == AckMode::Auto {
            Payload::Encoded(self.encoded(subscription))
        } else {
            Payload::Frame(Arc::clone(&self.message))
        };
        Outbound { serial, payload }
    }

    fn encoded(&mut self, subscription: &Subscription) -> Bytes {
        let id = match &subscription.key {
            SubscriptionKey::Id(id) => id.as_str(),
            SubscriptionKey::Destination(_) => "",
        };
        let encoded = self.encoded.entry(subscription.version).or_default();
        if let Some(bytes) = encoded.get(id) {
            return bytes.clone();
        }
        let mut frame = Frame::clone(&self.message);
        if !id.is_empty() {
            frame.headers.push_front("subscription", id);
        }
        let mut bytes = BytesMut::new();
        encode(&frame, subscription.version, &mut bytes);
        let bytes = bytes.freeze();
        encoded.insert(id.to_owned(), bytes.clone());
        bytes
    }
}

/// The application's own code names what it publishes to, so a wrong one is a bug there.
pub(crate) fn assert_topic(topic: &str) {
    debug_assert!(
        destination::for_send(topic) == Ok(Kind::Topic),
        "{topic:?} is no topic"
    );
}

/// As [`assert_topic`], for queues.
pub(crate) fn assert_queue(queue: &str) {
    debug_assert!(
        destination::for_send(queue) == Ok(Kind::Queue),
        "{queue:?} is no queue"
    );
}

#[cfg(test)]
mod tests;
