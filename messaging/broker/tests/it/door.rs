//! Who is let in, and how much each may take: sessions, strangers, and what strangers may send.

use std::net::SocketAddr;
use std::time::Duration;

use broker::{BrokerConfig, TurnedAway};
use bytes::Bytes;
use futures_util::SinkExt;
use stomp::{ClientEvent, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::client::{Client, Socket, Way, config};
use crate::harness::{PATIENCE, Seen, TestBroker, eventually};

/// A connection from another address of this machine.
async fn from(address: &str, to: SocketAddr) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(address.parse().unwrap(), 0))
        .unwrap();
    Socket::Tcp(socket.connect(to).await.unwrap())
}

/// The ERROR of a refusal: its message.
async fn refused(broker: &TestBroker, way: Way, token: &str) -> String {
    let mut client = Client::new(broker, way, config(token)).await;
    let error = client.error().await;
    assert_eq!(error.header("code"), Some("too-many-sessions"));
    error.header("message").unwrap().to_owned()
}

fn turned_away(broker: &TestBroker) -> TurnedAway {
    broker.publisher.statistics().turned_away
}

#[tokio::test]
async fn one_login_cannot_take_every_session() {
    let broker = TestBroker::with(BrokerConfig {
        sessions_per_subject: 2,
        ..BrokerConfig::default()
    })
    .await;
    let first = Client::connect(&broker, Way::Tcp, "kim").await;
    let _second = Client::connect(&broker, Way::Ws, "kim").await;
    for way in Way::BOTH {
        let message = refused(&broker, way, "kim").await;
        assert!(message.contains("this login"), "{message}");
    }
    assert_eq!(turned_away(&broker).subject, 2);
    Client::connect(&broker, Way::Tcp, "lee").await;

    // Whoever was refused has never been there.
    drop(first);
    let subject = "lee".to_owned();
    assert_eq!(broker.seen().await, Seen::Ended { subject });
    let subject = "kim".to_owned();
    assert_eq!(broker.seen().await, Seen::Ended { subject });
    assert!(broker.has_seen_nothing());
    comes_in(&broker, "kim").await;
}

/// Lets a client in as soon as there is a place: one is given back when its session's task has ended.
async fn comes_in(broker: &TestBroker, token: &str) -> Client {
    loop {
        let mut client = Client::new(broker, Way::Tcp, config(token)).await;
        if let Some(ClientEvent::Connected { .. }) = client.event().await {
            return client;
        }
    }
}

