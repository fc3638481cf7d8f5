//! STOMP over WebSocket: one frame out is one message, text where its body is UTF-8; in, anything goes, since clients
//! split frames over messages and put several into one.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};

use crate::guard::Guard;
use crate::handler::Handler;
use crate::server::Broker;
use crate::session;
use crate::wire::{Transport, WireFrame};

/// The sub-protocols to offer, best first. A client that asks for none is served all the same.
pub const SUBPROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

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
            .on_upgrade(move |socket| broker.serve_websocket(socket, peer))
    }

    /// Serves one connection until it ends. Whoever upgraded it has set the limits on messages.
    pub fn serve_websocket(
        &self,
        socket: WebSocket,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send + use<G, H> {
        let transport = WebSocketTransport {
            socket,
            backlog: 0,
            failed: None,
            writes: 0,
        };
        session::serve(&self.shared, transport, peer)
    }
}

struct WebSocketTransport {
    socket: WebSocket,
    /// Bytes that the socket's buffer has taken since it was last flushed. Bounded by the session, which pushes only
    /// while there is room.
    backlog: usize,
    /// Why the last push failed.
    failed: Option<axum::Error>,
    writes: u64,
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

    fn push(&mut self, frame: WireFrame) {
        self.backlog += frame.as_bytes().len();
        let message = match frame {
            WireFrame::Text(text) => Message::Text(text),
            WireFrame::Binary(bytes) => Message::Binary(bytes),
        };
        // The WebSocket takes it into its buffer whether it can write now or not.
        if let Err(error) = self.socket.start_send_unpin(message) {
            self.failed = Some(error);
        }
    }

    fn backlog(&self) -> usize {
        self.backlog
    }

    fn progress(&self) -> u64 {
        self.writes
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(io::Error::other(error)));
        }
        ready!(self.socket.poll_flush_unpin(context)).map_err(io::Error::other)?;
        self.backlog = 0;
        self.writes += 1;
        Poll::Ready(Ok(()))
    }

    /// The WebSocket keeps its buffer.
    fn shrink(&mut self) {}

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
