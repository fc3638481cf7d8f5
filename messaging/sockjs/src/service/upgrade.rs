//! Requests that become WebSockets (SockJS protocol 0.3, `websocket` and raw WebSocket). The drafts before RFC 6455
//! (hixie-75, hixie-76) are refused: their handshake let attackers poison caches, which is why browsers gave it up, and
//! the few that speak it have the other transports.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use websocket::WebSocketUpgrade;

use super::{Inner, opening, text_of};
use crate::answer::{TEXT, answer, method_not_allowed};
use crate::asker::Asker;
use crate::connection::{Carrier, Connection, Opening};
use crate::registry::Seat;
use crate::socket::Framed;
use crate::transport::Transport;

impl Inner {
    pub(super) fn upgrade(self: &Arc<Self>, mut parts: Parts, transport: Transport) -> Response {
        if parts.method != Method::GET {
            return method_not_allowed("GET");
        }
        if !names(&parts.headers, &header::UPGRADE, "websocket") {
            return answer(
                StatusCode::BAD_REQUEST,
                TEXT,
                "Can \"Upgrade\" only to \"WebSocket\".",
            );
        }
        if !names(&parts.headers, &header::CONNECTION, "upgrade") {
            return answer(
                StatusCode::BAD_REQUEST,
                TEXT,
                "\"Connection\" must be \"Upgrade\".",
            );
        }
        let asker = self.asker(&parts);
        let seat = match self.registry.admit(&asker) {
            Ok(seat) => seat,
            Err(refusal) => return self.refuse(refusal),
        };
        let handshake = match WebSocketUpgrade::from_parts(&mut parts) {
            Ok(handshake) => handshake,
            Err(response) => return *response,
        };
        let handshake = match transport {
            Transport::RawWebSocket => handshake.offer(&self.config.subprotocols),
            _ => handshake,
        };
        let (response, upgrade) = handshake.accept();
        tokio::spawn(Arc::clone(self).serve_socket(
            upgrade,
            transport,
            asker,
            opening(&parts),
            seat,
        ));
        response
    }

    async fn serve_socket(
        self: Arc<Self>,
        upgrade: OnUpgrade,
        transport: Transport,
        asker: Asker,
        opening: Opening,
        seat: Seat,
    ) {
        let stream = match upgrade.await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(peer = %asker.peer, %error, "a handshake was not finished");
                return;
            }
        };
        let config = websocket::Config {
            stranger_bytes: self
                .config
                .stranger_bytes
                .unwrap_or(self.config.message_bytes),
            message_bytes: self.config.message_bytes,
            ping_interval: self.config.ping_interval,
            ping_timeout: self.config.ping_timeout,
        };
        let mut socket = Framed::new(stream, &config, transport == Transport::WebSocket);
        if self.config.stranger_bytes.is_none() {
            socket.let_in();
        }
        // The socket counts what a stranger sends, pings and framing included.
        let bounds = self.bounds(None);
        let counters = Arc::clone(&self.counters);
        let carrier = Carrier::Socket(Box::new(socket), seat);
        let connection = Connection::new(carrier, transport, asker.peer, bounds, counters);
        let handling = self.handle(connection, opening);
        drop(self);
        handling.await;
    }
}

/// Whether a header lists this word.
fn names(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    text_of(headers, name).is_some_and(|value| {
        value
            .split(',')
            .any(|part| part.trim().eq_ignore_ascii_case(word))
    })
}
