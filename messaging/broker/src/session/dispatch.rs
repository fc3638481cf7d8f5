//! What each event of the protocol session does.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use stomp::server::{Step, SubscriptionKey};
use stomp::{AckMode, Command, Frame, ServerEvent};
use tokio::time::timeout;

use super::open::{Live, Open, Replaying};
use super::{Task, asking};
use crate::destination::{self, DURABLE_NAME, Kind, REPLY_TO, USER_ERRORS};
use crate::guard::{Action, Admission, Denied, Guard};
use crate::handler::{Handler, RENEWED, Refusal, SessionInfo};
use crate::message::Outgoing;
use crate::publisher::epoch_milliseconds;
use crate::router::{Effect, Outbound, Payload, expiry_of};
use crate::wire::Transport;

/// What the guard or the handler has done.
pub(super) enum Done<P> {
    /// CONNECT was looked at, when rights had been changed so often.
    Authenticated(Result<Admission<P>, Denied>, u64),
    /// The token of a later frame was looked at, when rights had been changed so often; what the frame wants comes next.
    Renewed(Result<Admission<P>, Denied>, u64, Box<ServerEvent>),
    /// A SEND was handled.
    Handled(Result<(), Refusal>, Frame),
}

impl<T: Transport, G: Guard, H: Handler<G::Principal>> Task<T, G, H> {
    pub(super) fn dispatch(&mut self, event: ServerEvent) {
        match &event {
            ServerEvent::Connect(frame) => self.authenticate(frame.clone()),
            ServerEvent::Closed(reason) => self.reason = Some(reason.clone()),
            other => {
                let renews = other
                    .frame()
                    .is_some_and(|frame| frame.headers.get_ignore_case("authorization").is_some());
                if renews {
                    self.renew(event);
                } else {
                    self.act(event);
                }
            }
        }
    }

    pub(super) fn finish_work(&mut self, done: Done<G::Principal>) {
        match done {
            Done::Authenticated(Ok(admission), rights) => self.let_in(admission, rights),
            Done::Authenticated(Err(denied), _) => {
                self.protocol.reject(&denied.code, &denied.message);
            }
            Done::Renewed(Ok(admission), rights, event) => {
                self.go_on_with(admission, rights, *event);
            }
            Done::Renewed(Err(denied), _, event) => self.deny(&denied, event.frame()),
            Done::Handled(Ok(()), frame) => self.protocol.receipt(&frame),
            Done::Handled(Err(refusal), frame) => self.refuse(refusal, &frame),
        }
    }

    /// Writes a message, unless its subscription ended, its time came, or the right to have it went, while it was on its
    /// way.
    pub(super) fn deliver(&mut self, outbound: &Outbound) {
        if self.protocol.is_open() && !self.may_have(outbound) {
            return;
        }
        let frame = match &outbound.payload {
            Payload::Encoded(encoded) => {
                if !self.has_passed(encoded.expires) && self.protocol.is_open() {
                    self.write(encoded.frame.clone());
                }
                return;
            }
            Payload::Queued(sequence, frame) => {
                // What is not taken goes to somebody else when this session ends.
                let can_write = self.protocol.is_open() && !self.write_failed;
                if !can_write || !self.shared.publisher.take(outbound.serial, *sequence) {
                    return;
                }
                frame
            }
            Payload::Frame(frame) if self.has_passed(expiry_of(frame)) => return,
            Payload::Frame(frame) => frame,
        };
        let live = self
            .open
            .as_ref()
            .and_then(|open| open.live.get(&outbound.serial));
        if let Some(live) = live
            && let Err(error) = self.protocol.message(&live.key, frame)
        {
            self.protocol.error(error.code(), &error.to_string(), None);
        }
        self.collect();
    }

    fn has_passed(&self, expires: Option<u64>) -> bool {
        let passed = expires.is_some_and(|at| at <= epoch_milliseconds());
        if passed {
            self.shared.publisher.count_expired();
        }
        passed
    }

