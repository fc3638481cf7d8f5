//! STOMP over WebSocket: one frame out is one message, text where its body is UTF-8; in, anything goes, since clients
//! split frames over messages and put several into one.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};

use crate::guard::Guard;
use crate::handler::Handler;
use crate::server::Broker;
use crate::session;
use crate::wire::Transport;

/// The sub-protocols to offer, best first. A client that asks for none is served all the same.
pub const SUBPROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

/// A queue with room for more frames than this gives it back when it is empty.
const KEPT_FRAMES: usize = 16;

/// What one connection's WebSocket reads at once: the library's own 128 KiB would be held by each idle one.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// As much is gathered before it is written to the socket.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

impl<G, H> Broker<G, H>
where
    G: Guard,
    H: Handler<G::Principal>,
{
    /// Answers a WebSocket handshake and serves the connection: sub-protocols and message limits are set here.
    pub fn upgrade_websocket(&self, upgrade: WebSocketUpgrade, peer: SocketAddr) -> Response {
        let limits = &self.shared.publisher.config().stomp.limits;
        let message_bytes = limits.head_bytes + limits.body_bytes;
        let broker = self.clone();
        upgrade
            .protocols(SUBPROTOCOLS)
            .max_message_size(message_bytes)
            .max_frame_size(message_bytes)
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .on_upgrade(move |socket| async move { broker.serve_websocket(socket, peer).await })
    }

    /// Serves one connection until it ends. Whoever upgraded it has set the limits on messages.
    pub async fn serve_websocket(&self, socket: WebSocket, peer: SocketAddr) {
        let transport = WebSocketTransport {
            socket,
            queue: VecDeque::new(),
            backlog: 0,
            writes: 0,
        };
        session::serve(&self.shared, transport, peer).await;
    }
}

struct WebSocketTransport {
    socket: WebSocket,
    /// Bounded by the session, which pushes only while there is room.
    queue: VecDeque<Bytes>,
    /// Bytes of `queue` and of what the socket has taken since it was last flushed.
    backlog: usize,
    writes: u64,
}

impl WebSocketTransport {
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while !self.queue.is_empty() {
            ready!(self.socket.poll_ready_unpin(context))?;
            if let Some(frame) = self.queue.pop_front() {
                self.socket.start_send_unpin(message(frame))?;
                self.writes += 1;
            }
        }
        if self.queue.capacity() > KEPT_FRAMES {
            self.queue = VecDeque::new();
        }
        self.socket.poll_flush_unpin(context)
    }
}

impl Transport for WebSocketTransport {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            return Poll::Ready(match ready!(self.socket.poll_next_unpin(context)) {
                None | Some(Ok(Message::Close(_))) => Ok(None),
                Some(Ok(Message::Text(text))) => Ok(Some(text.into())),
                Some(Ok(Message::Binary(bytes))) => Ok(Some(bytes)),
                // Answered by the WebSocket itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Err(error)) => Err(read_error(error)),
            });
        }
    }

    fn push(&mut self, frame: Bytes) {
        self.backlog += frame.len();
        self.queue.push_back(frame);
    }

    fn backlog(&self) -> usize {
        self.backlog
    }

    fn progress(&self) -> u64 {
        self.writes
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_written(context)).map_err(io::Error::other)?;
        self.backlog = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket
            .poll_close_unpin(context)
            .map_err(io::Error::other)
    }
}

/// A lost connection, or (`InvalidData`) a message that is too long or malformed: only the latter can still be told.
fn read_error(error: axum::Error) -> io::Error {
    if is_io(&error) {
        io::Error::other(error)
    } else {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

fn is_io(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some() || error.source().is_some_and(is_io)
}

/// A text message must be UTF-8, which headers are and bodies may not be.
fn message(frame: Bytes) -> Message {
    match Utf8Bytes::try_from(frame.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(frame),
    }
}
