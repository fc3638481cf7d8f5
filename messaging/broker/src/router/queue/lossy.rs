//! Queues that lose their oldest when they are full, and say so. Pure.
//!
//! Invariant: behind each message that was lost, and before every newer one that is held, there is a notice until a
//! consumer has taken it. It waits, is taken and acknowledged like a message, so that it survives a consumer that never
//! saw it. Two that wait next to each other become one at the next loss, unless a consumer has something between: so
//! there are not many more than what consumers may have.

use std::ops::Bound::Excluded;
use std::sync::Arc;

use stomp::{Command, Frame};

use super::{Entry, Handed, Incoming, Queue, Queues};
use crate::config::QueueLimits;

impl Queues {
    /// Queues for [`Self::push_lossy`]. A message that came back too often is lost like the oldest of a full queue.
    pub(crate) fn lossy(limits: QueueLimits) -> Self {
        Self {
            lossy: true,
            ..Self::new(limits)
        }
    }

    /// Takes a message in. For lack of room the oldest that waits are lost, or this one when none waits.
    pub(crate) fn push_lossy(&mut self, name: &str, message: Incoming, now: u64) -> Vec<Handed> {
        while !self.has_room(name, message.weight) {
            if !self.lose_oldest(name, now) {
                self.counts.dropped += 1;
                self.note_loss(name, message.sequence);
                return self.dispatch(name, now);
            }
        }
        self.push(name, message, now)
    }

    /// Ends a queue that has no consumers, with all that waits.
    pub(crate) fn delete(&mut self, name: &str) {
        if let Some(queue) = self.by_name.remove(name) {
            self.bytes -= queue.bytes;
            self.counts.held -= queue.messages;
        }
    }

    /// A message came back too often. A notice that nobody wants to acknowledge was told often enough.
    pub(super) fn lose(&mut self, name: &str, sequence: u64, entry: &Entry) {
        if !entry.gap {
            self.counts.dropped += 1;
            self.note_loss(name, sequence);
        }
    }

    fn has_room(&self, name: &str, weight: usize) -> bool {
        let fits = self.by_name.get(name).is_none_or(|queue| {
            // Notices take no room: they are what is told when there is none.
            queue.messages - queue.notices < self.limits.messages_per_queue
                && (queue.bytes == 0 || queue.bytes + weight <= self.limits.bytes_per_queue)
        });
        fits && self.bytes + weight <= self.limits.bytes
    }

    /// `false`: no message waits.
    fn lose_oldest(&mut self, name: &str, now: u64) -> bool {
        let Some(queue) = self.by_name.get_mut(name) else {
            return false;
        };
        let oldest = queue.waiting.iter().find(|(_, entry)| !entry.gap);
        let Some(sequence) = oldest.map(|(sequence, _)| *sequence) else {
            return false;
        };
        let Some(entry) = queue.waiting.remove(&sequence) else {
            return false;
        };
        self.forget(name, &entry);
        if entry.is_expired(now) {
            self.counts.expired += 1;
        } else {
            self.counts.dropped += 1;
            self.note_loss(name, sequence);
        }
        true
    }

    /// Puts a notice in the place of a message that is gone.
    fn note_loss(&mut self, name: &str, sequence: u64) {
        let queue = self.by_name.entry(name.to_owned()).or_default();
        while let Some((previous, entry)) = queue.waiting.range(..sequence).next_back()
            && entry.gap
            && queue.has_none_between(*previous, sequence)
        {
            let previous = *previous;
            if let Some(entry) = queue.waiting.remove(&previous) {
                queue.forget(&entry);
                self.counts.held -= 1;
            }
        }
        if let Some((next, entry)) = queue.waiting.range(sequence..).next()
            && entry.gap
            && queue.has_none_between(sequence, *next)
        {
            return;
        }
        let notice = Entry {
            frame: Arc::new(Frame::new(Command::Message)),
            weight: 0,
            expires: None,
            deliveries: 0,
            gap: true,
        };
        self.insert(name, sequence, notice);
    }
}

impl Queue {
    /// Whether no consumer has anything between two places that are next to each other among what waits: it may come
    /// back.
    fn has_none_between(&self, from: u64, to: u64) -> bool {
        self.consumers.values().all(|consumer| {
            let between = (Excluded(from), Excluded(to));
            consumer.in_flight.range(between).next().is_none()
        })
    }
}

#[cfg(test)]
mod tests;
