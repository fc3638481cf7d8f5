//! The application's side of a session, whatever carries it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{Extensions, HeaderMap, Uri};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::polled::ApplicationSide;
use crate::registry::Seat;
use crate::socket::Framed;
use crate::statistics::Counters;
use crate::transport::Transport;

/// How long a WebSocket that was dropped has for its last words.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the application may know of the request that began a session. It holds the buffer that the request was read
/// into, some 8 KiB: whoever keeps it does so for as long as the session lasts, so take what is wanted and drop it. A
/// parameter `_` of an `async fn` is kept until the function returns.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Its URL, without the service's prefix.
    pub uri: Uri,
    /// Its headers. A cookie says who a browser belongs to, not who asks: any page can make a browser send it.
    pub headers: HeaderMap,
    /// What the application's own layers know of the request.
    pub extensions: Extensions,
}

/// What a client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// It sent a whole message, UTF-8 except on a raw WebSocket.
    Message(Bytes),
    /// It was here and said nothing.
    Alive,
}

/// Why nothing more can be said: the session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session is over")
    }
}

impl std::error::Error for Closed {}

/// One session: messages of the client in, messages to the client out.
///
/// [`Self::recv`], [`Self::send`] and [`Self::close`] are for most applications. The `poll_*` functions are for those
/// that do several things at once; nothing waits inside them. Dropped, it closes the session with 1000.
#[derive(Debug)]
pub struct Connection {
    carrier: Carrier,
    transport: Transport,
    peer: SocketAddr,
    bounds: Bounds,
    counters: Arc<Counters>,
}

/// What bounds a session that was begun.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Bytes that may wait for the client before [`Connection::send`] waits as well.
    pub(crate) outbox_bytes: usize,
    /// How long it waits for a client that takes nothing.
    pub(crate) patience: Duration,
}

/// What carries a session.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// With its place among the sessions.
    Socket(Box<Framed>, Seat),
    Polled(ApplicationSide),
    /// The connection is dropped.
    Over,
}

