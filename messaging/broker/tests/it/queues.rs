//! Queues over the wire: one consumer for each message, acknowledgement, redelivery, bounds.

use std::time::{SystemTime, UNIX_EPOCH};

use broker::{BrokerConfig, Outgoing, QueueLimits};
use stomp::{AckMode, Frame, Version};

use crate::client::{Client, Way, config_of};
use crate::harness::{TestBroker, eventually};

const QUEUE: &str = "/queue/a";

async fn with(queues: QueueLimits) -> TestBroker {
    TestBroker::with(BrokerConfig {
        queues,
        ..BrokerConfig::default()
    })
    .await
}

fn fill(broker: &TestBroker, bodies: &[&str]) {
    for body in bodies {
        let message = Outgoing::new("text/plain", (*body).to_owned());
        broker.publisher.send_to_queue(QUEUE, message).unwrap();
    }
}

/// A client that consumes from the queue.
async fn consumer(broker: &TestBroker, version: Version, ack: AckMode, prefetch: &str) -> Client {
    let mut client = Client::connect_with(broker, Way::Ws, config_of(version, "kim")).await;
    subscribe(&mut client, QUEUE, ack, prefetch).await;
    client
}

async fn subscribe(client: &mut Client, queue: &str, ack: AckMode, prefetch: &str) {
    let headers = [("prefetch-count", prefetch)];
    let (_, receipt) = client.session.subscribe_with_receipt(queue, ack, &headers);
    client.receipt(receipt).await;
}

/// Waits until the broker has handled what the client said.
async fn settled(client: &mut Client) {
    let receipt = client.send("/app/x", &[]);
    client.receipt(receipt).await;
}

fn id(client: &Client, message: &Frame) -> String {
    client.session.ack_id(message).unwrap()
}

async fn eventually_queued(broker: &TestBroker, messages: usize) {
    eventually("the end of messages", || {
        broker.publisher.statistics().queued == messages
    })
    .await;
}

#[tokio::test]
async fn a_message_waits_for_a_consumer_and_has_what_its_sender_said() {
    let broker = TestBroker::start().await;
    for version in Version::ALL {
        let mut lee = Client::connect(&broker, Way::Tcp, "lee").await;
        let headers = [("k", "v"), ("redelivered", "true"), ("x-deliveries", "7")];
        let receipt = lee.send(QUEUE, &headers);
        lee.receipt(receipt).await;
        assert_eq!(broker.publisher.statistics().queued, 1);
        let mut kim = consumer(&broker, version, AckMode::Auto, "1").await;
        let message = kim.message().await;
        assert_eq!(message.header("destination"), Some(QUEUE));
        assert_eq!(message.header("k"), Some("v"));
        assert_eq!(message.header("redelivered"), None);
        assert_eq!(message.header("x-deliveries"), None);
        assert_eq!(message.body, "x");
        assert_eq!(broker.publisher.statistics().queued, 0);
    }
}

#[tokio::test]
async fn consumers_share_the_messages_in_turn() {
    let broker = TestBroker::start().await;
    let mut first = consumer(&broker, Version::V1_2, AckMode::Auto, "9").await;
    let mut second = consumer(&broker, Version::V1_1, AckMode::Client, "9").await;
    fill(&broker, &["1", "2", "3", "4"]);
    assert_eq!(first.body().await, "1");
    assert_eq!(first.body().await, "3");
    assert_eq!(second.body().await, "2");
    assert_eq!(second.body().await, "4");
    // `auto` is consumed, `client` is not yet.
    eventually_queued(&broker, 2).await;
}

#[tokio::test]
async fn an_automatic_consumer_gets_more_than_its_connection_could_hold_at_once() {
    let broker = TestBroker::with(BrokerConfig {
        queue_messages: 4,
        ..BrokerConfig::default()
    })
    .await;
    let bodies: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = bodies.iter().map(String::as_str).collect();
    fill(&broker, &texts);
    let mut kim = consumer(&broker, Version::V1_2, AckMode::Auto, "4").await;
    for expected in texts {
        assert_eq!(kim.body().await, expected);
    }
    assert_eq!(broker.publisher.statistics().slow_consumers, 0);
}

