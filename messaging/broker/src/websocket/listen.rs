//! WebSocket on a listener of its own: no HTTP server around it, and nothing but the handshake is answered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use websocket::WebSocketUpgrade;

use super::SUBPROTOCOLS;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::listen;
use crate::server::Broker;
use crate::tcp;

/// Bytes of a request's head. 16 KiB: a handshake has a tenth of that; a browser adds the cookies of the whole site.
const HEAD_BYTES: usize = 16 * 1024;

impl<G: Guard, H: Handler<G::Principal>> Broker<G, H> {
    /// Accepts WebSocket connections at `path` and serves them until the broker's shutdown, then waits for their end.
    ///
    /// Who has not finished the handshake is a stranger already, and has as long for it as for CONNECT. (A handshake
    /// that comes through an HTTP server of the application, see [`Self::upgrade_websocket`], is bounded by that.)
    pub async fn listen_websocket(&self, listener: TcpListener, path: &str) {
        let path: Arc<str> = path.into();
        listen::accept(&listener, &self.shared.shutdown, |stream, peer| {
            let (broker, path) = (self.clone(), Arc::clone(&path));
            async move {
                // Boxed, so that what the HTTP server needs is given back after the handshake.
                let shaken = Box::pin(broker.shake_hands(stream, peer, path)).await;
                if let Some(upgrade) = shaken {
                    broker.serve_upgraded(upgrade, peer.into()).await;
                }
            }
        })
        .await;
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        path: Arc<str>,
    ) -> Option<OnUpgrade> {
        let config = self.shared.publisher.config();
        tcp::set_up(&stream, config.keep_alive);
        let upgrade = Arc::new(Mutex::new(None));
        let found = Arc::clone(&upgrade);
        let service = service_fn(move |request: Request<Incoming>| {
            let (path, found) = (Arc::clone(&path), Arc::clone(&found));
            async move {
                let (response, upgrade) = answer(request, &path);
                *found.lock().expect("nothing panics while it is held") = upgrade;
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.stomp.connect_timeout)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        if let Err(error) = self.while_stranger(peer.ip(), connection).await? {
            tracing::debug!(%peer, %error, "a handshake was not finished");
        }
        upgrade
            .lock()
            .expect("nothing panics while it is held")
            .take()
    }
}

fn answer(request: Request<Incoming>, path: &str) -> (Response, Option<OnUpgrade>) {
    if request.uri().path() != path {
        let message = format!("there is nothing here: the WebSocket is at {path}\n");
        let mut response = Response::new(Body::from(message));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return (response, None);
    }
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_parts(&mut parts) {
        Ok(handshake) => {
            let (response, upgrade) = handshake.offer(&SUBPROTOCOLS).accept();
            (response, Some(upgrade))
        }
        Err(response) => (*response, None),
    }
}
