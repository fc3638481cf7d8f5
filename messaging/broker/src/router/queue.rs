//! Queues with competing consumers, in bounded memory. Pure: `now` (milliseconds since 1970) is passed in.
//!
//! | a message is | leaves by |
//! |---|---|
//! | waiting, in the order of its sequence | a consumer that has room, in turn; its `expires` |
//! | on its way to one consumer | [`Queues::take`]; the consumer's end, or [`Queues::bar`]: waiting again, as if nothing had been |
//! | taken by the consumer | ACK (`auto`: at once); NACK or the consumer's end: waiting again, in its old place, or dead |
//!
//! Invariant: each message that was let in is in exactly one place until it is acknowledged, has expired, or was
//! dropped from a full dead-letter queue, or for lack of room from queues that may lose (`lossy`). Expired messages are dropped when they are looked at: at their turn, or
//! when room is needed.

mod lossy;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stomp::Frame;

use super::Serial;
use crate::config::QueueLimits;
use crate::destination::{self, DEAD_LETTER_FROM, DELIVERIES, REDELIVERED};

/// What a queue gives to one consumer.
#[derive(Debug, Clone)]
pub(crate) struct Handed {
    pub(crate) consumer: Serial,
    /// Names the message, in [`Queues::take`], [`Queues::ack`] and [`Queues::nack`].
    pub(crate) sequence: u64,
    pub(crate) frame: Arc<Frame>,
    /// It is the notice that messages up to its sequence were lost; whoever gives it out finds the words.
    pub(crate) gap: bool,
}

/// A message that comes in.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Higher than that of all messages before it.
    pub(crate) sequence: u64,
    pub(crate) frame: Arc<Frame>,
    /// Bytes, as they were asked for at [`Queues::check_room`].
    pub(crate) weight: usize,
    /// Milliseconds since 1970.
    pub(crate) expires: Option<u64>,
}

/// How a consumer wants its messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Taken is acknowledged.
    pub(crate) auto: bool,
    /// Messages that it may have unacknowledged; within [`QueueLimits::prefetch_max`].
    pub(crate) prefetch: usize,
}

/// There is no room for what should come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueFull {
    pub(crate) queue: String,
}

/// Counts for metrics: all but the first only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Messages that are held now.
    pub(crate) held: usize,
    pub(crate) redelivered: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) expired: u64,
    pub(crate) dropped: u64,
}

#[derive(Debug)]
struct Entry {
    frame: Arc<Frame>,
    weight: usize,
    expires: Option<u64>,
    /// How often a consumer has taken it.
    deliveries: u32,
    /// It stands for messages that were lost.
    gap: bool,
}

impl Entry {
    fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

#[derive(Debug)]
struct InFlight {
    entry: Entry,
    taken: bool,
}

#[derive(Debug)]
struct Consumer {
    serial: Serial,
    terms: Terms,
    /// It may have nothing of the queue now.
    barred: bool,
    /// By sequence. Bounded by [`Terms::prefetch`].
    in_flight: BTreeMap<u64, InFlight>,
    untaken: usize,
    untaken_bytes: usize,
}

impl Consumer {
    fn has_room(&self, weight: usize, limits: &QueueLimits) -> bool {
        // One message goes out however long it is.
        let fits = self.untaken == 0
            || (self.untaken < limits.untaken_messages
                && self.untaken_bytes + weight <= limits.untaken_bytes);
        !self.barred && fits && self.in_flight.len() < self.terms.prefetch
    }
}

/// A place in the order of a queue's consumers; never used twice.
type Turn = u64;

/// Where a consumer is.
#[derive(Debug, Clone)]
struct Seat {
    queue: String,
    turn: Turn,
}

#[derive(Debug, Default)]
struct Queue {
    /// By sequence, so that what comes back finds its old place. Bounded by [`QueueLimits`], together with what
    /// consumers have: what comes back always fits.
    waiting: BTreeMap<u64, Entry>,
    /// By turn: whose is next is first.
    consumers: BTreeMap<Turn, Consumer>,
    messages: usize,
    /// How many of them are notices.
    notices: usize,
    bytes: usize,
}

impl Queue {
    fn forget(&mut self, entry: &Entry) {
        self.messages -= 1;
        self.notices -= usize::from(entry.gap);
        self.bytes -= entry.weight;
    }
}

#[derive(Debug)]
pub(crate) struct Queues {
    limits: QueueLimits,
    /// For lack of room, messages are lost rather than refused.
    lossy: bool,
    /// Only those that have messages or consumers. Bounded by [`QueueLimits::queues`].
    by_name: HashMap<String, Queue>,
    by_consumer: HashMap<Serial, Seat>,
    last_turn: Turn,
    bytes: usize,
    counts: Counts,
}

impl Queues {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            lossy: false,
            by_name: HashMap::new(),
            by_consumer: HashMap::new(),
            last_turn: 0,
            bytes: 0,
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether a consumer may come to `queue`.
    pub(crate) fn may_open(&self, queue: &str) -> bool {
        self.by_name.contains_key(queue) || self.by_name.len() < self.limits.queues
    }

