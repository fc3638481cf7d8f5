//! The example, run as its users run it: what it promises to suites and benchmarks.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use futures_util::{SinkExt, StreamExt};
use stomp::{ClientConfig, ClientEvent};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Socket, Way};

/// The longest body that can be asked for.
const LONG: usize = 17 * 1024 * 1024;

struct OpenBroker {
    /// Killed when it is dropped.
    _process: Child,
    tcp: SocketAddr,
    ws: SocketAddr,
}

/// Cargo builds examples along with tests, next to them.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let program = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/open_broker");
    assert!(
        program.exists(),
        "{} is missing: build it with `cargo build -p broker --example open_broker`",
        program.display()
    );
    program
}

impl OpenBroker {
    async fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(program())
            .args(["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = async || {
            let line = lines.next_line().await.unwrap().unwrap();
            let address = line.split_whitespace().last().unwrap().to_owned();
            let address = address.trim_start_matches("ws://").trim_end_matches("/ws");
            address.parse().unwrap()
        };
        let (tcp, ws) = (address().await, address().await);
        Self {
            _process: process,
            tcp,
            ws,
        }
    }

    async fn client(&self, way: Way) -> Client {
        let socket = match way {
            Way::Tcp => Socket::tcp(self.tcp).await,
            Way::Ws => Socket::ws(self.ws).await,
        };
        let mut config = ClientConfig::default();
        config.limits.body_bytes = LONG;
        Client::over(socket, config)
    }

    async fn connect(&self, way: Way) -> Client {
        let mut client = self.client(way).await;
        match client.event().await {
            Some(ClientEvent::Connected { .. }) => client,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_body_that_is_no_text_goes_out_in_a_binary_message() {
    let broker = OpenBroker::start(&[]).await;
    let mut subscriber = broker.connect(Way::Ws).await;
    subscriber.subscribe("/topic/a").await;
    let mut sender = broker.connect(Way::Tcp).await;
    let bytes = vec![0xff, 0, 0xfe];
    sender.session.send(
        "/topic/a",
        "application/octet-stream",
        bytes.clone().into(),
        &[],
    );
    sender
        .session
        .send("/topic/a", "text/plain", "naïve".into(), &[]);
    sender.flush().await;
    let Socket::Ws(socket) = &mut subscriber.socket else {
        panic!("a WebSocket was asked for");
    };
    let Some(Ok(Message::Binary(message))) = socket.next().await else {
        panic!("what is no text comes as bytes");
    };
    assert!(message.strip_suffix(b"\0").unwrap().ends_with(&bytes));
    let Some(Ok(Message::Text(message))) = socket.next().await else {
        panic!("text comes as text");
    };
    assert!(message.ends_with("\n\nnaïve\0"));
}

#[tokio::test]
async fn what_is_for_an_application_is_refused() {
    let broker = OpenBroker::start(&[]).await;
    for way in Way::BOTH {
        let mut client = broker.connect(way).await;
        client.subscribe("/user/queue/errors").await;
        let receipt = client.send("/app/orders", &[]);
        let refusal = client.message().await;
        assert_eq!(refusal.header("code"), Some("no-application"));
        assert_eq!(refusal.header("receipt-id"), Some(&*receipt.to_string()));
        assert_eq!(refusal.header("refused-destination"), Some("/app/orders"));
        // There was no receipt, and the session goes on.
        let alive = client.send("/topic/a", &[]);
        client.receipt(alive).await;
    }
}

#[tokio::test]
async fn long_bodies_go_through_when_they_were_asked_for() {
    let broker = OpenBroker::start(&["--max-body", "17825792"]).await;
    let body = bytes::Bytes::from(vec![b'x'; LONG]);
    for (from, to) in [(Way::Tcp, Way::Ws), (Way::Ws, Way::Tcp)] {
        let mut subscriber = broker.connect(to).await;
        subscriber.subscribe("/queue/long").await;
        let mut sender = broker.connect(from).await;
        let sent = sender
            .session
            .send_with_receipt("/queue/long", "text/plain", body.clone(), &[]);
        sender.receipt(sent).await;
        assert!(subscriber.message().await.body == body, "{from:?}");
    }

    let broker = OpenBroker::start(&[]).await;
    let mut client = broker.connect(Way::Ws).await;
    let Socket::Ws(socket) = &mut client.socket else {
        panic!("a WebSocket was asked for");
    };
    let frame = format!("SEND\ndestination:/topic/a\n\n{}\0", "x".repeat(2_000_000));
    socket.send(Message::text(frame)).await.unwrap();
    assert_eq!(client.error_code().await, "malformed-message");
}

#[tokio::test]
async fn one_user_at_one_address_may_have_all_sessions_and_no_more() {
    let broker = OpenBroker::start(&["--max-sessions", "300"]).await;
    let mut clients = Vec::new();
    for _ in 0..150 {
        clients.push(broker.connect(Way::Tcp).await);
        clients.push(broker.connect(Way::Ws).await);
    }
    let mut one_more = broker.client(Way::Tcp).await;
    assert_eq!(one_more.error_code().await, "too-many-sessions");
}

#[tokio::test]
async fn what_cannot_be_is_said_in_one_sentence() {
    for (arguments, expected) in [
        (
            ["--max-body", "17825793"],
            "17825793 is not in 1..=17825792",
        ),
        (["--max-sessions", "0"], "0 is not in 1.."),
    ] {
        let output = Command::new(program())
            .args(arguments)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(said.contains(expected), "{said}");
    }
}
