//! The load of SockJS sessions against a server that knows just what the load uses of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, post};
use axum::{Json, Router};
use bench::report::{Report, Wrong};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// What is made of a message.
type Made = fn(&str) -> Vec<String>;

type Sender = mpsc::Sender<String>;
type Receiver = Arc<Mutex<mpsc::Receiver<String>>>;

#[derive(Clone)]
struct Echo {
    made: Made,
    sessions: Arc<Mutex<HashMap<String, (Sender, Receiver)>>>,
}

async fn xhr(State(echo): State<Echo>, Path((_, id)): Path<(String, String)>) -> String {
    let mut sessions = echo.sessions.lock().await;
    let Some((_, receiver)) = sessions.get(&id) else {
        let (sender, receiver) = mpsc::channel(64);
        sessions.insert(id, (sender, Arc::new(Mutex::new(receiver))));
        return "o\n".to_owned();
    };
    let receiver = Arc::clone(receiver);
    drop(sessions);
    let text = receiver.lock().await.recv().await.unwrap();
    format!("a[\"{text}\"]\n")
}

async fn xhr_send(
    State(echo): State<Echo>,
    Path((_, id)): Path<(String, String)>,
    body: String,
) -> StatusCode {
    let Json(texts) = Json::<Vec<String>>::from_bytes(body.as_bytes()).unwrap();
    let sender = echo.sessions.lock().await[&id].0.clone();
    for text in texts.iter().flat_map(|text| (echo.made)(text)) {
        sender.send(text).await.unwrap();
    }
    StatusCode::NO_CONTENT
}

async fn raw(State(echo): State<Echo>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        while let Some(Ok(Message::Text(text))) = socket.recv().await {
            for text in (echo.made)(&text) {
                if socket.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
        }
    })
}

/// Serves, and plays a load against it.
async fn load(made: Made, arguments: &'static [&str]) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let echo = Echo {
        made,
        sessions: Arc::default(),
    };
    let app = Router::new()
        .route("/echo/{server}/{session}/xhr", post(xhr))
        .route("/echo/{server}/{session}/xhr_send", post(xhr_send))
        .route("/echo/websocket", any(raw))
        .with_state(echo);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let output = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_load_sockjs"))
            .args(["--server", &address.to_string(), "--sessions", "10"])
            .args(arguments)
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    server.abort();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

const POLL: &[&str] = &[
    "poll",
    "--every",
    "20",
    "--warm-up",
    "0",
    "--measured",
    "200",
];
const IDLE: &[&str] = &["idle", "--framing", "raw"];

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_once_is_right() {
    for arguments in [POLL, IDLE] {
        let report = load(|text| vec![text.to_owned()], arguments).await;
        assert_eq!((report.connected, report.refused), (10, 0), "{report:?}");
        assert!(report.sent >= 10 && report.is_right(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_twice_is_noticed() {
    for arguments in [POLL, IDLE] {
        let report = load(|text| vec![text.to_owned(); 2], arguments).await;
        assert!(report.faults.doubled > 0, "{report:?}");
        assert!(!report.is_right(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_changed_is_noticed() {
    for arguments in [POLL, IDLE] {
        let report = load(|text| vec![text.to_uppercase(), text.to_owned()], arguments).await;
        let wrong = Wrong {
            corrupt: report.sent,
            ..Wrong::default()
        };
        assert_eq!(report.faults, wrong, "{report:?}");
        assert_eq!(report.missing, 0, "{report:?}");
    }
}
