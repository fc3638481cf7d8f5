//! Lines and devices for driver tests, and a small server for the whole agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Form, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use broker::{
    Action, Admission, Broker, BrokerConfig, Denied, Guard, Handler, Outgoing, Peer, Publisher,
    Refusal, SessionInfo, WebSocketUpgrade, token_of,
};
use contract::command::{Command, CommandResult};
use contract::event::{Event, Events, Happening};
use contract::heartbeat::Heartbeat;
use contract::inventory::Inventory;
use contract::reading::{Reading, Readings};
use contract::{CommandId, Destination, Value};
use device_agents::driver::{Driver, Target};
use device_agents::profile::{self, Profile};
use device_agents::site::{Device, Line, LineAddress};
use serde::Deserialize;
use stomp::Frame;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) fn profiles_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")
}

/// A shipped profile, with texts replaced.
pub(crate) fn profile(file: &str, replacements: &[(&str, &str)]) -> Arc<Profile> {
    let mut text = std::fs::read_to_string(profiles_dir().join(file)).unwrap();
    for (from, to) in replacements {
        assert!(text.contains(from), "{file} has no {from:?}");
        text = text.replace(from, to);
    }
    Arc::new(profile::parse(Path::new(file), &text).unwrap())
}

/// One device alone on its line, and its driver.
pub(crate) struct Bench {
    pub(crate) driver: Driver,
    pub(crate) device: Device,
}

impl Bench {
    pub(crate) fn new(address: LineAddress, profile: Arc<Profile>) -> Self {
        let device = Device {
            id: "d".parse().unwrap(),
            name: profile.name.clone(),
            profile,
            unit_id: 1,
            zone: "p1".parse().unwrap(),
            lane: None,
        };
        let line = Line {
            id: "l".parse().unwrap(),
            address,
            devices: vec![device.clone()],
        };
        Self {
            driver: Driver::new(&line),
            device,
        }
    }

    pub(crate) fn parts(&mut self) -> (&mut Driver, Target<'_>) {
        let target = Target {
            device: &self.device.id,
            unit_id: self.device.unit_id,
            profile: &self.device.profile,
        };
        (&mut self.driver, target)
    }
}

/// A deadline that no test comes near.
pub(crate) fn in_time() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Waits for what tasks do in their own time; the deadline is only there to end a failing test.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the agent has told.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    pub(crate) inventories: Vec<Inventory>,
    pub(crate) heartbeats: Vec<Heartbeat>,
    pub(crate) events: Vec<Event>,
    pub(crate) readings: Vec<Readings>,
    pub(crate) results: Vec<CommandResult>,
    /// Destinations in the order in which they came.
    pub(crate) order: Vec<String>,
}

impl Told {
    /// An event may come again, and is then the same.
    fn take_event(&mut self, event: Event) {
        let known = self
            .events
            .iter()
            .find(|known| known.sequence == event.sequence);
        match known {
            Some(known) => assert_eq!(*known, event),
            None => self.events.push(event),
        }
    }

    pub(crate) fn reading(&self, device: &str, point: &str) -> Option<Reading> {
        self.readings
            .iter()
            .flat_map(|report| &report.devices)
            .filter(|news| news.device.as_str() == device)
            .flat_map(|news| &news.readings)
            .rfind(|reading| reading.point.as_str() == point)
            .cloned()
    }

    pub(crate) fn text(&self, device: &str, point: &str) -> Option<String> {
        match self.reading(device, point)?.value? {
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Number(_) => None,
        }
    }

    /// `+CODE` raised, `-CODE` cleared, oldest first.
    pub(crate) fn faults(&self, device: &str) -> Vec<String> {
        self.events
            .iter()
            .filter(|event| event.device.as_str() == device)
            .map(|event| match &event.happening {
                Happening::FaultRaised { fault, .. } => format!("+{fault}"),
                Happening::FaultCleared { fault } => format!("-{fault}"),
            })
            .collect()
    }

    pub(crate) fn states(&self, command: CommandId) -> Vec<&'static str> {
        self.results
            .iter()
            .filter(|result| result.command == command)
            .map(|result| result.state.as_str())
            .collect()
    }
}

struct OneAgent {
    tokens: Arc<AtomicU32>,
    connects: Arc<Mutex<Vec<String>>>,
}

impl Guard for OneAgent {
    type Principal = ();

    async fn authenticate(&self, frame: &Frame, _: &Peer) -> Result<Admission<()>, Denied> {
        let token = token_of(frame).unwrap_or_default().to_owned();
        let newest = self.tokens.load(Ordering::SeqCst);
        self.connects.lock().unwrap().push(token.clone());
        if token != format!("token-{newest}") {
            return Err(Denied::unauthenticated("an old token"));
        }
        Ok(Admission {
            principal: (),
            subject: "agent-p1".to_owned(),
            expires_at: None,
            reserved: true,
        })
    }

    fn authorize(&self, (): &(), _: Action, _: &str) -> Result<(), Denied> {
        Ok(())
    }
}

struct Listener {
    told: watch::Sender<Told>,
    unavailable: Arc<Mutex<bool>>,
}