    /// Whether all of these messages (queue and bytes) can come in now, one after the other.
    pub(crate) fn check_room(
        &mut self,
        messages: &[(&str, usize)],
        now: u64,
    ) -> Result<(), QueueFull> {
        if self.first_full(messages).is_some() {
            self.drop_expired(now);
        }
        match self.first_full(messages) {
            None => Ok(()),
            Some(queue) => Err(QueueFull {
                queue: queue.to_owned(),
            }),
        }
    }

    /// The queue of the first message that there is no room for.
    fn first_full<'queue>(&self, messages: &[(&'queue str, usize)]) -> Option<&'queue str> {
        let mut more: HashMap<&str, (usize, usize)> = HashMap::new();
        let (mut queues, mut all_bytes) = (self.by_name.len(), self.bytes);
        for (name, weight) in messages {
            let (count, bytes) = more.entry(name).or_default();
            queues += usize::from(*count == 0 && !self.by_name.contains_key(*name));
            *count += 1;
            *bytes += weight;
            all_bytes += weight;
            let full = !self.fits(name, *count, *bytes)
                || all_bytes > self.limits.bytes
                || queues > self.limits.queues;
            if full {
                return Some(name);
            }
        }
        None
    }

    /// Takes a message in, for which [`Self::check_room`] has found room.
    pub(crate) fn push(&mut self, name: &str, message: Incoming, now: u64) -> Vec<Handed> {
        let entry = Entry {
            frame: message.frame,
            weight: message.weight,
            expires: message.expires,
            deliveries: 0,
            gap: false,
        };
        self.insert(name, message.sequence, entry);
        self.dispatch(name, now)
    }

    /// Adds a consumer to a queue that [`Self::may_open`].
    pub(crate) fn subscribe(
        &mut self,
        name: &str,
        serial: Serial,
        terms: Terms,
        now: u64,
    ) -> Vec<Handed> {
        let queue = self.by_name.entry(name.to_owned()).or_default();
        let consumer = Consumer {
            serial,
            terms,
            barred: false,
            in_flight: BTreeMap::new(),
            untaken: 0,
            untaken_bytes: 0,
        };
        self.last_turn += 1;
        let turn = self.last_turn;
        queue.consumers.insert(turn, consumer);
        let queue = name.to_owned();
        self.by_consumer.insert(serial, Seat { queue, turn });
        self.dispatch(name, now)
    }

    /// Takes a consumer away. What it has goes back; what it had taken counts as delivered.
    pub(crate) fn remove(&mut self, serial: Serial, now: u64) -> Vec<Handed> {
        let Some(Seat { queue: name, turn }) = self.by_consumer.remove(&serial) else {
            return Vec::new();
        };
        let queue = self.by_name.get_mut(&name);
        let Some(consumer) = queue.and_then(|queue| queue.consumers.remove(&turn)) else {
            return Vec::new();
        };
        let returned = consumer.in_flight.into_iter().collect();
        self.take_back(&name, returned, now)
    }

    /// The consumer takes a message to write it. `None`: it is not the consumer's any more, and must not be written.
    pub(crate) fn take(&mut self, serial: Serial, sequence: u64, now: u64) -> Option<Vec<Handed>> {
        let Seat { queue: name, turn } = self.by_consumer.get(&serial)?.clone();
        let consumer = self.by_name.get_mut(&name)?.consumers.get_mut(&turn)?;
        let in_flight = consumer.in_flight.get_mut(&sequence)?;
        if in_flight.taken {
            return None;
        }
        in_flight.taken = true;
        in_flight.entry.deliveries += 1;
        consumer.untaken -= 1;
        consumer.untaken_bytes -= in_flight.entry.weight;
        if consumer.terms.auto {
            return Some(self.ack(serial, &[sequence], now));
        }
        Some(self.dispatch(&name, now))
    }

    /// The consumer may not have what it was given: that and all else that it has not taken goes back, as if nothing had
    /// been, and it is given nothing until [`Self::unbar`]. `None`: the message is not the consumer's any more.
    pub(crate) fn bar(&mut self, serial: Serial, sequence: u64, now: u64) -> Option<Vec<Handed>> {
        let Seat { queue: name, turn } = self.by_consumer.get(&serial)?.clone();
        let consumer = self.by_name.get_mut(&name)?.consumers.get_mut(&turn)?;
        let untaken = |in_flight: &InFlight| !in_flight.taken;
        if !consumer.in_flight.get(&sequence).is_some_and(untaken) {
            return None;
        }
        consumer.barred = true;
        (consumer.untaken, consumer.untaken_bytes) = (0, 0);
        let in_flight = &mut consumer.in_flight;
        let returned = in_flight.extract_if(.., |_, in_flight| !in_flight.taken);
        let returned = returned.collect();
        Some(self.take_back(&name, returned, now))
    }

    /// The consumer may be given messages again.
    pub(crate) fn unbar(&mut self, serial: Serial, now: u64) -> Vec<Handed> {
        let Some(Seat { queue: name, turn }) = self.by_consumer.get(&serial).cloned() else {
            return Vec::new();
        };
        let queue = self.by_name.get_mut(&name);
        if let Some(consumer) = queue.and_then(|queue| queue.consumers.get_mut(&turn)) {
            consumer.barred = false;
        }
        self.dispatch(&name, now)
    }

    /// These messages are consumed. Those that the consumer does not have are passed over.
    pub(crate) fn ack(&mut self, serial: Serial, sequences: &[u64], now: u64) -> Vec<Handed> {
        let Some((name, settled)) = self.settle(serial, sequences) else {
            return Vec::new();
        };
        for (_, in_flight) in settled {
            self.forget(&name, &in_flight.entry);
        }
        self.dispatch(&name, now)
    }

    /// These messages are not consumed: another consumer gets them, or they are dead.
    pub(crate) fn nack(&mut self, serial: Serial, sequences: &[u64], now: u64) -> Vec<Handed> {
        match self.settle(serial, sequences) {
            Some((name, settled)) => self.take_back(&name, settled, now),
            None => Vec::new(),
        }
    }

    /// Takes out of a consumer's hands what it has taken.
    fn settle(
        &mut self,
        serial: Serial,
        sequences: &[u64],
    ) -> Option<(String, Vec<(u64, InFlight)>)> {
        let Seat { queue: name, turn } = self.by_consumer.get(&serial)?.clone();
        let consumer = self.by_name.get_mut(&name)?.consumers.get_mut(&turn)?;
        let mut settled = Vec::new();
        for sequence in sequences {
            if consumer.in_flight.get(sequence).is_some_and(|m| m.taken) {
                let in_flight = consumer.in_flight.remove(sequence);
                settled.extend(in_flight.map(|in_flight| (*sequence, in_flight)));
            }
        }
        Some((name, settled))
    }

    /// Puts back what was in a consumer's hands, then gives it to others.
    fn take_back(&mut self, name: &str, returned: Vec<(u64, InFlight)>, now: u64) -> Vec<Handed> {
        let mut dead = false;
        let mut lost = Vec::new();
        for (sequence, InFlight { entry, taken }) in returned {
            self.forget(name, &entry);
            let is_dead = taken && entry.deliveries >= self.limits.deliveries;
            if entry.is_expired(now) {
                self.counts.expired += 1;
            } else if is_dead && self.lossy {
                lost.push((sequence, entry));
            } else if is_dead && !destination::is_dead_letter_queue(name) {
                self.bury(name, sequence, entry);
                dead = true;
            } else {
                self.insert(name, sequence, entry);
            }
        }
        // When all others are back: a notice is put in its place among them.
        for (sequence, entry) in lost {
            self.lose(name, sequence, &entry);
        }
        let mut handed = self.dispatch(name, now);
        if dead {
            handed.extend(self.dispatch(&destination::dead_letter_queue(name), now));
        }
        handed
    }

    /// Moves a message to the dead-letter queue of its queue. A full one loses its oldest messages: the newest tell
    /// what is wrong now, and a message that cannot be delivered must not stop those that can.
    fn bury(&mut self, name: &str, sequence: u64, mut entry: Entry) {
        let grave = destination::dead_letter_queue(name);
        while !self.fits(&grave, 1, entry.weight) {
            let queue = self.by_name.get_mut(&grave);
            let Some((_, oldest)) = queue.and_then(|queue| queue.waiting.pop_first()) else {
                self.counts.dropped += 1;
                return;
            };
            self.forget(&grave, &oldest);
            self.counts.dropped += 1;
        }
        if !self.may_open(&grave) {
            self.counts.dropped += 1;
            return;
        }
        let mut frame = Frame::clone(&entry.frame);
        frame.headers.retain(|header, _| header != "destination");
        frame.headers.push_front("destination", grave.as_str());
        frame.headers.push(DEAD_LETTER_FROM, name);
        frame.headers.push(DELIVERIES, entry.deliveries.to_string());
        entry.frame = Arc::new(frame);
        // It is for people now, whenever they look.
        entry.expires = None;
        entry.deliveries = 0;
        self.counts.dead_lettered += 1;
        self.insert(&grave, sequence, entry);
    }

    /// Gives what waits to consumers that have room, in turn.
    fn dispatch(&mut self, name: &str, now: u64) -> Vec<Handed> {
        let mut handed = Vec::new();
        let Some(queue) = self.by_name.get_mut(name) else {
            return handed;
        };
        while let Some(first) = queue.waiting.first_entry() {
            if first.get().is_expired(now) {
                let entry = first.remove();
                queue.forget(&entry);
                self.bytes -= entry.weight;
                self.counts.held -= 1;
                self.counts.expired += 1;
                continue;
            }
            let weight = first.get().weight;
            // Those that have no room keep their place in front: their turn is not over.
            let has_room = |consumer: &Consumer| consumer.has_room(weight, &self.limits);
            let next = queue.consumers.iter().find(|(_, other)| has_room(other));
            let next = next.map(|(turn, _)| *turn);
            let Some(mut consumer) = next.and_then(|next| queue.consumers.remove(&next)) else {
                break;
            };
            let (sequence, entry) = first.remove_entry();
            let mut frame = Arc::clone(&entry.frame);
            if entry.deliveries > 0 {
                Arc::make_mut(&mut frame)
                    .headers
                    .push_front(REDELIVERED, "true");
                self.counts.redelivered += 1;
            }
            handed.push(Handed {
                consumer: consumer.serial,
                sequence,
                frame,
                gap: entry.gap,
            });
            consumer.untaken += 1;
            consumer.untaken_bytes += entry.weight;
            let taken = false;
            consumer
                .in_flight
                .insert(sequence, InFlight { entry, taken });
            self.last_turn += 1;
            if let Some(seat) = self.by_consumer.get_mut(&consumer.serial) {
                seat.turn = self.last_turn;
            }
            queue.consumers.insert(self.last_turn, consumer);
        }
        if queue.messages == 0 && queue.consumers.is_empty() {
            self.by_name.remove(name);
        }
        handed
    }

    fn insert(&mut self, name: &str, sequence: u64, entry: Entry) {
        let queue = self.by_name.entry(name.to_owned()).or_default();
        queue.messages += 1;
        queue.notices += usize::from(entry.gap);
        queue.bytes += entry.weight;
        self.bytes += entry.weight;
        self.counts.held += 1;
        queue.waiting.insert(sequence, entry);
    }

    /// Ends the account of a message that is in no place of `name` any more.
    fn forget(&mut self, name: &str, entry: &Entry) {
        if let Some(queue) = self.by_name.get_mut(name) {
            queue.forget(entry);
        }
        self.bytes -= entry.weight;
        self.counts.held -= 1;
    }

    fn fits(&self, name: &str, messages: usize, bytes: usize) -> bool {
        let (held, held_bytes) = self
            .by_name
            .get(name)
            .map_or((0, 0), |queue| (queue.messages, queue.bytes));
        // A message that is alone may be as long as it likes: it was allowed in.
        let alone = held + messages == 1;
        held + messages <= self.limits.messages_per_queue
            && (alone || held_bytes + bytes <= self.limits.bytes_per_queue)
    }

    /// Makes room everywhere: idle queues must not keep others out with what nobody wants any more.
    fn drop_expired(&mut self, now: u64) {
        for queue in self.by_name.values_mut() {
            let expired = queue
                .waiting
                .extract_if(.., |_, entry| entry.is_expired(now));
            for (_, entry) in expired {
                queue.messages -= 1;
                queue.bytes -= entry.weight;
                self.bytes -= entry.weight;
                self.counts.held -= 1;
                self.counts.expired += 1;
            }
        }
        self.by_name
            .retain(|_, queue| queue.messages > 0 || !queue.consumers.is_empty());
    }
}

#[cfg(test)]
mod tests;
