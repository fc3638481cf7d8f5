//! What waits for one session's socket: two lanes, conflation, bounds. Pure.
//!
//! Invariant: the messages of one subscription leave in the order in which they came, except that a conflating
//! subscription's newer message takes the place of the one that it replaces. A subscription is in one lane for all its
//! life, so a lane that overtakes never reorders a subscription.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::router::{Outbound, Serial};

/// A lane with room for more messages than this gives it back when it is empty: a burst is no reason to hold memory for
/// a session's whole life.
const KEPT_CAPACITY: usize = 64;

/// From which lanes messages may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    Urgent,
    All,
}

/// Which messages go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Overtakes the other.
    Urgent,
    /// All the rest.
    Bulk,
}

/// What a conflating subscription has at most one waiting message of: a destination and the message's `x-key`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Topic {
    pub(crate) destination: Arc<str>,
    pub(crate) key: Arc<str>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It waits.
    Queued,
    /// It waits in the place of an older one.
    Replaced,
    /// There is no room: it was not taken.
    Full,
}

type Place = (Serial, Topic);

#[derive(Debug)]
enum Waiting {
    Message(Outbound),
    /// The place of what `latest` has. Boxed, since most messages are of the other kind.
    Latest(Box<Place>),
}

#[derive(Debug)]
pub(crate) struct Lanes {
    urgent: VecDeque<Waiting>,
    bulk: VecDeque<Waiting>,
    /// What conflating subscriptions have waiting; few sessions have any.
    latest: HashMap<Place, Outbound>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

impl Lanes {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            urgent: VecDeque::new(),
            bulk: VecDeque::new(),
            latest: HashMap::new(),
            bytes: 0,
            messages_max,
            bytes_max,
        }
    }

    /// Takes a message in, if there is room. `conflate`: what it replaces.
    pub(crate) fn offer(
        &mut self,
        outbound: Outbound,
        lane: Lane,
        conflate: Option<Topic>,
    ) -> Offered {
        let weight = outbound.payload.held();
        let place = match conflate {
            None => None,
            Some(topic) => {
                let place = (outbound.serial, topic);
                if let Some(waiting) = self.latest.get_mut(&place) {
                    let others = self.bytes - waiting.payload.held();
                    if others > 0 && others + weight > self.bytes_max {
                        return Offered::Full;
                    }
                    self.bytes = others + weight;
                    *waiting = outbound;
                    return Offered::Replaced;
                }
                Some(place)
            }
        };
        let messages = self.urgent.len() + self.bulk.len();
        // A message that is alone may be as long as it likes: it was allowed in.
        let fits = self.bytes == 0 || self.bytes + weight <= self.bytes_max;
        if !fits || messages >= self.messages_max {
            return Offered::Full;
        }
        self.bytes += weight;
        let waiting = match place {
            None => Waiting::Message(outbound),
            Some(place) => {
                self.latest.insert(place.clone(), outbound);
                Waiting::Latest(Box::new(place))
            }
        };
        match lane {
            Lane::Urgent => self.urgent.push_back(waiting),
            Lane::Bulk => self.bulk.push_back(waiting),
        }
        Offered::Queued
    }

    /// Whether `lanes` have nothing.
    pub(crate) fn is_empty(&self, lanes: Allowed) -> bool {
        self.urgent.is_empty() && (lanes == Allowed::Urgent || self.bulk.is_empty())
    }

    /// The next message of `lanes`: the urgent ones first.
    pub(crate) fn pop(&mut self, lanes: Allowed) -> Option<Outbound> {
        let lane = match (self.urgent.is_empty(), lanes) {
            (false, _) => &mut self.urgent,
            (true, Allowed::All) => &mut self.bulk,
            (true, Allowed::Urgent) => return None,
        };
        let waiting = lane.pop_front()?;
        if lane.is_empty() && lane.capacity() > KEPT_CAPACITY {
            *lane = VecDeque::new();
        }
        let outbound = match waiting {
            Waiting::Message(outbound) => outbound,
            Waiting::Latest(place) => self
                .latest
                .remove(&*place)
                .expect("each place has its message"),
        };
        self.bytes -= outbound.payload.held();
        Some(outbound)
    }

    /// Drops what waits for a subscription that has ended.
    pub(crate) fn forget(&mut self, serial: Serial) {
        let (bytes, latest) = (&mut self.bytes, &mut self.latest);
        let mut keep = |waiting: &Waiting| match waiting {
            Waiting::Message(outbound) if outbound.serial == serial => {
                *bytes -= outbound.payload.held();
                false
            }
            Waiting::Message(_) => true,
            Waiting::Latest(place) if place.0 == serial => {
                if let Some(outbound) = latest.remove(&**place) {
                    *bytes -= outbound.payload.held();
                }
                false
            }
            Waiting::Latest(_) => true,
        };
        self.urgent.retain(&mut keep);
        self.bulk.retain(&mut keep);
    }
}

#[cfg(test)]
mod tests;
