//! The last value of each topic and key, in bounded memory. Pure: `now` (milliseconds since 1970) is passed in.
//!
//! Invariant: a snapshot holds the last value of every key that it covers, or says that it does not. A value that
//! there is no room for takes its predecessor with it, and its key is remembered as missing until it has a value
//! again or is forgotten; when too many are missing to remember them, no snapshot is called complete any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use stomp::Frame;

use super::names::{self, Names, Place};
use super::queueing::{expires_of, weight};
use super::replay;
use crate::config::RetainedLimits;
use crate::destination::RETAINED;
use crate::message::Outgoing;

/// Places of the tree that one snapshot may look at, on top of [`STEPS_PER_TOPIC`] for each topic that it finds: about
/// a millisecond, while nothing is published. What lies behind counts as missing.
const STEPS: usize = 4096;

/// A topic is at one place and may branch off at another one; each has at most 32 segments.
const STEPS_PER_TOPIC: usize = 6;

/// What a message does to the last value of its topic and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Retain {
    key: String,
    /// `None`: there is none any more.
    value: Option<Terms>,
}

/// Known before the message has its place in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Terms {
    /// Bytes, about.
    weight: usize,
    expires: Option<u64>,
}

impl Retain {
    /// `None`: nothing.
    pub(super) fn of(topic: &str, message: &Outgoing) -> Option<Self> {
        message.is_retained().then(|| Self {
            key: message.key().to_owned(),
            value: (!message.body.is_empty()).then(|| Terms {
                // As if no other value had the same topic.
                weight: weight(topic, message) + names::weight(topic),
                expires: expires_of(message),
            }),
        })
    }
}

/// There is no room for what should be retained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetainedFull {
    pub(crate) topic: String,
}

/// Last values, as they are at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// In order.
    pub(super) values: Vec<(u64, Arc<Frame>)>,
    /// Whether these are all.
    pub(super) complete: bool,
    /// Places that were looked at and values that were found: what it has cost.
    pub(super) steps: usize,
}

/// Counts for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RetainedCounts {
    /// Values that are held now.
    pub(crate) held: usize,
    /// Values that there was no room for; only rises.
    pub(crate) refused: u64,
}

#[derive(Debug)]
struct Value {
    sequence: u64,
    /// As a snapshot gives it.
    frame: Arc<Frame>,
    /// Bytes that the frame takes, about.
    bytes: usize,
    terms: Terms,
}

/// What one topic has; never empty.
#[derive(Debug, Default)]
struct Keys {
    values: BTreeMap<String, Value>,
    /// Keys whose last value there was no room for.
    missing: BTreeSet<String>,
}

#[derive(Debug)]
pub(crate) struct Retained {
    limits: RetainedLimits,
    topics: Names<Keys>,
    /// Where the value with this `expires` and sequence is.
    by_expiry: BTreeMap<(u64, u64), (Place, String)>,
    bytes: usize,
    counts: RetainedCounts,
    /// Bounded by [`RetainedLimits::values`].
    missing: usize,
    /// More are missing than are remembered.
    blind: bool,
}

impl Retained {
    pub(super) fn new(limits: RetainedLimits) -> Self {
        Self {
            limits,
            topics: Names::new(),
            by_expiry: BTreeMap::new(),
            bytes: 0,
            counts: RetainedCounts::default(),
            missing: 0,
            blind: false,
        }
    }

    pub(super) fn counts(&self) -> RetainedCounts {
        self.counts
    }

    /// Whether all of these can be kept, one after the other.
    pub(super) fn check_room(
        &mut self,
        wanted: &[(&str, Retain)],
        now: u64,
    ) -> Result<(), RetainedFull> {
        self.drop_expired(now);
        let (mut held, mut bytes) = (self.counts.held, self.bytes);
        let mut keys: HashMap<&str, usize> = HashMap::new();
        let mut weights: HashMap<(&str, &str), Option<usize>> = HashMap::new();
        for (topic, Retain { key, value }) in wanted {
            let place = self.topics.find(topic);
            let there = place.and_then(|place| self.topics.get(place));
            let keys = keys
                .entry(topic)
                .or_insert_with(|| there.map_or(0, |there| there.values.len()));
            let before = weights.entry((topic, key)).or_insert_with(|| {
                let value = there.and_then(|there| there.values.get(key));
                value.map(|value| value.terms.weight)
            });
            if let Some(weight) = before {
                held -= 1;
                bytes -= *weight;
                *keys -= 1;
            }
            *before = value.map(|terms| terms.weight);
            if let Some(weight) = before {
                held += 1;
                bytes += *weight;
                *keys += 1;
                if !self.limits.allow(held, bytes, *keys) {
                    let topic = (*topic).to_owned();
                    return Err(RetainedFull { topic });
                }
            }
        }
        Ok(())
    }

