//! A session that is carried by HTTP requests, shared between them and the application: the machine under a lock, and
//! who is to be woken when it changes.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep_until, timeout};

use crate::connection::Incoming;
use crate::frame::Form;
use crate::session::{Heard, Next, ReceiverId, Refused, Session, Stay, Taken, Terms};

/// The runtime's clock, so that tests may stop it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub(crate) fn alarm(at: Instant) -> Pin<Box<Sleep>> {
    Box::pin(sleep_until(at.into()))
}

/// Bodies of one session that are read at once. 4: clients send one after the other, and each takes memory while it comes.
const BODIES: usize = 4;

/// A poll costs a request: it brings what the application is just about to say, if that takes no longer than this.
const TURN: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Polled {
    state: Mutex<State>,
    /// The application has taken something.
    room: Notify,
    /// A request waits for room: there is one at most.
    waiting: AtomicBool,
    /// The application waits for more.
    idle: Notify,
    /// Bytes that the client may still send while it is a stranger; [`usize::MAX`]: it is none.
    stranger_bytes: AtomicUsize,
    /// Requests whose bodies are being read.
    bodies: AtomicUsize,
}

#[derive(Debug)]
struct State {
    session: Session,
    application: Option<Waker>,
    /// The client sent something, and the application has not waited for more since.
    at_work: bool,
    /// A stranger did, which the application does not know yet.
    sent_too_much: bool,
    /// The application waits until everything was taken.
    flushing: bool,
    receiver: Option<Waker>,
}

impl State {
    fn wake_application(&mut self) {
        if let Some(waker) = self.application.take() {
            waker.wake();
        }
    }

    fn wake_receiver(&mut self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }
}

/// Keeps the waker of this context, if it is not there yet.
fn keep(place: &mut Option<Waker>, context: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(context.waker()),
        None => *place = Some(context.waker().clone()),
    }
}

/// Why messages of the client were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Gone,
    /// Another request waits already, and sending is done in order.
    Busy,
    NoRoom,
}

impl Polled {
    pub(crate) fn new(terms: Terms, stranger_bytes: Option<usize>) -> Self {
        let state = State {
            session: Session::new(terms, now()),
            application: None,
            at_work: false,
            sent_too_much: false,
            flushing: false,
            receiver: None,
        };
        Self {
            state: Mutex::new(state),
            room: Notify::new(),
            waiting: AtomicBool::new(false),
            idle: Notify::new(),
            stranger_bytes: AtomicUsize::new(stranger_bytes.unwrap_or(usize::MAX)),
            bodies: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
    /// Whether the client is not let in yet.
    pub(crate) fn is_strangers(&self) -> bool {
        self.stranger_bytes.load(Ordering::Acquire) != usize::MAX
    }

    /// The client has sent a body. Whether it might: if not, the application is told.
    pub(crate) fn spend(&self, bytes: usize) -> bool {
        let spend = |left: usize| match left {
            usize::MAX => Some(left),
            left => left.checked_sub(bytes),
        };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        let might = self
            .stranger_bytes
            .fetch_update(order.0, order.1, spend)
            .is_ok();
        if !might {
            let mut state = self.state();
            state.sent_too_much = true;
            state.wake_application();
        }
        might
    }

    /// A place among the bodies that are being read, if there is one.
    pub(crate) fn begin_body(&self) -> Option<Body<'_>> {
        let body = Body(&self.bodies);
        (self.bodies.fetch_add(1, Ordering::AcqRel) < BODIES).then_some(body)
    }

    /// A request wants to receive.
    pub(crate) fn attach(
        self: &Arc<Self>,
        form: Form,
        stay: Stay,
        via: Option<SocketAddr>,
    ) -> Result<Receiving, Refused> {
        let now = now();
        let mut state = self.state();
        let attached = state.session.attach(form, stay, via, now);
        // Who received before and no longer may finds out; so does the application of a session that is over by now.
        state.wake_receiver();
        state.wake_application();
        drop(state);
        let id = attached?;
        Ok(Receiving {
            session: Arc::clone(self),
            id,
            alarm: alarm(now),
            is_over: false,
        })
    }

    /// Takes in messages, when there is room. One request may wait for it: who sends several at once has no order.
    pub(crate) async fn receive(
        &self,
        mut messages: Vec<String>,
        patience: Duration,
    ) -> Result<(), NotTaken> {
        if self.waiting.load(Ordering::Acquire) {
            return Err(NotTaken::Busy);
        }
        match self.take_in(&mut messages) {
            Taken::In => return Ok(()),
            Taken::Gone => return Err(NotTaken::Gone),
            Taken::NoRoom => {}
        }
        if self.waiting.swap(true, Ordering::AcqRel) {
            return Err(NotTaken::Busy);
        }
        let _waiting = Waiting(&self.waiting);
        let taken = timeout(patience, async {
            loop {
                // Before looking, so that room that comes in between is not missed.
                let room = self.room.notified();
                match self.take_in(&mut messages) {
                    Taken::In => return Ok(()),
                    Taken::Gone => return Err(NotTaken::Gone),
                    Taken::NoRoom => room.await,
                }
            }
        });
        taken.await.unwrap_or(Err(NotTaken::NoRoom))
    }

    fn take_in(&self, messages: &mut Vec<String>) -> Taken {
        let mut state = self.state();
        let taken = state.session.receive(messages, now());
        state.at_work |= taken == Taken::In;
        state.wake_application();
        taken
    }

    /// Waits a moment for the application to answer what the client has sent.
    async fn answered(&self) {
        let idle = self.idle.notified();
        tokio::pin!(idle);
        // From here on it is not missed.
        idle.as_mut().enable();
        if self.state().at_work {
            // Either way the frame is what there is by then.
            let _ = timeout(TURN, idle).await;
        }
    }

    /// Ends the session, if the application has not done so.
    pub(crate) fn close(&self, code: u16, reason: &str) {
        let mut state = self.state();
        state.session.close(code, reason, now());
        state.at_work = false;
        state.wake_receiver();
        drop(state);
        self.room.notify_one();
        self.idle.notify_waiters();
    }

    /// Waits until the session may be forgotten, after its end.
    pub(crate) async fn forgotten(&self) {
        loop {
            let deadline = {
                let mut state = self.state();
                if state.session.pass(now()) {
                    state.wake_receiver();
                    return;
                }
                state.session.deadline()
            };
            let Some(deadline) = deadline else {
                return;
            };
            sleep_until(deadline.into()).await;
        }
    }
}

/// One of [`Polled::begin_body`], counted until it is dropped.
pub(crate) struct Body<'a>(&'a AtomicUsize);

