//! The library behind the tests: the four services of the protocol's tests, and applications that show more of it.

use std::future::poll_fn;
use std::task::Poll;

use axum::Router;
use sockjs::{Config, Connection, Opening, Origins, SockJs, StickyCookie, Transport};
use tokio::sync::mpsc;

use crate::harness::Site;

/// Open to everybody, as the protocol's tests want it.
pub(crate) fn open() -> Config {
    Config {
        origins: Origins::Any,
        client_url: Some("/sockjs.js".to_owned()),
        ..Config::default()
    }
}

/// With a limit that tests reach.
pub(crate) fn limited() -> Config {
    Config {
        response_limit: 4096,
        ..open()
    }
}

pub(crate) async fn echo(mut connection: Connection, _: Opening) {
    while let Some(message) = connection.recv().await {
        if connection.send(&message).await.is_err() {
            return;
        }
    }
}

pub(crate) fn four_services() -> Router {
    let without_websocket = limited()
        .without(Transport::WebSocket)
        .without(Transport::RawWebSocket);
    let with_cookie = Config {
        cookie: Some(StickyCookie {
            name: "JSESSIONID".to_owned(),
            value: "dummy".to_owned(),
        }),
        ..limited()
    };
    let go_away = async |connection: Connection, _: Opening| {
        connection.close(3000, "Go away!").await;
    };
    Router::new()
        .nest_service("/echo", SockJs::new(limited(), echo))
        .nest_service(
            "/disabled_websocket_echo",
            SockJs::new(without_websocket, echo),
        )
        .nest_service("/cookie_needed_echo", SockJs::new(with_cookie, echo))
        .nest_service("/close", SockJs::new(limited(), go_away))
}

/// An echo at `/echo` with this configuration.
pub(crate) fn echo_with(config: Config) -> Router {
    Router::new().nest_service("/echo", SockJs::new(config, echo))
}

/// An echo at `/echo` that tells what it sees.
pub(crate) struct Watched {
    pub(crate) site: Site,
    seen: mpsc::Receiver<Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Opened(Transport),
    Message(String),
    Ended,
}

/// More than a test makes before it looks.
const SEEN_MAX: usize = 64;

impl Watched {
    /// Without sockets.
    pub(crate) fn in_memory(config: Config) -> Self {
        let (tell, seen) = mpsc::channel(SEEN_MAX);
        let service = SockJs::new(config, move |mut connection, _| {
            let tell = tell.clone();
            async move {
                tell.send(Seen::Opened(connection.transport()))
                    .await
                    .unwrap();
                while let Some(message) = connection.recv().await {
                    // It goes on whether the client takes it or not.
                    connection.push(&message);
                    poll_fn(|context| Poll::Ready(connection.poll_flush(context).is_ready())).await;
                    tell.send(Seen::Message(message)).await.unwrap();
                }
                tell.send(Seen::Ended).await.unwrap();
            }
        });
        let router = Router::new().nest_service("/echo", service);
        Self {
            site: Site::in_memory(router),
            seen,
        }
    }

    pub(crate) async fn seen(&mut self) -> Seen {
        tokio::time::timeout(crate::harness::PATIENCE, self.seen.recv())
            .await
            .expect("something happens")
            .unwrap()
    }

    /// What was seen and not asked for yet.
    pub(crate) fn seen_by_now(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }
}
