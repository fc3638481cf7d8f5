//! A broker inside another application: a parking board with places that are free, kept as last values, and a question
//! that is answered.
//!
//! ```text
//! cargo run -p broker --example embed
//! cargo run -p stomp --example subscribe -- 127.0.0.1:61613 '/topic/free/**' visitor
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use axum::routing::any;
use broker::destination::{REPLY_TO, covers};
use broker::{
    Action, Admission, Broker, BrokerConfig, Denied, Guard, Handler, Outgoing, Peer, Publisher,
    Refusal, SessionInfo, WebSocketUpgrade, token_of,
};
use stomp::Frame;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Lets in whoever has one of two tokens. A real one checks a signature, and says when the token expires.
struct Porter;

/// Who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visitor {
    Visitor,
    Attendant,
}

impl Guard for Porter {
    type Principal = Visitor;

    async fn authenticate(&self, frame: &Frame, _: &Peer) -> Result<Admission<Visitor>, Denied> {
        let (principal, subject) = match token_of(frame) {
            Some("visitor") => (Visitor::Visitor, "a visitor"),
            Some("attendant") => (Visitor::Attendant, "the attendant"),
            _ => return Err(Denied::unauthenticated("visitor or attendant?")),
        };
        Ok(Admission {
            principal,
            subject: subject.to_owned(),
            expires_at: None,
            reserved: principal == Visitor::Attendant,
        })
    }

    /// Patterns are compared with patterns: who may see `/topic/free/**` may not ask for `/topic/**`.
    fn authorize(&self, who: &Visitor, action: Action, destination: &str) -> Result<(), Denied> {
        let allowed: &[&str] = match (who, action) {
            (_, Action::Subscribe | Action::Deliver) => {
                &["/topic/free/**", "/user/queue/**", "/temp-queue/**"]
            }
            (Visitor::Visitor, Action::Send) => &["/app/where-is-my-car"],
            (Visitor::Attendant, Action::Send) => &["/app/**", "/topic/free/**"],
        };
        if allowed.iter().any(|pattern| covers(pattern, destination)) {
            return Ok(());
        }
        Err(Denied::forbidden(format!(
            "{destination} is not for {who:?}"
        )))
    }
}

/// Answers questions. Its publisher is the broker's own.
struct Board {
    publisher: Publisher,
}

impl Handler<Visitor> for Board {
    async fn handle(&self, _: &SessionInfo<Visitor>, frame: &Frame) -> Result<(), Refusal> {
        if frame.header("destination") != Some("/app/where-is-my-car") {
            return Err(Refusal::refused("no-such-desk", "nobody answers there"));
        }
        let Some(reply_to) = frame.header(REPLY_TO) else {
            return Err(Refusal::refused(
                "no-reply-to",
                "say where to answer: reply-to",
            ));
        };
        self.publisher
            .reply(reply_to, Outgoing::new("text/plain", "on deck 3"));
        Ok(())
    }

    fn ended(&self, _: &SessionInfo<Visitor>) {}
}

type ParkingBroker = Broker<Porter, Board>;

async fn upgrade(
    State(broker): State<ParkingBroker>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    handshake: WebSocketUpgrade,
) -> Response {
    broker.upgrade_websocket(handshake, peer.into())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let publisher = Publisher::new(BrokerConfig::default());
    let shutdown = CancellationToken::new();
    let board = Board {
        publisher: publisher.clone(),
    };
    let broker = Broker::new(publisher.clone(), Porter, board, shutdown.clone());

    let tcp = TcpListener::bind("127.0.0.1:61613").await;
    let tcp = tcp.context("listening on port 61613 for STOMP over TCP")?;
    let http = TcpListener::bind("127.0.0.1:8000").await;
    let http = http.context("listening on port 8000 for HTTP")?;
    let app = Router::new()
        .route("/ws", any(upgrade))
        .with_state(broker.clone())
        .into_make_service_with_connect_info::<SocketAddr>();
    let stop = shutdown.clone();
    let serve = axum::serve(http, app).with_graceful_shutdown(stop.cancelled_owned());

    let count = async {
        for free in (0..=100_u32).rev().cycle() {
            // Whoever comes later sees the last value of each deck first, if it says `x-retained:true`.
            let message = Outgoing::new("text/plain", free.to_string());
            publisher.publish("/topic/free/deck-3", message.with_key("deck-3").retained());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let until_interrupted = async {
        tokio::select! {
            () = count => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        }
    };
    let all = async {
        let (interrupted, ()) = tokio::join!(
            async {
                let result = until_interrupted.await;
                shutdown.cancel();
                result
            },
            broker.listen_tcp(tcp)
        );
        interrupted
    };
    let (served, interrupted) = tokio::join!(serve.into_future(), all);
    // Those that came through axum are told and waited for as well.
    broker.ended().await;
    served.context("serving HTTP")?;
    interrupted.context("waiting for Ctrl-C")
}
