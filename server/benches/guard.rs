//! What the guard costs: `make bench-guard`. Each figure stands beside that of the same broker whose guard lets everybody
//! do everything, measured in turn with it in one run.
//!
//! | | |
//! |---|---|
//! | fan-out | 1,000 subscribers, every message judged when it comes in and for each of them when it goes out |
//! | reconnect | 2,000 connections at once, each with a token of its own that the server knows |
//! | restart | likewise, to a server that has just started: every signature is verified |
//! | revocation | a token is called back while 1,000 subscribers receive: when its session got the last message |
//!
//! Server, database and clients share the machine. A target that is missed ends with 1.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on may panic"
)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench::clients::Plan;
use bench::load::{self, Pace, Run};
use bench::process::raise_descriptor_limit;
use bench::speech::{Door, Speech};
use broker::{
    Action, Admission, Broker, BrokerConfig, Denied, Guard, Handler, Outgoing, Peer, Publisher,
    Refusal, SessionInfo,
};
use stomp::{ClientEvent, Frame};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use crate::harness::TestServer;
use crate::stomp_client::StompClient;

#[path = "../tests/it/agent.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod agent;
#[path = "../tests/it/database.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod database;
#[path = "../tests/it/harness.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod harness;
#[path = "../tests/it/stomp_client.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod stomp_client;
#[path = "../tests/it/swallowing.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod swallowing;

/// Each side is measured so often, in turn with the other; the median counts.
const ROUNDS: usize = 5;

const SUBSCRIBERS: usize = 1000;
const AGENTS: usize = 2000;

/// Clients that subscribe: a server has its bounds for the sessions of one.
const WATCHERS: usize = 20;

/// Clients that agents connect as: a server has its bounds for the tokens of one.
const FLEETS: usize = 40;

/// What may be left of the fan-out, and what a reconnect and a revocation may take at most.
const FAN_OUT_MIN: f64 = 0.9;
const RECONNECT_MAX: f64 = 1.5;
const REVOCATION_MAX: Duration = Duration::from_secs(1);

/// What everybody subscribes to, and what publishers send to: as agents, to the handler.
const TOPIC: &str = "/topic/zones/p1/alarms";
const INPUT: &str = "/app/readings";

/// Lets everybody do everything.
#[derive(Clone)]
struct LetsAll;

impl Guard for LetsAll {
    type Principal = ();

    async fn authenticate(&self, _: &Frame, _: &Peer) -> Result<Admission<()>, Denied> {
        Ok(Admission {
            principal: (),
            subject: "anybody".to_owned(),
            expires_at: None,
            reserved: false,
        })
    }

    fn authorize(&self, (): &(), _: Action, _: &str) -> Result<(), Denied> {
        Ok(())
    }
}

/// Publishes whatever comes in.
struct Publishes(Publisher);

impl<P: Send + Sync + 'static> Handler<P> for Publishes {
    async fn handle(&self, _: &SessionInfo<P>, frame: &Frame) -> Result<(), Refusal> {
        let message = Outgoing::new("application/json", frame.body.clone());
        self.0.publish(TOPIC, message);
        Ok(())
    }

    fn ended(&self, _: &SessionInfo<P>) {}
}

/// Room for everybody of a benchmark, who all come from one address and by few names.
fn config() -> BrokerConfig {
    BrokerConfig {
        sessions_per_subject: AGENTS + SUBSCRIBERS,
        sessions_per_address: AGENTS + SUBSCRIBERS,
        unauthenticated: AGENTS + SUBSCRIBERS,
        unauthenticated_per_address: AGENTS + SUBSCRIBERS,
        ..BrokerConfig::default()
    }
}

/// A broker with this guard, where it is served, and what ends it.
async fn serve<G: Guard>(guard: G) -> (SocketAddr, SocketAddr, CancellationToken) {
    let shutdown = CancellationToken::new();
    let publisher = Publisher::new(config());
    let handler = Publishes(publisher.clone());
    let broker = Broker::new(publisher, guard, handler, shutdown.clone());
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let websocket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = (tcp.local_addr().unwrap(), websocket.local_addr().unwrap());
    let other = broker.clone();
    tokio::spawn(async move { broker.listen_tcp(tcp).await });
    tokio::spawn(async move { other.listen_websocket(websocket, "/ws").await });
    (addresses.0, addresses.1, shutdown)
}

