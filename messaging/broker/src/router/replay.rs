//! What was published lately: a bounded ring for each destination, and bounds over all of them. Pure.
//!
//! Invariant: for each destination, `lost_up_to` is at least the sequence of every message that left its ring; for
//! destinations without a ring, the broker-wide `lost_up_to` is. So a position at or after it misses nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use stomp::Frame;

use crate::destination::{has_wildcard, matches};

/// Bounds on what is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplayBounds {
    pub(crate) messages_per_destination: usize,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// What matched since a position.
#[derive(Debug)]
pub(crate) struct Past {
    /// When some messages may be missing: the sequence after which none is.
    pub(crate) lost_up_to: Option<u64>,
    /// In order.
    pub(crate) messages: Vec<Arc<Frame>>,
}

#[derive(Debug, Default)]
struct Ring {
    messages: VecDeque<(u64, Arc<Frame>)>,
    lost_up_to: u64,
}

#[derive(Debug)]
pub(crate) struct Replay {
    bounds: ReplayBounds,
    rings: HashMap<Arc<str>, Ring>,
    /// Whose message each sequence is, over all rings: the oldest first.
    order: BTreeMap<u64, Arc<str>>,
    bytes: usize,
    /// The newest message of the destinations that have no ring any more.
    lost_up_to: u64,
}

impl Replay {
    pub(crate) fn new(bounds: ReplayBounds) -> Self {
        Self {
            bounds,
            rings: HashMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
            lost_up_to: 0,
        }
    }

    /// Keeps a message; `sequence` is greater than all before.
    pub(crate) fn keep(&mut self, sequence: u64, destination: &str, message: Arc<Frame>) {
        let name = match self.rings.get_key_value(destination) {
            Some((name, _)) => Arc::clone(name),
            None => {
                let name: Arc<str> = destination.into();
                // Messages of an earlier ring of this destination may be lost as well.
                let ring = Ring {
                    lost_up_to: self.lost_up_to,
                    ..Ring::default()
                };
                self.rings.insert(Arc::clone(&name), ring);
                name
            }
        };
        let ring = self
            .rings
            .get_mut(&name)
            .expect("the ring was found or made above");
        self.bytes += weight(&message);
        ring.messages.push_back((sequence, message));
        let full = ring.messages.len() > self.bounds.messages_per_destination;
        self.order.insert(sequence, Arc::clone(&name));
        if full {
            self.drop_oldest_of(&name);
        }
        while self.order.len() > self.bounds.messages || self.bytes > self.bounds.bytes {
            let Some((_, oldest)) = self.order.first_key_value() else {
                return;
            };
            let oldest = Arc::clone(oldest);
            self.drop_oldest_of(&oldest);
        }
    }

    /// What `pattern` covers after `sequence`.
    pub(crate) fn after(&self, sequence: u64, pattern: &str) -> Past {
        let lost = self
            .covered(pattern)
            .map(|ring| ring.lost_up_to)
            .chain(self.lost_without_ring(pattern))
            .max()
            .filter(|lost| *lost > sequence);
        let messages = if has_wildcard(pattern) {
            // All rings in one order.
            self.order
                .range((Bound::Excluded(sequence), Bound::Unbounded))
                .filter(|(_, destination)| matches(pattern, destination))
                .filter_map(|(sequence, destination)| self.find(destination, *sequence))
                .collect()
        } else {
            self.covered(pattern)
                .flat_map(|ring| {
                    let newer = ring.messages.partition_point(|(at, _)| *at <= sequence);
                    ring.messages.range(newer..)
                })
                .map(|(_, message)| Arc::clone(message))
                .collect()
        };
        Past {
            lost_up_to: lost,
            messages,
        }
    }

    fn covered(&self, pattern: &str) -> impl Iterator<Item = &Ring> {
        let exact = if has_wildcard(pattern) {
            None
        } else {
            Some(self.rings.get(pattern))
        };
        let several = exact.is_none().then(|| {
            self.rings
                .iter()
                .filter(move |(destination, _)| matches(pattern, destination))
                .map(|(_, ring)| ring)
        });
        exact
            .flatten()
            .into_iter()
            .chain(several.into_iter().flatten())
    }

    /// What may be lost of destinations that have no ring: any of them may match a pattern with wildcards.
    fn lost_without_ring(&self, pattern: &str) -> Option<u64> {
        (has_wildcard(pattern) || !self.rings.contains_key(pattern)).then_some(self.lost_up_to)
    }

    fn find(&self, destination: &str, sequence: u64) -> Option<Arc<Frame>> {
        let messages = &self.rings.get(destination)?.messages;
        let at = messages
            .binary_search_by_key(&sequence, |(at, _)| *at)
            .ok()?;
        Some(Arc::clone(&messages[at].1))
    }

    fn drop_oldest_of(&mut self, destination: &Arc<str>) {
        let Some(ring) = self.rings.get_mut(destination) else {
            return;
        };
        if let Some((sequence, message)) = ring.messages.pop_front() {
            self.order.remove(&sequence);
            self.bytes -= weight(&message);
            ring.lost_up_to = sequence;
        }
        if ring.messages.is_empty() {
            self.lost_up_to = self.lost_up_to.max(ring.lost_up_to);
            self.rings.remove(destination);
        }
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
