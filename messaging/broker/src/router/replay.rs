//! What was published lately: a bounded ring for each destination, and bounds over all of them. Pure.
//!
//! Invariant: for each destination, `lost_up_to` is at least the sequence of every message that left its ring; for
//! destinations without a ring, the broker-wide `lost_up_to` is. So a position at or after it misses nothing.
//!
//! Bytes count what the names of destinations take as well, as long as they have a ring.
//!
//! Resuming takes time by what it replays, not by what is kept: rings are found newest first, and their messages are
//! merged backwards until the position, or a bound, is reached. Only places that a `*` leads to in vain come on top:
//! [`STEPS`] bounds all that one looks at.

use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use stomp::Frame;

use super::names::{self, MOSTLY_EMPTY, Names, Place};
use crate::config::BrokerConfig;
use crate::destination::has_wildcard;

/// Places of the tree that one SUBSCRIBE may look at, found in vain or not: about a millisecond, while nothing is
/// published. What lies behind counts as lost.
const STEPS: usize = 4096;

/// The most that one SUBSCRIBE gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) messages: usize,
    /// Whatever the bound, the first message is not too long for it.
    pub(super) bytes: usize,
}

/// What matched since a position.
#[derive(Debug)]
pub(crate) struct Past {
    /// When some messages may be missing: the sequence after which none is.
    pub(crate) lost_up_to: Option<u64>,
    /// In order.
    pub(crate) messages: Vec<Arc<Frame>>,
    /// Places that were looked at and messages that were found: what it has cost.
    pub(crate) steps: usize,
}

#[derive(Debug, Default)]
struct Ring {
    /// Never empty while it can be found.
    messages: VecDeque<(u64, Arc<Frame>)>,
    lost_up_to: u64,
}

#[derive(Debug)]
pub(crate) struct Replay {
    messages_per_destination: usize,
    messages_max: usize,
    bytes_max: usize,
    rings: Names<Ring>,
    /// Whose message each sequence is, over all rings: the oldest first.
    order: BTreeMap<u64, Place>,
    bytes: usize,
    /// The newest message of the destinations that have no ring any more.
    lost_up_to: u64,
}

impl Replay {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        Self {
            messages_per_destination: config.replay_messages_per_destination,
            messages_max: config.replay_messages,
            bytes_max: config.replay_bytes,
            rings: Names::new(),
            order: BTreeMap::new(),
            bytes: 0,
            lost_up_to: 0,
        }
    }

    /// Keeps a message; `sequence` is greater than all before.
    pub(crate) fn keep(&mut self, sequence: u64, destination: &str, message: Arc<Frame>) {
        // Messages of an earlier ring of this destination may be lost as well.
        let lost_up_to = self.lost_up_to;
        let bytes = &mut self.bytes;
        let (place, ring) = self.rings.newest(destination, sequence, || {
            *bytes += names::weight(destination);
            Ring {
                lost_up_to,
                ..Ring::default()
            }
        });
        self.bytes += weight(&message);
        ring.messages.push_back((sequence, message));
        let full = ring.messages.len() > self.messages_per_destination;
        self.order.insert(sequence, place);
        if full {
            self.drop_oldest_of(place);
        }
        while self.order.len() > self.messages_max || self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.order.first_key_value() else {
                return;
            };
            self.drop_oldest_of(*oldest);
        }
    }

    /// What `pattern` covers after `sequence`: the newest of it, when it is more than `most`.
    pub(crate) fn after(&self, sequence: u64, pattern: &str, most: Most) -> Past {
        let mut walk = self.rings.walk(pattern, sequence);
        // The newest message of each ring that was found and is not used up.
        let mut heads: BinaryHeap<(u64, Place, usize)> = BinaryHeap::new();
        let mut messages: Vec<Arc<Frame>> = Vec::new();
        let mut bytes = 0;
        let mut lost = self.lost_without_ring(pattern);
        loop {
            let head = heads.peek().map(|(at, ..)| *at);
            // A ring that is not found yet may have the next one.
            if let Some(bound) = walk.bound()
                && head.is_none_or(|head| head <= bound)
            {
                if walk.steps() >= STEPS {
                    lost = lost.max(bound);
                    break;
                }
                if let Some((place, ring)) = walk.step() {
                    lost = lost.max(ring.lost_up_to);
                    heads.extend(ring.newest_before(ring.messages.len(), place, sequence));
                }
                continue;
            }
            let Some((at, place, index)) = heads.pop() else {
                break;
            };
            let ring = self.rings.get(place).expect("heads are of rings");
            let (_, message) = &ring.messages[index];
            bytes += weight(message);
            let full =
                messages.len() == most.messages || (bytes > most.bytes && !messages.is_empty());
            if full {
                lost = lost.max(at);
                break;
            }
            messages.push(Arc::clone(message));
            heads.extend(ring.newest_before(index, place, sequence));
        }
        messages.reverse();
        Past {
            steps: walk.steps() + messages.len(),
            lost_up_to: (lost > sequence).then_some(lost),
            messages,
        }
    }

    /// What may be lost of destinations that have no ring: any of them may match a pattern with wildcards.
    fn lost_without_ring(&self, pattern: &str) -> u64 {
        if has_wildcard(pattern) || self.rings.find(pattern).is_none() {
            self.lost_up_to
        } else {
            0
        }
    }

    fn drop_oldest_of(&mut self, place: Place) {
        let Some(ring) = self.rings.get_mut(place) else {
            return;
        };
        if let Some((sequence, message)) = ring.messages.pop_front() {
            self.order.remove(&sequence);
            self.bytes -= weight(&message);
            ring.lost_up_to = sequence;
        }
        if ring.messages.len() < ring.messages.capacity() / MOSTLY_EMPTY {
            ring.messages.shrink_to(2 * ring.messages.len());
        }
        if ring.messages.is_empty() {
            self.lost_up_to = self.lost_up_to.max(ring.lost_up_to);
            if let Some((name, _)) = self.rings.remove(place) {
                self.bytes -= names::weight(&name);
            }
        }
    }
}

impl Ring {
    /// The newest message in front of `index`, if it is newer than `after`.
    fn newest_before(&self, index: usize, place: Place, after: u64) -> Option<(u64, Place, usize)> {
        let index = index.checked_sub(1)?;
        let (sequence, _) = self.messages.get(index)?;
        (*sequence > after).then_some((*sequence, place, index))
    }
}

/// Bytes that a message takes, about.
pub(crate) fn weight(message: &Frame) -> usize {
    /// Allocations and bookkeeping of one header.
    const HEADER: usize = 64;
    /// Bookkeeping of one message.
    const MESSAGE: usize = 192;
    let headers: usize = message
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + HEADER)
        .sum();
    headers + message.body.len() + MESSAGE
}

#[cfg(test)]
mod tests;