/// Deliveries in a second.
async fn fan_out<G: Guard>(guard: G, watcher: &str, agent: &str) -> f64 {
    let (_, address, shutdown) = serve(guard).await;
    let run = Run {
        plan: Plan {
            address,
            door: Door {
                speech: Speech::Stomp,
                path: "/ws".to_owned(),
                login: String::new(),
                passcode: watcher.to_owned(),
                publisher_passcode: agent.to_owned(),
                subscribe_to: TOPIC.to_owned(),
                send_to: INPUT.to_owned(),
            },
            readers: SUBSCRIBERS,
            stalled: 0,
            publishers: 16,
            body_bytes: 100,
            connects_per_second: 2000,
            threads: 1,
        },
        pace: Pace::Loop,
        warm_up: Duration::from_secs(1),
        measured: Duration::from_secs(4),
        flood: false,
        server: None,
    };
    let report = tokio::task::spawn_blocking(move || load::run(&run));
    let report = report.await.unwrap().unwrap();
    shutdown.cancel();
    assert!(report.is_right(), "{:?}", report.first_error);
    report.rate()
}

/// Seconds from the first connection until the last is let in.
async fn reconnect<G: Guard>(guard: G, tokens: &Arc<Vec<String>>) -> f64 {
    let (address, _, shutdown) = serve(guard).await;
    let ready = Arc::new(Barrier::new(tokens.len() + 1));
    let agents: Vec<_> = (0..tokens.len())
        .map(|number| {
            let (ready, tokens) = (Arc::clone(&ready), Arc::clone(tokens));
            tokio::spawn(async move {
                ready.wait().await;
                StompClient::connect(address, &tokens[number]).await
            })
        })
        .collect();
    ready.wait().await;
    let began = Instant::now();
    let mut connected = Vec::new();
    for agent in agents {
        connected.push(agent.await.unwrap());
    }
    let took = began.elapsed().as_secs_f64();
    shutdown.cancel();
    took
}

