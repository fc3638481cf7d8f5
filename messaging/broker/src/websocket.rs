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

use std::net::SocketAddr;

use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::handshake::{SUBPROTOCOLS, WebSocketUpgrade};
use self::socket::Socket;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::server::Broker;
use crate::session;

impl<G, H> Broker<G, H>
where
    G: Guard,
    H: Handler<G::Principal>,
{
    /// Answers a WebSocket handshake, and serves the connection in a task of its own: [`Self::ended`] waits for it.
    ///
    /// Until the handshake the connection is the HTTP server's, which has to bound it: `axum::serve` waits for the head
    /// of a request without end. [`Self::listen_websocket`] does not.
    pub fn upgrade_websocket(&self, handshake: WebSocketUpgrade, peer: SocketAddr) -> Response {
        let WebSocketUpgrade { response, upgrade } = handshake;
        let broker = self.clone();
        let serve = async move { broker.serve_upgraded(upgrade, peer).await };
        self.shared.upgraded.spawn(serve);
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
    pub fn serve_websocket<S>(
        &self,
        stream: S,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send + use<S, G, H>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let socket = Socket::new(stream, self.shared.publisher.config());
        session::serve(&self.shared, socket, peer)
    }
}
