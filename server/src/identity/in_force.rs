//! The policy of now: whoever decides asks it anew, since it may change while the server runs.

use std::sync::Arc;

use tokio::sync::watch;

use super::policy::Policy;

/// Where the policy of now is found.
#[derive(Debug, Clone)]
pub(crate) struct InForce(watch::Receiver<Arc<Policy>>);

impl InForce {
    /// The policy in force, and who can put another one into its place.
    pub(crate) fn new(policy: Arc<Policy>) -> (watch::Sender<Arc<Policy>>, Self) {
        let (sender, receiver) = watch::channel(policy);
        (sender, Self(receiver))
    }

    /// The policy of now. Ask again for the next decision.
    pub(crate) fn now(&self) -> Arc<Policy> {
        Arc::clone(&self.0.borrow())
    }
}
