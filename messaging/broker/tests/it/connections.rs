//! Coming and going: who is let in, what ends a connection, and how both ways carry frames.

use std::time::Duration;

use broker::{BrokerConfig, Outgoing};
use bytes::Bytes;
use futures_util::StreamExt;
use stomp::{AckMode, ClientConfig, ClientEvent, CloseReason, ServerConfig, Version};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, RawClient, Socket, Way, config, config_of};
use crate::harness::{Seen, TestBroker, eventually};

#[tokio::test]
async fn every_version_is_let_in_on_both_ways() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        for version in Version::ALL {
            let mut client = Client::new(&broker, way, config_of(version, "kim")).await;
            match client.event().await {
                Some(ClientEvent::Connected {
                    version: agreed,
                    session: Some(session),
                    ..
                }) => {
                    assert_eq!(agreed, version);
                    assert!(session.contains("-s"), "{session}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn passcode_carries_a_token_as_well() {
    let broker = TestBroker::start().await;
    let config = ClientConfig {
        login: Some("ignored".to_owned()),
        passcode: Some("kim".to_owned()),
        ..ClientConfig::default()
    };
    Client::connect_with(&broker, Way::Ws, config).await;
    assert_eq!(broker.publisher.sessions_of("kim").len(), 1);
}

#[tokio::test]
async fn who_is_refused_learns_why_and_is_disconnected() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        let mut client = Client::new(&broker, way, config("nobody")).await;
        let error = client.error().await;
        assert_eq!(error.header("code"), Some("unauthenticated"));
        assert_eq!(error.header("message"), Some("nobody is not let in"));
    }
    assert!(broker.has_seen_nothing());
    assert_eq!(broker.publisher.session_count(), 0);
}

#[tokio::test]
async fn protocol_errors_are_told_and_end_the_connection() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        let mut client = Client::connect(&broker, way, "kim").await;
        client
            .socket
            .write(Bytes::from_static(b"SEND\nno-colon\n\n\0"))
            .await;
        assert_eq!(client.error_code().await, "malformed-frame");
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_told() {
    let broker = TestBroker::start().await;
    for (way, code) in [(Way::Tcp, "body-too-large"), (Way::Ws, "malformed-message")] {
        let mut client = Client::connect(&broker, way, "kim").await;
        let body = Bytes::from(vec![b'x'; 2 * 1024 * 1024]);
        client.session.send("/app/x", "text/plain", body, &[]);
        let frame = client.session.poll_transmit(std::time::Instant::now());
        // The server stops reading long before the end, so the rest need not be written.
        let mut head = frame.unwrap();
        if let Way::Tcp = way {
            head.truncate(1024);
        }
        client.socket.write(head).await;
        assert_eq!(client.error_code().await, code, "{way:?}");
    }
}

#[tokio::test]
async fn disconnect_is_answered_after_everything_before_it() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        let mut client = Client::connect(&broker, way, "kim").await;
        let sent = client.send("/app/x", &[]);
        client.session.disconnect(std::time::Instant::now());
        client.receipt(sent).await;
        assert!(matches!(
            client.event().await,
            Some(ClientEvent::Receipt(_))
        ));
        assert_eq!(
            client.event().await,
            Some(ClientEvent::Closed(CloseReason::Disconnected))
        );
        drop(client);
        assert!(matches!(broker.seen().await, Seen::Frame { .. }));
        let subject = "kim".to_owned();
        assert_eq!(broker.seen().await, Seen::Ended { subject });
    }
}

#[tokio::test]
async fn what_was_received_is_handled_although_the_client_is_gone() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
    for _ in 0..3 {
        client.send("/app/x", &[]);
    }
    client.flush().await;
    drop(client);
    for _ in 0..3 {
        assert!(matches!(broker.seen().await, Seen::Frame { .. }));
    }
    let subject = "kim".to_owned();
    assert_eq!(broker.seen().await, Seen::Ended { subject });
    assert_eq!(broker.publisher.session_count(), 0);
}