/// How long after a token was called back its session got its last message, and its ERROR.
async fn revocation(server: &TestServer) -> (Duration, Duration) {
    let mut agent = server.agent().await;
    let mut others = Vec::new();
    for watcher in 0..WATCHERS {
        let token = server.token(&format!("watcher-{watcher}")).await;
        for _ in 0..SUBSCRIBERS / WATCHERS {
            let mut stomp = StompClient::connect(server.stomp_address(), &token).await;
            stomp.subscribe("/topic/devices/gate-1").await;
            others.push(stomp);
        }
    }
    let token = server.token("program").await;
    let mut stomp = StompClient::connect(server.stomp_address(), &token).await;
    stomp.subscribe("/topic/devices/gate-1").await;
    let publishing = tokio::spawn(async move {
        for round in 0_u32.. {
            agent
                .gate_is(if round % 2 == 0 { "open" } else { "closed" })
                .await;
        }
    });
    let reading = others.into_iter().map(|mut stomp| {
        tokio::spawn(async move {
            loop {
                stomp.message().await;
            }
        })
    });
    let reading: Vec<_> = reading.collect();
    for _ in 0..3 {
        stomp.message().await;
    }
    let began = Instant::now();
    let form = [
        ("token", token.as_str()),
        ("client_id", "program"),
        ("client_secret", harness::PASSWORD),
    ];
    let revoke = reqwest::Client::new()
        .post(server.url("/oauth/revoke"))
        .form(&form)
        .send();
    let revoke = tokio::spawn(revoke);
    let mut last = began;
    let ended = loop {
        match stomp.next().await {
            ClientEvent::Message(_) => last = Instant::now(),
            ClientEvent::Error(frame) => {
                assert_eq!(frame.header("code"), Some("token-revoked"));
                break Instant::now();
            }
            other => panic!("{other:?} instead of an ERROR"),
        }
    };
    assert_eq!(revoke.await.unwrap().unwrap().status(), 200);
    publishing.abort();
    for reader in reading {
        reader.abort();
    }
    (last - began, ended - began)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Everybody of the tests, and those who watch.
fn access() -> String {
    let watcher = |number| {
        format!(
            "[[client]]\nid = \"watcher-{number}\"\nroles = [\"program\", \"operator\"]\nzones = [\"*\"]\nsecret_env = \"SECRET\"\n"
        )
    };
    let fleet = |number| {
        format!(
            "[[client]]\nid = \"fleet-{number}\"\nroles = [\"agent\"]\nzones = [\"*\"]\nsecret_env = \"SECRET\"\n"
        )
    };
    let watchers: String = (0..WATCHERS).map(watcher).collect();
    harness::access() + &watchers + &(0..FLEETS).map(fleet).collect::<String>()
}

#[expect(clippy::print_stdout, reason = "what the program is for")]
fn tell(what: &str, figures: &str, target: &str, met: bool) -> bool {
    let word = if met { "met" } else { "MISSED" };
    println!("{what:<12} {figures:<96} target {target}: {word}");
    met
}

async fn fan_outs(server: &TestServer) -> bool {
    let guard = || server.running().guard();
    let (watcher, agent) = (server.token("program").await, server.token("agent-1").await);
    let (mut guarded, mut open) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        open.push(fan_out(LetsAll, &watcher, &agent).await);
        guarded.push(fan_out(guard(), &watcher, &agent).await);
    }
    let (guarded, open) = (median(guarded), median(open));
    tell(
        "fan-out",
        &format!(
            "{:.2} of what an allow-all guard leaves ({guarded:.0} against {open:.0} deliveries/s)",
            guarded / open
        ),
        &format!("at least {FAN_OUT_MIN}"),
        guarded / open >= FAN_OUT_MIN,
    )
}

async fn reconnects(server: &mut TestServer) -> bool {
    let mut tokens = Vec::new();
    for number in 0..AGENTS {
        let fleet = number % FLEETS;
        tokens.push(server.token(&format!("fleet-{fleet}")).await);
    }
    let tokens = Arc::new(tokens);
    let (mut known, mut unknown, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        open.push(reconnect(LetsAll, &tokens).await);
        server.restart().await;
        unknown.push(reconnect(server.running().guard(), &tokens).await);
        known.push(reconnect(server.running().guard(), &tokens).await);
    }
    let open = median(open);
    let told = |what, guarded: f64| {
        tell(
            what,
            &format!(
                "{:.2} times as long as with an allow-all guard ({guarded:.2} against {open:.2} s, {AGENTS} agents)",
                guarded / open
            ),
            &format!("at most {RECONNECT_MAX}"),
            guarded / open <= RECONNECT_MAX,
        )
    };
    let (known, unknown) = (
        told("reconnect", median(known)),
        told("restart", median(unknown)),
    );
    known && unknown
}

async fn revocations(server: &TestServer) -> bool {
    let mut worst = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let (last, ended) = revocation(server).await;
        worst = (worst.0.max(last), worst.1.max(ended));
    }
    tell(
        "revocation",
        &format!(
            "last delivery {} ms, ERROR {} ms after the request, the slowest of {ROUNDS}",
            worst.0.as_millis(),
            worst.1.as_millis()
        ),
        &format!("at most {} ms", REVOCATION_MAX.as_millis()),
        worst.0 <= REVOCATION_MAX,
    )
}

#[tokio::main]
async fn main() -> ExitCode {
    let sockets = raise_descriptor_limit();
    assert!(
        sockets > 8192,
        "{sockets} descriptors are too few: raise `ulimit -n`"
    );
    let mut server = TestServer::start_with("", &[("access.toml", &access())]).await;
    let met = [
        fan_outs(&server).await,
        reconnects(&mut server).await,
        revocations(&server).await,
    ];
    server.stop().await;
    if met.contains(&false) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