    fn authenticate(&mut self, frame: Frame) {
        let shared = Arc::clone(&self.shared);
        let (peer, limit) = (
            self.peer.clone(),
            shared.publisher.config().stomp.connect_timeout,
        );
        let rights = shared.publisher.rights();
        self.work = Some(Box::pin(async move {
            let asked = timeout(limit, shared.guard.authenticate(&frame, &peer)).await;
            Done::Authenticated(asked.unwrap_or_else(|_| Err(cannot_ask())), rights)
        }));
    }

    fn let_in(&mut self, admission: Admission<G::Principal>, rights: u64) {
        let seat = if is_over(admission.expires_at) {
            Err(Denied::token_expired())
        } else {
            let permits = self.shared.publisher.permits();
            permits.admit(
                &admission.subject,
                self.peer.address.ip(),
                admission.reserved,
            )
        };
        let seat = match seat {
            Ok(seat) => seat,
            Err(denied) => return self.protocol.reject(&denied.code, &denied.message),
        };
        let version = self.protocol.version();
        let outbox = Arc::clone(self.connection.outbox());
        let publisher = &self.shared.publisher;
        let info = SessionInfo {
            id: publisher.open(&admission.subject, version, outbox),
            subject: admission.subject,
            principal: admission.principal,
            peer: self.peer.clone(),
            version,
        };
        let incarnation = self.shared.publisher.position().incarnation;
        let session = format!("{incarnation}-{}", info.id);
        tracing::debug!(peer = %self.peer, session = %info.id, subject = %info.subject, %version, "session opened");
        let shared = Arc::clone(&self.shared);
        let mut open = Box::new(Open::new(shared, info, seat));
        open.take_token(admission.expires_at, rights, self.now);
        self.open = Some(open);
        self.stranger = None;
        if self.shared.publisher.rights() != rights {
            // From here on it would be told; what happened before may have been about it.
            let message = "rights were changed just now: connect again";
            return self.protocol.reject("unavailable", message);
        }
        self.transport.let_in();
        self.protocol.accept(&session, self.now);
    }

    fn renew(&mut self, event: ServerEvent) {
        let shared = Arc::clone(&self.shared);
        let (peer, limit) = (
            self.peer.clone(),
            shared.publisher.config().stomp.connect_timeout,
        );
        let rights = shared.publisher.rights();
        self.work = Some(Box::pin(async move {
            let asked = match event.frame() {
                Some(frame) => timeout(limit, shared.guard.authenticate(frame, &peer)).await,
                None => Ok(Err(cannot_ask())),
            };
            let asked = asked.unwrap_or_else(|_| Err(cannot_ask()));
            Done::Renewed(asked, rights, Box::new(event))
        }));
    }

    /// Takes a renewed token, ends the session if it allows less than is in use, then does what its frame wants.
    fn go_on_with(&mut self, admission: Admission<G::Principal>, rights: u64, event: ServerEvent) {
        let Some(open) = &mut self.open else {
            return;
        };
        let cause = event.frame();
        if admission.subject != open.info.subject {
            let denied = Denied::new(
                "subject-changed",
                "the new token is somebody else's: open a session of its own for it",
            );
            return self.deny(&denied, cause);
        }
        if is_over(admission.expires_at) {
            return self.deny(&Denied::token_expired(), cause);
        }
        open.renew(admission, rights, self.now);
        match open.still_subscribed() {
            Err(denied) => self.deny(&denied, cause),
            Ok(()) => self.act(event),
        }
    }

