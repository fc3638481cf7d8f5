//! The ledger of connections as things that are held: what is dropped is given back, and who has to go is told.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::console::has_reserve;
use super::ledger::{Full, Ledger, Newcomer, Ticket};
use super::limits::Limits;

/// Cheap to clone: all clones count together.
#[derive(Debug, Clone)]
pub(super) struct Door {
    held: Arc<Mutex<Held>>,
    proxies: Arc<[IpAddr]>,
    consoles: Arc<[IpAddr]>,
}

#[derive(Debug)]
struct Held {
    ledger: Ledger,
    /// One for each connection of the ledger; dropping it is the word to go.
    words: HashMap<Ticket, DropGuard>,
}

/// A connection's place, for as long as it or what it was upgraded to lives.
#[derive(Debug)]
pub(super) struct Seat {
    door: Door,
    ticket: Ticket,
    displaced: CancellationToken,
}

impl Door {
    pub(super) fn new(limits: Limits, proxies: &[IpAddr], consoles: &[IpAddr]) -> Self {
        let held = Held {
            ledger: Ledger::new(limits),
            words: HashMap::new(),
        };
        Self {
            held: Arc::new(Mutex::new(held)),
            proxies: proxies.into(),
            consoles: consoles.into(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nothing panics while it is held")
    }

    pub(super) fn enter(&self, address: IpAddr) -> Result<Seat, Full> {
        let is_proxy = network::is_listed(address, &self.proxies);
        let who = Newcomer {
            network: (!is_proxy).then(|| network::network(address)),
            is_console: !is_proxy && has_reserve(address, &self.consoles),
        };
        let displaced = CancellationToken::new();
        let mut held = self.held();
        let (ticket, victim) = held.ledger.arrive(who)?;
        held.words.insert(ticket, displaced.clone().drop_guard());
        if let Some(victim) = victim {
            held.words.remove(&victim);
        }
        drop(held);
        Ok(Seat {
            door: self.clone(),
            ticket,
            displaced,
        })
    }
}

impl Seat {
    /// It had to go for somebody else.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    pub(super) fn wait(&self) {
        self.door.held().ledger.wait(self.ticket);
    }

    pub(super) fn work(&self) {
        self.door.held().ledger.work(self.ticket);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.door.held();
        held.ledger.depart(self.ticket);
        held.words.remove(&self.ticket);
    }
}
