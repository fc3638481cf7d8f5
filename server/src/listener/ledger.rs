//! Which connections there are, and which there may be. Pure.
//!
//! A connection *waits* while the server has nothing to do for it: in its handshake, in a request whose head or body is not
//! whole, between two requests, while an answer is not taken. Those that wait never keep others out: where there is no
//! room, the one goes that has waited longest among those of the address with the most. Those that are at work do, up to the
//! bounds, and the reserve is not theirs.
//!
//! Invariant: no count is ever above its bound, and all are zero when everybody has left; whatever others do, consoles come in
//! while they have fewer connections than are kept for them alone.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::limits::{Limits, MODEST};

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    Network(IpAddr),
    /// Behind a proxy nobody knows who it is, so it is alone.
    Alone(Ticket),
}

/// Who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newcomer {
    /// What counts as one address; `None` for a trusted proxy.
    pub(super) network: Option<IpAddr>,
    /// A console of the control room, or this machine: the reserve is for it, and the bound of its address is not.
    pub(super) is_console: bool,
}

/// A bound that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// [`Limits::connections`], less what is reserved.
    All,
    /// [`Limits::connections_per_address`].
    Address,
}

#[derive(Debug)]
struct Entry {
    origin: Origin,
    /// Since when it waits; `None`: it is at work.
    since: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    limits: Limits,
    /// Counts what happens: the order in which connections began to wait.
    clock: u64,
    entries: HashMap<Ticket, Entry>,
    networks: HashMap<Origin, usize>,
    waiting: HashMap<Origin, BTreeSet<(u64, Ticket)>>,
}

impl Ledger {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            clock: 0,
            entries: HashMap::new(),
            networks: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// A connection came, and waits. The second ticket is of the one that has to go for it.
    pub(super) fn arrive(&mut self, who: Newcomer) -> Result<(Ticket, Option<Ticket>), Full> {
        self.clock += 1;
        let ticket = Ticket(self.clock);
        let origin = who.network.map_or(Origin::Alone(ticket), Origin::Network);
        let of_network = self.networks.get(&origin).copied().unwrap_or(0);
        let is_favoured = who.is_console || (who.network.is_some() && of_network < MODEST);
        let reserved = if who.is_console {
            0
        } else if is_favoured {
            self.limits.connections_of_consoles
        } else {
            self.limits.connections_reserved
        };
        let room = self.limits.connections.saturating_sub(reserved);
        let victim = if !who.is_console && of_network >= self.limits.connections_per_address {
            Some(self.longest_of(origin).ok_or(Full::Address)?)
        } else if self.entries.len() >= room {
            Some(self.longest_of_most().ok_or(Full::All)?)
        } else {
            None
        };
        if let Some(victim) = victim {
            self.depart(victim);
        }
        self.entries.insert(
            ticket,
            Entry {
                origin,
                since: None,
            },
        );
        *self.networks.entry(origin).or_default() += 1;
        self.wait(ticket);
        Ok((ticket, victim))
    }

    fn longest_of(&self, origin: Origin) -> Option<Ticket> {
        let (_, ticket) = self.waiting.get(&origin)?.first()?;
        Some(*ticket)
    }

    /// At most as many origins as there may be connections: looking at each of them is cheap.
    fn longest_of_most(&self) -> Option<Ticket> {
        let of = |waiting: &&BTreeSet<_>| (waiting.len(), Reverse(waiting.first().copied()));
        let (_, ticket) = self.waiting.values().max_by_key(of)?.first()?;
        Some(*ticket)
    }

    /// There is nothing to do for a connection.
    pub(super) fn wait(&mut self, ticket: Ticket) {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(&ticket)
            && entry.since.is_none()
        {
            entry.since = Some(self.clock);
            let waiting = self.waiting.entry(entry.origin).or_default();
            waiting.insert((self.clock, ticket));
        }
    }

    /// A whole request has come on it.
    pub(super) fn work(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut(&ticket) else {
            return;
        };
        let Some(since) = entry.since.take() else {
            return;
        };
        if let Some(waiting) = self.waiting.get_mut(&entry.origin) {
            waiting.remove(&(since, ticket));
            if waiting.is_empty() {
                self.waiting.remove(&entry.origin);
            }
        }
    }

