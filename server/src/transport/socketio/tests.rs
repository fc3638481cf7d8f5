//! Socket.IO clients at a broker that lets everybody in: what they carry, and what they cannot do to others.

// The client of the integration tests, which need a database.
#[path = "../../../tests/it/socketio_client.rs"]
mod client;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use broker::{
    Action, Admission, Broker, BrokerConfig, Denied, Guard, Handler, Outgoing, Peer, Publisher,
    Refusal, SessionInfo, token_of,
};
use serde_json::{Value, json};
use sockjs::Origins;
use stomp::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::client::{By, Engine, Said, SocketIo, WAYS};
use super::routes;

struct Everybody;

impl Guard for Everybody {
    type Principal = ();

    async fn authenticate(&self, frame: &Frame, _: &Peer) -> Result<Admission<()>, Denied> {
        let token = token_of(frame).ok_or_else(|| Denied::unauthenticated("no token"))?;
        Ok(Admission {
            principal: (),
            subject: token.to_owned(),
            expires_at: None,
            reserved: false,
        })
    }

    fn authorize(&self, (): &(), _: Action, _: &str) -> Result<(), Denied> {
        Ok(())
    }
}

/// Handles nothing before the test lets it.
struct Gate(Semaphore);

impl Handler<()> for Gate {
    async fn handle(&self, _: &SessionInfo<()>, _: &Frame) -> Result<(), Refusal> {
        self.0
            .acquire()
            .await
            .map(drop)
            .map_err(|_closed| Refusal::Unavailable)
    }

    fn ended(&self, _: &SessionInfo<()>) {}
}

struct Server {
    broker: Broker<Everybody, Gate>,
    address: SocketAddr,
    shutdown: CancellationToken,
}

impl Server {
    async fn start(config: BrokerConfig) -> Self {
        let shutdown = CancellationToken::new();
        let publisher = Publisher::new(config);
        let gate = Gate(Semaphore::new(0));
        let broker = Broker::new(publisher, Everybody, gate, shutdown.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app: Router = routes(broker.clone(), Origins::SAME);
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            broker,
            address,
            shutdown,
        }
    }

    async fn connect(&self, (engine, by): (Engine, By)) -> SocketIo {
        SocketIo::connect(self.address, engine, by, "somebody").await
    }

    async fn open(&self, engine: Engine, by: By) -> SocketIo {
        SocketIo::open(self.address, engine, by, None).await
    }

    fn publish(&self, destination: &str, body: String) {
        let message = Outgoing::new("application/json", body);
        self.broker.publisher().publish(destination, message);
    }

