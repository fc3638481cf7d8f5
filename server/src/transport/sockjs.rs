//! STOMP over SockJS, for browsers without WebSocket and pages behind proxies: one message out is one frame; in, anything
//! goes, as with WebSocket.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::sockjs::{Config, Connection, Incoming, Origins, OwnedBy, SockJs};
use axum::extract::Request;
use broker::{BrokerConfig, Transport, WireFrame};
use bytes::Bytes;

use crate::http::Broker;
use crate::listener::asker::Asker;

/// Each character of a frame may take two in JSON (a line's end is one of them); more is for bodies that nobody sends.
const JSON_PER_BYTE: usize = 2;

/// What SockJS says when a session ends.
const CLOSE: (u16, &str) = (3000, "The session is over; ERROR said why");

/// What the settings of the server decide.
pub(crate) struct Settings {
    /// Pages of which other origins may connect.
    pub(crate) origins: Origins,
    /// The cookie that a login has: a session that began with it belongs to it.
    pub(crate) login_cookie: &'static str,
    /// Where the pages' own `sockjs-client` is.
    pub(crate) client_url: String,
}

/// The service, to be nested at its path.
pub(crate) fn service(broker: Broker, settings: Settings) -> SockJs {
    let config = config(broker.publisher().config(), settings);
    SockJs::new(config, move |connection, opening| {
        let asker = opening.extensions.get::<Asker>();
        let peer = asker.map_or_else(|| connection.peer().into(), |asker| asker.0.clone());
        broker.serve(OverSockJs(connection), peer)
    })
}

/// A session that began on a connection with a certificate takes frames and polls from its holder only: who it is stands in
/// URLs, which others may read.
pub(crate) async fn owned(mut request: Request) -> Request {
    let asker = request.extensions().get::<Asker>();
    let certificate = asker.and_then(|asker| asker.0.certificate.as_ref());
    let owner = certificate.map(|certificate| OwnedBy(Arc::clone(&certificate.name)));
    if let Some(owner) = owner {
        request.extensions_mut().insert(owner);
    }
    request
}

/// The broker's bounds, as far as they concern what carries its sessions.
fn config(broker: &BrokerConfig, settings: Settings) -> Config {
    let limits = &broker.stomp.limits;
    Config {
        message_bytes: (limits.head_bytes + limits.body_bytes) * JSON_PER_BYTE,
        stranger_bytes: Some(broker.unauthenticated_bytes),
        ping_interval: broker.ping_interval,
        ping_timeout: broker.ping_timeout,
        // Those that are over and remembered for a few seconds need a place as well.
        sessions: 2 * (broker.sessions + broker.unauthenticated),
        sessions_per_address: 2
            * (broker.sessions_per_address + broker.unauthenticated_per_address),
        trusted_proxies: broker.proxies.clone(),
        owner_cookie: Some(settings.login_cookie.to_owned()),
        origins: settings.origins,
        client_url: Some(settings.client_url),
        ..Config::default()
    }
}

struct OverSockJs(Connection);

impl Transport for OverSockJs {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.0.poll_read(context).map_ok(|incoming| {
            incoming.map(|incoming| match incoming {
                Incoming::Message(bytes) => bytes,
                Incoming::Alive => Bytes::new(),
            })
        })
    }

    fn let_in(&mut self) {
        self.0.let_in();
    }

    fn push(&mut self, frame: WireFrame) {
        self.0.push(&frame.into_text());
    }

    fn backlog(&self) -> usize {
        self.0.backlog()
    }

    fn progress(&self) -> u64 {
        self.0.progress()
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(context)
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(context, CLOSE.0, CLOSE.1)
    }
}
