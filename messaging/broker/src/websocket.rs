//! STOMP over WebSocket: one frame out is one message, text where its body is UTF-8; in, anything goes, since clients
//! split frames over messages and put several into one.

use std::collections::VecDeque;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};

use crate::guard::Guard;
use crate::handler::Handler;
use crate::server::Broker;
use crate::session;
use crate::wire::{Reader, Writer};

/// The sub-protocols to offer, best first. A client that asks for none is served all the same.
pub const SUBPROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

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
            .on_upgrade(move |socket| async move { broker.serve_websocket(socket, peer).await })
    }

    /// Serves one connection until it ends. Whoever upgraded it has set the limits on messages.
    pub async fn serve_websocket(&self, socket: WebSocket, peer: SocketAddr) {
        let (sink, stream) = socket.split();
        let writer = WebSocketWriter {
            sink,
            queue: VecDeque::new(),
            backlog: 0,
            writes: 0,
        };
        session::serve(&self.shared, WebSocketReader { stream }, writer, peer).await;
    }
}

struct WebSocketReader {
    stream: SplitStream<WebSocket>,
}

impl Reader for WebSocketReader {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            return match self.stream.next().await {
                None | Some(Ok(Message::Close(_))) => Ok(None),
                Some(Ok(Message::Text(text))) => Ok(Some(text.into())),
                Some(Ok(Message::Binary(bytes))) => Ok(Some(bytes)),
                // Answered by the WebSocket itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Err(error)) => Err(read_error(error)),
            };
        }
    }
}

struct WebSocketWriter {
    sink: SplitSink<WebSocket, Message>,
    /// Bounded by the session, which pushes only while there is room.
    queue: VecDeque<Bytes>,
    /// Bytes of `queue` and of what the sink has taken since it was last flushed.
    backlog: usize,
    writes: u64,
}

impl WebSocketWriter {
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while !self.queue.is_empty() {
            ready!(self.sink.poll_ready_unpin(context))?;
            if let Some(frame) = self.queue.pop_front() {
                self.sink.start_send_unpin(message(frame))?;
                self.writes += 1;
            }
        }
        self.sink.poll_flush_unpin(context)
    }
}

impl Writer for WebSocketWriter {
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

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_written(context))
            .await
            .map_err(io::Error::other)?;
        self.backlog = 0;
        Ok(())
    }

    async fn close(&mut self) -> io::Result<()> {
        self.sink.close().await.map_err(io::Error::other)
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
