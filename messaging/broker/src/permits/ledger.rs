//! Who is here, and who may come in. Pure.
//!
//! A *stranger* is a connection that nobody has let in yet. Strangers never keep others out: when there are too many, the
//! one goes that has waited longest among those of the address with the most. Sessions do keep others out, so several
//! bounds share them out: none of a subject, of an address or of ordinary principals can take them all.
//!
//! Invariant: no count is ever above its bound, and all are zero when everybody has left.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use crate::config::BrokerConfig;

/// A stranger; the lower, the longer it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    /// An IPv4 address, or the /64 of an IPv6 one: a single machine has all of that.
    Network(IpAddr),
    /// Behind a proxy nobody knows who it is, so it is alone.
    Alone(Ticket),
}

/// A bound on sessions that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bound {
    /// [`BrokerConfig::sessions`].
    Sessions,
    /// [`BrokerConfig::sessions`] less [`BrokerConfig::sessions_reserved`].
    Unreserved,
    /// [`BrokerConfig::sessions_per_subject`].
    Subject,
    /// [`BrokerConfig::sessions_per_address`].
    Address,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sessions => "too many sessions are open: try again later",
            Self::Unreserved => {
                "too many sessions are open, and the rest is reserved for machines: try again later"
            }
            Self::Subject => "too many sessions of this login are open: close some of them first",
            Self::Address => "too many sessions are open from this address: close some first",
        })
    }
}

/// How often each bound was met; these only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TurnedAway {
    /// Sessions refused because of [`BrokerConfig::sessions`].
    pub sessions: u64,
    /// Sessions refused because the rest is reserved: [`BrokerConfig::sessions_reserved`].
    pub unreserved: u64,
    /// Sessions refused because of [`BrokerConfig::sessions_per_subject`].
    pub subject: u64,
    /// Sessions refused because of [`BrokerConfig::sessions_per_address`].
    pub address: u64,
    /// Connections that were dropped before they were let in, for newer ones: [`BrokerConfig::unauthenticated`] and
    /// [`BrokerConfig::unauthenticated_per_address`].
    pub strangers: u64,
}

/// What a session takes up until it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    subject: String,
    reserved: bool,
    /// `None`: it counts for no address.
    origin: Option<Origin>,
}

/// The counts, and the bounds they are held against.
#[derive(Debug)]
pub(crate) struct Ledger {
    bounds: BrokerConfig,
    next: u64,
    strangers: BTreeMap<Ticket, Origin>,
    waiting: HashMap<Origin, BTreeSet<Ticket>>,
    sessions: usize,
    unreserved: usize,
    subjects: HashMap<String, usize>,
    networks: HashMap<Origin, usize>,
    turned_away: TurnedAway,
}

impl Ledger {
    pub(crate) fn new(bounds: BrokerConfig) -> Self {
        Self {
            bounds,
            next: 0,
            strangers: BTreeMap::new(),
            waiting: HashMap::new(),
            sessions: 0,
            unreserved: 0,
            subjects: HashMap::new(),
            networks: HashMap::new(),
            turned_away: TurnedAway::default(),
        }
    }

    /// A connection came. The second ticket is of the stranger that has to go for it.
    pub(crate) fn arrive(&mut self, address: IpAddr) -> (Ticket, Option<Ticket>) {
        let ticket = Ticket(self.next);
        self.next += 1;
        let origin = self.network(address).unwrap_or(Origin::Alone(ticket));
        self.strangers.insert(ticket, origin);
        let together = self.waiting.entry(origin).or_default();
        together.insert(ticket);
        let crowd = if together.len() > self.bounds.unauthenticated_per_address {
            Some(&*together)
        } else if self.strangers.len() > self.bounds.unauthenticated {
            // At most as many origins as there may be strangers: looking at each of them is cheap.
            self.waiting
                .values()
                .max_by_key(|waiting| (waiting.len(), Reverse(waiting.first().copied())))
        } else {
            None
        };
        let victim = crowd.and_then(|waiting| waiting.first().copied());
        if let Some(victim) = victim {
            self.depart(victim);
            self.turned_away.strangers += 1;
        }
        (ticket, victim)
    }

    /// A stranger has gone, or was let in. Nothing happens when it had to go before.
    pub(crate) fn depart(&mut self, ticket: Ticket) {
        let Some(origin) = self.strangers.remove(&ticket) else {
            return;
        };
        if let Some(waiting) = self.waiting.get_mut(&origin) {
            waiting.remove(&ticket);
            if waiting.is_empty() {
                self.waiting.remove(&origin);
            }
        }
    }

    /// Somebody proved to be `subject`. `reserved` ones may use the reserve, and count for no address: a site's
    /// machines often share one.
    pub(crate) fn admit(
        &mut self,
        subject: &str,
        address: IpAddr,
        reserved: bool,
    ) -> Result<Place, Bound> {
        let origin = self.network(address).filter(|_| !reserved);
        if let Some(bound) = self.bound_met(subject, origin, reserved) {
            let count = match bound {
                Bound::Sessions => &mut self.turned_away.sessions,
                Bound::Unreserved => &mut self.turned_away.unreserved,
                Bound::Subject => &mut self.turned_away.subject,
                Bound::Address => &mut self.turned_away.address,
            };
            *count += 1;
            return Err(bound);
        }
        self.sessions += 1;
        self.unreserved += usize::from(!reserved);
        *self.subjects.entry(subject.to_owned()).or_default() += 1;
        if let Some(origin) = origin {
            *self.networks.entry(origin).or_default() += 1;
        }
        Ok(Place {
            subject: subject.to_owned(),
            reserved,
            origin,
        })
    }

    /// The first bound that one more session would exceed: those that its owner can do something about come first.
    fn bound_met(&self, subject: &str, origin: Option<Origin>, reserved: bool) -> Option<Bound> {
        let bounds = &self.bounds;
        let of_subject = self.subjects.get(subject).copied().unwrap_or(0);
        let of_network = origin.and_then(|origin| self.networks.get(&origin).copied());
        let ordinary = bounds.sessions.saturating_sub(bounds.sessions_reserved);
        if of_subject >= bounds.sessions_per_subject {
            Some(Bound::Subject)
        } else if origin.is_some() && of_network.unwrap_or(0) >= bounds.sessions_per_address {
            Some(Bound::Address)
        } else if self.sessions >= bounds.sessions {
            Some(Bound::Sessions)
        } else if !reserved && self.unreserved >= ordinary {
            Some(Bound::Unreserved)
        } else {
            None
        }
    }

    /// A session has ended. Call it once for each place.
    pub(crate) fn leave(&mut self, place: &Place) {
        self.sessions -= 1;
        self.unreserved -= usize::from(!place.reserved);
        take_one(&mut self.subjects, &place.subject);
        if let Some(origin) = &place.origin {
            take_one(&mut self.networks, origin);
        }
    }

    /// How many strangers there are.
    pub(crate) fn strangers(&self) -> usize {
        self.strangers.len()
    }

    pub(crate) fn turned_away(&self) -> TurnedAway {
        self.turned_away
    }

    /// `None`: the address is a proxy's, and says nothing.
    fn network(&self, address: IpAddr) -> Option<Origin> {
        let is_proxy = network::is_listed(address, &self.bounds.proxies);
        (!is_proxy).then(|| Origin::Network(network::network(address)))
    }
}

fn take_one<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
