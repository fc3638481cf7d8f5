//! One Socket.IO socket between Engine.IO, which calls whenever something comes, and its STOMP session, which polls.
//!
//! Invariant: what is held for a socket is bounded, and a socket whose session is over holds nothing.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::packet::{Malformed, Outgoing, Revision};
use super::translator::Translator;
use broker::WireFrame;
use bytes::Bytes;

/// Bytes that a session gets at once: a page of frames, while the rest waits here, where it is counted.
const READ_BYTES: usize = 8 * 1024;

/// What is read from a client before the broker has let it in, WebSocket's own framing included. 64 KiB, as on every
/// other road: many times the longest request to be let in.
const STRANGER_BYTES: usize = 64 * 1024;

/// Tasks that write to a WebSocket: Engine.IO has one that writes, and one that reads and answers pings.
const WRITERS: usize = 2;

pub(super) struct Line {
    pub(super) revision: Revision,
    /// The name in the certificate of the connection that opened it, if that had one: no other connection has a say in it.
    pub(super) certificate: Option<Arc<str>>,
    state: Mutex<State>,
    /// Bytes that the client has taken over a WebSocket.
    written: AtomicU64,
}

struct State {
    translator: Translator,
    /// The session's.
    waker: Option<Waker>,
    /// What the client did that cannot be gone on from.
    wrong: Option<String>,
    /// The session was told so: nothing more is taken from the client.
    is_deaf: bool,
    /// The client is gone.
    has_ended: bool,
    is_over: bool,
    /// Bytes that may still be read; `None`: the client was let in.
    stranger_room: Option<usize>,
    is_posting: bool,
    is_websocket: bool,
    /// Who writes to a client that does not read, and must be told when the session is over.
    writers: Vec<Waker>,
    /// Messages that the client has taken and nobody has looked at yet.
    taken: usize,
}

/// More than a stranger may send was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {STRANGER_BYTES} bytes came before the client was let in")]
pub(super) struct TooMuch;

impl From<TooMuch> for io::Error {
    fn from(error: TooMuch) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// What Engine.IO's side says and asks.
impl Line {
    pub(super) fn new(
        revision: Revision,
        token: Option<String>,
        certificate: Option<Arc<str>>,
    ) -> Self {
        Self {
            revision,
            certificate,
            state: Mutex::new(State {
                translator: Translator::new(revision, token),
                waker: None,
                wrong: None,
                is_deaf: false,
                has_ended: false,
                is_over: false,
                stranger_room: Some(STRANGER_BYTES),
                is_posting: false,
                is_websocket: false,
                writers: Vec::new(),
                taken: 0,
            }),
            written: AtomicU64::new(0),
        }
    }

    pub(super) fn text(&self, text: &str) {
        self.take(|translator| translator.text(text));
    }

    pub(super) fn binary(&self, bytes: Bytes) {
        self.take(|translator| translator.binary(bytes));
    }

    fn take(&self, take: impl FnOnce(&mut Translator) -> Result<(), Malformed>) {
        let mut state = self.state();
        let is_deaf = state.is_deaf || state.wrong.is_some() || state.translator.has_left();
        if is_deaf || state.has_ended {
            return;
        }
        if let Err(malformed) = take(&mut state.translator) {
            state.wrong = Some(malformed.to_string());
        }
        state.wake();
    }

    /// The client is gone.
    pub(super) fn client_ended(&self) {
        let mut state = self.state();
        state.has_ended = true;
        state.wake();
    }

    /// The client took so many messages.
    pub(super) fn client_took(&self, messages: usize) {
        if messages > 0 {
            let mut state = self.state();
            state.taken += messages;
            state.wake();
        }
    }

    /// The client took so many bytes of a WebSocket.
    pub(super) fn client_took_bytes(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes of the client are read, or shall be.
    pub(super) fn client_sends(&self, bytes: usize) -> Result<(), TooMuch> {
        let mut state = self.state();
        let Some(room) = &mut state.stranger_room else {
            return Ok(());
        };
        *room = room.checked_sub(bytes).ok_or(TooMuch)?;
        Ok(())
    }

    pub(super) fn is_stranger(&self) -> bool {
        self.state().stranger_room.is_some()
    }

    /// For the time of one POST; `None` while there is another one: clients send one after the other.
    pub(super) fn begin_post(self: &Arc<Self>) -> Option<Posting> {
        let mut state = self.state();
        (!std::mem::replace(&mut state.is_posting, true)).then(|| Posting(Arc::clone(self)))
    }

    /// Whether it is the first: a socket has one WebSocket.
    pub(super) fn begin_websocket(&self) -> bool {
        !std::mem::replace(&mut self.state().is_websocket, true)
    }

    /// Whether the session is over; if not, `context` is told when it is.
    pub(super) fn is_over(&self, context: &Context<'_>) -> bool {
        let mut state = self.state();
        let writers = &mut state.writers;
        let is_known = writers
            .iter()
            .any(|writer| writer.will_wake(context.waker()));
        if !is_known {
            if writers.len() == WRITERS {
                writers.remove(0);
            }
            writers.push(context.waker().clone());
        }
        state.is_over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no panic happened while a socket was locked")
    }
}

/// What the session's side says and asks.
impl Line {
    pub(super) fn poll_read(&self, context: &Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut state = self.state();
        state.waker = Some(context.waker().clone());
        if let Some(bytes) = state.translator.take_for_broker(READ_BYTES) {
            return Poll::Ready(Ok(Some(bytes)));
        }
        if let Some(wrong) = state.wrong.take() {
            state.is_deaf = true;
            let error = io::Error::new(io::ErrorKind::InvalidData, wrong);
            return Poll::Ready(Err(error));
        }
        if state.has_ended || state.translator.has_left() {
            return Poll::Ready(Ok(None));
        }
        Poll::Pending
    }

    pub(super) fn let_in(&self) {
        self.state().stranger_room = None;
    }

    pub(super) fn push(&self, frame: &WireFrame, sid: &str) {
        let mut state = self.state();
        let pushed = state.translator.frames(&frame.head, &frame.tail, sid);
        if let Err(error) = pushed {
            tracing::error!(%error, "the broker wrote what is not STOMP");
            state.has_ended = true;
        }
    }

    pub(super) fn backlog(&self) -> usize {
        self.state().translator.backlog()
    }

    pub(super) fn bytes_taken(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How many messages the client has taken since the last look.
    pub(super) fn messages_taken(&self, context: &Context<'_>) -> usize {
        let mut state = self.state();
        state.waker = Some(context.waker().clone());
        std::mem::take(&mut state.taken)
    }

    pub(super) fn take_for_client(
        &self,
        is_wanted: impl FnOnce(usize) -> bool,
    ) -> Option<Outgoing> {
        self.state().translator.take_for_client(is_wanted)
    }

    pub(super) fn client_has_ended(&self) -> bool {
        self.state().has_ended
    }

    /// The session is over: nothing is taken any more, and who still writes stops.
    pub(super) fn session_ended(&self) {
        let mut state = self.state();
        state.has_ended = true;
        state.is_over = true;
        state.waker = None;
        let writers = std::mem::take(&mut state.writers);
        drop(state);
        for writer in writers {
            writer.wake();
        }
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// A POST that is being read.
pub(super) struct Posting(Arc<Line>);

impl Drop for Posting {
    fn drop(&mut self) {
        self.0.state().is_posting = false;
    }
}
