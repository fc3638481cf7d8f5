//! SEND to `/app/**`: receipts, refusals, order.

use std::time::Duration;

use broker::{BrokerConfig, Outgoing};
use stomp::{ClientEvent, ServerConfig};

use crate::client::{Client, Way, config};
use crate::harness::{Seen, TestBroker};

#[tokio::test]
async fn a_receipt_comes_after_the_handler_and_credentials_do_not_reach_it() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Ws, "kim").await;
    let receipt = client.send(
        "/app/events",
        &[
            ("Authorization", "Bearer kim"),
            ("passcode", "p"),
            ("k", "v"),
            ("x-renewed", "said by the client"),
        ],
    );
    client.receipt(receipt).await;
    let Seen::Frame { subject, frame } = broker.seen().await else {
        panic!("a frame was sent");
    };
    assert_eq!(subject, "kim");
    let names: Vec<_> = frame.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["destination", "content-type", "k", "receipt", "x-renewed"]
    );
    assert_eq!(frame.header("x-renewed"), Some("true"));
}

#[tokio::test]
async fn a_refusal_is_told_and_the_session_lives() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
    client.subscribe("/user/queue/errors").await;
    let refused = client.send("/app/refused", &[]);
    let done = client.send("/app/x", &[]);
    // The refused frame gets no RECEIPT; the next one does.
    let (mut message, mut receipt) = (None, None);
    for _ in 0..2 {
        match client.event().await {
            Some(ClientEvent::Message(frame)) => message = Some(frame),
            Some(ClientEvent::Receipt(id)) => receipt = Some(id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(receipt, Some(done));
    let message = message.unwrap();
    assert_eq!(message.header("destination"), Some("/user/queue/errors"));
    assert_eq!(message.header("code"), Some("no-such-thing"));
    assert_eq!(message.header("message"), Some("there is none"));
    assert_eq!(message.header("receipt-id"), Some(&*refused.to_string()));
    assert_eq!(message.header("refused-destination"), Some("/app/refused"));
    assert_eq!(message.body, "there is none");
}

#[tokio::test]
async fn unavailable_ends_the_session_without_receipt() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Ws, "kim").await;
    let receipt = client.send("/app/unavailable", &[]);
    client.send("/app/x", &[]);
    let error = client.error().await;
    assert_eq!(error.header("code"), Some("unavailable"));
    assert_eq!(error.header("receipt-id"), Some(&*receipt.to_string()));
    // What came after it was not handled: its order would be wrong.
    let subject = "kim".to_owned();
    assert_eq!(broker.seen().await, Seen::Ended { subject });
}

#[tokio::test]
async fn frames_wait_for_each_other_and_messages_and_heart_beats_do_not() {
    let config = BrokerConfig {
        stomp: ServerConfig {
            heart_beat_send: Duration::from_millis(500),
            heart_beat_receive: Duration::from_millis(500),
            heart_beat_tolerance: 1,
            ..ServerConfig::default()
        },
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(config).await;
    let beating = stomp::ClientConfig {
        heart_beat_send: Duration::from_millis(500),
        heart_beat_receive: Duration::from_millis(500),
        ..self::config("kim")
    };
    for way in Way::BOTH {
        let mut client = Client::connect_with(&broker, way, beating.clone()).await;
        client.subscribe("/topic/a").await;
        let gated = client.send("/app/gated", &[]);
        let next = client.send("/app/x", &[]);
        client.flush().await;
        // The handler works; the client cannot be heard for longer than agreed, and is not given up for it.
        for _ in 0..2 {
            assert_eq!(client.socket.read().await.unwrap(), "\n");
        }
        broker.publisher.publish("/topic/a", Outgoing::json("1"));
        assert_eq!(client.body().await, "1");
        assert!(broker.has_seen_nothing());
        broker.broker.handler().gate.add_permits(1);
        client.receipt(gated).await;
        client.receipt(next).await;
        for expected in ["/app/gated", "/app/x"] {
            match broker.seen().await {
                Seen::Frame { frame, .. } => {
                    assert_eq!(frame.header("destination"), Some(expected));
                }
                other => panic!("{other:?}"),
            }
        }
        drop(client);
        assert!(matches!(broker.seen().await, Seen::Ended { .. }));
    }
}

#[tokio::test]
async fn a_handler_finishes_although_its_session_has_ended() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
    client.send("/app/gated", &[]);
    let next = client.send("/app/x", &[]);
    client.flush().await;
    let sessions = broker.publisher.sessions_of("kim");
    // Give the first frame time to reach its handler: the second one cannot overtake it.
    let mut other = Client::connect(&broker, Way::Tcp, "lee").await;
    let done = other.send("/app/x", &[]);
    other.receipt(done).await;
    assert!(matches!(broker.seen().await, Seen::Frame { .. }));
    drop(client);
    broker.broker.handler().gate.add_permits(1);
    for expected in ["/app/gated", "/app/x"] {
        match broker.seen().await {
            Seen::Frame { frame, .. } => assert_eq!(frame.header("destination"), Some(expected)),
            other => panic!("{other:?} {sessions:?} {next}"),
        }
    }
}
