//! One WebSocket: messages in, fragments out, pings when it is silent.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message as Heard, WebSocket, error::ProtocolError};

use crate::allowance::Allowance;
use crate::gate::Gate;
use crate::liveness::{Due, Liveness};

/// What one read from the stream may bring, allocated for each connection for good. 1 KiB: most of what browsers say fits,
/// long messages take a microsecond more for each of it, and ten thousand idle connections save 10 MiB.
const READ_BUFFER: usize = 1024;

/// Small messages are collected up to here before they are written.
const WRITE_BUFFER: usize = 8 * 1024;

/// A longer message goes out in fragments of this: what waits to be written stays small, however long the message, which
/// all its subscribers share. The protocol keeps its buffer for good, so it must not grow with the longest message.
const FRAGMENT: usize = WRITE_BUFFER;

/// What was written and answers to pings together; beyond it nothing is lost, it only waits.
const MAX_WRITE_BUFFER: usize = WRITE_BUFFER + 2 * FRAGMENT;

/// What a message in the queue holds besides its bytes: many short ones hold more than they say.
const QUEUED: usize = size_of::<Message>();

/// What a broken connection still sends goes here and is forgotten.
const SCRAP: usize = 4 * 1024;

/// How one WebSocket is served.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes that are read before [`Socket::let_in`], framing included.
    pub stranger_bytes: usize,
    /// Bytes of one message after that; a longer one is refused when its head has come.
    pub message_bytes: usize,
    /// A peer that says nothing for so long is pinged; zero: never.
    pub ping_interval: Duration,
    /// It is lost when it says nothing for so long after that.
    pub ping_timeout: Duration,
}

/// A whole message to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its beginning.
    pub head: Bytes,
    /// The rest of a long one, which all its receivers share, whatever the head says to each; else empty.
    pub tail: Bytes,
    /// Sent as text: head and tail together are UTF-8.
    pub is_text: bool,
}

impl Message {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why the server closes (RFC 6455, 7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// 1000, or what the application means by 3000 to 4999.
    pub code: u16,
    /// For people; at most 123 bytes.
    pub reason: String,
}

/// One connection after its handshake: messages in, messages out.
pub struct Socket<S> {
    inner: WebSocket<Gate<S>>,
    /// Bytes of a message after the peer is let in.
    message_bytes: usize,
    liveness: Liveness,
    /// When to look at `liveness`; it may be early.
    alarm: Pin<Box<Sleep>>,
    /// The protocol was broken, so nothing that comes means anything.
    broken: bool,
    outgoing: Outgoing,
}

/// Bounded by whoever sends, which pushes only while there is room.
#[derive(Default)]
struct Outgoing {
    queue: VecDeque<Message>,
    /// Bytes of `queue` and of what was written and not flushed.
    backlog: usize,
    /// How far the first of `queue` has been written.
    begun: usize,
    /// The stream takes nothing now.
    blocked: bool,
    /// What the protocol's buffer had no room for, next to answers to pings: it goes before the queue.
    stuck: Option<Frame>,
    /// Why a push failed.
    failed: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A connection after its handshake.
    pub fn new(stream: S, config: &Config) -> Self {
        let gate = Gate::new(stream, Allowance::new(config.stranger_bytes));
        let websocket = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            // Room for a message is made when its head has come, so the bytes that follow do not bound it.
            .max_message_size(Some(config.stranger_bytes))
            .max_frame_size(Some(config.stranger_bytes));
        let now = Instant::now();
        let (interval, timeout) = (config.ping_interval, config.ping_timeout);
        Self {
            inner: WebSocket::from_raw_socket(gate, Role::Server, Some(websocket)),
            message_bytes: config.message_bytes,
            liveness: Liveness::new(interval, timeout, now.into_std()),
            alarm: Box::pin(sleep_until(now)),
            broken: false,
            outgoing: Outgoing::default(),
        }
    }