impl Connection {
    pub(crate) fn new(
        carrier: Carrier,
        transport: Transport,
        peer: SocketAddr,
        bounds: Bounds,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            carrier,
            transport,
            peer,
            bounds,
            counters,
        }
    }

    /// How the first messages go out; a client may receive later ones in another way.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// From where the session began: behind trusted proxies, the address that they tell, with the port of the proxy's
    /// connection.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The client is a stranger no more: [`crate::Config::stranger_bytes`] no longer counts.
    pub fn let_in(&mut self) {
        match &mut self.carrier {
            Carrier::Socket(socket, _) => socket.let_in(),
            Carrier::Polled(side) => side.let_in(),
            Carrier::Over => {}
        }
    }

    /// The client's next message; `None` when the session is over. Nothing is lost when the wait is given up.
    pub async fn recv(&mut self) -> Option<String> {
        loop {
            let read = poll_fn(|context| {
                // What `send` left goes out meanwhile; whether it did, reading tells as well.
                let _ = self.poll_flush(context);
                self.poll_read(context)
            })
            .await;
            let bytes = match read {
                Ok(Some(Incoming::Message(bytes))) => bytes,
                Ok(Some(Incoming::Alive)) => continue,
                Ok(None) => return None,
                Err(error) => {
                    tracing::debug!(peer = %self.peer, %error, "a session is lost");
                    self.give_up();
                    return None;
                }
            };
            match String::from_utf8(bytes.into()) {
                Ok(message) => return Some(message),
                Err(_) => {
                    tracing::debug!(peer = %self.peer, "a message is not UTF-8");
                    self.give_up();
                    return None;
                }
            }
        }
    }

    /// Sends a message. When more than [`crate::Config::outbox_bytes`] wait for the client, it waits until the client has
    /// asked for them, or its connection has taken them; not longer than [`crate::Config::patience`] at a time. When the
    /// wait is given up, the message still goes out. Call [`Self::recv`] as well: who only sends notices late that a
    /// client has gone.
    ///
    /// # Errors
    /// [`Closed`]: the session is over, or the client took nothing for too long, which ends it.
    pub async fn send(&mut self, message: &str) -> Result<(), Closed> {
        if !self.is_open() {
            return Err(Closed);
        }
        self.push(message);
        loop {
            let (progress, patience) = (self.progress(), self.bounds.patience);
            let flushed = poll_fn(|context| match self.poll_flush(context) {
                Poll::Pending if self.backlog() <= self.bounds.outbox_bytes => Poll::Ready(Ok(())),
                flushed => flushed,
            });
            match timeout(patience, flushed).await {
                Ok(Ok(())) if self.is_open() => return Ok(()),
                Err(_) if self.progress() != progress => {}
                Ok(_) => return Err(Closed),
                Err(_) => {
                    self.give_up();
                    return Err(Closed);
                }
            }
        }
    }

    /// Closes the session: what was sent before still reaches the client, then `code` (3000 to 4999 are the
    /// application's, 1000 says that all is well) and `reason` (at most 123 bytes).
    pub async fn close(mut self, code: u16, reason: &str) {
        // Who is gone needs no word.
        let _ = poll_fn(|context| self.poll_close(context, code, reason)).await;
    }

    /// What the client did next; `None` when the session is over.
    ///
    /// # Errors
    /// The connection is lost; or, of kind `InvalidData`, the client sent what is no message, or too much before it was
    /// let in: it can still be told.
    pub fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Incoming>>> {
        let incoming = match &mut self.carrier {
            Carrier::Socket(socket, _) => ready!(socket.poll_read(context))?,
            Carrier::Polled(side) => ready!(side.poll_read(context))?,
            Carrier::Over => None,
        };
        if let Some(Incoming::Message(message)) = &incoming {
            self.counters.message_in(self.transport, message.len());
        }
        Poll::Ready(Ok(incoming))
    }

    /// Takes a message, to be written by [`Self::poll_flush`]. Whoever pushes looks at [`Self::backlog`]: everything
    /// waits in memory.
    pub fn push(&mut self, message: &str) {
        self.counters.message_out(self.transport, message.len());
        match &mut self.carrier {
            Carrier::Socket(socket, _) => socket.push(message),
            Carrier::Polled(side) => side.push(message),
            Carrier::Over => {}
        }
    }

    /// Bytes pushed and not flushed yet.
    pub fn backlog(&self) -> usize {
        match &self.carrier {
            Carrier::Socket(socket, _) => socket.backlog(),
            Carrier::Polled(side) => side.backlog(),
            Carrier::Over => 0,
        }
    }

    /// Rises when the client takes something: tells a slow one from a dead one.
    pub fn progress(&self) -> u64 {
        match &self.carrier {
            Carrier::Socket(socket, _) => socket.progress(),
            Carrier::Polled(side) => side.progress(),
            Carrier::Over => 0,
        }
    }

    /// Ready when the client has asked for everything that was pushed, or its connection has taken it.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Socket(socket, _) => socket.poll_flush(context),
            Carrier::Polled(side) => side.poll_flush(context).map(Ok),
            Carrier::Over => Poll::Ready(Ok(())),
        }
    }

    /// Says why the session ends, behind everything that was pushed. Only the first call says why.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn poll_close(
        &mut self,
        context: &mut Context<'_>,
        code: u16,
        reason: &str,
    ) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Socket(socket, _) => socket.poll_close(context, code, reason),
            Carrier::Polled(side) => {
                side.close(code, reason);
                Poll::Ready(Ok(()))
            }
            Carrier::Over => Poll::Ready(Ok(())),
        }
    }

    fn is_open(&self) -> bool {
        match &self.carrier {
            Carrier::Socket(socket, _) => socket.is_open(),
            Carrier::Polled(side) => side.is_open(),
            Carrier::Over => false,
        }
    }

    /// What the client sent makes no sense: the protocol wants a WebSocket to end without a word.
    fn give_up(&mut self) {
        match &mut self.carrier {
            Carrier::Socket(socket, _) => socket.give_up(),
            Carrier::Polled(side) => side.close(1002, "Protocol error"),
            Carrier::Over => {}
        }
    }
}

impl Drop for Connection {
    /// A WebSocket's last words take a moment: the answer to the client's good-bye, or ours and the client's answer.
    fn drop(&mut self) {
        if let Carrier::Socket(mut socket, seat) = mem::replace(&mut self.carrier, Carrier::Over)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                // Who takes nothing needs no word.
                let _ = timeout(GOODBYE, socket.say_goodbye()).await;
                drop(seat);
            });
        }
    }
}