impl Drop for Body<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Marks that a request waits for room.
struct Waiting<'a>(&'a AtomicBool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// One receiver. Dropped before its last frame, it is a connection that broke.
#[derive(Debug)]
pub(crate) struct Receiving {
    session: Arc<Polled>,
    id: ReceiverId,
    alarm: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Receiving {
    /// The next frame; `None` when there is no more.
    pub(crate) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            let mut state = self.session.state();
            match state.session.next(self.id, now()) {
                Next::Frame { bytes, is_last } => {
                    self.is_over = is_last;
                    if mem::take(&mut state.flushing) {
                        state.wake_application();
                    }
                    return Poll::Ready(Some(bytes));
                }
                Next::End => self.is_over = true,
                Next::Wait(until) => {
                    keep(&mut state.receiver, context);
                    drop(state);
                    if self.alarm.deadline().into_std() != until {
                        self.alarm.as_mut().reset(until.into());
                    }
                    ready!(self.alarm.as_mut().poll(context));
                }
            }
        }
    }

    /// The one frame of a poll.
    pub(crate) async fn only_frame(&mut self) -> Option<Bytes> {
        self.session.answered().await;
        poll_fn(|context| self.poll_frame(context)).await
    }

    /// Whether nothing follows.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.session.state();
            state.session.abort(self.id, now());
            state.wake_application();
        }
    }
}

/// The application's side.
#[derive(Debug)]
pub(crate) struct ApplicationSide {
    session: Arc<Polled>,
    /// Goes off when it is time to see whether the client stayed away.
    alarm: Pin<Box<Sleep>>,
    /// How often that is looked at while a receiver is there: a deadline that begins meanwhile is no sooner.
    look_again: Duration,
}

impl ApplicationSide {
    pub(crate) fn new(session: Arc<Polled>, disconnect_delay: Duration) -> Self {
        Self {
            session,
            alarm: alarm(now()),
            look_again: disconnect_delay,
        }
    }
    /// What the client did next; `None` at the end; an error of kind `InvalidData` when a stranger sent too much.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Incoming>>> {
        loop {
            let now = now();
            let mut state = self.session.state();
            let next = match state.session.hear(now) {
                Heard::Message(message) => {
                    drop(state);
                    self.session.room.notify_one();
                    return Poll::Ready(Ok(Some(Incoming::Message(message.into()))));
                }
                Heard::Alive => return Poll::Ready(Ok(Some(Incoming::Alive))),
                Heard::Ended => return Poll::Ready(Ok(None)),
                Heard::Nothing if mem::take(&mut state.sent_too_much) => {
                    let message =
                        "too much was sent before the peer was let in: wait for the answer";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, message)));
                }
                Heard::Nothing => {
                    if mem::take(&mut state.at_work) {
                        self.session.idle.notify_waiters();
                    }
                    keep(&mut state.application, context);
                    state.session.deadline().unwrap_or(now + self.look_again)
                }
            };
            drop(state);
            ready!(self.poll_alarm(context, next));
        }
    }

    /// Ready when it is time to look again: at `next`, or before.
    fn poll_alarm(&mut self, context: &mut Context<'_>, next: Instant) -> Poll<()> {
        let is_late = self.alarm.deadline().into_std() > next;
        if is_late || self.alarm.is_elapsed() {
            self.alarm.as_mut().reset(next.into());
        }
        self.alarm.as_mut().poll(context)
    }

    /// The client is a stranger no more.
    pub(crate) fn let_in(&self) {
        self.session
            .stranger_bytes
            .store(usize::MAX, Ordering::Release);
    }

    pub(crate) fn push(&self, text: &str) {
        self.session.state().session.say(text);
    }

    pub(crate) fn backlog(&self) -> usize {
        self.session.state().session.backlog()
    }

    pub(crate) fn progress(&self) -> u64 {
        self.session.state().session.progress()
    }

    /// Ready when everything was taken by a receiver, or nobody will.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = now();
            let mut state = self.session.state();
            state.session.pass(now);
            if state.session.backlog() == 0 || !state.session.is_open() {
                return Poll::Ready(());
            }
            state.flushing = true;
            keep(&mut state.application, context);
            state.wake_receiver();
            let next = state.session.deadline();
            drop(state);
            ready!(self.poll_alarm(context, next.unwrap_or(now + self.look_again)));
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.session.state().session.is_open()
    }

    pub(crate) fn close(&self, code: u16, reason: &str) {
        self.session.close(code, reason);
    }
}

impl Drop for ApplicationSide {
    fn drop(&mut self) {
        self.session.close(1000, "Normal closure");
        self.session.state().session.deafen();
    }
}