#[tokio::test]
async fn one_address_cannot_take_every_session_unless_it_is_a_proxy() {
    let own = BrokerConfig {
        sessions_per_address: 1,
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(own.clone()).await;
    let _kim = Client::connect(&broker, Way::Tcp, "kim").await;
    let message = refused(&broker, Way::Tcp, "lee").await;
    assert!(message.contains("this address"), "{message}");
    assert_eq!(turned_away(&broker).address, 1);
    let mut elsewhere = Client::over(from("127.0.0.2", broker.tcp).await, config("park"));
    assert!(matches!(
        elsewhere.event().await,
        Some(ClientEvent::Connected { .. })
    ));

    let broker = TestBroker::with(BrokerConfig {
        proxies: vec!["127.0.0.1".parse().unwrap()],
        ..own
    })
    .await;
    let _kim = Client::connect(&broker, Way::Tcp, "kim").await;
    Client::connect(&broker, Way::Ws, "lee").await;
}

#[tokio::test]
async fn machines_are_let_in_when_people_have_taken_the_rest() {
    let broker = TestBroker::with(BrokerConfig {
        sessions: 3,
        sessions_reserved: 2,
        sessions_per_address: 1,
        ..BrokerConfig::default()
    })
    .await;
    let _agent = Client::connect(&broker, Way::Tcp, "agent-1").await;
    let _kim = Client::connect(&broker, Way::Tcp, "kim").await;
    let mut lee = Client::over(from("127.0.0.2", broker.tcp).await, config("lee"));
    let error = lee.error().await;
    assert!(error.header("message").unwrap().contains("reserved"));
    let _agent = Client::connect(&broker, Way::Ws, "agent-2").await;
    let message = refused(&broker, Way::Ws, "agent-3").await;
    assert!(message.contains("too many sessions are open"), "{message}");
    let expected = TurnedAway {
        sessions: 1,
        unreserved: 1,
        ..TurnedAway::default()
    };
    assert_eq!(turned_away(&broker), expected);
}

#[tokio::test]
async fn idle_strangers_keep_nobody_out() {
    let broker = TestBroker::with(BrokerConfig {
        unauthenticated: 8,
        ..BrokerConfig::default()
    })
    .await;
    for way in Way::BOTH {
        let before = turned_away(&broker).strangers;
        let mut idle = Vec::new();
        for _ in 0..40 {
            idle.push(match way {
                Way::Tcp => Socket::tcp(broker.tcp).await,
                Way::Ws => Socket::ws(broker.http).await,
            });
        }
        eventually("the first to go", || {
            turned_away(&broker).strangers >= before + 32
        })
        .await;
        Client::connect(&broker, way, "kim").await;
        assert!(broker.publisher.statistics().strangers <= 8);
        let error = idle[0].read().await.unwrap();
        let error = String::from_utf8_lossy(&error).into_owned();
        assert!(error.contains("code:too-many-sessions\n"), "{error}");
        drop(idle);
    }
    eventually("the end of all strangers", || {
        broker.publisher.statistics().strangers == 0
    })
    .await;
}

#[tokio::test]
async fn a_flood_from_one_address_displaces_only_its_own() {
    let broker = TestBroker::with(BrokerConfig {
        unauthenticated: 8,
        unauthenticated_per_address: 6,
        ..BrokerConfig::default()
    })
    .await;
    // Two are slow to speak, and older than any of the flood.
    let waiting = || async { Client::new(&broker, Way::Tcp, config("kim")).await };
    let mut patient = [waiting().await, waiting().await];
    eventually("the first two", || {
        broker.publisher.statistics().strangers == 2
    })
    .await;
    let mut flood = Vec::new();
    for _ in 0..30 {
        flood.push(from("127.0.0.2", broker.tcp).await);
    }
    eventually("the flood", || turned_away(&broker).strangers == 24).await;
    for client in &mut patient {
        assert!(matches!(
            client.event().await,
            Some(ClientEvent::Connected { .. })
        ));
    }
}

fn fragment(kind: Data, bytes: usize, is_final: bool) -> Message {
    Message::Frame(Frame::message(
        vec![b'x'; bytes],
        OpCode::Data(kind),
        is_final,
    ))
}

/// Says `messages` before CONNECT, over and over, until the server has had enough.
async fn check_stranger(broker: &TestBroker, messages: &[Message], code: &str) {
    let Socket::Ws(mut socket) = Socket::ws(broker.http).await else {
        unreachable!("a WebSocket was asked for");
    };
    // Whatever is written after the server has closed comes to nothing, so errors say nothing either.
    for message in messages {
        if socket.send(message.clone()).await.is_err() {
            break;
        }
    }
    let error = Socket::Ws(socket).read().await.unwrap();
    let error = String::from_utf8_lossy(&error).into_owned();
    assert!(error.contains(&format!("code:{code}\n")), "{error}");
}

#[tokio::test]
async fn a_stranger_can_make_a_websocket_hold_no_more_than_64_kib() {
    let broker = TestBroker::start().await;
    let code = "malformed-message";
    // A whole message that would be allowed to somebody who was let in.
    check_stranger(&broker, &[fragment(Data::Text, 70_000, true)], code).await;
    // One that is only announced: its head says how long it is, and nothing follows.
    let Socket::Ws(mut announced) = Socket::ws(broker.http).await else {
        unreachable!("a WebSocket was asked for");
    };
    let head = [0x82, 0xff, 0, 0, 0, 0, 0, 0x0f, 0, 0, 1, 2, 3, 4];
    announced.get_mut().write_all(&head).await.unwrap();
    let error = Socket::Ws(announced).read().await.unwrap();
    assert!(String::from_utf8_lossy(&error).contains("code:malformed-message\n"));
    // One in fragments that never ends.
    let mut endless = vec![fragment(Data::Binary, 1000, false)];
    endless.resize(70, fragment(Data::Continue, 1000, false));
    check_stranger(&broker, &endless, code).await;
    // Nothing but pongs: they are kept nowhere, and cost the server as much.
    let pong = Message::Pong(Bytes::from(vec![0; 125]));
    check_stranger(&broker, &vec![pong; 600], code).await;
    // A frame in many messages: the session's own limit may be met first.
    let mut frame = vec![Message::text("CONNECT\n")];
    frame.resize(100, Message::text(format!("a:{}\n", "x".repeat(1000))));
    check_stranger(&broker, &frame, code).await;
}

#[tokio::test]
async fn a_stranger_can_make_tcp_hold_no_more_than_64_kib() {
    let broker = TestBroker::start().await;
    let mut socket = Socket::tcp(broker.tcp).await;
    let mut frame = b"CONNECT\n".to_vec();
    for _ in 0..66 {
        frame.extend_from_slice(format!("a:{}\n", "x".repeat(1000)).as_bytes());
    }
    socket.write(frame.into()).await;
    let error = socket.read().await.unwrap();
    let error = String::from_utf8_lossy(&error).into_owned();
    assert!(error.contains("code:malformed-message\n"), "{error}");
    assert_eq!(socket.read().await, None);
}

#[tokio::test]
async fn who_is_let_in_may_send_long_messages_even_without_waiting_for_it() {
    let broker = TestBroker::start().await;
    let body = "x".repeat(900_000);
    let connect = Bytes::from_static(b"CONNECT\naccept-version:1.2\npasscode:boss\n\n\0");
    let send = format!("SEND\ndestination:/app/x\nreceipt:1\n\n{body}\0");
    for way in Way::BOTH {
        let mut client = Client::new(&broker, way, config("boss")).await;
        client.socket.write(connect.clone()).await;
        client.socket.write(send.clone().into()).await;
        let Seen::Frame { frame, .. } = broker.seen().await else {
            panic!("the frame comes first");
        };
        assert_eq!(frame.body, body, "{way:?}");
        drop(client);
        assert!(matches!(broker.seen().await, Seen::Ended { .. }));
    }
}

#[tokio::test]
async fn a_stranger_who_drips_is_disconnected_in_time() {
    let broker = TestBroker::with(BrokerConfig {
        stomp: ServerConfig {
            connect_timeout: Duration::from_millis(200),
            ..ServerConfig::default()
        },
        ..BrokerConfig::default()
    })
    .await;
    for way in Way::BOTH {
        let mut socket = match way {
            Way::Tcp => Socket::tcp(broker.tcp).await,
            Way::Ws => Socket::ws(broker.http).await,
        };
        // A frame of 65,535 bytes, of which one comes at a time: no message ever comes out of it.
        if let Socket::Ws(socket) = &mut socket {
            let head = [0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4];
            socket.get_mut().write_all(&head).await.unwrap();
        }
        let mut drip = tokio::time::interval(Duration::from_millis(5));
        let error = loop {
            tokio::select! {
                said = socket.read() => break said.unwrap(),
                _ = drip.tick() => {}
            }
            match &mut socket {
                Socket::Tcp(stream) => drop(stream.write_all(b"\n").await),
                Socket::Ws(socket) => drop(socket.get_mut().write_all(b"x").await),
            }
        };
        let error = String::from_utf8_lossy(&error).into_owned();
        assert!(error.contains("code:connect-timeout\n"), "{way:?}: {error}");
    }
}

/// A WebSocket listener without a web server around it.
async fn listen_websocket(broker: &TestBroker) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = broker.broker.clone();
    tokio::spawn(async move { serving.listen_websocket(listener, "/ws").await });
    address
}

