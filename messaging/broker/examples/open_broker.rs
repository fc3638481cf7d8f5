//! The broker alone, open to one user: for conformance suites, interoperability and benchmarks.
//!
//! ```text
//! cargo run --release -p broker --example open_broker -- --tcp 127.0.0.1:61613 --ws 127.0.0.1:15674 \
//!   --login guest --passcode guest
//! ```
//!
//! STOMP over TCP, and over WebSocket at `/ws`. Any `host` is accepted. No `login` means the default user; a wrong one
//! is refused. Whoever is let in may do everything, unless `--rules` asks for some that hardly anything is under.
//!
//! There is no application behind it: a SEND to `/app/**` gets no RECEIPT, and `/user/queue/errors` says
//! `no-application`. Since all clients of a benchmark are one user at one address, one of them may have all sessions.

use std::net::SocketAddr;

use anyhow::Context as _;
use broker::destination::covers;
use broker::{
    Action, Admission, Broker, BrokerConfig, Denied, Guard, Handler, Peer, Publisher, Refusal,
    SessionInfo,
};
use clap::Parser;
use stomp::heartbeat::HeartBeat;
use stomp::{Frame, ProtocolError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The longest body that may be asked for: 17 MiB.
const BODY_MAX: u32 = 17 * 1024 * 1024;

/// A STOMP broker that is open to one user. It listens on loopback unless told otherwise, and ends with Ctrl-C.
#[derive(Debug, Parser)]
struct Arguments {
    /// Listen here for STOMP over TCP; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:61613")]
    tcp: SocketAddr,
    /// Listen here for STOMP over WebSocket (path /ws); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:15674")]
    ws: SocketAddr,
    /// The one user; who says no login is this user, too
    #[arg(long, value_name = "NAME", default_value = "guest")]
    login: String,
    /// The user's password
    #[arg(long, value_name = "PASSWORD", default_value = "guest")]
    passcode: String,
    /// The longest body that is taken, up to 17 MiB; bounds on what waits grow with it
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(BODY_MAX)))]
    max_body: u32,
    /// How many sessions may be open, and connections wait to be let in, whoever and wherever they are
    #[arg(long, value_name = "NUMBER", default_value_t = 16_384,
        value_parser = clap::value_parser!(u32).range(1..))]
    max_sessions: u32,
    /// The guard looks through so many patterns before it allows anything: to measure what a long policy costs
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u16))]
    rules: u16,
    /// What CONNECTED promises and wishes, in milliseconds, as the header has it
    #[arg(long, value_name = "SEND,RECEIVE", default_value = "10000,10000", value_parser = heart_beat)]
    heart_beat: HeartBeat,
}

fn heart_beat(text: &str) -> Result<HeartBeat, ProtocolError> {
    HeartBeat::parse(Some(text))
}

impl Arguments {
    fn config(&self) -> BrokerConfig {
        let size = |number: u32| usize::try_from(number).expect("32 bits fit");
        let sessions = size(self.max_sessions);
        let mut config = BrokerConfig {
            sessions,
            sessions_reserved: 0,
            sessions_per_subject: sessions,
            sessions_per_address: sessions,
            unauthenticated: sessions,
            unauthenticated_per_address: sessions,
            ..BrokerConfig::default().with_body_bytes(size(self.max_body))
        };
        config.stomp.heart_beat_send = self.heart_beat.send;
        config.stomp.heart_beat_receive = self.heart_beat.receive;
        config
    }
}

struct OneUser {
    login: String,
    passcode: String,
    /// None of them covers anything that is used here.
    rules: Vec<String>,
}

impl Guard for OneUser {
    type Principal = ();

    async fn authenticate(&self, frame: &Frame, _peer: &Peer) -> Result<Admission<()>, Denied> {
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
            reserved: false,
        })
    }

    fn authorize(&self, (): &(), action: Action, destination: &str) -> Result<(), Denied> {
        if self.rules.iter().any(|rule| covers(rule, destination)) {
            let message = format!("{destination} is not for {action:?}");
            return Err(Denied::forbidden(message));
        }
        Ok(())
    }
}

struct NoApplication;

impl Handler<()> for NoApplication {
    async fn handle(&self, session: &SessionInfo<()>, frame: &Frame) -> Result<(), Refusal> {
        let destination = frame.header("destination").unwrap_or_default();
        tracing::info!(session = %session.id, destination, "refused: there is no application");
        let message = format!("{destination} is for an application, and this broker has none");
        Err(Refusal::refused("no-application", message))
    }

    fn ended(&self, session: &SessionInfo<()>) {
        tracing::debug!(session = %session.id, "ended");
    }
}

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
    let publisher = Publisher::new(arguments.config());
    let guard = OneUser {
        login: arguments.login,
        passcode: arguments.passcode,
        rules: (0..arguments.rules)
            .map(|number| format!("/topic/*/{number}/**"))
            .collect(),
    };
    let broker = Broker::new(publisher, guard, NoApplication, shutdown.clone());
    let interrupted = async {
        let result = tokio::signal::ctrl_c().await;
        shutdown.cancel();
        result
    };
    let ((), (), interrupted) = tokio::join!(
        broker.listen_tcp(tcp),
        broker.listen_websocket(ws, "/ws"),
        interrupted
    );
    interrupted.context("waiting for Ctrl-C")
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