impl Handler<()> for Listener {
    async fn handle(&self, _: &SessionInfo<()>, frame: &Frame) -> Result<(), Refusal> {
        if *self.unavailable.lock().unwrap() {
            return Err(Refusal::Unavailable);
        }
        let destination: Destination = frame.header("destination").unwrap().parse().unwrap();
        let body = &frame.body[..];
        self.told.send_modify(|told| {
            told.order.push(destination.to_string());
            match &destination {
                Destination::Inventory => told.inventories.push(json(body)),
                Destination::Heartbeats => told.heartbeats.push(json(body)),
                Destination::Events => {
                    for event in json::<Events>(body).events {
                        told.take_event(event);
                    }
                }
                Destination::Readings => told.readings.push(json(body)),
                Destination::CommandResults => told.results.push(json(body)),
                other => panic!("an agent does not send to {other}"),
            }
        });
        Ok(())
    }

    fn ended(&self, _: &SessionInfo<()>) {}
}

fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> T {
    serde_json::from_slice(body).unwrap()
}

#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    client_id: String,
    client_secret: String,
}

type TestBroker = Broker<OneAgent, Listener>;

#[derive(Clone)]
struct Doors {
    broker: TestBroker,
    tokens: Arc<AtomicU32>,
    token_life: u64,
    /// How many requests for a token are still to be refused.
    refusals: Arc<AtomicU32>,
}

async fn token(
    State(doors): State<Doors>,
    Form(request): Form<TokenRequest>,
) -> Result<Json<serde_json::Value>, StatusCode> {
    assert_eq!(request.grant_type, "client_credentials");
    if (request.client_id.as_str(), request.client_secret.as_str()) != ("agent-p1", "secret") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let left = doors.refusals.load(Ordering::SeqCst);
    if left > 0 {
        doors.refusals.store(left - 1, Ordering::SeqCst);
        return Err(StatusCode::UNAUTHORIZED);
    }
    let number = doors.tokens.fetch_add(1, Ordering::SeqCst) + 1;
    Ok(Json(serde_json::json!({
        "access_token": format!("token-{number}"),
        "token_type": "Bearer",
        "expires_in": doors.token_life,
    })))
}

async fn websocket(
    State(doors): State<Doors>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: WebSocketUpgrade,
) -> Response {
    doors.broker.upgrade_websocket(upgrade, peer.into())
}

/// A server that believes everything it is told.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) told: watch::Receiver<Told>,
    pub(crate) connects: Arc<Mutex<Vec<String>>>,
    pub(crate) unavailable: Arc<Mutex<bool>>,
    pub(crate) refusals: Arc<AtomicU32>,
    publisher: Publisher,
    stop: CancellationToken,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, watched) = watch::channel(Told::default());
        let tokens = Arc::new(AtomicU32::new(0));
        let connects = Arc::default();
        let unavailable = Arc::default();
        let refusals = Arc::default();
        let stop = CancellationToken::new();
        let publisher = Publisher::new(BrokerConfig::default());
        let guard = OneAgent {
            tokens: Arc::clone(&tokens),
            connects: Arc::clone(&connects),
        };
        let handler = Listener {
            told,
            unavailable: Arc::clone(&unavailable),
        };
        let doors = Doors {
            broker: Broker::new(publisher.clone(), guard, handler, stop.clone()),
            tokens,
            token_life: 3600,
            refusals: Arc::clone(&refusals),
        };
        let router = Router::new()
            .route("/oauth/token", post(token))
            .route("/ws", get(websocket))
            .with_state(doors)
            .into_make_service_with_connect_info::<SocketAddr>();
        let stopped = stop.clone();
        tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stopped.cancelled_owned())
                .await
                .unwrap();
        });
        Self {
            address,
            told: watched,
            connects,
            unavailable,
            refusals,
            publisher,
            stop,
        }
    }

    /// Waits until what was told satisfies `probe`.
    pub(crate) async fn until<T>(&self, what: &str, probe: impl Fn(&Told) -> Option<T>) -> T {
        let mut told = self.told.clone();
        let search = async {
            loop {
                if let Some(found) = probe(&told.borrow_and_update()) {
                    return found;
                }
                told.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), search).await {
            Ok(found) => found,
            Err(_elapsed) => {
                let told = self.told.borrow();
                panic!(
                    "never: {what}\nevents: {:#?}\nresults: {:#?}",
                    told.events, told.results
                );
            }
        }
    }

    /// Ends every session of the agent, which connects again.
    pub(crate) fn hang_up(&self) {
        let reason = Denied::new("test", "for a test");
        assert_eq!(self.publisher.end_sessions_of("agent-p1", &reason), 1);
    }

    pub(crate) fn send(&self, command: &Command) {
        let body = serde_json::to_vec(command).unwrap();
        let sessions = self.publisher.send_to_user(
            "agent-p1",
            &Destination::UserCommands.to_string(),
            Outgoing::json(body),
        );
        assert_eq!(sessions, 1, "the agent listens in one session");
    }

    /// A command for the running instance with `time_to_live` from the newest heart-beat.
    pub(crate) fn command(&self, device: &str, name: &str, time_to_live: Duration) -> Command {
        let told = self.told.borrow();
        let heartbeat = told
            .heartbeats
            .last()
            .expect("the agent has said who it is");
        Command {
            id: CommandId(Uuid::new_v4()),
            device: device.parse().unwrap(),
            name: name.to_owned(),
            params: BTreeMap::new(),
            issued_at: chrono::Utc::now(),
            instance: heartbeat.instance,
            deadline_monotonic_ms: heartbeat.monotonic_ms
                + u64::try_from(time_to_live.as_millis()).unwrap(),
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
