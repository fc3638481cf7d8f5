//! A broker on port 0, with a guard and a handler that do what the frames say.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use axum::routing::any;
use broker::{
    Action, Admission, Broker, BrokerConfig, Denied, Guard, Handler, Peer, Publisher, Refusal,
    SessionInfo, WebSocketUpgrade, token_of,
};
use stomp::Frame;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Tokens are `{subject}`, `{subject}/{milliseconds to live}` or `{subject}+secret`; the subject `nobody` is refused, those
/// that begin with `agent` are reserved. `certificate` stands for whom a checked client certificate names.
#[derive(Default)]
pub(crate) struct TestGuard {
    /// Tokens that may do nothing any more.
    forbidden: Mutex<HashSet<String>>,
    /// Tokens that are good no more.
    revoked: Mutex<HashSet<String>>,
    /// Who may not be given messages of which destination.
    withheld: Mutex<HashSet<(String, String)>>,
    /// How often it was asked whether a message may be delivered.
    asked_to_deliver: AtomicU64,
}

impl TestGuard {
    pub(crate) fn forbid(&self, token: &str) {
        self.forbidden.lock().unwrap().insert(token.to_owned());
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.revoked.lock().unwrap().insert(token.to_owned());
    }

    pub(crate) fn pardon(&self, token: &str) {
        self.revoked.lock().unwrap().remove(token);
    }

    pub(crate) fn withhold(&self, token: &str, destination: &str) {
        let whose = (token.to_owned(), destination.to_owned());
        self.withheld.lock().unwrap().insert(whose);
    }

    pub(crate) fn withhold_nothing(&self) {
        self.withheld.lock().unwrap().clear();
    }

    pub(crate) fn asked_to_deliver(&self) -> u64 {
        self.asked_to_deliver.load(Ordering::SeqCst)
    }

    pub(crate) fn allow(&self, token: &str) {
        self.forbidden.lock().unwrap().remove(token);
    }
}

impl Guard for TestGuard {
    type Principal = String;

    async fn authenticate(&self, frame: &Frame, peer: &Peer) -> Result<Admission<String>, Denied> {
        let token = token_of(frame).ok_or_else(|| Denied::unauthenticated("no token"))?;
        let (subject, milliseconds) = match token.split_once('/') {
            Some((subject, milliseconds)) => (subject, milliseconds.parse().ok()),
            None => (token, None),
        };
        let subject = match (subject, peer.name()) {
            ("certificate", Some(name)) if peer.is_secured => name,
            _ => subject.trim_end_matches("+secret"),
        };
        if subject == "nobody" {
            return Err(Denied::unauthenticated("nobody is not let in"));
        }
        Ok(Admission {
            principal: token.to_owned(),
            subject: subject.to_owned(),
            expires_at: milliseconds
                .map(|milliseconds| SystemTime::now() + Duration::from_millis(milliseconds)),
            reserved: subject.starts_with("agent"),
        })
    }

    /// What is called secret is for tokens that say so; only `boss` may SEND to topics.
    fn authorize(&self, token: &String, action: Action, destination: &str) -> Result<(), Denied> {
        let secret = destination.contains("secret") && !token.ends_with("+secret");
        let publishes = action == Action::Send && destination.starts_with("/topic/");
        let forbidden = self.forbidden.lock().unwrap().contains(token);
        let mut withheld = false;
        if action == Action::Deliver {
            self.asked_to_deliver.fetch_add(1, Ordering::SeqCst);
            let whose = (token.clone(), destination.to_owned());
            withheld = self.withheld.lock().unwrap().contains(&whose);
        }
        if forbidden || secret || withheld || (publishes && token != "boss") {
            return Err(Denied::forbidden(format!("{destination} is not for you")));
        }
        Ok(())
    }

    fn admitted(&self, token: &String) -> Result<(), Denied> {
        if self.revoked.lock().unwrap().contains(token) {
            return Err(Denied::new("token-revoked", "the token was taken back"));
        }
        Ok(())
    }
}

/// What the handler has seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Frame { subject: String, frame: Frame },
    Ended { subject: String },
}

pub(crate) struct TestHandler {
    seen: mpsc::Sender<Seen>,
    /// `/app/gated` waits for a permit of it.
    pub(crate) gate: Semaphore,
}

impl Handler<String> for TestHandler {
    async fn handle(&self, session: &SessionInfo<String>, frame: &Frame) -> Result<(), Refusal> {
        let seen = Seen::Frame {
            subject: session.subject.clone(),
            frame: frame.clone(),
        };
        match frame.header("destination").unwrap() {
            "/app/refused" => return Err(Refusal::refused("no-such-thing", "there is none")),
            "/app/unavailable" => return Err(Refusal::Unavailable),
            "/app/gated" => self.gate.acquire().await.unwrap().forget(),
            _ => {}
        }
        self.seen.send(seen).await.unwrap();
        Ok(())
    }

    fn ended(&self, session: &SessionInfo<String>) {
        let subject = session.subject.clone();
        self.seen.try_send(Seen::Ended { subject }).unwrap();
    }
}

pub(crate) struct TestBroker {
    pub(crate) broker: Broker<TestGuard, TestHandler>,
    pub(crate) publisher: Publisher,
    pub(crate) tcp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) listening: JoinHandle<()>,
    seen: Mutex<mpsc::Receiver<Seen>>,
}

impl TestBroker {
    pub(crate) async fn start() -> Self {
        Self::with(BrokerConfig::default()).await
    }

    pub(crate) async fn with(config: BrokerConfig) -> Self {
        // More than any test makes happen; a full one fails it.
        let (sender, seen) = mpsc::channel(1000);
        let handler = TestHandler {
            seen: sender,
            gate: Semaphore::new(0),
        };
        let shutdown = CancellationToken::new();
        let publisher = Publisher::new(config);
        let broker = Broker::new(
            publisher.clone(),
            TestGuard::default(),
            handler,
            shutdown.clone(),
        );

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = listener.local_addr().unwrap();
        let accepting = broker.clone();
        let listening = tokio::spawn(async move { accepting.listen_tcp(listener).await });

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/ws", any(upgrade))
            .with_state(broker.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

        Self {
            broker,
            publisher,
            tcp,
            http,
            shutdown,
            listening,
            seen: Mutex::new(seen),
        }
    }

    /// The next thing that the handler sees.
    pub(crate) async fn seen(&self) -> Seen {
        tokio::time::timeout(
            PATIENCE,
            std::future::poll_fn(|context| self.seen.lock().unwrap().poll_recv(context)),
        )
        .await
        .expect("the handler sees something")
        .unwrap()
    }

    pub(crate) fn has_seen_nothing(&self) -> bool {
        self.seen.lock().unwrap().try_recv().is_err()
    }
}

async fn upgrade(
    State(broker): State<Broker<TestGuard, TestHandler>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: WebSocketUpgrade,
) -> Response {
    broker.upgrade_websocket(upgrade, peer.into())
}

/// Waits until `holds`, for what has no event to wait for.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"));
}
