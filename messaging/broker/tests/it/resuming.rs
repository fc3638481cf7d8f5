//! `x-resume-from` over real connections: no gap, no double, and a notice when the past is gone.

use broker::{BrokerConfig, Outgoing};
use stomp::{AckMode, ClientEvent, Frame};

use crate::client::{Client, Way};
use crate::harness::TestBroker;

fn numbered(number: usize) -> Outgoing {
    Outgoing::new("text/plain", number.to_string())
}

/// Subscribes from `position`; returns what came before the RECEIPT.
async fn resume(client: &mut Client, destination: &str, position: &str) -> Vec<Frame> {
    let (_, receipt) = client.session.subscribe_with_receipt(
        destination,
        AckMode::Auto,
        &[("x-resume-from", position)],
    );
    let mut replayed = Vec::new();
    loop {
        match client.event().await {
            Some(ClientEvent::Message(message)) => replayed.push(message),
            Some(ClientEvent::Receipt(id)) if id == receipt => return replayed,
            other => panic!("{other:?}"),
        }
    }
}

/// Publishes in a task of its own while a client connects, loses its connection and resumes, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnecting_while_messages_flow_misses_nothing_and_doubles_nothing() {
    const MESSAGES: usize = 2000;
    const PER_CONNECTION: usize = 300;
    let config = BrokerConfig {
        replay_messages_per_destination: MESSAGES,
        // The publisher does not wait for the client.
        queue_messages: MESSAGES,
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(config).await;
    let mut position = broker.publisher.position().to_string();
    let publisher = broker.publisher.clone();
    let publishing = tokio::spawn(async move {
        for number in 0..MESSAGES {
            publisher.publish(&format!("/topic/zones/p{}", number % 3), numbered(number));
            tokio::task::yield_now().await;
        }
    });
    let mut received = Vec::new();
    while received.len() < MESSAGES {
        let way = Way::BOTH[received.len() % 2];
        let mut client = Client::connect(&broker, way, "kim").await;
        let mut messages = resume(&mut client, "/topic/zones/*", &position).await;
        let wanted = PER_CONNECTION.min(MESSAGES - received.len());
        while messages.len() < wanted {
            messages.push(client.message().await);
        }
        for message in messages {
            assert_eq!(message.header("x-gap"), None);
            position = message.header("message-id").unwrap().to_owned();
            let number = std::str::from_utf8(&message.body).unwrap();
            received.push(number.parse::<usize>().unwrap());
        }
        // The connection is lost with messages on their way.
    }
    publishing.await.unwrap();
    assert_eq!(received, (0..MESSAGES).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_position_taken_once_resumes_any_subscription() {
    let broker = TestBroker::start().await;
    broker.publisher.publish("/topic/a", numbered(0));
    let position = broker.publisher.position().to_string();
    broker.publisher.publish("/topic/a", numbered(1));
    broker.publisher.publish("/topic/b", numbered(2));
    let mut client = Client::connect(&broker, Way::Ws, "kim").await;
    let bodies = |frames: Vec<Frame>| -> Vec<_> { frames.into_iter().map(|f| f.body).collect() };
    assert_eq!(
        bodies(resume(&mut client, "/topic/a", &position).await),
        ["1"]
    );
    assert_eq!(
        bodies(resume(&mut client, "/topic/b", &position).await),
        ["2"]
    );
    assert_eq!(
        bodies(resume(&mut client, "/topic/*", &position).await),
        ["1", "2"]
    );
    assert!(resume(&mut client, "/topic/c", &position).await.is_empty());
}

#[tokio::test]
async fn a_past_that_is_gone_is_told_before_what_is_left() {
    let config = BrokerConfig {
        replay_messages_per_destination: 2,
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(config).await;
    let position = broker.publisher.position().to_string();
    for number in 0..5 {
        broker.publisher.publish("/topic/a", numbered(number));
    }
    let mut client = Client::connect(&broker, Way::Ws, "kim").await;
    let replayed = resume(&mut client, "/topic/a", &position).await;
    assert_eq!(replayed[0].header("x-gap"), Some("true"));
    assert_eq!(replayed[0].header("destination"), Some("/topic/a"));
    assert!(replayed[0].body.is_empty());
    let rest: Vec<_> = replayed[1..].iter().map(|frame| &frame.body[..]).collect();
    assert_eq!(rest, [b"3", b"4"]);

    // The notice's own id is a position: from there nothing is missing.
    let id = replayed[0].header("message-id").unwrap();
    let again = resume(&mut client, "/topic/**", id).await;
    assert_eq!(again.len(), 2);
    assert_eq!(again[0].header("x-gap"), None);
}

#[tokio::test]
async fn a_position_of_another_life_is_a_gap_and_live_messages_follow() {
    let before = TestBroker::start().await;
    let position = before
        .publisher
        .publish("/topic/a", numbered(0))
        .to_string();
    drop(before);
    let broker = TestBroker::start().await;
    broker.publisher.publish("/topic/a", numbered(1));
    let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
    let replayed = resume(&mut client, "/topic/a", &position).await;
    assert_eq!(replayed.len(), 1);
    assert_eq!(replayed[0].header("x-gap"), Some("true"));
    broker.publisher.publish("/topic/a", numbered(2));
    assert_eq!(client.body().await, "2");
}