/// What an HTTP request is answered, as far as it has come when the server closes or waits.
async fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_listener_for_websockets_answers_nothing_else() {
    let broker = TestBroker::start().await;
    let address = listen_websocket(&broker).await;
    let close = "Host: x\r\nConnection: close\r\n\r\n";
    let elsewhere = http(address, &format!("GET / HTTP/1.1\r\n{close}")).await;
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    assert!(elsewhere.contains("the WebSocket is at /ws"), "{elsewhere}");
    let no_handshake = http(address, &format!("GET /ws HTTP/1.1\r\n{close}")).await;
    assert!(no_handshake.starts_with("HTTP/1.1 426 "), "{no_handshake}");
    assert!(no_handshake.contains("sec-websocket-version: 13\r\n"));

    let mut client = Client::over(Socket::ws(address).await, config("kim"));
    let event = client.event().await;
    assert!(
        matches!(event, Some(ClientEvent::Connected { .. })),
        "{event:?}"
    );
    broker.shutdown.cancel();
    assert_eq!(client.error_code().await, "shutting-down");
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_a_stranger_and_goes_in_time() {
    let broker = TestBroker::with(BrokerConfig {
        unauthenticated: 8,
        stomp: ServerConfig {
            connect_timeout: Duration::from_millis(500),
            ..ServerConfig::default()
        },
        ..BrokerConfig::default()
    })
    .await;
    let address = listen_websocket(&broker).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    eventually("the first to go", || turned_away(&broker).strangers == 12).await;
    let mut client = Client::over(Socket::ws(address).await, config("kim"));
    let event = client.event().await;
    assert!(
        matches!(event, Some(ClientEvent::Connected { .. })),
        "{event:?}"
    );
    // Those that had not to go for others are closed when their time is over, also in the middle of a request.
    let dripping = silent.last_mut().unwrap();
    dripping
        .write_all(b"GET /ws HTTP/1.1\r\nHost:")
        .await
        .unwrap();
    for mut stream in silent {
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the server closes");
    }
    eventually("the end of all strangers", || {
        broker.publisher.statistics().strangers == 0
    })
    .await;
}
