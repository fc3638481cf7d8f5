//! What happens to sessions when rights change, and to messages that somebody may not be given.

use std::sync::atomic::Ordering;

use super::{Publisher, epoch_milliseconds};
use crate::guard::Denied;
use crate::position::SessionId;
use crate::router::{Outbound, Payload, Serial};

impl Publisher {
    /// Asks the guard again whether the sessions of `subject` may stay, and about everything that they have subscribed
    /// to, before anything more is delivered to them: call it when a right, a token or a login was taken away, or one
    /// was given. A session that may not stay, or may no longer see what it has subscribed to, is ended at once with the
    /// guard's refusal. What other sessions remember of the guard's answers is forgotten, too. Returns how many sessions
    /// `subject` has.
    pub fn rights_changed(&self, subject: &str) -> usize {
        self.shared.rights.fetch_add(1, Ordering::SeqCst);
        let hub = self.hub();
        let sessions = hub.router.sessions_of(subject);
        for outbox in sessions.iter().filter_map(|id| hub.outboxes.get(id)) {
            outbox.look_at_rights();
        }
        sessions.len()
    }

    /// As [`Self::rights_changed`], of everybody: call it when there is a new policy, or when what the guard's answers
    /// depend on is another one now. Returns how many sessions there are.
    pub fn all_rights_changed(&self) -> usize {
        self.shared.rights.fetch_add(1, Ordering::SeqCst);
        let hub = self.hub();
        for outbox in hub.outboxes.values() {
            outbox.look_at_rights();
        }
        hub.outboxes.len()
    }

    /// Ends a session with ERROR: a newer one takes its place, or its rights were taken away. Returns whether there
    /// was such a session; from here on no message reaches it.
    pub fn end_session(&self, session: SessionId, reason: Denied) -> bool {
        self.hub().end(session, reason)
    }

    /// Ends every session of `subject` with ERROR. Returns how many there were.
    pub fn end_sessions_of(&self, subject: &str, reason: &Denied) -> usize {
        self.shared.rights.fetch_add(1, Ordering::SeqCst);
        let mut hub = self.hub();
        let sessions = hub.router.sessions_of(subject);
        sessions
            .into_iter()
            .filter(|session| hub.end(*session, reason.clone()))
            .count()
    }

    /// How often rights were changed so far, of anybody.
    pub(crate) fn rights(&self) -> u64 {
        self.shared.rights.load(Ordering::SeqCst)
    }

    /// A session may not be given this. What is from a queue goes to somebody else. Returns whether the subscription is
    /// given nothing more of its queue until [`Self::unbar`].
    pub(crate) fn withhold(&self, outbound: &Outbound) -> bool {
        let mut barred = false;
        if let Payload::Queued(sequence, _) = outbound.payload {
            let mut hub = self.hub();
            let now = epoch_milliseconds();
            let Some((of_queue, freed)) = hub.router.withhold(outbound.serial, sequence, now)
            else {
                return false;
            };
            hub.put_all(freed);
            barred = of_queue;
        }
        self.shared.withheld.fetch_add(1, Ordering::Relaxed);
        barred
    }

    /// A subscription to a queue may be given messages again.
    pub(crate) fn unbar(&self, subscription: Serial) {
        let mut hub = self.hub();
        let waiting = hub.router.unbar(subscription, epoch_milliseconds());
        hub.put_all(waiting);
    }
}