    /// A connection has ended, or has to. Nothing happens when it had to go before.
    pub(super) fn depart(&mut self, ticket: Ticket) {
        self.work(ticket);
        let Some(entry) = self.entries.remove(&ticket) else {
            return;
        };
        if let Some(count) = self.networks.get_mut(&entry.origin) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&entry.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ledger(connections: usize, per_address: usize, reserved: usize) -> Ledger {
        Ledger::new(Limits {
            connections,
            connections_per_address: per_address,
            connections_reserved: reserved,
            connections_of_consoles: reserved / 2,
            ..Limits::default()
        })
    }

    /// This machine.
    const CONSOLE: Newcomer = Newcomer {
        network: Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
        is_console: true,
    };

    fn of(number: u8) -> Newcomer {
        Newcomer {
            network: Some(IpAddr::from([10, 0, 0, number])),
            is_console: false,
        }
    }

    #[test]
    fn whoever_waits_makes_room_and_whoever_works_does_not() {
        let mut ledger = ledger(4, 2, 0);
        let (first, _) = ledger.arrive(of(1)).unwrap();
        let (second, _) = ledger.arrive(of(1)).unwrap();
        ledger.work(first);
        let (third, victim) = ledger.arrive(of(1)).unwrap();
        assert_eq!(victim, Some(second));
        ledger.work(third);
        assert_eq!(ledger.arrive(of(1)), Err(Full::Address));
        // Others still come, and a proxy and a console have no bound of their own.
        ledger.arrive(of(2)).unwrap();
        let proxy = Newcomer {
            network: None,
            is_console: false,
        };
        ledger.arrive(proxy).unwrap();
        let (_, victim) = ledger.arrive(proxy).unwrap();
        assert!(victim.is_some(), "four are there");
        ledger.wait(first);
        assert_eq!(ledger.arrive(of(1)).unwrap().1, Some(first));
    }

    #[test]
    fn the_one_with_most_waiting_gives_up_its_oldest() {
        let mut ledger = ledger(3, 3, 0);
        ledger.arrive(of(1)).unwrap();
        let (second, _) = ledger.arrive(of(2)).unwrap();
        ledger.arrive(of(2)).unwrap();
        assert_eq!(ledger.arrive(of(3)).unwrap().1, Some(second));
    }

    #[test]
    fn the_reserve_is_for_those_who_have_few() {
        let mut ledger = ledger(MODEST + 4, MODEST + 4, 4);
        for _ in 0..MODEST {
            let (ticket, _) = ledger.arrive(of(1)).unwrap();
            ledger.work(ticket);
        }
        assert_eq!(ledger.arrive(of(1)), Err(Full::All));
        // Those who have few are many here, and leave the consoles theirs.
        let few = [of(2), of(3)].map(Ok).into_iter();
        for who in few.chain([Err(of(4)), Ok(CONSOLE), Ok(CONSOLE), Err(CONSOLE)]) {
            let came = ledger.arrive(who.unwrap_or_else(|who| who));
            assert_eq!(came.is_ok(), who.is_ok(), "{who:?}");
            if let Ok((ticket, victim)) = came {
                assert_eq!(victim, None);
                ledger.work(ticket);
            }
        }
    }

    proptest! {
        #[test]
        fn consoles_come_in_whatever_others_do(steps in proptest::collection::vec((0u8..4, 0u8..20, 0usize..32), 0..200)) {
            let mut ledger = ledger(16, 8, 4);
            let mut here = Vec::new();
            for (step, number, index) in steps {
                match (step, here.get(index % here.len().max(1)).copied()) {
                    (0, _) if number == 0 => {
                        here.extend(ledger.arrive(Newcomer { network: None, is_console: false }).map(|(ticket, _)| ticket));
                    }
                    (0 | 1, _) => here.extend(ledger.arrive(of(number)).map(|(ticket, _)| ticket)),
                    (2, Some(ticket)) => ledger.work(ticket),
                    (_, Some(ticket)) => ledger.wait(ticket),
                    _ => {}
                }
            }
            for _ in 0..2 {
                let came = ledger.arrive(CONSOLE);
                prop_assert!(came.is_ok());
                ledger.work(came.unwrap().0);
            }
        }

        #[test]
        fn bounds_hold_and_nothing_is_left_behind(steps in proptest::collection::vec((0u8..4, 0u8..4, 0usize..32), 0..200)) {
            let mut ledger = ledger(8, 4, 2);
            let mut here = Vec::new();
            for (step, number, index) in steps {
                let one = here.get(index % here.len().max(1)).copied();
                match (step, one) {
                    (0 | 1, _) => {
                        if let Ok((ticket, victim)) = ledger.arrive(of(number)) {
                            here.push(ticket);
                            here.retain(|ticket| Some(*ticket) != victim);
                        }
                    }
                    (2, Some(ticket)) => ledger.work(ticket),
                    (3, Some(ticket)) => {
                        ledger.depart(ticket);
                        here.retain(|other| *other != ticket);
                    }
                    _ => {}
                }
                prop_assert!(ledger.entries.len() <= 8);
                prop_assert!(ledger.networks.values().all(|count| *count <= 4));
                prop_assert_eq!(ledger.entries.len(), here.len());
            }
            for ticket in here {
                ledger.depart(ticket);
            }
            prop_assert!(ledger.entries.is_empty() && ledger.networks.is_empty() && ledger.waiting.is_empty());
        }
    }
}
