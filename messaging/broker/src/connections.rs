//! All connections, so that each can be told from outside that it is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

use crate::config::BrokerConfig;
use crate::guard::Denied;
use crate::outbox::Outbox;

/// Cheap to clone: all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    shared: Arc<Mutex<Shared>>,
    shutdown: CancellationToken,
}

#[derive(Debug, Default)]
struct Shared {
    last_id: u64,
    /// Bounded by the permits, and by the refusals that are just being told.
    outboxes: HashMap<u64, Arc<Outbox>>,
    /// A task waits for the shutdown.
    watched: bool,
    over: bool,
}

/// One connection's entry; dropping it takes it out.
#[derive(Debug)]
pub(crate) struct Connection {
    connections: Connections,
    id: u64,
    outbox: Arc<Outbox>,
}

impl Connections {
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self {
            shared: Arc::default(),
            shutdown,
        }
    }

    /// Enters a new connection. One that comes after the shutdown is told at once.
    pub(crate) fn register(&self, config: &BrokerConfig) -> Connection {
        let outbox = Arc::new(Outbox::new(config));
        let mut shared = self.shared();
        if !shared.watched {
            shared.watched = true;
            let all = self.clone();
            tokio::spawn(async move {
                all.shutdown.cancelled().await;
                all.end();
            });
        }
        if shared.over {
            outbox.end(shutting_down());
        }
        shared.last_id += 1;
        let id = shared.last_id;
        shared.outboxes.insert(id, Arc::clone(&outbox));
        Connection {
            connections: self.clone(),
            id,
            outbox,
        }
    }

    fn end(&self) {
        let mut shared = self.shared();
        shared.over = true;
        for outbox in shared.outboxes.values() {
            outbox.end(shutting_down());
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared
            .lock()
            .expect("no panic happened while the connections were locked")
    }
}

impl Connection {
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.shared().outboxes.remove(&self.id);
    }
}

fn shutting_down() -> Denied {
    Denied::new(
        "shutting-down",
        "the server is going down: connect again soon",
    )
}