    /// Keeps a message as the last value of its topic and key, if there is room; `sequence` is greater than all before.
    pub(super) fn keep(
        &mut self,
        sequence: u64,
        topic: &str,
        Retain { key, value }: &Retain,
        frame: &Frame,
        now: u64,
    ) {
        self.drop_expired(now);
        if let Some(place) = self.topics.find(topic) {
            self.forget(place, key);
        }
        let Some(terms) = *value else {
            return;
        };
        let place = self.topics.find(topic);
        let keys = place
            .and_then(|place| self.topics.get(place))
            .map_or(0, |keys| keys.values.len());
        let (held, bytes) = (self.counts.held + 1, self.bytes + terms.weight);
        if !self.limits.allow(held, bytes, keys + 1) {
            self.counts.refused += 1;
            if self.missing < self.limits.values {
                self.missing += 1;
                let (_, keys) = self.topics.newest(topic, sequence, Keys::default);
                keys.missing.insert(key.clone());
            } else {
                self.blind = true;
            }
            return;
        }
        let mut frame = frame.clone();
        frame.headers.push_front(RETAINED, "true");
        let value = Value {
            sequence,
            bytes: replay::weight(&frame),
            frame: Arc::new(frame),
            terms,
        };
        let (place, keys) = self.topics.newest(topic, sequence, Keys::default);
        keys.values.insert(key.clone(), value);
        (self.counts.held, self.bytes) = (held, bytes);
        if let Some(at) = terms.expires {
            let whose = (place, key.clone());
            self.by_expiry.insert((at, sequence), whose);
        }
    }

    /// The last values of what `pattern` covers: the newest of them, when they are more than `bytes`.
    pub(super) fn snapshot(&mut self, pattern: &str, bytes: usize, now: u64) -> Snapshot {
        self.drop_expired(now);
        let mut found = Vec::new();
        let mut complete = !self.blind;
        let mut walk = self.topics.walk(pattern, 0);
        let mut most = STEPS;
        while walk.bound().is_some() {
            if walk.steps() >= most {
                complete = false;
                break;
            }
            let Some((_, keys)) = walk.step() else {
                continue;
            };
            most += STEPS_PER_TOPIC;
            complete &= keys.missing.is_empty();
            found.extend(keys.values.values());
        }
        let steps = walk.steps() + found.len();
        found.sort_unstable_by_key(|value| value.sequence);
        let first = first_within(&found, bytes);
        let values = found[first..].iter();
        Snapshot {
            values: values
                .map(|value| (value.sequence, Arc::clone(&value.frame)))
                .collect(),
            complete: complete && first == 0,
            steps,
        }
    }

    fn drop_expired(&mut self, now: u64) {
        while let Some(first) = self.by_expiry.first_entry()
            && first.key().0 <= now
        {
            let (place, key) = first.get().clone();
            self.forget(place, &key);
        }
    }

    /// Ends what is known of a key.
    fn forget(&mut self, place: Place, key: &str) {
        let Some(keys) = self.topics.get_mut(place) else {
            return;
        };
        self.missing -= usize::from(keys.missing.remove(key));
        if let Some(value) = keys.values.remove(key) {
            self.counts.held -= 1;
            self.bytes -= value.terms.weight;
            if let Some(at) = value.terms.expires {
                self.by_expiry.remove(&(at, value.sequence));
            }
        }
        if keys.values.is_empty() && keys.missing.is_empty() {
            self.topics.remove(place);
        }
    }
}

/// Where the last of `values` begin that are within `bytes`; one always is.
fn first_within(values: &[&Value], mut bytes: usize) -> usize {
    let fits = |value: &&&Value| {
        let left = bytes.checked_sub(value.bytes);
        bytes = left.unwrap_or(0);
        left.is_some()
    };
    let count = values.iter().rev().take_while(fits).count();
    values.len() - count.max(1).min(values.len())
}

impl RetainedLimits {
    fn allow(&self, values: usize, bytes: usize, keys: usize) -> bool {
        values <= self.values && bytes <= self.bytes && keys <= self.keys_per_destination
    }
}

#[cfg(test)]
mod tests;
