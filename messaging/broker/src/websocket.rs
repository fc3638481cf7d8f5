//! STOMP over WebSocket: one frame out is one message, text where it is UTF-8; in, anything goes, since clients split
//! frames over messages and put several into one.
//!
//! Before a peer is let in, [`crate::BrokerConfig::unauthenticated_bytes`] bound what is read from it.

mod listen;

use std::io;
use std::task::{Context, Poll};

use axum::response::Response;
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use websocket::{Config, Message, Socket, WebSocketUpgrade};

use crate::config::BrokerConfig;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::peer::Peer;
use crate::server::Broker;
use crate::wire::{Transport, WireFrame};

/// The sub-protocols to offer, best first. A client that asks for none is served all the same.
pub const SUBPROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

impl<G, H> Broker<G, H>
where
    G: Guard,
    H: Handler<G::Principal>,
{
    /// Answers a WebSocket handshake, and serves the connection in a task of its own: [`Self::ended`] waits for it.
    ///
    /// Until the handshake the connection is the HTTP server's, which has to bound it: `axum::serve` waits for the head
    /// of a request without end. [`Self::listen_websocket`] does not.
    pub fn upgrade_websocket(&self, handshake: WebSocketUpgrade, peer: Peer) -> Response {
        let (response, upgrade) = handshake.offer(&SUBPROTOCOLS).accept();
        let broker = self.clone();
        let serve = async move { broker.serve_upgraded(upgrade, peer).await };
        self.shared.upgraded.spawn(serve);
        response
    }

    async fn serve_upgraded(&self, upgrade: OnUpgrade, peer: Peer) {
        match upgrade.await {
            Ok(upgraded) => self.serve_websocket(TokioIo::new(upgraded), peer).await,
            Err(error) => tracing::debug!(%peer, %error, "a handshake was not finished"),
        }
    }

    /// Serves one connection, from after its handshake until it ends. Nothing that follows the handshake may have been
    /// read from `stream`.
    pub fn serve_websocket<S>(
        &self,
        stream: S,
        peer: Peer,
    ) -> impl Future<Output = ()> + Send + use<S, G, H>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let socket = Socket::new(stream, &bounds(self.shared.publisher.config()));
        self.serve(socket, peer)
    }
}

fn bounds(config: &BrokerConfig) -> Config {
    let limits = &config.stomp.limits;
    Config {
        stranger_bytes: config.unauthenticated_bytes,
        message_bytes: limits.head_bytes + limits.body_bytes,
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for Socket<S> {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.poll_read(context)
    }

    fn let_in(&mut self) {
        self.let_in();
    }

    fn push(&mut self, frame: WireFrame) {
        let WireFrame {
            head,
            tail,
            is_text,
        } = frame;
        self.push(Message {
            head,
            tail,
            is_text,
        });
    }

    fn backlog(&self) -> usize {
        self.backlog()
    }

    fn progress(&self) -> u64 {
        self.progress()
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close(context, None)
    }
}