    /// Pings when it is time; ready with an error when the peer is lost. Asked when nothing more has come.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            match self.liveness.due(Instant::now().into_std()) {
                Due::Nothing(None) => return Poll::Pending,
                Due::Nothing(Some(at)) => self.alarm.as_mut().reset(at.into()),
                Due::Ping => {
                    let written = self.inner.send(Heard::Ping(Bytes::new()));
                    if let Err(error) = self.unless_blocked(written) {
                        return Poll::Ready(error);
                    }
                }
                Due::Lost => {
                    let message = "nothing was heard for too long, not even the answer to a ping";
                    return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, message));
                }
            }
        }
    }

    fn poll_scrap(&mut self) -> Poll<io::Result<Option<Bytes>>> {
        let mut scrap = [0; SCRAP];
        match self.inner.get_mut().read(&mut scrap) {
            Ok(0) => Poll::Ready(Ok(None)),
            Ok(_) => Poll::Ready(Ok(Some(Bytes::new()))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn write(&mut self, frame: Frame) -> io::Result<()> {
        match self.inner.write(Heard::Frame(frame)) {
            Err(Error::WriteBufferFull(message)) => {
                if let Heard::Frame(frame) = *message {
                    self.outgoing.stuck = Some(frame);
                }
                self.outgoing.blocked = true;
                Ok(())
            }
            written => self.unless_blocked(written),
        }
    }

    /// Writes what the protocol holds.
    fn poll_drained(&mut self) -> Poll<io::Result<()>> {
        let flushed = self.inner.flush();
        self.poll_written(flushed)
    }

    fn poll_written(&mut self, written: Result<(), Error>) -> Poll<io::Result<()>> {
        self.outgoing.blocked = false;
        self.unless_blocked(written)?;
        if self.outgoing.blocked {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// What would block is in the protocol's buffer, and is written later.
    fn unless_blocked(&mut self, written: Result<(), Error>) -> io::Result<()> {
        match written {
            // After both sides have said that they close, there is nothing left to say.
            Ok(()) | Err(Error::ConnectionClosed) => Ok(()),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.outgoing.blocked = true;
                Ok(())
            }
            // Full of answers to pings: one more is not missed.
            Err(Error::WriteBufferFull(_)) => {
                self.outgoing.blocked = true;
                Ok(())
            }
            Err(Error::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// From here on the peer may send long messages.
    pub fn let_in(&mut self) {
        let bytes = Some(self.message_bytes);
        self.inner.set_config(|config| {
            config.max_message_size = bytes;
            config.max_frame_size = bytes;
        });
        self.inner.get_mut().lift();
    }

    /// The bytes of the next message; empty when something else came, which shows that the peer lives; `None` when the
    /// peer has ended its side.
    ///
    /// # Errors
    /// The connection is lost; or, of kind `InvalidData`, the peer sent what is not allowed: it can still be told, and
    /// what it sends after that is dropped.
    pub fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.inner.get_mut().wake(context);
        if self.broken {
            return self.poll_scrap();
        }
        let read = self.inner.read();
        let heard = self.inner.get_mut().take_heard();
        if heard {
            self.liveness.heard(Instant::now().into_std());
        }
        match read {
            Ok(Heard::Text(text)) => Poll::Ready(Ok(Some(text.into()))),
            Ok(Heard::Binary(bytes)) => Poll::Ready(Ok(Some(bytes))),
            Ok(Heard::Close(_)) => Poll::Ready(Ok(None)),
            // A ping is answered by the protocol itself.
            Ok(Heard::Ping(_) | Heard::Pong(_) | Heard::Frame(_)) => {
                Poll::Ready(Ok(Some(Bytes::new())))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if heard {
                    return Poll::Ready(Ok(Some(Bytes::new())));
                }
                // A ping may have been held up while there was nothing to flush.
                if self.outgoing.blocked && self.outgoing.queue.is_empty() {
                    let drained = self.poll_drained();
                    if let Poll::Ready(Err(error)) = drained {
                        return Poll::Ready(Err(error));
                    }
                }
                self.poll_alarm(context).map(Err)
            }
            Err(error) => {
                let told = ended(error);
                if told.is_err() {
                    self.broken = true;
                    self.inner.get_mut().lift();
                }
                Poll::Ready(told)
            }
        }
    }

    /// Takes a whole message, to be written by [`Self::poll_flush`]; push only while [`Self::backlog`] is small.
    ///
    /// A short message goes straight into the protocol's buffer, which holds many of them.
    pub fn push(&mut self, frame: Message) {
        self.outgoing.backlog += frame.len();
        let straight = frame.tail.is_empty()
            && frame.head.len() <= FRAGMENT
            && !self.outgoing.blocked
            && self.outgoing.failed.is_none()
            && self.outgoing.queue.is_empty();
        if straight {
            let kind = kind_of(&frame);
            let written = self.write(Frame::message(frame.head, OpCode::Data(kind), true));
            self.outgoing.failed = written.err();
        } else {
            self.outgoing.backlog += QUEUED;
            self.outgoing.queue.push_back(frame);
        }
    }

    /// Bytes pushed and not flushed yet.
    pub fn backlog(&self) -> usize {
        self.outgoing.backlog
    }

    /// Rises when the peer takes something.
    pub fn progress(&self) -> u64 {
        self.inner.get_ref().written()
    }

    /// Writes everything that was pushed.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.get_mut().wake(context);
        if let Some(error) = self.outgoing.failed.take() {
            return Poll::Ready(Err(error));
        }
        if self.outgoing.blocked {
            ready!(self.poll_drained())?;
        }
        while let Some(fragment) = self.outgoing.next_fragment() {
            self.write(fragment)?;
            if self.outgoing.blocked {
                ready!(self.poll_drained())?;
            }
        }
        ready!(self.poll_drained())?;
        self.outgoing.backlog = 0;
        Poll::Ready(Ok(()))
    }

    /// Tells the peer that nothing follows, and why. Only the first call says why.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn poll_close(
        &mut self,
        context: &mut Context<'_>,
        close: Option<Close>,
    ) -> Poll<io::Result<()>> {
        self.inner.get_mut().wake(context);
        let close = close.map(|Close { code, reason }| CloseFrame {
            code: code.into(),
            reason: reason.into(),
        });
        let closed = self.inner.close(close);
        self.poll_written(closed)
    }
}

impl Outgoing {
    /// The next piece to write.
    fn next_fragment(&mut self) -> Option<Frame> {
        if let Some(frame) = self.stuck.take() {
            return Some(frame);
        }
        let message = self.queue.front()?;
        let (part, offset) = if self.begun < message.head.len() {
            (&message.head, 0)
        } else {
            (&message.tail, message.head.len())
        };
        let end = (part.len() + offset).min(self.begun + FRAGMENT);
        let kind = if self.begun > 0 {
            Data::Continue
        } else {
            kind_of(message)
        };
        let is_final = end == message.len();
        let fragment = Frame::message(
            part.slice(self.begun - offset..end - offset),
            OpCode::Data(kind),
            is_final,
        );
        if is_final {
            self.queue.pop_front();
            self.begun = 0;
        } else {
            self.begun = end;
        }
        Some(fragment)
    }
}

/// A text message must be UTF-8.
fn kind_of(message: &Message) -> Data {
    if message.is_text {
        Data::Text
    } else {
        Data::Binary
    }
}

/// The end of the connection, or why it is lost, or (`InvalidData`) what was wrong with what the peer sent: only that
/// can still be told.
fn ended(error: Error) -> io::Result<Option<Bytes>> {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ok(None),
        Error::Io(error) => Err(error),
        error => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
