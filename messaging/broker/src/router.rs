//! Who gets which message. Pure: messages go in, deliveries come out; the publisher puts them into the sessions' outboxes
//! under the same lock, so that order is kept.

mod durable;
mod names;
mod past;
mod queue;
mod queueing;
mod replay;
mod retained;
mod trie;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use stomp::server::SubscriptionKey;
use stomp::{AckMode, Command, Frame, Version, encode, encode_head};

use self::durable::Durables;
pub(crate) use self::durable::check_name;
use self::past::PastLimits;
pub(crate) use self::past::Told;
pub(crate) use self::queue::Counts;
use self::queue::{Queues, Terms};
pub(crate) use self::queueing::{Deliveries, Effect, parse_expires};
use self::replay::Replay;
use self::retained::{Retain, Retained};
use self::trie::{Member, Trie};
use crate::config::{BrokerConfig, QueueLimits};
use crate::destination::{self, EXPIRES, GAP, KEY, Kind, OWN_HEADERS};
use crate::message::Outgoing;
use crate::outbox::{Lane, Outbox, Topic};
use crate::position::{Position, SessionId};
use crate::wire::WireFrame;

/// Names one subscription of the broker's life. A new one under the same id has another serial, so that what was on
/// its way to the old one is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Serial(pub(crate) u64);

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
    Encoded(Arc<Encoded>),
    /// For a subscription that acknowledges, since each delivery has an `ack` header of its own; and for what a
    /// subscription has missed.
    Frame(Arc<Frame>),
    /// From a queue, with its sequence there: the session must take it before it writes it.
    Queued(u64, Arc<Frame>),
}

/// A whole MESSAGE as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) frame: WireFrame,
    /// When it is worth nothing any more: milliseconds since 1970.
    pub(crate) expires: Option<u64>,
    /// As [`guarded`] says.
    pub(crate) guarded: Option<Box<str>>,
}

impl Payload {
    /// Bytes that it takes on the way to the socket, about.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.frame.len(),
            Self::Frame(frame) | Self::Queued(_, frame) => replay::weight(frame),
        }
    }

    /// Bytes that waiting in an outbox takes. What comes from a queue is accounted there.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Encoded(_) | Self::Frame(_) => self.len(),
            Self::Queued(..) => 0,
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
    /// The value of `x-conflate`.
    pub(crate) conflate: bool,
}

#[derive(Debug)]
struct Subscription {
    session: SessionId,
    key: SubscriptionKey,
    destination: String,
    kind: Kind,
    form: Arc<Form>,
    ack: AckMode,
    lane: Lane,
}

/// What a message looks like to a subscription: it is encoded once for all that have the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Form {
    version: Version,
    /// The `subscription` header; `None` for a subscription of STOMP 1.0 without `id`.
    id: Option<String>,
}

/// What a fan-out needs of a subscription to a topic, side by side in the tree: nothing else is looked up for it.
#[derive(Debug)]
pub(crate) struct Subscriber {
    serial: Serial,
    pub(crate) session: SessionId,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) lane: Lane,
    form: Arc<Form>,
    acknowledges: bool,
    conflates: bool,
}

impl Member for Subscriber {
    type Identity = Serial;

    fn identity(&self) -> Serial {
        self.serial
    }
}

#[derive(Debug)]
struct Session {
    subject: String,
    version: Version,
    outbox: Arc<Outbox>,
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
    topics: Trie<Subscriber>,
    /// Those that subscriptions have now.
    forms: HashSet<Arc<Form>>,
    urgent: Vec<String>,
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
            forms: HashSet::new(),
            urgent: config.urgent.clone(),
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

