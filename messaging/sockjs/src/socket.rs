//! A session in a WebSocket: frames of SockJS, or none of them.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use websocket::{Close, Config, Message, Socket};

use crate::connection::Incoming;
use crate::frame;
use crate::payload;

/// One connection.
pub(crate) struct Framed {
    socket: Socket<TokioIo<Upgraded>>,
    /// Whether frames are those of SockJS.
    is_framed: bool,
    /// The opening frame may not have gone out.
    is_opening: bool,
    /// Messages of the last frame that were not taken yet.
    pending: VecDeque<String>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The close frame was pushed.
    Closing,
    /// The peer has ended its side, or the connection is lost.
    Ended,
    /// Nothing more is said, not even good-bye.
    GivenUp,
}

impl Framed {
    pub(crate) fn new(stream: Upgraded, config: &Config, is_framed: bool) -> Self {
        let mut socket = Socket::new(TokioIo::new(stream), config);
        if is_framed {
            socket.push(text(frame::OPEN.to_owned()));
        }
        Self {
            socket,
            is_framed,
            is_opening: is_framed,
            pending: VecDeque::new(),
            state: State::Open,
        }
    }

    pub(crate) fn let_in(&mut self) {
        self.socket.let_in();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(crate) fn give_up(&mut self) {
        self.state = State::GivenUp;
    }

    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Incoming>>> {
        if let Some(message) = self.pending.pop_front() {
            if self.pending.is_empty() {
                self.pending = VecDeque::new();
            }
            return Poll::Ready(Ok(Some(Incoming::Message(message.into()))));
        }
        // Clients say nothing before it, and an application that waits for them flushes nothing.
        if self.is_opening && self.poll_flush(context)?.is_ready() {
            self.is_opening = false;
        }
        let read = ready!(self.socket.poll_read(context));
        let lost = read
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::InvalidData);
        if lost || matches!(read, Ok(None)) {
            self.end();
        }
        let Some(bytes) = read? else {
            return Poll::Ready(Ok(None));
        };
        if bytes.is_empty() {
            return Poll::Ready(Ok(Some(Incoming::Alive)));
        }
        if !self.is_framed {
            return Poll::Ready(Ok(Some(Incoming::Message(bytes))));
        }
        match payload::of_socket(&bytes) {
            Ok(messages) => {
                self.pending = messages.into();
                let first = self.pending.pop_front();
                let first =
                    first.map_or(Incoming::Alive, |message| Incoming::Message(message.into()));
                Poll::Ready(Ok(Some(first)))
            }
            Err(error) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                error.to_string(),
            ))),
        }
    }

    fn end(&mut self) {
        if self.state == State::Open {
            self.state = State::Ended;
        }
    }

    pub(crate) fn push(&mut self, message: &str) {
        if !self.is_open() {
            return;
        }
        self.socket.push(text(if self.is_framed {
            frame::message(message)
        } else {
            message.to_owned()
        }));
    }

    pub(crate) fn backlog(&self) -> usize {
        self.socket.backlog()
    }

    pub(crate) fn progress(&self) -> u64 {
        self.socket.progress()
    }

    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.socket.poll_flush(context));
        if flushed.is_err() {
            self.end();
        }
        Poll::Ready(flushed)
    }

    pub(crate) fn poll_close(
        &mut self,
        context: &mut Context<'_>,
        code: u16,
        reason: &str,
    ) -> Poll<io::Result<()>> {
        match self.state {
            State::GivenUp => return Poll::Ready(Ok(())),
            State::Open | State::Ended => {
                if self.is_framed && self.state == State::Open {
                    self.socket.push(text(frame::close(code, reason)));
                }
                self.state = State::Closing;
            }
            State::Closing => {}
        }
        ready!(self.socket.poll_flush(context))?;
        let (code, reason) = if self.is_framed {
            (1000, "Normal closure")
        } else {
            (code, reason)
        };
        let close = Close {
            code,
            reason: reason.to_owned(),
        };
        self.socket.poll_close(context, Some(close))
    }
}

impl Framed {
    /// Closes, and lets the client close as well: what it still sends is read, since a connection that is closed with
    /// unread bytes loses what was written.
    pub(crate) async fn say_goodbye(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_close(context, 1000, "Normal closure")).await?;
        while self.state != State::GivenUp
            && poll_fn(|context| self.socket.poll_read(context))
                .await?
                .is_some()
        {}
        Ok(())
    }
}

impl fmt::Debug for Framed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("is_framed", &self.is_framed)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

fn text(text: String) -> Message {
    Message {
        head: text.into(),
        tail: Bytes::new(),
        is_text: true,
    }
}
