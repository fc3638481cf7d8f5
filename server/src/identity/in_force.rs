//! The policy of now: whoever decides asks it anew, since it may change while the server runs. With it goes whether the files
//! that say who may do what are followed at all.

use std::sync::Arc;

use tokio::sync::watch;

use super::policy::Policy;

/// Where the policy of now is found.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    policy: watch::Receiver<Arc<Policy>>,
    hangs: watch::Receiver<bool>,
}

/// Who can put another one into its place.
#[derive(Debug)]
pub(crate) struct Enact {
    pub(crate) policy: watch::Sender<Arc<Policy>>,
    /// Whether a file cannot be followed, since its file system does not answer.
    pub(crate) hangs: watch::Sender<bool>,
}

impl InForce {
    /// The policy in force, and who can put another one into its place.
    pub(crate) fn new(policy: Arc<Policy>) -> (Enact, Self) {
        let (policy, policy_seen) = watch::channel(policy);
        let (hangs, hangs_seen) = watch::channel(false);
        let seen = Self {
            policy: policy_seen,
            hangs: hangs_seen,
        };
        (Enact { policy, hangs }, seen)
    }

    /// Whether the policy and the access file are looked at.
    pub(crate) fn is_followed(&self) -> bool {
        !*self.hangs.borrow()
    }

    /// The policy of now. Ask again for the next decision.
    pub(crate) fn now(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }
}