#[tokio::test]
async fn prefetch_count_bounds_what_is_unacknowledged() {
    let broker = TestBroker::start().await;
    for version in [Version::V1_0, Version::V1_1, Version::V1_2] {
        fill(&broker, &["1", "2", "3"]);
        let mut kim = consumer(&broker, version, AckMode::Client, "2").await;
        kim.message().await;
        let second = kim.message().await;
        // A topic's message overtakes what has no room.
        kim.subscribe("/topic/a").await;
        broker
            .publisher
            .publish("/topic/a", Outgoing::new("text/plain", "topic"));
        assert_eq!(kim.body().await, "topic");
        // Cumulative: this one and the one before it.
        let ack = id(&kim, &second);
        kim.session.ack(&ack);
        let third = kim.message().await;
        assert_eq!(third.body, "3");
        assert_eq!(broker.publisher.statistics().queued, 1);
        let ack = id(&kim, &third);
        kim.session.ack(&ack);
        settled(&mut kim).await;
        assert_eq!(broker.publisher.statistics().queued, 0);
    }
}

#[tokio::test]
async fn one_acknowledgement_is_about_one_message_where_the_mode_says_so() {
    let broker = TestBroker::start().await;
    fill(&broker, &["1", "2", "3"]);
    let mut kim = consumer(&broker, Version::V1_2, AckMode::ClientIndividual, "3").await;
    kim.message().await;
    let second = kim.message().await;
    let third = kim.message().await;
    let (second, third) = (id(&kim, &second), id(&kim, &third));
    kim.session.ack(&second);
    kim.session.nack(&third);
    let again = kim.message().await;
    assert_eq!(
        (&*again.body, again.header("redelivered")),
        (&b"3"[..], Some("true"))
    );
    assert_eq!(broker.publisher.statistics().queued, 2);
}

#[tokio::test]
async fn what_a_lost_consumer_had_goes_to_the_next_in_order() {
    let broker = TestBroker::start().await;
    fill(&broker, &["1", "2", "3"]);
    let mut lost = consumer(&broker, Version::V1_2, AckMode::Client, "2").await;
    let first = lost.message().await;
    lost.message().await;
    drop(lost);
    eventually("the end of the lost session", || {
        broker.publisher.session_count() == 0
    })
    .await;
    let mut kim = consumer(&broker, Version::V1_2, AckMode::Auto, "9").await;
    let again = kim.message().await;
    assert_eq!(again.header("message-id"), first.header("message-id"));
    assert_eq!(again.header("redelivered"), Some("true"));
    let second = kim.message().await;
    assert_eq!(
        (&*second.body, second.header("redelivered")),
        (&b"2"[..], Some("true"))
    );
    let third = kim.message().await;
    assert_eq!(
        (&*third.body, third.header("redelivered")),
        (&b"3"[..], None)
    );
    assert_eq!(broker.publisher.statistics().redelivered, 2);
}

#[tokio::test]
async fn unsubscribe_gives_back_what_was_not_acknowledged() {
    let broker = TestBroker::start().await;
    fill(&broker, &["1"]);
    let mut first = Client::connect(&broker, Way::Tcp, "kim").await;
    let (subscription, receipt) = first
        .session
        .subscribe_with_receipt(QUEUE, AckMode::Client, &[]);
    first.receipt(receipt).await;
    assert_eq!(first.body().await, "1");
    let mut second = consumer(&broker, Version::V1_2, AckMode::Auto, "1").await;
    first.session.unsubscribe(subscription);
    first.flush().await;
    assert_eq!(second.body().await, "1");
}

#[tokio::test]
async fn what_is_refused_too_often_is_a_dead_letter() {
    let broker = with(QueueLimits {
        deliveries: 2,
        ..QueueLimits::default()
    })
    .await;
    fill(&broker, &["bad", "good"]);
    let mut kim = consumer(&broker, Version::V1_1, AckMode::ClientIndividual, "1").await;
    for redelivered in [None, Some("true")] {
        let message = kim.message().await;
        assert_eq!(
            (&*message.body, message.header("redelivered")),
            (&b"bad"[..], redelivered)
        );
        let nack = id(&kim, &message);
        kim.session.nack(&nack);
    }
    assert_eq!(kim.body().await, "good");
    let mut lee = Client::connect(&broker, Way::Ws, "lee").await;
    subscribe(&mut lee, "/queue/dlq/a", AckMode::Auto, "1").await;
    let dead = lee.message().await;
    assert_eq!(dead.body, "bad");
    assert_eq!(dead.header("destination"), Some("/queue/dlq/a"));
    assert_eq!(dead.header("x-dead-letter-from"), Some(QUEUE));
    assert_eq!(dead.header("x-deliveries"), Some("2"));
    assert_eq!(broker.publisher.statistics().dead_lettered, 1);
}