#[tokio::test]
async fn frames_may_be_split_over_messages_and_share_one() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Ws, "kim").await;
    for piece in [
        "SEND\ndesti",
        "nation:/app/a\n\n",
        "\0\nSEND\ndestination:/app/b\n\n\0SEND\n",
    ] {
        client
            .socket
            .write(Bytes::from_static(piece.as_bytes()))
            .await;
    }
    client
        .socket
        .write(Bytes::from_static(b"destination:/app/c\n\n\0"))
        .await;
    for expected in ["/app/a", "/app/b", "/app/c"] {
        match broker.seen().await {
            Seen::Frame { frame, .. } => assert_eq!(frame.header("destination"), Some(expected)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_body_that_is_no_text_travels_in_a_binary_message() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Ws, "kim").await;
    client.subscribe("/topic/a").await;
    let Socket::Ws(socket) = &mut client.socket else {
        panic!("a WebSocket was asked for");
    };
    broker.publisher.publish("/topic/a", Outgoing::json("{}"));
    assert!(matches!(
        socket.next().await,
        Some(Ok(Message::Text(text))) if text.ends_with("{}\0")
    ));
    let binary = Outgoing::new("application/octet-stream", vec![0xff, 0, 0xfe]);
    broker.publisher.publish("/topic/a", binary);
    assert!(matches!(
        socket.next().await,
        Some(Ok(Message::Binary(bytes))) if bytes.ends_with(&[0xff, 0, 0xfe, 0])
    ));
}

#[tokio::test]
async fn a_stranger_who_says_nothing_is_disconnected() {
    let config = BrokerConfig {
        stomp: ServerConfig {
            connect_timeout: Duration::from_millis(50),
            ..ServerConfig::default()
        },
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(config).await;
    let mut socket = Socket::tcp(broker.tcp).await;
    let error = socket.read().await.unwrap();
    assert!(error.starts_with(b"ERROR\n"), "{error:?}");
    assert_eq!(socket.read().await, None);
}

#[tokio::test]
async fn shutdown_is_told_to_every_session_and_ends_the_listener() {
    let broker = TestBroker::start().await;
    let mut tcp = Client::connect(&broker, Way::Tcp, "kim").await;
    let mut ws = Client::connect(&broker, Way::Ws, "lee").await;
    broker.shutdown.cancel();
    assert_eq!(tcp.error_code().await, "shutting-down");
    assert_eq!(ws.error_code().await, "shutting-down");
    drop((tcp, ws));
    broker.listening.await.unwrap();
    eventually("the end of all sessions", || {
        broker.publisher.session_count() == 0
    })
    .await;
}

#[tokio::test]
async fn heart_beats_go_out_while_there_is_nothing_to_say() {
    let config = ClientConfig {
        heart_beat_receive: Duration::from_millis(1),
        ..config("kim")
    };
    let fast = BrokerConfig {
        stomp: ServerConfig {
            heart_beat_send: Duration::from_millis(50),
            ..ServerConfig::default()
        },
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(fast).await;
    for way in Way::BOTH {
        let mut client = Client::connect_with(&broker, way, config.clone()).await;
        for _ in 0..3 {
            assert_eq!(client.socket.read().await.unwrap(), "\n");
        }
    }
}

#[tokio::test]
async fn a_client_that_promised_heart_beats_and_is_silent_is_given_up() {
    let config = BrokerConfig {
        stomp: ServerConfig {
            heart_beat_receive: Duration::from_millis(20),
            heart_beat_tolerance: 2,
            ..ServerConfig::default()
        },
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(config).await;
    let client = ClientConfig {
        heart_beat_send: Duration::from_millis(20),
        ..self::config("kim")
    };
    let mut client = Client::connect_with(&broker, Way::Tcp, client).await;
    assert_eq!(client.error_code().await, "heart-beat-lost");
}

#[tokio::test]
async fn what_was_sent_before_the_peer_ended_its_side_is_handled() {
    const SESSIONS: usize = 16;
    const SUBSCRIPTIONS: usize = 256;
    const MESSAGES: usize = 20;
    let broker = TestBroker::start().await;
    let mut readers = Vec::new();
    for _ in 0..SESSIONS {
        let mut reader = Client::connect(&broker, Way::Tcp, "kim").await;
        for _ in 1..SUBSCRIPTIONS {
            reader.session.subscribe("/topic/a", AckMode::Auto, &[]);
        }
        reader.subscribe("/topic/a").await;
        readers.push(reader);
    }
    let mut boss = RawClient::connect(&broker, "boss").await;
    boss.say(&"SEND\ndestination:/topic/a\n\nx^".repeat(MESSAGES))
        .await;
    drop(boss);
    eventually("all are published", || {
        broker.publisher.statistics().published == MESSAGES as u64
    })
    .await;
}
