//! Bounds on how many connections there are: strangers and sessions are counted apart.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::BrokerConfig;

#[derive(Debug)]
pub(crate) struct Permits {
    unauthenticated: Arc<Semaphore>,
    sessions: Arc<Semaphore>,
}

impl Permits {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        Self {
            unauthenticated: Arc::new(Semaphore::new(config.unauthenticated)),
            sessions: Arc::new(Semaphore::new(config.sessions)),
        }
    }

    /// For a connection until its session is open; `None` when there are too many.
    pub(crate) fn connection(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.unauthenticated).try_acquire_owned().ok()
    }

    /// For an open session; `None` when there are too many.
    pub(crate) fn session(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sessions).try_acquire_owned().ok()
    }
}
