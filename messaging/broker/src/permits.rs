//! The bounds on connections and sessions as things that are held: what is dropped is given back.
//!
//! Who may come in is decided in [`ledger`]; here are its lock and the word to those that have to go.

mod ledger;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

pub use self::ledger::TurnedAway;
use self::ledger::{Ledger, Place, Ticket};
use crate::config::BrokerConfig;
use crate::guard::Denied;
use crate::outbox::Outbox;

/// The code of every refusal here.
const TOO_MANY: &str = "too-many-sessions";

/// Cheap to clone: all clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Permits {
    door: Arc<Mutex<Door>>,
}

#[derive(Debug)]
struct Door {
    ledger: Ledger,
    /// One for each stranger of the ledger.
    outboxes: HashMap<Ticket, Arc<Outbox>>,
}

impl Permits {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let door = Door {
            ledger: Ledger::new(config.clone()),
            outboxes: HashMap::new(),
        };
        Self {
            door: Arc::new(Mutex::new(door)),
        }
    }

    /// For a connection until its session is open. It always gets a place; the stranger that has to go for it is told
    /// through its outbox.
    pub(crate) fn arrive(&self, address: IpAddr, outbox: Arc<Outbox>) -> Stranger {
        let mut door = self.door();
        let (ticket, displaced) = door.ledger.arrive(address);
        door.outboxes.insert(ticket, outbox);
        if let Some(displaced) = displaced
            && let Some(outbox) = door.outboxes.remove(&displaced)
        {
            let message = "too many connections wait to be let in, and newer ones came: try again";
            outbox.end(Denied::new(TOO_MANY, message));
        }
        drop(door);
        Stranger {
            permits: self.clone(),
            ticket,
        }
    }

    /// For an open session of `subject`, or `too-many-sessions` and which bound it is.
    pub(crate) fn admit(
        &self,
        subject: &str,
        address: IpAddr,
        reserved: bool,
    ) -> Result<Seat, Denied> {
        let admitted = self.door().ledger.admit(subject, address, reserved);
        match admitted {
            Ok(place) => Ok(Seat {
                permits: self.clone(),
                place,
            }),
            Err(bound) => {
                // Whoever connects again and again must not fill the log: the count is in the metrics.
                tracing::info!(subject, %address, ?bound, "a session was refused");
                Err(Denied::new(TOO_MANY, bound.to_string()))
            }
        }
    }

    /// Connections that have not been let in yet.
    pub(crate) fn strangers(&self) -> usize {
        self.door().ledger.strangers()
    }

    pub(crate) fn turned_away(&self) -> TurnedAway {
        self.door().ledger.turned_away()
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        // A panic under the lock is a bug in the ledger; its counts are then not to be trusted.
        self.door
            .lock()
            .expect("no panic happened while the door was locked")
    }
}

/// A connection that nobody has let in yet.
#[derive(Debug)]
pub(crate) struct Stranger {
    permits: Permits,
    ticket: Ticket,
}

impl Stranger {
    /// Whether it had to go: it counts no more, so it should not linger either.
    pub(crate) fn is_displaced(&self) -> bool {
        !self.permits.door().outboxes.contains_key(&self.ticket)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut door = self.permits.door();
        door.ledger.depart(self.ticket);
        door.outboxes.remove(&self.ticket);
    }
}

/// What an open session holds until it ends.
#[derive(Debug)]
pub(crate) struct Seat {
    permits: Permits,
    place: Place,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.permits.door().ledger.leave(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_to_go_is_told_and_who_drops_is_forgotten() {
        let permits = Permits::new(&BrokerConfig {
            unauthenticated: 1,
            ..BrokerConfig::default()
        });
        let address = IpAddr::from([127, 0, 0, 1]);
        let outbox = || Arc::new(Outbox::new(&BrokerConfig::default()));
        let of_first = outbox();
        let first = permits.arrive(address, Arc::clone(&of_first));
        assert!(!first.is_displaced());
        let second = permits.arrive(address, outbox());
        assert_eq!(of_first.ended().await.code, TOO_MANY);
        assert!(first.is_displaced());
        assert!(!second.is_displaced());
        assert_eq!(permits.strangers(), 1);
        drop((first, second));
        assert_eq!(permits.strangers(), 0);
        assert!(permits.door().outboxes.is_empty());
    }
}
