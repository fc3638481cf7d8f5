//! What the router does with queues and durable subscriptions: the machines know consumers, the router whose they are.
//! Pure.

use std::sync::Arc;

use stomp::AckMode;
use stomp::server::{Delivery, SubscriptionKey};

use super::queue::{Handed, Incoming, QueueFull};
use super::retained::{Retain, RetainedFull};
use super::{Counts, Encoder, Outbound, Payload, Router, Serial, Terms, Wanted};
use crate::destination::{EXPIRES, Kind, RETAIN};
use crate::guard::Denied;
use crate::message::Outgoing;
use crate::position::{Position, SessionId};

/// One thing that a client does to destinations, on its own or as a step of a transaction.
#[derive(Debug)]
pub(crate) enum Effect<'frame> {
    /// To all subscribers of a topic.
    Publish(&'frame str, Outgoing),
    /// To a queue.
    Enqueue(&'frame str, Outgoing),
    /// To a reply queue.
    Reply(&'frame str, Outgoing),
    /// These are consumed.
    Ack(&'frame [Delivery]),
    /// These are not.
    Nack(&'frame [Delivery]),
}

/// To whom what goes.
pub(crate) type Deliveries = Vec<(SessionId, Outbound)>;

impl Router {
    /// Whether a subscription to a queue, or a durable one, can be had.
    pub(crate) fn may_consume(
        &mut self,
        session: SessionId,
        wanted: &Wanted<'_>,
        now: u64,
    ) -> Result<(), Denied> {
        if wanted.kind == Kind::Queue && !self.queues.may_open(wanted.destination) {
            let message = "there are too many queues: try again later";
            return Err(Denied::new("too-many-queues", message));
        }
        match (wanted.durable, self.sessions.get(&session)) {
            (Some(name), Some(session)) => {
                let subject = &session.subject;
                self.durables.check(subject, name, wanted.destination, now)
            }
            _ => Ok(()),
        }
    }

    /// Lets a new subscription to a queue, or a durable one, have messages: the second half of `subscribe`, whose other
    /// messages are for nobody else.
    pub(crate) fn consume(&mut self, serial: Serial, wanted: &Wanted<'_>, now: u64) -> Deliveries {
        let Some(subscription) = self.subscriptions.get(&serial) else {
            return Vec::new();
        };
        let most = self.queue_limits.prefetch_max.max(1);
        let terms = Terms {
            auto: subscription.ack == AckMode::Auto,
            prefetch: match wanted.prefetch {
                None => self.queue_limits.prefetch.clamp(1, most),
                Some(0) => most,
                Some(wanted) => wanted.min(most),
            },
        };
        let destination = wanted.destination;
        let session = self.sessions.get(&subscription.session);
        let handed = match (wanted.durable, session) {
            (Some(name), Some(session)) => {
                let subject = &session.subject;
                self.durables
                    .attach(subject, name, destination, serial, terms, now)
            }
            _ if wanted.kind == Kind::Queue => {
                self.queues.subscribe(destination, serial, terms, now)
            }
            _ => Vec::new(),
        };
        self.addressed(handed)
    }

    /// Ends a subscription; `deletes` is the name of the durable subscription that is to end with it. Returns which it
    /// was, and what others get of what it had. `None`: there is no such subscription any more.
    pub(crate) fn unsubscribe(
        &mut self,
        session: SessionId,
        key: &SubscriptionKey,
        deletes: Option<&str>,
        now: u64,
    ) -> Result<Option<(Serial, Deliveries)>, Denied> {
        let Some(serial) = self.find(session, key) else {
            return Ok(None);
        };
        if let Some(name) = deletes {
            self.durables.check_delete(serial, name)?;
            self.durables.delete(serial, now);
        }
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.subscriptions.retain(|other| *other != serial);
        }
        self.forget(serial);
        let freed = self.release(serial, now);
        Ok(Some((serial, self.addressed(freed))))
    }

    /// Takes back what a consumer has, for others.
    pub(super) fn release(&mut self, serial: Serial, now: u64) -> Vec<Handed> {
        let mut freed = self.queues.remove(serial, now);
        freed.extend(self.durables.detach(serial, now));
        freed
    }

    /// Whether all of `effects` can happen now; nothing has happened yet.
    pub(crate) fn check_room(&mut self, effects: &[Effect<'_>], now: u64) -> Result<(), Denied> {
        let retained: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Publish(topic, message) => Some((*topic, Retain::of(topic, message)?)),
                _ => None,
            })
            .collect();
        self.retained
            .check_room(&retained, now)
            .map_err(|RetainedFull { topic }| {
                let message = format!(
                    "there is no room for one more last value of {topic}: forget others, or send it without {RETAIN}"
                );
                Denied::new("retained-full", message)
            })?;
        let messages: Vec<(&str, usize)> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Enqueue(queue, message) => Some((*queue, weight(queue, message))),
                _ => None,
            })
            .collect();
        self.queues
            .check_room(&messages, now)
            .map_err(|QueueFull { queue }| {
                let message = format!("there is no room in {queue} now: send it again later");
                Denied::new("queue-full", message)
            })
    }

    /// Takes a message into a queue, for which `check_room` has found room.
    pub(crate) fn enqueue(&mut self, queue: &str, message: Outgoing, now: u64) -> Deliveries {
        let weight = weight(queue, &message);
        let expires = expires_of(&message);
        let incoming = Incoming {
            frame: Arc::new(self.message_frame(queue, message)),
            sequence: self.sequence,
            weight,
            expires,
        };
        let handed = self.queues.push(queue, incoming, now);
        self.addressed(handed)
    }

    /// A session is about to write a message of a queue or of a durable subscription. `None`: it must not, somebody
    /// else gets it.
    pub(crate) fn take(&mut self, serial: Serial, sequence: u64, now: u64) -> Option<Deliveries> {
        let handed = match self.queues.take(serial, sequence, now) {
            Some(handed) => handed,
            None => self.durables.take(serial, sequence, now)?,
        };
        Some(self.addressed(handed))
    }

    /// A session may not be given a message of a queue or of a durable subscription. From a queue somebody else gets it,
    /// and the subscription is given nothing more of it until [`Self::unbar`]: the first thing returned says so. A durable
    /// subscription goes on without it, as those that are not durable do. `None`: the message is not the subscription's
    /// any more.
    pub(crate) fn withhold(
        &mut self,
        serial: Serial,
        sequence: u64,
        now: u64,
    ) -> Option<(bool, Deliveries)> {
        let (barred, handed) = match self.queues.bar(serial, sequence, now) {
            Some(handed) => (true, handed),
            None => (false, self.durables.leave_out(serial, sequence, now)?),
        };
        Some((barred, self.addressed(handed)))
    }

    /// A subscription to a queue may be given messages again.
    pub(crate) fn unbar(&mut self, serial: Serial, now: u64) -> Deliveries {
        let handed = self.queues.unbar(serial, now);
        self.addressed(handed)
    }

    /// ACK (`consumed`) or NACK. Messages that are from no queue need neither.
    pub(crate) fn settle(
        &mut self,
        session: SessionId,
        deliveries: &[Delivery],
        consumed: bool,
        now: u64,
    ) -> Deliveries {
        let mut handed = Vec::new();
        // One frame is about one subscription, so this is one round.
        for group in deliveries.chunk_by(|a, b| a.subscription == b.subscription) {
            let Some(serial) = self.find(session, &group[0].subscription) else {
                continue;
            };
            let sequences: Vec<u64> = group
                .iter()
                .filter_map(|delivery| delivery.message_id.parse::<Position>().ok())
                .map(|position| position.sequence)
                .collect();
            // Whoever does not know the consumer does nothing.
            handed.extend(if consumed {
                self.queues.ack(serial, &sequences, now)
            } else {
                self.queues.nack(serial, &sequences, now)
            });
            handed.extend(self.durables.settle(serial, &sequences, consumed, now));
        }
        self.addressed(handed)
    }

    /// Opens a reply queue: what comes to `name` goes to the session, as if it had subscribed with the id `own_name`.
    /// `None`: there is no such session any more.
    pub(crate) fn open_reply_queue(
        &mut self,
        session: SessionId,
        own_name: &str,
        name: &str,
    ) -> Option<Serial> {
        let wanted = Wanted {
            key: SubscriptionKey::Id(own_name.to_owned()),
            destination: name,
            kind: Kind::Reply,
            ack: AckMode::Auto,
            resume_from: None,
            retained: false,
            durable: None,
            prefetch: None,
            conflate: false,
        };
        // No last value is ever asked for, so that the time does not matter.
        let (serial, _) = self.subscribe(session, &wanted, 0)?;
        self.replies.insert(name.to_owned(), serial);
        Some(serial)
    }

    /// Sends to a reply queue. Nobody: its session is over, and there is nobody to tell.
    pub(crate) fn reply(&mut self, name: &str, message: Outgoing) -> Deliveries {
        let Some(serial) = self.replies.get(name).copied() else {
            return Vec::new();
        };
        let frame = Arc::new(self.message_frame(name, message));
        let Some(subscription) = self.subscriptions.get(&serial) else {
            return Vec::new();
        };
        let outbound = subscription.outbound(serial, &mut Encoder::new(&frame));
        vec![(subscription.session, outbound)]
    }

    pub(crate) fn queue_counts(&self) -> Counts {
        self.queues.counts()
    }

    /// How many durable subscriptions there are, and what became of their messages.
    pub(crate) fn durable_counts(&self) -> (usize, Counts) {
        (self.durables.count(), self.durables.counts())
    }

    /// The sessions of the consumers.
    pub(super) fn addressed(&self, handed: Vec<Handed>) -> Deliveries {
        handed
            .into_iter()
            .filter_map(|handed| {
                let session = self.subscriptions.get(&handed.consumer)?.session;
                let outbound = Outbound {
                    serial: handed.consumer,
                    payload: Payload::Queued(handed.sequence, handed.frame),
                };
                Some((session, outbound))
            })
            .collect()
    }
}

/// The value of `expires`; `None` when it is no number of milliseconds.
pub(crate) fn parse_expires(value: &str) -> Option<u64> {
    value
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| value.parse().ok())?
}

/// When a message is worth nothing any more.
pub(super) fn expires_of(message: &Outgoing) -> Option<u64> {
    let expires = message.headers.iter().find(|(name, _)| name == EXPIRES);
    expires
        .and_then(|(_, value)| parse_expires(value))
        .filter(|at| *at > 0)
}

/// Bytes that holding a message takes, about: known before it has its place in the stream.
pub(super) fn weight(destination: &str, message: &Outgoing) -> usize {
    /// Allocations and bookkeeping of one header.
    const HEADER: usize = 64;
    /// Bookkeeping of one message, and the headers that the broker adds.
    const MESSAGE: usize = 512;
    let headers: usize = message
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + HEADER)
        .sum();
    headers + destination.len() + message.body.len() + MESSAGE
}
