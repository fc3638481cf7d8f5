//! Signs of life under a WebSocket, on a stopped clock: the connection is in memory, so that time passes only when
//! everybody waits.

use std::net::SocketAddr;
use std::time::Duration;

use broker::{BrokerConfig, KeepAlive, Outgoing};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::harness::TestBroker;

type InMemory = WebSocketStream<DuplexStream>;

const HOUR: Duration = Duration::from_secs(3600);

/// What the connection itself holds: much less than a long message.
const PIPE: usize = 4096;

/// A session over a WebSocket in memory, let in with these heart-beats.
async fn connect(broker: &TestBroker, heart_beat: &str) -> InMemory {
    let (ours, theirs) = duplex(PIPE);
    let serving = broker.broker.clone();
    let peer = SocketAddr::from(([127, 0, 0, 1], 1)).into();
    tokio::spawn(async move { serving.serve_websocket(theirs, peer).await });
    let mut socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
    let connect =
        format!("CONNECT\naccept-version:1.2\npasscode:boss\nheart-beat:{heart_beat}\n\n\0");
    socket.send(Message::text(connect)).await.unwrap();
    let connected = socket.next().await.unwrap().unwrap();
    assert!(connected.to_text().unwrap().starts_with("CONNECTED\n"));
    socket
}

/// Reads, which answers pings, until the end of the connection or of `patience`: how long that took, how many pings
/// came and what was said last.
async fn listen(socket: &mut InMemory, patience: Duration) -> (Duration, usize, String) {
    let since = Instant::now();
    let (mut pings, mut said) = (0, String::new());
    while let Ok(Some(Ok(message))) =
        timeout(patience.saturating_sub(since.elapsed()), socket.next()).await
    {
        match message {
            Message::Ping(_) => pings += 1,
            Message::Text(text) => said = text.to_string(),
            _ => {}
        }
    }
    (since.elapsed(), pings, said)
}

#[tokio::test]
async fn an_idle_page_that_answers_pings_stays() {
    let broker = TestBroker::start().await;
    tokio::time::pause();
    let mut socket = connect(&broker, "0,0").await;
    let (lasted, pings, _) = listen(&mut socket, HOUR).await;
    assert!(lasted >= HOUR, "{lasted:?}");
    assert!((179..=181).contains(&pings), "{pings}");
}

#[tokio::test]
async fn a_page_in_the_background_stays_although_its_own_beats_do_not_come() {
    let broker = TestBroker::start().await;
    tokio::time::pause();
    // It agreed to beat every 10 s, and answers pings only.
    let mut socket = connect(&broker, "10000,0").await;
    let (lasted, _, _) = listen(&mut socket, HOUR).await;
    assert!(lasted >= HOUR, "{lasted:?}");

    // Without pings there is nothing to go by but the beats.
    let broker = TestBroker::with(BrokerConfig {
        ping_interval: Duration::ZERO,
        ..BrokerConfig::default()
    })
    .await;
    let mut socket = connect(&broker, "10000,0").await;
    let (lasted, pings, said) = listen(&mut socket, HOUR).await;
    assert!(lasted < Duration::from_secs(72), "{lasted:?}");
    assert_eq!(pings, 0);
    assert!(said.contains("code:heart-beat-lost\n"), "{said}");
}

#[tokio::test]
async fn who_does_not_answer_a_ping_is_given_up() {
    let broker = TestBroker::start().await;
    tokio::time::pause();
    let socket = connect(&broker, "0,0").await;
    let began = Instant::now();
    // Nobody reads the WebSocket, so nothing answers: the bytes below it are looked at.
    let mut below = socket.into_inner();
    let mut came = Vec::new();
    below.read_to_end(&mut came).await.unwrap();
    assert_eq!(came[..2], [0x89, 0], "one ping: {came:?}");
    let lasted = began.elapsed();
    let (least, most) = (Duration::from_secs(60), Duration::from_secs(61));
    assert!((least..=most).contains(&lasted), "{lasted:?}");
    assert_eq!(broker.publisher.session_count(), 0);
}

#[tokio::test]
async fn who_talks_is_not_pinged() {
    let broker = TestBroker::start().await;
    tokio::time::pause();
    let mut socket = connect(&broker, "0,0").await;
    for _ in 0..20 {
        sleep(Duration::from_secs(19)).await;
        socket.send(Message::text("\n")).await.unwrap();
    }
    let (_, pings, _) = listen(&mut socket, Duration::from_secs(15)).await;
    assert_eq!(pings, 0);
}

#[tokio::test]
async fn a_part_of_a_message_is_a_sign_of_life() {
    let broker = TestBroker::start().await;
    tokio::time::pause();
    let mut socket = connect(&broker, "10000,0").await;
    // 200 bytes of a frame, one every 15 s: no message comes for most of an hour.
    let frame = format!("SEND\ndestination:/app/x\n\n{}\0", "x".repeat(174));
    let mut bytes = vec![0x81, 0xfe, 0, 200, 0, 0, 0, 0];
    bytes.extend_from_slice(frame.as_bytes());
    assert_eq!(bytes.len(), 208);
    for byte in bytes {
        let below = socket.get_mut();
        AsyncWriteExt::write_all(below, &[byte]).await.unwrap();
        sleep(Duration::from_secs(15)).await;
    }
    assert!(matches!(
        broker.seen().await,
        crate::harness::Seen::Frame { .. }
    ));
}

#[tokio::test]
async fn a_long_message_comes_whole_through_a_narrow_connection() {
    let broker = TestBroker::start().await;
    let mut socket = connect(&broker, "0,0").await;
    let subscribe = "SUBSCRIBE\nid:1\ndestination:/topic/**\nreceipt:1\n\n\0";
    socket.send(Message::text(subscribe)).await.unwrap();
    let receipt = socket.next().await.unwrap().unwrap();
    assert!(receipt.to_text().unwrap().starts_with("RECEIPT\n"));

    // Text whose characters lie across the pieces, and bytes that are no text.
    let text = "€".repeat(100_000);
    let binary = Bytes::from(vec![0xff; 300_000]);
    for _ in 0..2 {
        broker
            .publisher
            .publish("/topic/a", Outgoing::new("text/plain", text.clone()));
        broker.publisher.publish(
            "/topic/b",
            Outgoing::new("application/octet-stream", binary.clone()),
        );
    }
    for _ in 0..2 {
        let message = socket.next().await.unwrap().unwrap();
        let Message::Text(came) = message else {
            panic!("text comes as text");
        };
        assert!(came.ends_with(&format!("\n\n{text}\0")));
        let message = socket.next().await.unwrap().unwrap();
        let Message::Binary(came) = message else {
            panic!("what is no text comes as bytes");
        };
        assert!(came.strip_suffix(b"\0").unwrap().ends_with(&binary));
    }
}

/// The one test here that waits for the system's own clock, some two seconds.
#[tokio::test]
async fn a_peer_that_takes_nothing_loses_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (_peer, (mut stream, _)) = (peer.unwrap(), accepted.unwrap());
    let second = Duration::from_secs(1);
    let probing = KeepAlive {
        idle: second,
        interval: second,
        probes: 1,
    };
    broker::tcp::set_up(&stream, probing);
    let block = vec![0; 64 * 1024];
    let lost = async {
        loop {
            if let Err(error) = stream.write_all(&block).await {
                return error;
            }
        }
    };
    let error = timeout(HOUR / 60, lost)
        .await
        .expect("the system gave it up");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}
