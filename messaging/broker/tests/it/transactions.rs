//! Transactions over the wire: nothing before COMMIT, all or nothing at COMMIT, nothing after an end.

use broker::{BrokerConfig, Outgoing, QueueLimits};

use crate::client::{Client, RawClient, Way, header_of};
use crate::harness::{Seen, TestBroker, eventually};

const BEGIN: &str = "BEGIN\ntransaction:t\n\n^";

fn send(destination: &str, body: &str) -> String {
    format!("SEND\ndestination:{destination}\ntransaction:t\n\n{body}^")
}

fn commit(receipt: &str) -> String {
    format!("COMMIT\ntransaction:t\nreceipt:{receipt}\n\n^")
}

/// A subscriber to `/topic/a` and the session that publishes.
async fn subscriber(broker: &TestBroker) -> Client {
    let mut kim = Client::connect(broker, Way::Ws, "kim").await;
    kim.subscribe("/topic/a").await;
    kim
}

#[tokio::test]
async fn nothing_is_published_before_commit_and_everything_in_order_at_it() {
    let broker = TestBroker::start().await;
    let mut kim = subscriber(&broker).await;
    let mut boss = RawClient::connect(&broker, "boss").await;
    boss.say(BEGIN).await;
    boss.say(&send("/topic/a", "1")).await;
    boss.say("SEND\ndestination:/topic/a\ntransaction:t\nreceipt:r\n\n2^")
        .await;
    // Held and checked: the RECEIPT does not wait for COMMIT.
    boss.receipt("r").await;
    broker
        .publisher
        .publish("/topic/a", Outgoing::new("text/plain", "between"));
    boss.say(&commit("c")).await;
    boss.receipt("c").await;
    for expected in ["between", "1", "2"] {
        let message = kim.message().await;
        assert_eq!(message.body, expected);
        assert_eq!(message.header("transaction"), None);
    }
    assert_eq!(broker.publisher.statistics().published, 3);
}

#[tokio::test]
async fn what_is_aborted_never_happened() {
    let broker = TestBroker::start().await;
    for end in [
        "ABORT\ntransaction:t\n\n^DISCONNECT\nreceipt:d\n\n^",
        "DISCONNECT\nreceipt:d\n\n^",
    ] {
        let mut boss = RawClient::connect(&broker, "boss").await;
        boss.say(&format!("{BEGIN}{}{end}", send("/topic/a", "1")))
            .await;
        boss.receipt("d").await;
    }
    let mut boss = RawClient::connect(&broker, "boss").await;
    boss.say(&format!("{BEGIN}{}", send("/topic/a", "1"))).await;
    drop(boss);
    eventually("the end of all sessions", || {
        broker.publisher.session_count() == 0
    })
    .await;
    assert_eq!(broker.publisher.statistics().published, 0);
}

#[tokio::test]
async fn a_frame_that_may_not_be_sent_is_refused_when_it_comes() {
    let broker = TestBroker::start().await;
    for (token, destination, code) in [
        ("kim", "/topic/a", "forbidden"),
        ("boss", "/user/queue/a", "unsupported-destination"),
        ("boss", "/topic/*", "bad-destination"),
        ("boss", "/app/x", "transactions-unsupported"),
    ] {
        let mut client = RawClient::connect(&broker, token).await;
        client.say(BEGIN).await;
        client
            .say(&format!(
                "SEND\ndestination:{destination}\ntransaction:t\nreceipt:r\n\n^"
            ))
            .await;
        let expected = (code.to_owned(), Some("r".to_owned()));
        assert_eq!(client.error().await, expected, "{destination}");
    }
    // No frame reached the handler.
    for _ in 0..4 {
        assert!(matches!(broker.seen().await, Seen::Ended { .. }));
    }
    assert_eq!(broker.publisher.statistics().published, 0);
}

#[tokio::test]
async fn the_guard_is_asked_again_at_commit_and_one_denial_stops_all() {
    let broker = TestBroker::start().await;
    let mut boss = RawClient::connect(&broker, "boss").await;
    boss.say(&format!(
        "{BEGIN}{}{}",
        send("/topic/a", "1"),
        send("/topic/b", "2")
    ))
    .await;
    // The renewed token is of the same person and no longer allows topics.
    boss.say("COMMIT\ntransaction:t\nreceipt:c\nAuthorization:Bearer boss+secret\n\n^")
        .await;
    let expected = ("forbidden".to_owned(), Some("c".to_owned()));
    assert_eq!(boss.error().await, expected);
    assert_eq!(broker.publisher.statistics().published, 0);
}

#[tokio::test]
async fn bounds_and_unknown_ids_end_the_session() {
    let broker = TestBroker::start().await;
    let begins: String = (0..9)
        .map(|id| format!("BEGIN\ntransaction:{id}\nreceipt:{id}\n\n^"))
        .collect();
    let mut boss = RawClient::connect(&broker, "boss").await;
    boss.say(&begins).await;
    for id in 0..8 {
        boss.receipt(&id.to_string()).await;
    }
    assert_eq!(boss.error().await.0, "too-many-transactions");

    let mut boss = RawClient::connect(&broker, "boss").await;
    boss.say(&send("/topic/a", "1")).await;
    assert_eq!(boss.error().await.0, "unknown-transaction");
}

#[tokio::test]
async fn acks_and_sends_to_queues_happen_together_or_not_at_all() {
    let limits = QueueLimits {
        messages_per_queue: 2,
        ..QueueLimits::default()
    };
    let broker = TestBroker::with(BrokerConfig {
        queues: limits,
        ..BrokerConfig::default()
    })
    .await;
    let publisher = &broker.publisher;
    let work = "SUBSCRIBE\nid:s\ndestination:/queue/in\nack:client-individual\n\n^";
    publisher
        .send_to_queue("/queue/in", Outgoing::new("text/plain", "job"))
        .unwrap();
    // Three results are more than `/queue/out` holds; two are not.
    for (results, receipt) in [(3, None), (2, Some("c"))] {
        let mut kim = RawClient::connect(&broker, "kim").await;
        kim.say(work).await;
        let job = kim.frame().await.unwrap();
        let ack = header_of(&job, "ack").unwrap();
        let sends = send("/queue/out", "result").repeat(results);
        kim.say(&format!("{BEGIN}ACK\nid:{ack}\ntransaction:t\n\n^{sends}"))
            .await;
        kim.say(&commit("c")).await;
        match receipt {
            Some(receipt) => kim.receipt(receipt).await,
            None => assert_eq!(kim.error().await.0, "queue-full"),
        }
        eventually("what the transaction leaves", || {
            publisher.statistics().queued == if receipt.is_some() { 2 } else { 1 }
        })
        .await;
    }
}
