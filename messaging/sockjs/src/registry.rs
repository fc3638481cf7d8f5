//! Which sessions there are, whose they are, and how many there may be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use network::network;

use crate::asker::{Asker, Owner};
use crate::config::Config;
use crate::polled::Polled;
use crate::statistics::Refusal;

/// The sessions of one service.
#[derive(Debug)]
pub(crate) struct Registry {
    held: Mutex<Held>,
    sessions: usize,
    sessions_per_address: usize,
}

#[derive(Debug, Default)]
struct Held {
    /// Those that HTTP requests carry, by the name that the client gave them.
    polled: HashMap<Box<str>, Entry>,
    /// All, by address.
    seats: usize,
    by_network: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Polled>,
    owner: Owner,
}

/// A session that was found, or begun now.
pub(crate) enum Found {
    There(Arc<Polled>),
    /// Whoever asked has to run it.
    New(Arc<Polled>, Seat),
}

/// A place among the sessions, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    registry: Arc<Registry>,
    network: Option<IpAddr>,
    /// A session that requests carry, and its name.
    polled: Option<(Box<str>, Arc<Polled>)>,
}

impl Registry {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            held: Mutex::default(),
            sessions: config.sessions,
            sessions_per_address: config.sessions_per_address,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nothing panics while it is held")
    }

    /// Sessions now.
    pub(crate) fn len(&self) -> usize {
        self.held().seats
    }

    /// The session of this name, if it is the asker's.
    pub(crate) fn find(&self, id: &str, asker: &Asker) -> Result<Option<Arc<Polled>>, Refusal> {
        match self.held().polled.get(id) {
            None => Ok(None),
            Some(entry) if entry.owner == asker.owner => Ok(Some(Arc::clone(&entry.session))),
            Some(_) => Err(Refusal::NotTheOwner),
        }
    }

    /// The session of this name, or a new one.
    pub(crate) fn find_or_begin(
        self: &Arc<Self>,
        id: &str,
        asker: &Asker,
        begin: impl FnOnce() -> Polled,
    ) -> Result<Found, Refusal> {
        let mut held = self.held();
        if let Some(entry) = held.polled.get(id) {
            if entry.owner != asker.owner {
                return Err(Refusal::NotTheOwner);
            }
            return Ok(Found::There(Arc::clone(&entry.session)));
        }
        let mut seat = self.seat(&mut held, asker)?;
        let session = Arc::new(begin());
        seat.polled = Some((id.into(), Arc::clone(&session)));
        let entry = Entry {
            session: Arc::clone(&session),
            owner: asker.owner.clone(),
        };
        held.polled.insert(id.into(), entry);
        Ok(Found::New(session, seat))
    }

    /// A session that is over gives its name back before its seat.
    pub(crate) fn forget(&self, id: &str, session: &Arc<Polled>) {
        let mut held = self.held();
        if held
            .polled
            .get(id)
            .is_some_and(|entry| Arc::ptr_eq(&entry.session, session))
        {
            held.polled.remove(id);
        }
    }

    /// A place for a WebSocket.
    pub(crate) fn admit(self: &Arc<Self>, asker: &Asker) -> Result<Seat, Refusal> {
        self.seat(&mut self.held(), asker)
    }

    fn seat(self: &Arc<Self>, held: &mut Held, asker: &Asker) -> Result<Seat, Refusal> {
        if held.seats >= self.sessions {
            return Err(Refusal::TooMany);
        }
        let network = asker.bounded_address.map(network);
        if let Some(network) = network {
            let of_network = held.by_network.entry(network).or_default();
            if *of_network >= self.sessions_per_address {
                return Err(Refusal::TooManyOfAddress);
            }
            *of_network += 1;
        }
        held.seats += 1;
        Ok(Seat {
            registry: Arc::clone(self),
            network,
            polled: None,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((id, session)) = &self.polled {
            self.registry.forget(id, session);
        }
        let mut held = self.registry.held();
        held.seats -= 1;
        if let Some(network) = self.network
            && let Some(of_network) = held.by_network.get_mut(&network)
        {
            *of_network -= 1;
            if *of_network == 0 {
                held.by_network.remove(&network);
            }
        }
    }
}