    /// Waits for what happens a moment later.
    async fn until(&self, what: impl Fn(&broker::Statistics) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !what(&self.broker.publisher().statistics()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let statistics = self.broker.publisher().statistics();
        waited.await.unwrap_or_else(|_| panic!("{statistics:?}"));
    }
}

#[tokio::test]
async fn bodies_of_all_kinds_reach_all_kinds_of_clients() {
    let server = Server::start(BrokerConfig::default()).await;
    let mut sender = server.connect((Engine::Four, By::WebSocket)).await;
    for way in WAYS {
        let mut client = server.connect(way).await;
        let all = json!({"destination": "/topic/a", "id": 1});
        client.done("subscribe", all).await;
        for body in [
            json!({"a": [1, 2.5, null, "\u{1f600}\u{2028}\u{1e}\u{0}"]}),
            json!("text: 한"),
            json!(17),
        ] {
            let send = json!({"destination": "/topic/a", "body": body, "headers": {"x-n": 1}});
            sender.done("send", send.clone()).await;
            client.done("send", send).await;
            for _ in 0..2 {
                let (name, message) = client.event().await;
                assert_eq!((&*name, &message["body"]), ("message", &body), "{way:?}");
                assert_eq!(message["subscription"], "1");
                assert_eq!(message["headers"]["x-n"], "1");
            }
        }
        let bytes: Vec<u8> = (0..=255).rev().collect();
        let placeholder = json!({"_placeholder": true, "num": 0});
        let packet = json!(["send", {"destination": "/topic/a", "body": placeholder}]);
        client.text(&format!("51-{packet}")).await;
        client.binary(&bytes).await;
        let (_, message) = client.event().await;
        assert_eq!(message["body"], placeholder, "{way:?}");
        assert_eq!(client.next().await, Said::Binary(bytes), "{way:?}");
    }
}

#[tokio::test]
async fn acknowledgements_and_transactions_are_the_brokers() {
    let server = Server::start(BrokerConfig::default()).await;
    for way in WAYS {
        let mut client = server.connect(way).await;
        let work = json!({"destination": "/queue/a", "id": "q", "ack": "client-individual"});
        client.done("subscribe", work).await;
        client.done("begin", json!({"transaction": 1})).await;
        let held = json!({"destination": "/queue/a", "body": 1, "transaction": 1});
        client.done("send", held).await;
        client.done("commit", json!({"transaction": 1})).await;
        let (_, message) = client.event().await;
        client.done("nack", json!({"id": message["ack"]})).await;
        let (_, again) = client.event().await;
        assert_eq!(again["headers"]["redelivered"], "true", "{way:?}");
        assert_eq!(again["id"], message["id"]);
        client.done("ack", json!({"id": again["ack"]})).await;
        let answer = client.ask("ack", json!({"id": again["ack"]})).await;
        assert_eq!(answer["code"], "unknown-ack");
        // Its own subscription to what handlers refuse is none that anybody could end.
        assert_eq!(server.broker.publisher().statistics().queued, 0);
    }
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_on_the_way_from_polling_to_a_websocket() {
    let server = Server::start(BrokerConfig::default()).await;
    for engine in [Engine::Three, Engine::Four] {
        let mut client = server.connect((engine, By::Polling)).await;
        let all = json!({"destination": "/topic/a"});
        client.done("subscribe", all).await;
        let mut expected = 0..;
        let mut published = 0..;
        for step in 0..6 {
            for number in published.by_ref().take(40) {
                server.publish("/topic/a", number.to_string());
            }
            if step == 3 {
                client.upgrade().await;
            }
            for number in expected.by_ref().take(20 + step * 8) {
                assert_eq!(client.event().await.1["body"], number);
            }
        }
        client
            .done("unsubscribe", json!({"id": "socket.io 1"}))
            .await;
    }
}

#[tokio::test]
async fn strangers_are_few_and_the_oldest_goes() {
    let server = Server::start(BrokerConfig {
        unauthenticated_per_address: 4,
        ..BrokerConfig::default()
    })
    .await;
    for by in [By::Polling, By::WebSocket] {
        let mut first = server.open(Engine::Four, by).await;
        let mut others = Vec::new();
        for _ in 0..12 {
            others.push(server.open(Engine::Four, By::Polling).await);
        }
        assert_eq!(first.next().await, Said::End, "{by:?}");
        assert!(server.broker.publisher().statistics().strangers <= 4);
        let mut last = others.pop().unwrap();
        last.text("0{\"token\":\"a\"}").await;
        let answer = last.next().await;
        assert!(matches!(answer, Said::Text(said) if said.starts_with("0{\"sid\":")));
    }
}

#[tokio::test]
async fn who_never_says_who_it_is_must_go() {
    let mut config = BrokerConfig::default();
    config.stomp.connect_timeout = Duration::from_millis(200);
    let server = Server::start(config).await;
    for by in [By::Polling, By::WebSocket] {
        let mut client = server.open(Engine::Four, by).await;
        assert_eq!(client.next().await, Said::End);
    }
    server.until(|statistics| statistics.strangers == 0).await;
}

#[tokio::test]
async fn a_stranger_may_send_little() {
    let server = Server::start(BrokerConfig::default()).await;
    let long = "x".repeat(70_000);
    let mut client = server.open(Engine::Four, By::Polling).await;
    assert_eq!(client.post(&format!("40{long}")).await, 413);
    assert_eq!(client.next().await, Said::End);

    let mut client = server.open(Engine::Four, By::WebSocket).await;
    client.text(&long).await;
    assert_eq!(client.next().await, Said::End);

    // What has no end.
    let client = server.open(Engine::Four, By::Polling).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n1\r\n4\r\n",
        client.sid
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 411");
}

#[tokio::test]
async fn messages_have_a_longest_length() {
    let server = Server::start(BrokerConfig::default()).await;
    let send = |bytes: usize| {
        let body = "x".repeat(bytes);
        format!(
            "2{}",
            json!(["send", {"destination": "/topic/a", "body": body}])
        )
    };
    for by in [By::Polling, By::WebSocket] {
        let mut client = server.connect((Engine::Four, by)).await;
        let all = json!({"destination": "/topic/a"});
        client.done("subscribe", all).await;
        client.text(&send(200_000)).await;
        let (_, message) = client.event().await;
        assert_eq!(message["body"].as_str().unwrap().len(), 200_000);
        match by {
            By::Polling => assert_eq!(client.post(&format!("4{}", send(300_000))).await, 413),
            By::WebSocket => client.text(&send(300_000)).await,
        }
        assert_eq!(client.next().await, Said::End, "{by:?}");
    }
}

#[tokio::test]
async fn who_sends_without_waiting_is_bounded() {
    let server = Server::start(BrokerConfig::default()).await;
    // By polling, it is known when what was sent has come.
    let mut client = server.connect((Engine::Four, By::Polling)).await;
    let body = "x".repeat(100_000);
    let send = format!(
        "2{}",
        json!(["send", {"destination": "/app/a", "body": body}])
    );
    for _ in 0..20 {
        client.text(&send).await;
    }
    server.broker.handler().0.add_permits(1);
    let (name, error) = client.event().await;
    assert_eq!(
        (&*name, &error["code"]),
        ("error", &json!("malformed-message"))
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("too much was sent at once")
    );
    assert_eq!(client.next().await, Said::Text("1".to_owned()));
    assert_eq!(client.next().await, Said::End);
}

#[tokio::test]
async fn who_never_reads_is_let_go_and_costs_others_nothing() {
    const MESSAGES: usize = 120;
    let server = Server::start(BrokerConfig {
        write_timeout: Duration::from_secs(2),
        queue_bytes: 64 * 1024 * 1024,
        ..BrokerConfig::default()
    })
    .await;
    let all = json!({"destination": "/topic/a"});
    let mut reader = server.connect((Engine::Four, By::WebSocket)).await;
    reader.done("subscribe", all.clone()).await;
    let mut deaf = Vec::new();
    for way in WAYS {
        let mut client = server.connect(way).await;
        client.done("subscribe", all.clone()).await;
        deaf.push(client);
    }
    // More than any system takes in its own buffers.
    let body = Value::from("x".repeat(256 * 1024)).to_string();
    for _ in 0..MESSAGES {
        server.publish("/topic/a", body.clone());
        let (_, message) = reader.event().await;
        assert_eq!(message["body"].as_str().unwrap().len(), 256 * 1024);
    }
    server.until(|statistics| statistics.sessions == 1).await;
    // What they never read is not kept either: the connection ends, and with it what writes to it.
    for mut client in deaf {
        let mut messages = 0;
        while client.next().await != Said::End {
            messages += 1;
        }
        assert!(messages < MESSAGES);
    }
    reader
        .done("unsubscribe", json!({"id": "socket.io 1"}))
        .await;
}

#[tokio::test]
async fn a_session_has_one_websocket_and_one_post() {
    let server = Server::start(BrokerConfig::default()).await;
    let mut client = server.connect((Engine::Four, By::Polling)).await;
    client.upgrade().await;
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket&sid={}",
        server.address, client.sid
    );
    assert!(tokio_tungstenite::connect_async(url).await.is_err());
    // Nor can it go back, nor be another protocol's.
    assert_eq!(client.post("2").await, 400);
    client.done("begin", json!({"transaction": 1})).await;
}

#[tokio::test]
async fn the_end_is_told_to_all_and_waited_for() {
    let server = Server::start(BrokerConfig::default()).await;
    let mut clients = Vec::new();
    for way in WAYS {
        clients.push(server.connect(way).await);
    }
    server.shutdown.cancel();
    let ends = clients.into_iter().map(|mut client| async move {
        let (name, error) = client.event().await;
        assert_eq!((&*name, &error["code"]), ("error", &json!("shutting-down")));
        assert_eq!(client.next().await, Said::End);
    });
    futures_util::future::join_all(ends).await;
    server.broker.ended().await;
    assert_eq!(server.broker.publisher().statistics().sessions, 0);
}

#[tokio::test]
async fn who_leaves_is_gone() {
    let server = Server::start(BrokerConfig::default()).await;
    for way in WAYS {
        let mut client = server.connect(way).await;
        client.text("1").await;
        server.until(|statistics| statistics.sessions == 0).await;
        assert_eq!(client.next().await, Said::End, "{way:?}");
    }
    let client = server.connect((Engine::Four, By::WebSocket)).await;
    server.until(|statistics| statistics.sessions == 1).await;
    drop(client);
    server.until(|statistics| statistics.sessions == 0).await;
}