    pub(crate) fn open(
        &mut self,
        subject: &str,
        version: Version,
        outbox: Arc<Outbox>,
    ) -> SessionId {
        let id = SessionId(self.next_id());
        self.sessions.insert(
            id,
            Session {
                subject: subject.to_owned(),
                version,
                outbox,
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
    pub(crate) fn close(&mut self, id: SessionId, now: u64) -> Deliveries {
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
        let form = Form {
            version: entry.version,
            id: match &wanted.key {
                SubscriptionKey::Id(id) => Some(id.clone()),
                SubscriptionKey::Destination(_) => None,
            },
        };
        let outbox = Arc::clone(&entry.outbox);
        let subscription = Subscription {
            session,
            key: wanted.key.clone(),
            destination: wanted.destination.to_owned(),
            kind: wanted.kind,
            form: self.intern(form),
            ack: wanted.ack,
            lane: self.lane(wanted.destination),
        };
        let past = self.past(serial, wanted, now);
        if wanted.kind == Kind::Topic && wanted.durable.is_none() {
            let subscriber = Subscriber {
                serial,
                session,
                outbox,
                lane: subscription.lane,
                form: Arc::clone(&subscription.form),
                acknowledges: subscription.ack != AckMode::Auto,
                conflates: wanted.conflate,
            };
            self.topics.insert(wanted.destination, subscriber);
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

    /// Publishes to `topic`: `deliver` is called with everybody who subscribed to it. Returns what goes to consumers of
    /// durable subscriptions.
    pub(crate) fn publish(
        &mut self,
        topic: &str,
        message: Outgoing,
        now: u64,
        mut deliver: impl FnMut(&Subscriber, Outbound, Option<Topic>),
    ) -> (Position, Deliveries) {
        let retain = Retain::of(topic, &message);
        let frame = Arc::new(self.message_frame(topic, message));
        if let Some(retain) = retain {
            self.retained
                .keep(self.sequence, topic, &retain, &frame, now);
        }
        let mut encoder = Encoder::new(&frame);
        self.topics.for_each_match(topic, |subscriber| {
            let outbound = Outbound {
                serial: subscriber.serial,
                payload: encoder.payload(&subscriber.form, subscriber.acknowledges),
            };
            let conflate = subscriber.conflates.then(|| encoder.topic());
            deliver(subscriber, outbound, conflate);
        });
        let handed = self.durables.publish(topic, self.sequence, &frame, now);
        self.replay.keep(self.sequence, topic, frame);
        (self.position(), self.addressed(handed))
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
                .map(|serial| self.subscriptions[&serial].outbound(serial, &mut encoder))
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
            Kind::Topic => self.topics.remove(&subscription.destination, serial),
            Kind::Reply => {
                self.replies.remove(&subscription.destination);
            }
            Kind::App | Kind::User | Kind::Queue => {}
        }
        self.give_back(&subscription.form);
    }

    /// The lane of a subscription: the urgent one, when all that it can get is urgent.
    fn lane(&self, destination: &str) -> Lane {
        let is_urgent = |pattern: &String| destination::covers(pattern, destination);
        if self.urgent.iter().any(is_urgent) {
            Lane::Urgent
        } else {
            Lane::Bulk
        }
    }

    /// The lane of a live subscription.
    pub(crate) fn lane_of(&self, serial: Serial) -> Lane {
        self.subscriptions
            .get(&serial)
            .map_or(Lane::Bulk, |subscription| subscription.lane)
    }

    fn intern(&mut self, form: Form) -> Arc<Form> {
        if let Some(known) = self.forms.get(&form) {
            return Arc::clone(known);
        }
        let form = Arc::new(form);
        self.forms.insert(Arc::clone(&form));
        form
    }

    fn give_back(&mut self, form: &Arc<Form>) {
        /// The set's own and that of the subscription that ends.
        const HELD_BY_NOBODY_ELSE: usize = 2;
        if Arc::strong_count(form) <= HELD_BY_NOBODY_ELSE {
            self.forms.remove(form);
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
            // Nobody but the broker says what these say.
            if !OWN_HEADERS.contains(&&*name) {
                frame.headers.push(name, value);
            }
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

impl Subscription {
    fn outbound(&self, serial: Serial, encoder: &mut Encoder) -> Outbound {
        Outbound {
            serial,
            payload: encoder.payload(&self.form, self.ack != AckMode::Auto),
        }
    }
}

/// Encodes a message once for each [`Form`]: most clients use the same ids.
struct Encoder {
    message: Arc<Frame>,
    expires: Option<u64>,
    /// The last one used; nearly all subscribers of a topic have the same.
    last: Option<(Arc<Form>, Arc<Encoded>)>,
    encoded: HashMap<Arc<Form>, Arc<Encoded>>,
    /// A long body and its NUL, and whether they are text: the same for all forms.
    tail: Option<(Bytes, bool)>,
    topic: Option<Topic>,
}

/// Bytes from which on a body is not copied for each form: clients choose their subscriptions' ids.
const SHARED_BODY: usize = 1024;

impl Encoder {
    fn new(message: &Arc<Frame>) -> Self {
        Self {
            message: Arc::clone(message),
            expires: expiry_of(message),
            last: None,
            encoded: HashMap::new(),
            tail: None,
            topic: None,
        }
    }

    fn payload(&mut self, form: &Arc<Form>, acknowledges: bool) -> Payload {
        if acknowledges {
            return Payload::Frame(Arc::clone(&self.message));
        }
        if let Some((known, encoded)) = &self.last
            && Arc::ptr_eq(known, form)
        {
            return Payload::Encoded(Arc::clone(encoded));
        }
        let encoded = match self.encoded.get(form) {
            Some(encoded) => Arc::clone(encoded),
            None => {
                let encoded = Arc::new(self.encode(form));
                self.encoded.insert(Arc::clone(form), Arc::clone(&encoded));
                encoded
            }
        };
        self.last = Some((Arc::clone(form), Arc::clone(&encoded)));
        Payload::Encoded(encoded)
    }

    fn encode(&mut self, form: &Form) -> Encoded {
        let mut frame = Cow::Borrowed(&*self.message);
        if let Some(id) = &form.id {
            let headers = &mut frame.to_mut().headers;
            headers.push_front("subscription", id.as_str());
        }
        let mut head = BytesMut::new();
        let frame = if frame.body.len() < SHARED_BODY {
            encode(&frame, form.version, &mut head);
            head.freeze().into()
        } else {
            encode_head(&frame, form.version, &mut head);
            let (tail, is_text) = self.tail.get_or_insert_with(|| {
                let mut tail = BytesMut::with_capacity(frame.body.len() + 1);
                tail.extend_from_slice(&frame.body);
                tail.put_u8(0);
                let is_text = std::str::from_utf8(&tail).is_ok();
                (tail.freeze(), is_text)
            });
            WireFrame {
                head: head.freeze(),
                tail: tail.clone(),
                is_text: *is_text,
            }
        };
        Encoded {
            frame,
            expires: self.expires,
            guarded: guarded(&self.message).map(Box::from),
        }
    }

    /// What the message replaces where it may.
    fn topic(&mut self) -> Topic {
        let message = &self.message;
        self.topic
            .get_or_insert_with(|| Topic {
                destination: message.header("destination").unwrap_or_default().into(),
                key: message.header(KEY).unwrap_or_default().into(),
            })
            .clone()
    }
}

/// When a message is worth nothing any more, in milliseconds since 1970; `None` for never.
pub(crate) fn expiry_of(message: &Frame) -> Option<u64> {
    message
        .header(EXPIRES)
        .and_then(parse_expires)
        .filter(|at| *at > 0)
}

/// The destination for which the guard is asked before a message goes out. `None`: it needs no right of its own, since
/// it is the session's alone, or a notice that says nothing but that something is missing.
pub(crate) fn guarded(message: &Frame) -> Option<&str> {
    let destination = message.header("destination").unwrap_or_default();
    let is_notice = || message.header(GAP).is_some();
    (destination::is_shared(destination) && !is_notice()).then_some(destination)
}

/// The application's own code names what it publishes to, so a wrong one is a bug there.
pub(crate) fn assert_kind(destination: &str, kind: Kind) {
    let found = match kind {
        Kind::User => destination::for_subscribe(destination),
        _ => destination::for_send(destination),
    };
    assert!(
        found == Ok(kind),
        "{destination:?} is no destination for this: {found:?}"
    );
}

#[cfg(test)]
mod tests;
