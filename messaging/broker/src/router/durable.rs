//! Durable subscriptions to topics: what matches is kept while nobody is there, in bounded memory. Pure: `now`
//! (milliseconds since 1970) is passed in.
//!
//! Each is a queue of its own in [`Queues`] of their own, whose consumers are the sessions that are attached: terms,
//! order and redelivery are those of queues. Invariant: what matches after the first attachment is given out, or a
//! gap notice stands for it, until the subscription is deleted or was left alone for too long.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use stomp::Frame;

use super::past::gap_notice;
use super::queue::{Handed, Incoming, Queues, Terms};
use super::queueing::parse_expires;
use super::replay::weight;
use super::trie::{Member, Trie};
use super::{Counts, Serial};
use crate::config::{BrokerConfig, DurableLimits, QueueLimits};
use crate::destination::{DURABLE_NAME, EXPIRES, REDELIVERED};
use crate::guard::Denied;
use crate::position::Position;

/// Names a durable subscription of the broker's life; never used twice.
type Id = u64;

impl Member for Id {
    type Identity = Self;

    fn identity(&self) -> Self {
        *self
    }
}

#[derive(Debug)]
struct Durable {
    subject: String,
    name: String,
    pattern: String,
    queue: String,
    /// Sessions' subscriptions that compete for what comes.
    attached: usize,
    /// Since when there are none.
    idle_since: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Durables {
    limits: DurableLimits,
    incarnation: Arc<str>,
    by_id: HashMap<Id, Durable>,
    /// By subject and name.
    names: HashMap<String, BTreeMap<String, Id>>,
    topics: Trie<Id>,
    attached: HashMap<Serial, Id>,
    /// Those that nobody is attached to, by since when.
    idle: BTreeSet<(u64, Id)>,
    queues: Queues,
    last_id: Id,
    gaps: u64,
}

impl Durables {
    pub(super) fn new(incarnation: &str, config: &BrokerConfig) -> Self {
        let limits = config.durables.clone();
        let queues = QueueLimits {
            messages_per_queue: limits.messages_each,
            bytes_per_queue: limits.bytes_each,
            bytes: limits.bytes,
            ..config.queues.clone()
        };
        Self {
            limits,
            incarnation: incarnation.into(),
            by_id: HashMap::new(),
            names: HashMap::new(),
            topics: Trie::default(),
            attached: HashMap::new(),
            idle: BTreeSet::new(),
            queues: Queues::lossy(queues),
            last_id: 0,
            gaps: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn counts(&self) -> Counts {
        self.queues.counts()
    }

    /// Gap notices that were given out.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Whether `subject` may attach to `name`, which is made if there is none.
    pub(super) fn check(
        &mut self,
        subject: &str,
        name: &str,
        pattern: &str,
        now: u64,
    ) -> Result<(), Denied> {
        self.forget_idle(now);
        if let Some(durable) = self.find(subject, name).and_then(|id| self.by_id.get(&id)) {
            if durable.pattern == pattern {
                return Ok(());
            }
            let message = format!(
                "the durable subscription {name:?} is to {}: delete it first, or use another name",
                durable.pattern
            );
            return Err(Denied::new("durable-mismatch", message));
        }
        let of_subject = self.names.get(subject).map_or(0, BTreeMap::len);
        if of_subject >= self.limits.per_subject || self.by_id.len() >= self.limits.subscriptions {
            let message = "there are too many durable subscriptions: delete those that are not needed any more";
            return Err(Denied::new("too-many-durable-subscriptions", message));
        }
        Ok(())
    }

    /// Lets a session's subscription have what is kept and what comes. [`Self::check`] has allowed it.
    pub(super) fn attach(
        &mut self,
        subject: &str,
        name: &str,
        pattern: &str,
        serial: Serial,
        terms: Terms,
        now: u64,
    ) -> Vec<Handed> {
        let id = match self.find(subject, name) {
            Some(id) => id,
            None => self.add(subject, name, pattern),
        };
        let Some(durable) = self.by_id.get_mut(&id) else {
            return Vec::new();
        };
        durable.attached += 1;
        if let Some(since) = durable.idle_since.take() {
            self.idle.remove(&(since, id));
        }
        self.attached.insert(serial, id);
        let handed = self.queues.subscribe(&durable.queue, serial, terms, now);
        self.finish(handed)
    }

    /// Ends the attachment of a session's subscription, if it is one. What it had goes to others that are attached,
    /// or waits.
    pub(super) fn detach(&mut self, serial: Serial, now: u64) -> Vec<Handed> {
        let Some(id) = self.attached.remove(&serial) else {
            return Vec::new();
        };
        let handed = self.queues.remove(serial, now);
        if let Some(durable) = self.by_id.get_mut(&id) {
            durable.attached -= 1;
            if durable.attached == 0 {
                durable.idle_since = Some(now);
                self.idle.insert((now, id));
            }
        }
        self.finish(handed)
    }

    /// Whether the durable subscription that `serial` is attached to is called `name` and may be deleted.
    pub(super) fn check_delete(&self, serial: Serial, name: &str) -> Result<(), Denied> {
        let id = self.attached.get(&serial);
        let durable = id.and_then(|id| self.by_id.get(id));
        let Some(durable) = durable.filter(|durable| durable.name == name) else {
            let message = format!("this is not the durable subscription {name:?}");
            return Err(Denied::new("durable-mismatch", message));
        };
        if durable.attached > 1 {
            let message = format!(
                "others are attached to the durable subscription {name:?}: it can be deleted when they are gone"
            );
            return Err(Denied::new("durable-in-use", message));
        }
        Ok(())
    }

    /// Ends the durable subscription that `serial` is attached to; [`Self::check_delete`] has allowed it.
    pub(super) fn delete(&mut self, serial: Serial, now: u64) {
        if let Some(id) = self.attached.get(&serial).copied() {
            // To nobody: there are no others.
            self.detach(serial, now);
            self.forget(id);
        }
    }

    /// Keeps a message for all whose pattern covers its topic.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        sequence: u64,
        frame: &Arc<Frame>,
        now: u64,
    ) -> Vec<Handed> {
        if self.by_id.is_empty() {
            return Vec::new();
        }
        self.forget_idle(now);
        let mut found = Vec::new();
        self.topics.for_each_match(topic, |id| found.push(*id));
        let mut handed = Vec::new();
        for id in found {
            let Some(durable) = self.by_id.get(&id) else {
                continue;
            };
            let expires = frame.header(EXPIRES).and_then(parse_expires);
            let message = Incoming {
                sequence,
                frame: Arc::clone(frame),
                weight: weight(frame),
                expires: expires.filter(|at| *at > 0),
            };
            handed.extend(self.queues.push_lossy(&durable.queue, message, now));
        }
        self.finish(handed)
    }

    /// As [`Queues::take`].
    pub(super) fn take(&mut self, serial: Serial, sequence: u64, now: u64) -> Option<Vec<Handed>> {
        let handed = self.queues.take(serial, sequence, now)?;
        Some(self.finish(handed))
    }

    /// A message that may not be delivered is done with. `None`: it is not the consumer's any more.
    pub(super) fn leave_out(
        &mut self,
        serial: Serial,
        sequence: u64,
        now: u64,
    ) -> Option<Vec<Handed>> {
        let mut handed = self.take(serial, sequence, now)?;
        handed.extend(self.settle(serial, &[sequence], true, now));
        Some(handed)
    }

    /// As [`Queues::ack`] and [`Queues::nack`].
    pub(super) fn settle(
        &mut self,
        serial: Serial,
        sequences: &[u64],
        consumed: bool,
        now: u64,
    ) -> Vec<Handed> {
        let handed = if consumed {
            self.queues.ack(serial, sequences, now)
        } else {
            self.queues.nack(serial, sequences, now)
        };
        self.finish(handed)
    }

    fn find(&self, subject: &str, name: &str) -> Option<Id> {
        self.names.get(subject)?.get(name).copied()
    }

    fn add(&mut self, subject: &str, name: &str, pattern: &str) -> Id {
        self.last_id += 1;
        let id = self.last_id;
        let durable = Durable {
            subject: subject.to_owned(),
            name: name.to_owned(),
            pattern: pattern.to_owned(),
            queue: id.to_string(),
            attached: 0,
            idle_since: None,
        };
        self.by_id.insert(id, durable);
        let names = self.names.entry(subject.to_owned()).or_default();
        names.insert(name.to_owned(), id);
        self.topics.insert(pattern, id);
        id
    }

    /// Those that were left alone for too long.
    fn forget_idle(&mut self, now: u64) {
        let limit = u64::try_from(self.limits.idle.as_millis()).unwrap_or(u64::MAX);
        while let Some((since, id)) = self.idle.first().copied()
            && since.saturating_add(limit) <= now
        {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: Id) {
        let Some(durable) = self.by_id.remove(&id) else {
            return;
        };
        if let Some(since) = durable.idle_since {
            self.idle.remove(&(since, id));
        }
        if let Some(names) = self.names.get_mut(&durable.subject) {
            names.remove(&durable.name);
            if names.is_empty() {
                self.names.remove(&durable.subject);
            }
        }
        self.topics.remove(&durable.pattern, id);
        self.queues.delete(&durable.queue);
    }

    /// Gives gap notices their words.
    fn finish(&mut self, mut handed: Vec<Handed>) -> Vec<Handed> {
        for handed in handed.iter_mut().filter(|handed| handed.gap) {
            let id = self.attached.get(&handed.consumer);
            let pattern = id
                .and_then(|id| self.by_id.get(id))
                .map(|durable| &durable.pattern);
            let position = Position {
                incarnation: Arc::clone(&self.incarnation),
                sequence: handed.sequence,
            };
            let mut notice = gap_notice(pattern.map_or("", String::as_str), &position);
            if handed.frame.header(REDELIVERED).is_some() {
                notice.headers.push_front(REDELIVERED, "true");
            }
            handed.frame = Arc::new(notice);
            self.gaps += 1;
        }
        handed
    }
}

/// Whether a durable subscription can be called `name`.
pub(crate) fn check_name(name: &str) -> Result<(), Denied> {
    /// More bytes than any name has; a bound on what one costs.
    const BYTES_MAX: usize = 256;
    if name.is_empty() || name.len() > BYTES_MAX {
        let message = format!("{DURABLE_NAME} has 1 to {BYTES_MAX} bytes");
        return Err(Denied::new("bad-durable-name", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