    fn act(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Send(frame) => {
                if let Err(denied) = self.on_send(&frame) {
                    self.deny(&denied, Some(&frame));
                }
            }
            ServerEvent::Subscribe {
                subscription,
                destination,
                ack,
                frame,
            } => {
                if let Err(denied) = self.on_subscribe(subscription, &destination, ack, &frame) {
                    self.deny(&denied, Some(&frame));
                }
            }
            ServerEvent::Unsubscribe {
                subscription,
                frame,
            } => {
                let ended = self.on_unsubscribe(&subscription, &frame);
                self.answer(ended, &frame);
            }
            ServerEvent::Ack { deliveries, frame } => {
                let done = self.transact(vec![Effect::Ack(&deliveries)]);
                self.answer(done, &frame);
            }
            ServerEvent::Nack { deliveries, frame } => {
                let done = self.transact(vec![Effect::Nack(&deliveries)]);
                self.answer(done, &frame);
            }
            ServerEvent::Begin(frame) | ServerEvent::Abort(frame) => self.protocol.receipt(&frame),
            ServerEvent::Hold(frame) => {
                let held = self.may_hold(&frame);
                self.answer(held, &frame);
            }
            ServerEvent::Commit { steps, frame } => {
                let done = self.on_commit(&steps);
                self.answer(done, &frame);
            }
            ServerEvent::Connect(_) | ServerEvent::Closed(_) => {}
        }
    }

    fn on_send(&mut self, frame: &Frame) -> Result<(), Denied> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let (kind, destination) = open.may_send(frame, self.now)?;
        let frame = self.with_reply_queue(frame)?;
        if let Some(effect) = asking::effect_of(kind, destination, &frame) {
            self.transact(vec![effect])?;
            self.protocol.receipt(&frame);
            return Ok(());
        }
        let Some(open) = &self.open else {
            return Ok(());
        };
        let shared = Arc::clone(&self.shared);
        let info = Arc::clone(&open.info);
        let mut frame = frame.into_owned();
        let renewed = frame.headers.get_ignore_case("authorization").is_some();
        frame
            .headers
            .retain(|name, _| !asking::is_credential(name) && name != RENEWED);
        if renewed {
            frame.headers.push(RENEWED, "true");
        }
        self.work = Some(Box::pin(async move {
            let result = shared.handler.handle(&info, &frame).await;
            Done::Handled(result, frame)
        }));
        Ok(())
    }

    /// Whether a frame may wait for COMMIT: what would be refused then is refused now.
    fn may_hold(&mut self, frame: &Frame) -> Result<(), Denied> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if frame.command != Command::Send {
            return Ok(());
        }
        match open.may_send(frame, self.now)? {
            // A handler's effects cannot be taken back when a later step fails.
            (Kind::App, destination) => Err(Denied::new(
                "transactions-unsupported",
                format!("{destination} takes no transactions: SEND to it without one"),
            )),
            _ => Ok(()),
        }
    }

    /// Does all of a transaction, or nothing.
    fn on_commit(&mut self, steps: &[Step]) -> Result<(), Denied> {
        let mut effects = Vec::new();
        for step in steps {
            match step {
                Step::Send(frame) => {
                    // Once more: rights may have been taken away, or the token renewed, since the frame came.
                    let Some(open) = &mut self.open else {
                        return Ok(());
                    };
                    let (kind, destination) = open.may_send(frame, self.now)?;
                    let frame = self.with_reply_queue(frame)?;
                    effects.extend(asking::effect_of(kind, destination, &frame));
                }
                Step::Ack { deliveries, .. } => effects.push(Effect::Ack(deliveries)),
                Step::Nack { deliveries, .. } => effects.push(Effect::Nack(deliveries)),
            }
        }
        self.transact(effects)
    }

    /// The frame as others may see it: with a `reply-to` that reaches this session from theirs.
    fn with_reply_queue<'frame>(
        &mut self,
        frame: &'frame Frame,
    ) -> Result<Cow<'frame, Frame>, Denied> {
        let (Some(open), Some(own_name)) = (&mut self.open, frame.header(REPLY_TO)) else {
            return Ok(Cow::Borrowed(frame));
        };
        let is_own = destination::is_temp_queue(own_name).map_err(Denied::from)?;
        if !is_own {
            return Ok(Cow::Borrowed(frame));
        }
        let own_name = own_name.to_owned();
        if !open.replies.contains_key(&own_name) {
            let publisher = &self.shared.publisher;
            open.authorize(Action::Subscribe, &own_name)?;
            if open.replies.len() >= publisher.config().queues.reply_queues {
                let message = "the session has too many reply queues: use one for many questions";
                return Err(Denied::new("too-many-reply-queues", message));
            }
            let Some((serial, name)) = publisher.open_reply_queue(open.info.id, &own_name) else {
                return Ok(Cow::Borrowed(frame));
            };
            let live = Live {
                key: SubscriptionKey::Id(own_name.clone()),
                destination: own_name.clone(),
                barred: false,
            };
            open.live.insert(serial, live);
            open.replies.insert(own_name.clone(), name);
        }
        let mut frame = frame.clone();
        frame.headers.retain(|header, _| header != REPLY_TO);
        frame
            .headers
            .push(REPLY_TO, open.replies[&own_name].as_str());
        Ok(Cow::Owned(frame))
    }

    fn transact(&mut self, effects: Vec<Effect<'_>>) -> Result<(), Denied> {
        let session = self.open.as_ref().map(|open| open.info.id);
        self.fanned_out += self.shared.publisher.transact(session, effects)?;
        Ok(())
    }

    fn answer(&mut self, done: Result<(), Denied>, frame: &Frame) {
        match done {
            Ok(()) => self.protocol.receipt(frame),
            Err(denied) => self.deny(&denied, Some(frame)),
        }
    }

    fn on_subscribe(
        &mut self,
        key: SubscriptionKey,
        destination: &str,
        ack: AckMode,
        frame: &Frame,
    ) -> Result<(), Denied> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.is_expired(self.now) {
            return Err(Denied::token_expired());
        }
        let kind = destination::for_subscribe(destination).map_err(Denied::from)?;
        open.authorize(Action::Subscribe, destination)?;
        let wanted = asking::wanted_of(key.clone(), destination, kind, ack, frame)?;
        // `None`: the session was ended from outside, and the loop is about to learn why.
        if let Some(made) = self.shared.publisher.subscribe(open.info.id, &wanted)? {
            self.fanned_out += made.steps;
            let live = Live {
                key,
                destination: destination.to_owned(),
                barred: false,
            };
            open.live.insert(made.serial, live);
            self.replaying = Some(Box::new(Replaying {
                messages: made.past.into(),
                subscribe: frame.clone(),
                lane: made.lane,
            }));
        }
        Ok(())
    }

    fn on_unsubscribe(&mut self, key: &SubscriptionKey, frame: &Frame) -> Result<(), Denied> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let deletes = frame.header(DURABLE_NAME);
        let ended = self
            .shared
            .publisher
            .unsubscribe(open.info.id, key, deletes)?;
        if let Some(serial) = ended {
            open.live.remove(&serial);
        }
        Ok(())
    }

    pub(super) fn deny(&mut self, denied: &Denied, cause: Option<&Frame>) {
        self.protocol.error(&denied.code, &denied.message, cause);
    }

    fn refuse(&mut self, refusal: Refusal, frame: &Frame) {
        let Some(open) = &self.open else {
            return;
        };
        let (code, message) = match refusal {
            Refusal::Refused { code, message } => (code, message),
            Refusal::Unavailable => {
                let message = "the message could not be processed now: connect again and resend it";
                return self.protocol.error("unavailable", message, Some(frame));
            }
        };
        let destination = frame.header("destination").unwrap_or_default();
        let mut told = Outgoing::new("text/plain;charset=utf-8", message.clone())
            .with_header("code", code)
            .with_header("message", message)
            .with_header("refused-destination", destination);
        if let Some(receipt) = frame.header("receipt") {
            told = told.with_header("receipt-id", receipt);
        }
        // Whoever has not subscribed does not want to know.
        let delivery = self
            .shared
            .publisher
            .send_to_session(open.info.id, USER_ERRORS, told);
        tracing::debug!(session = %open.info.id, ?delivery, destination, "a message was refused");
    }
}

fn cannot_ask() -> Denied {
    Denied::new("unavailable", "nobody can be let in now: try again later")
}

fn is_over(expires_at: Option<SystemTime>) -> bool {
    expires_at.is_some_and(|at| at <= SystemTime::now())
}
