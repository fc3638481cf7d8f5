//! What each event of the protocol session does.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use stomp::server::{Step, SubscriptionKey};
use stomp::{AckMode, Command, Frame, ServerEvent};
use tokio::time::timeout;

use super::Task;
use super::open::{Live, Open, Replaying};
use crate::destination::{
    self, EXPIRES, Kind, OWN_HEADERS, PREFETCH_COUNT, REPLY_TO, RESUME_FROM, USER_ERRORS,
};
use crate::guard::{Action, Admission, Denied, Guard};
use crate::handler::{Handler, Refusal, SessionInfo};
use crate::message::Outgoing;
use crate::router::{Effect, Outbound, Payload, Wanted, parse_expires};
use crate::wire::{Reader, Writer};

/// What the guard or the handler has done.
pub(super) enum Done<P> {
    /// CONNECT was looked at.
    Authenticated(Result<Admission<P>, Denied>),
    /// The token of a later frame was looked at; what the frame wants comes next.
    Renewed(Result<Admission<P>, Denied>, Box<ServerEvent>),
    /// A SEND was handled.
    Handled(Result<(), Refusal>, Frame),
}

impl<R: Reader, W: Writer, G: Guard, H: Handler<G::Principal>> Task<R, W, G, H> {
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
            Done::Authenticated(Ok(admission)) => self.let_in(admission),
            Done::Authenticated(Err(denied)) => {
                self.protocol.reject(&denied.code, &denied.message);
            }
            Done::Renewed(Ok(admission), event) => self.go_on_with(admission, *event),
            Done::Renewed(Err(denied), event) => self.deny(&denied, event.frame()),
            Done::Handled(Ok(()), frame) => self.protocol.receipt(&frame),
            Done::Handled(Err(refusal), frame) => self.refuse(refusal, &frame),
        }
    }

    /// Gives a message to the protocol session, unless its subscription ended while it was on its way.
    pub(super) fn deliver(&mut self, outbound: &Outbound) {
        let Some(open) = &self.open else {
            return;
        };
        let Some(live) = open.live.get(&outbound.serial) else {
            return;
        };
        if let Payload::Queued(sequence, _) = &outbound.payload {
            // What is not taken goes to somebody else when this session ends.
            let can_write = self.protocol.is_open() && !self.write_failed;
            if !can_write || !self.shared.publisher.take(outbound.serial, *sequence) {
                return;
            }
        }
        match &outbound.payload {
            Payload::Encoded(bytes) => self.protocol.push_encoded(bytes.clone()),
            Payload::Frame(frame) | Payload::Queued(_, frame) => {
                if let Err(error) = self.protocol.message(&live.key, frame) {
                    self.protocol.error(error.code(), &error.to_string(), None);
                }
            }
        }
    }

    pub(super) fn check_expiry(&mut self) {
        if self.open.as_ref().is_some_and(Open::is_expired) {
            let denied = Denied::token_expired();
            self.deny(&denied, None);
        }
    }

    fn authenticate(&mut self, frame: Frame) {
        let shared = Arc::clone(&self.shared);
        let (peer, limit) = (self.peer, shared.publisher.config().stomp.connect_timeout);
        self.work = Some(Box::pin(async move {
            let asked = timeout(limit, shared.guard.authenticate(&frame, peer)).await;
            Done::Authenticated(asked.unwrap_or_else(|_| Err(cannot_ask())))
        }));
    }

    fn let_in(&mut self, admission: Admission<G::Principal>) {
        let seat = if is_over(admission.expires_at) {
            Err(Denied::token_expired())
        } else {
            let permits = self.shared.publisher.permits();
            permits.admit(&admission.subject, self.peer.ip(), admission.reserved)
        };
        let seat = match seat {
            Ok(seat) => seat,
            Err(denied) => return self.protocol.reject(&denied.code, &denied.message),
        };
        let version = self.protocol.version();
        let inlet = self.shared.publisher.open(&admission.subject, version);
        let info = SessionInfo {
            id: inlet.id,
            subject: admission.subject,
            principal: admission.principal,
            peer: self.peer,
            version,
        };
        let incarnation = self.shared.publisher.position().incarnation;
        let session = format!("{incarnation}-{}", inlet.id);
        tracing::debug!(peer = %self.peer, session = %info.id, subject = %info.subject, %version, "session opened");
        let shared = Arc::clone(&self.shared);
        self.open = Some(Open::new(shared, info, inlet, admission.expires_at, seat));
        self.stranger = None;
        self.reader.let_in();
        self.protocol.accept(&session, super::now());
    }

    fn renew(&mut self, event: ServerEvent) {
        let shared = Arc::clone(&self.shared);
        let (peer, limit) = (self.peer, shared.publisher.config().stomp.connect_timeout);
        self.work = Some(Box::pin(async move {
            let asked = match event.frame() {
                Some(frame) => timeout(limit, shared.guard.authenticate(frame, peer)).await,
                None => Ok(Err(cannot_ask())),
            };
            Done::Renewed(asked.unwrap_or_else(|_| Err(cannot_ask())), Box::new(event))
        }));
    }

    /// Takes a renewed token, ends the session if it allows less than is in use, then does what its frame wants.
    fn go_on_with(&mut self, admission: Admission<G::Principal>, event: ServerEvent) {
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
        open.expires_at = admission.expires_at;
        open.info = Arc::new(SessionInfo {
            principal: admission.principal,
            subject: admission.subject,
            ..*open.info
        });
        let forbidden = open.live.values().find_map(|live| {
            let guard = &self.shared.guard;
            guard
                .authorize(&open.info.principal, Action::Subscribe, &live.destination)
                .err()
        });
        match forbidden {
            Some(denied) => self.deny(&denied, cause),
            None => self.act(event),
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
                if let Some(open) = &mut self.open
                    && let Some(serial) = self
                        .shared
                        .publisher
                        .unsubscribe(open.info.id, &subscription)
                {
                    open.live.remove(&serial);
                }
                self.protocol.receipt(&frame);
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
        let Some(open) = &self.open else {
            return Ok(());
        };
        let (kind, destination) = self.may_send(open, frame)?;
        let frame = self.with_reply_queue(frame)?;
        if let Some(effect) = effect_of(kind, destination, &frame) {
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
        frame.headers.retain(|name, _| !is_credential(name));
        self.work = Some(Box::pin(async move {
            let result = shared.handler.handle(&info, &frame).await;
            Done::Handled(result, frame)
        }));
        Ok(())
    }

    /// What a SEND is for, if it is allowed now.
    fn may_send<'frame>(
        &self,
        open: &Open<G, H>,
        frame: &'frame Frame,
    ) -> Result<(Kind, &'frame str), Denied> {
        if open.is_expired() {
            return Err(Denied::token_expired());
        }
        let destination = frame.header("destination").unwrap_or_default();
        let kind = destination::for_send(destination)
            .map_err(|bad| Denied::new(bad.code(), bad.to_string()))?;
        let principal = &open.info.principal;
        self.shared
            .guard
            .authorize(principal, Action::Send, destination)?;
        let expires = frame.header(EXPIRES).filter(|_| kind == Kind::Queue);
        if let Some(value) = expires
            && parse_expires(value).is_none()
        {
            let message = format!("{EXPIRES} {value:?} is no number of milliseconds since 1970");
            return Err(Denied::new("bad-expires", message));
        }
        Ok((kind, destination))
    }

    /// Whether a frame may wait for COMMIT: what would be refused then is refused now.
    fn may_hold(&self, frame: &Frame) -> Result<(), Denied> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        if frame.command != Command::Send {
            return Ok(());
        }
        match self.may_send(open, frame)? {
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
                    let Some(open) = &self.open else {
                        return Ok(());
                    };
                    let (kind, destination) = self.may_send(open, frame)?;
                    let frame = self.with_reply_queue(frame)?;
                    effects.extend(effect_of(kind, destination, &frame));
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
        let is_own = destination::is_temp_queue(own_name)
            .map_err(|bad| Denied::new(bad.code(), bad.to_string()))?;
        if !is_own {
            return Ok(Cow::Borrowed(frame));
        }
        let own_name = own_name.to_owned();
        if !open.replies.contains_key(&own_name) {
            let publisher = &self.shared.publisher;
            let principal = &open.info.principal;
            self.shared
                .guard
                .authorize(principal, Action::Subscribe, &own_name)?;
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

    fn transact(&self, effects: Vec<Effect<'_>>) -> Result<(), Denied> {
        let session = self.open.as_ref().map(|open| open.info.id);
        self.shared.publisher.transact(session, effects)
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
        if open.is_expired() {
            return Err(Denied::token_expired());
        }
        let kind = destination::for_subscribe(destination)
            .map_err(|bad| Denied::new(bad.code(), bad.to_string()))?;
        let principal = &open.info.principal;
        self.shared
            .guard
            .authorize(principal, Action::Subscribe, destination)?;
        let wanted = Wanted {
            key: key.clone(),
            destination,
            kind,
            ack,
            resume_from: frame.header(RESUME_FROM),
            prefetch: prefetch_of(frame)?,
        };
        // `None`: the session was ended from outside, and the loop is about to learn why.
        if let Some((serial, missed)) = self.shared.publisher.subscribe(open.info.id, &wanted)? {
            let destination = destination.to_owned();
            open.live.insert(serial, Live { key, destination });
            self.replaying = Some(Replaying {
                messages: missed.into(),
                subscribe: frame.clone(),
            });
        }
        Ok(())
    }

    fn deny(&mut self, denied: &Denied, cause: Option<&Frame>) {
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

fn is_credential(name: &str) -> bool {
    ["authorization", "login", "passcode"]
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

/// What a SEND does, unless it is for the handler.
fn effect_of<'frame>(
    kind: Kind,
    destination: &'frame str,
    frame: &Frame,
) -> Option<Effect<'frame>> {
    match kind {
        Kind::Topic => Some(Effect::Publish(destination, outgoing(frame))),
        Kind::Queue => Some(Effect::Enqueue(destination, outgoing(frame))),
        Kind::Reply => Some(Effect::Reply(destination, outgoing(frame))),
        Kind::App | Kind::User => None,
    }
}

fn prefetch_of(frame: &Frame) -> Result<Option<usize>, Denied> {
    let Some(value) = frame.header(PREFETCH_COUNT) else {
        return Ok(None);
    };
    match value.parse() {
        Ok(messages) => Ok(Some(messages)),
        Err(_) => {
            let message = format!("{PREFETCH_COUNT} {value:?} is no number of messages");
            Err(Denied::new("bad-prefetch-count", message))
        }
    }
}

/// What others get of a client's SEND: its own headers, and none that speaks for the client's session or the broker.
fn outgoing(frame: &Frame) -> Outgoing {
    /// The broker's own come in front; a client's copies would only be noise behind them.
    const FRAMING: [&str; 7] = [
        "destination",
        "content-type",
        "message-id",
        "subscription",
        "ack",
        "receipt",
        "transaction",
    ];
    Outgoing {
        content_type: frame.header("content-type").map(str::to_owned),
        headers: frame
            .headers
            .iter()
            .filter(|(name, _)| {
                !is_credential(name) && !FRAMING.contains(name) && !OWN_HEADERS.contains(name)
            })
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        // A copy: the frame's is a part of what the socket read, and keeping it would keep all of that.
        body: Bytes::copy_from_slice(&frame.body),
    }
}
