//! What a session may do and be given, and for how long: the guard's answers, kept as long as they hold.
//!
//! Invariant: nothing is done for a principal, and nothing is delivered to it, after rights were changed for anybody and
//! before the guard was asked again.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use stomp::Frame;

use super::open::Open;
use super::validity::{Look, Validity};
use super::{Task, asking};
use crate::destination::{self, Kind, USER_ERRORS};
use crate::guard::{Action, Admission, Denied, Guard};
use crate::handler::{Handler, SessionInfo};
use crate::message::Outgoing;
use crate::publisher::Delivery;
use crate::router::{Outbound, Payload, guarded};
use crate::wire::Transport;

/// Of the warning that a token ends soon.
const TOKEN_EXPIRING: &str = "token-expiring";

impl<G: Guard, H: Handler<G::Principal>> Open<G, H> {
    /// From `now` on the token that came is the one that counts; the guard looked at it when rights had been changed as
    /// often as `rights` says.
    pub(super) fn take_token(&mut self, expires_at: Option<SystemTime>, rights: u64, now: Instant) {
        let warning = self.shared.publisher.config().token_warning;
        self.validity =
            expires_at.map(|expires_at| Validity::new(expires_at, warning, SystemTime::now(), now));
        self.forget_answers(Some(rights));
    }

    /// As [`Self::take_token`], of the same subject as before.
    pub(super) fn renew(&mut self, admission: Admission<G::Principal>, rights: u64, now: Instant) {
        self.take_token(admission.expires_at, rights, now);
        self.info = Arc::new(SessionInfo {
            principal: admission.principal,
            subject: admission.subject,
            peer: self.info.peer.clone(),
            ..*self.info
        });
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.validity
            .is_some_and(|validity| validity.is_over(SystemTime::now(), now))
    }

    pub(super) fn look_at_validity(&self) -> Option<Instant> {
        self.validity.map(|validity| validity.look_at())
    }

    /// Whether the principal may do it: what the guard has said, as long as nothing has changed since.
    pub(super) fn authorize(&mut self, action: Action, destination: &str) -> Result<(), Denied> {
        self.stay()?;
        if self.answers.find(action, destination) == Some(true) {
            return Ok(());
        }
        let shared = &self.shared;
        shared
            .guard
            .authorize(&self.info.principal, action, destination)
            .inspect_err(|denied| {
                shared
                    .handler
                    .refused(&self.info, action, destination, denied);
            })?;
        self.answers.keep(action, destination, true);
        Ok(())
    }

    /// Whether a message of `destination` may go out; an error ends the session.
    fn may_deliver(&mut self, destination: &str) -> Result<bool, Denied> {
        self.stay()?;
        if let Some(answer) = self.answers.find(Action::Deliver, destination) {
            return Ok(answer);
        }
        let guard = &self.shared.guard;
        let asked = guard.authorize(&self.info.principal, Action::Deliver, destination);
        self.answers
            .keep(Action::Deliver, destination, asked.is_ok());
        Ok(asked.is_ok())
    }

    /// Whether the principal may stay: asked when rights were changed since it was asked last.
    fn stay(&mut self) -> Result<(), Denied> {
        let rights = self.shared.publisher.rights();
        if self.answers.are_of(rights) {
            return Ok(());
        }
        // Not before the guard said yes: what is asked in the meantime must be refused as well.
        self.shared.guard.admitted(&self.info.principal)?;
        self.forget_answers(Some(rights));
        Ok(())
    }

    /// Asks everything anew: whether the principal may stay, and what it has subscribed to.
    pub(super) fn look_at_rights(&mut self) -> Result<(), Denied> {
        self.forget_answers(None);
        self.stay()?;
        self.still_subscribed()
    }

    /// Why a live subscription is not allowed any more.
    pub(super) fn still_subscribed(&mut self) -> Result<(), Denied> {
        self.stay()?;
        let (guard, principal) = (&self.shared.guard, &self.info.principal);
        self.live
            .values()
            .try_for_each(|live| guard.authorize(principal, Action::Subscribe, &live.destination))
    }

    /// Those that were barred from their queues try again.
    fn forget_answers(&mut self, rights: Option<u64>) {
        self.answers.begin(rights);
        for (serial, live) in &mut self.live {
            if std::mem::take(&mut live.barred) {
                self.shared.publisher.unbar(*serial);
            }
        }
    }

    /// What a SEND is for, if it is allowed now.
    pub(super) fn may_send<'frame>(
        &mut self,
        frame: &'frame Frame,
        now: Instant,
    ) -> Result<(Kind, &'frame str), Denied> {
        if self.is_expired(now) {
            return Err(Denied::token_expired());
        }
        let destination = frame.header("destination").unwrap_or_default();
        let kind = destination::for_send(destination).map_err(Denied::from)?;
        self.authorize(Action::Send, destination)?;
        asking::check_send(kind, frame)?;
        Ok((kind, destination))
    }
}

impl<T: Transport, G: Guard, H: Handler<G::Principal>> Task<T, G, H> {
    /// Ends the session when its token has ended, and says before that it will.
    pub(super) fn check_expiry(&mut self) {
        let now = self.now;
        let Some(open) = &mut self.open else {
            return;
        };
        let look = open
            .validity
            .as_mut()
            .map(|validity| validity.look(SystemTime::now(), now));
        match look {
            None | Some(Look::Good) => {}
            Some(Look::EndsSoon(left)) => self.warn(left),
            Some(Look::Over) => self.deny(&Denied::token_expired(), None),
        }
    }

    /// Tells the client that its token ends soon, if it listens.
    fn warn(&mut self, left: Duration) {
        let Some(open) = &mut self.open else {
            return;
        };
        let seconds = left.as_secs() + u64::from(left.subsec_millis() >= 500);
        let message = format!(
            "the token ends in {seconds} s, and the session with it: send a new one in an Authorization header on any frame"
        );
        let told = Outgoing::new("text/plain;charset=utf-8", message.clone())
            .with_header("code", TOKEN_EXPIRING)
            .with_header("message", message)
            .with_header("expires-in", seconds.to_string());
        let publisher = &self.shared.publisher;
        let delivery = publisher.send_to_session(open.info.id, USER_ERRORS, told);
        // Who subscribes in the meantime is told as well, at the next look.
        if delivery != Delivery::NotSubscribed
            && let Some(validity) = &mut open.validity
        {
            validity.warned();
        }
    }

    /// Ends the session if its principal may not stay, or has subscribed to what it may not see any more.
    pub(super) fn look_at_rights(&mut self) {
        if let Some(Err(denied)) = self.open.as_mut().map(|open| open.look_at_rights()) {
            self.deny(&denied, None);
        }
    }

    /// Whether the session may be given this now. What it may not have is counted, and queues give it to somebody else.
    pub(super) fn may_have(&mut self, outbound: &Outbound) -> bool {
        let Some(open) = &mut self.open else {
            return true;
        };
        let destination = match &outbound.payload {
            Payload::Encoded(encoded) => encoded.guarded.as_deref(),
            Payload::Frame(frame) | Payload::Queued(_, frame) => guarded(frame),
        };
        let Some(destination) = destination else {
            return true;
        };
        match open.may_deliver(destination) {
            Ok(true) => true,
            Ok(false) => {
                let barred = self.shared.publisher.withhold(outbound);
                if let Some(live) = open.live.get_mut(&outbound.serial) {
                    live.barred |= barred;
                }
                false
            }
            Err(denied) => {
                self.deny(&denied, None);
                false
            }
        }
    }
}