#[tokio::test]
async fn expired_messages_are_not_delivered() {
    let broker = TestBroker::start().await;
    let mut lee = Client::connect(&broker, Way::Tcp, "lee").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let later = (now.as_millis() + 3_600_000).to_string();
    for expires in ["1", &later, "0"] {
        let receipt = lee.send(QUEUE, &[("expires", expires)]);
        lee.receipt(receipt).await;
    }
    let mut kim = consumer(&broker, Version::V1_2, AckMode::Auto, "0").await;
    for expected in [&*later, "0"] {
        assert_eq!(kim.message().await.header("expires"), Some(expected));
    }
    assert_eq!(broker.publisher.statistics().expired, 1);
    lee.send(QUEUE, &[("expires", "soon")]);
    assert_eq!(lee.error_code().await, "bad-expires");
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let broker = with(QueueLimits {
        messages_per_queue: 2,
        queues: 1,
        ..QueueLimits::default()
    })
    .await;
    fill(&broker, &["1", "2"]);
    for (destination, queued) in [(QUEUE, 2), ("/queue/b", 2)] {
        let mut lee = Client::connect(&broker, Way::Tcp, "lee").await;
        let receipt = lee.send(destination, &[]);
        let error = lee.error().await;
        assert_eq!(error.header("code"), Some("queue-full"));
        assert_eq!(error.header("receipt-id"), Some(&*receipt.to_string()));
        assert_eq!(broker.publisher.statistics().queued, queued);
    }
    let refused = broker.publisher.send_to_queue(QUEUE, Outgoing::default());
    assert_eq!(refused.unwrap_err().code, "queue-full");
    for (destination, prefetch, code) in [
        ("/queue/b", "1", "too-many-queues"),
        (QUEUE, "-1", "bad-prefetch-count"),
        (QUEUE, "many", "bad-prefetch-count"),
    ] {
        let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
        let headers = [("prefetch-count", prefetch)];
        kim.session.subscribe(destination, AckMode::Auto, &headers);
        assert_eq!(kim.error_code().await, code);
    }
    // Room again as soon as one is consumed.
    let mut kim = consumer(&broker, Version::V1_2, AckMode::Auto, "1").await;
    assert_eq!(kim.body().await, "1");
    assert_eq!(kim.body().await, "2");
    fill(&broker, &["3"]);
    assert_eq!(kim.body().await, "3");
}

#[tokio::test]
async fn the_guard_decides_about_queues() {
    let broker = TestBroker::start().await;
    let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
    kim.send("/queue/secret", &[]);
    assert_eq!(kim.error_code().await, "forbidden");
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    kim.session.subscribe("/queue/secret", AckMode::Auto, &[]);
    assert_eq!(kim.error_code().await, "forbidden");
    assert_eq!(broker.publisher.statistics().queued, 0);
}

#[tokio::test]
async fn many_busy_queues_are_no_reason_to_end_a_session() {
    const QUEUES: usize = 200;
    const MESSAGES: usize = 20;
    let broker = TestBroker::start().await;
    for queue in 0..QUEUES {
        for _ in 0..MESSAGES {
            let message = Outgoing::new("text/plain", vec![b'x'; 3000]);
            let queue = format!("/queue/{queue}");
            broker.publisher.send_to_queue(&queue, message).unwrap();
        }
    }
    let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
    for queue in 0..QUEUES {
        let queue = format!("/queue/{queue}");
        client.session.subscribe(&queue, AckMode::Auto, &[]);
    }
    for _ in 0..QUEUES * MESSAGES {
        assert_eq!(client.message().await.body.len(), 3000);
    }
    assert_eq!(broker.publisher.statistics().slow_consumers, 0);
}
