//! STOMP over WebSocket: one frame out is one message, text where it is UTF-8; in, anything goes, since clients split
//! frames over messages and put several into one.
//!
//! Before a peer is let in, [`crate::BrokerConfig::unauthenticated_bytes`] bound what is read from it, messages, pings
//! and the framing of both taken together; what the HTTP server has read behind the handshake is part of that. For a
//! moment a message may be held twice, when it goes from here to the session.

mod gate;
mod handshake;
mod listen;
mod liveness;
mod socket;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::response::Response;
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::handshake::{SUBPROTOCOLS, WebSocketUpgrade};
use self::socket::Socket;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::server::Broker;
use crate::session;
use crate::wire::{Reader, Writer};

impl<G, H> Broker<G, H>
where
    G: Guard,
    H: Handler<G::Principal>,
{
    /// Answers a WebSocket handshake, and serves the connection in a task of its own.
    ///
    /// Until the handshake the connection is the HTTP server's, which has to bound it: `axum::serve` waits for the head
    /// of a request without end. [`Self::listen_websocket`] does not.
    pub fn upgrade_websocket(&self, handshake: WebSocketUpgrade, peer: SocketAddr) -> Response {
        let WebSocketUpgrade { response, upgrade } = handshake;
        let broker = self.clone();
        tokio::spawn(async move { broker.serve_upgraded(upgrade, peer).await });
        response
    }

    async fn serve_upgraded(&self, upgrade: OnUpgrade, peer: SocketAddr) {
        match upgrade.await {
            Ok(upgraded) => self.serve_websocket(TokioIo::new(upgraded), peer).await,
            Err(error) => tracing::debug!(%peer, %error, "a handshake was not finished"),
        }
    }

    /// Serves one connection, from after its handshake until it ends. Nothing that follows the handshake may have been
    /// read from `stream`.
    pub async fn serve_websocket<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let socket = Socket::new(stream, self.shared.publisher.config());
        let reader = Half(Arc::new(Mutex::new(socket)));
        let writer = Half(Arc::clone(&reader.0));
        session::serve(&self.shared, reader, writer, peer).await;
    }
}

/// Either side of a socket. Both are of one task, so nobody ever waits for the lock.
struct Half<S>(Arc<Mutex<Socket<S>>>);

impl<S> Half<S> {
    fn socket(&self) -> MutexGuard<'_, Socket<S>> {
        self.0
            .lock()
            .expect("a task that panics does not come back to its socket")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Reader for Half<S> {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|context| self.socket().poll_read(context)).await
    }

    fn let_in(&mut self) {
        self.socket().let_in();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Writer for Half<S> {
    fn push(&mut self, frame: Bytes) {
        self.socket().push(frame);
    }

    fn backlog(&self) -> usize {
        self.socket().backlog()
    }

    fn progress(&self) -> u64 {
        self.socket().progress()
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.socket().poll_flush(context)).await
    }

    async fn close(&mut self) -> io::Result<()> {
        poll_fn(|context| self.socket().poll_close(context)).await
    }
}
