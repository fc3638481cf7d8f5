//! The broker alone, open to one user: for conformance suites, interoperability and benchmarks.
//!
//! ```text
//! cargo run --release -p broker --example open_broker -- --tcp 127.0.0.1:61613 --ws 127.0.0.1:15674 \
//!   --login guest --passcode guest
//! ```
//!
//! STOMP over TCP, and over WebSocket at `/ws`. Any `host` is accepted. No `login` means the default user; a wrong one
//! is refused. Whoever is let in may do everything; what is sent to `/app/**` is taken in and forgotten.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use broker::{
    Action, Admission, Broker, BrokerConfig, Denied, Guard, Handler, Publisher, Refusal,
    SessionInfo,
};
use clap::Parser;
use stomp::heartbeat::HeartBeat;
use stomp::{Frame, ProtocolError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A STOMP broker that is open to one user.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen for STOMP over TCP; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:61613")]
    tcp: SocketAddr,
    /// Where to listen for STOMP over WebSocket (path /ws); port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:15674")]
    ws: SocketAddr,
    /// The one user.
    #[arg(long, default_value = "guest")]
    login: String,
    /// The user's password.
    #[arg(long, default_value = "guest")]
    passcode: String,
    /// What CONNECTED promises and wishes, in milliseconds, as the header has it.
    #[arg(long, default_value = "10000,10000", value_parser = heart_beat)]
    heart_beat: HeartBeat,
}

fn heart_beat(text: &str) -> Result<HeartBeat, ProtocolError> {
    HeartBeat::parse(Some(text))
}

struct OneUser {
    login: String,
    passcode: String,
}

impl Guard for OneUser {
    type Principal = ();

    async fn authenticate(
        &self,
        frame: &Frame,
        _peer: SocketAddr,
    ) -> Result<Admission<()>, Denied> {
        let login = frame.header("login").unwrap_or_default();
        let passcode = frame.header("passcode").unwrap_or_default();
        let anonymous = login.is_empty() && passcode.is_empty();
        if !anonymous && (login != self.login || passcode != self.passcode) {
            return Err(Denied::unauthenticated("wrong login or passcode"));
        }
        Ok(Admission {
            principal: (),
            subject: self.login.clone(),
            expires_at: None,
        })
    }

    fn authorize(&self, (): &(), _: Action, _: &str) -> Result<(), Denied> {
        Ok(())
    }
}

struct NoApplication;

impl Handler<()> for NoApplication {
    async fn handle(&self, session: &SessionInfo<()>, frame: &Frame) -> Result<(), Refusal> {
        let destination = frame.header("destination");
        tracing::debug!(session = %session.id, destination, bytes = frame.body.len(), "taken in");
        Ok(())
    }

    fn ended(&self, session: &SessionInfo<()>) {
        tracing::debug!(session = %session.id, "ended");
    }
}

type OpenBroker = Broker<OneUser, NoApplication>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let bind = async |address: SocketAddr| {
        TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}"))
    };
    let (tcp, ws) = (bind(arguments.tcp).await?, bind(arguments.ws).await?);
    announce(&tcp, &ws)?;

    let shutdown = CancellationToken::new();
    let guard = OneUser {
        login: arguments.login,
        passcode: arguments.passcode,
    };
    let mut config = BrokerConfig::default();
    config.stomp.heart_beat_send = arguments.heart_beat.send;
    config.stomp.heart_beat_receive = arguments.heart_beat.receive;
    let publisher = Publisher::new(config);
    let broker = OpenBroker::new(publisher, guard, NoApplication, shutdown.clone());
    let app = Router::new()
        .route("/ws", any(upgrade))
        .with_state(broker.clone())
        .into_make_service_with_connect_info::<SocketAddr>();
    let stop = shutdown.clone();
    let serve = axum::serve(ws, app).with_graceful_shutdown(async move { stop.cancelled().await });
    let interrupted = async {
        let result = tokio::signal::ctrl_c().await;
        shutdown.cancel();
        result
    };
    let ((), served, interrupted) =
        tokio::join!(broker.listen_tcp(tcp), serve.into_future(), interrupted);
    served.context("serving WebSocket")?;
    interrupted.context("waiting for Ctrl-C")
}

async fn upgrade(
    State(broker): State<OpenBroker>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: WebSocketUpgrade,
) -> Response {
    broker.upgrade_websocket(upgrade, peer)
}

#[expect(
    clippy::print_stdout,
    reason = "the one place where the example talks to whoever started it"
)]
fn announce(tcp: &TcpListener, ws: &TcpListener) -> std::io::Result<()> {
    println!("STOMP over TCP        {}", tcp.local_addr()?);
    println!("STOMP over WebSocket  ws://{}/ws", ws.local_addr()?);
    Ok(())
}
