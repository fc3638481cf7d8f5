//! Durable subscriptions over real connections: what is published while nobody is there waits, in bounds.

use std::time::Duration;

use broker::{BrokerConfig, DurableLimits, Outgoing};
use stomp::{AckMode, ClientEvent, Frame, Version};

use crate::client::{Client, RawClient, Way, config_of, header_of};
use crate::harness::{TestBroker, eventually};

async fn with(durables: DurableLimits) -> TestBroker {
    TestBroker::with(BrokerConfig {
        durables,
        ..BrokerConfig::default()
    })
    .await
}

/// Publishes each body; returns the message ids.
fn publish(broker: &TestBroker, topic: &str, bodies: &[&str]) -> Vec<String> {
    bodies
        .iter()
        .map(|body| {
            let message = Outgoing::new("text/plain", (*body).to_owned());
            broker.publisher.publish(topic, message).to_string()
        })
        .collect()
}

async fn attach(client: &mut Client, ack: AckMode, headers: &[(&str, &str)]) {
    let headers = [&[("durable-subscription-name", "n")], headers].concat();
    let (_, receipt) = client
        .session
        .subscribe_with_receipt("/topic/*", ack, &headers);
    client.receipt(receipt).await;
}

/// Ends the connection, and waits until the broker knows.
async fn leave(broker: &TestBroker, client: Client) {
    let sessions = broker.publisher.session_count();
    drop(client);
    eventually("the end of a session", || {
        broker.publisher.session_count() < sessions
    })
    .await;
}

async fn acknowledge(client: &mut Client, message: &Frame) {
    let id = client.session.ack_id(message).unwrap();
    client.session.ack(&id);
    let receipt = client.send("/app/x", &[]);
    client.receipt(receipt).await;
}

#[tokio::test]
async fn what_is_published_meanwhile_comes_in_order_and_again_until_it_is_acknowledged() {
    for (version, way) in Version::ALL.into_iter().zip([Way::Tcp, Way::Ws, Way::Tcp]) {
        let broker = TestBroker::start().await;
        publish(&broker, "/topic/a", &["before"]);
        let config = || config_of(version, "kim");
        let mut kim = Client::connect_with(&broker, way, config()).await;
        attach(&mut kim, AckMode::Client, &[]).await;
        leave(&broker, kim).await;

        let ids = publish(&broker, "/topic/a", &["1", "2"]);
        publish(&broker, "/topic/a/b", &["no match"]);
        publish(&broker, "/topic/b", &["3"]);
        assert_eq!(broker.publisher.statistics().durable_queued, 3);
        let mut kim = Client::connect_with(&broker, way, config()).await;
        attach(&mut kim, AckMode::Client, &[("prefetch-count", "2")]).await;
        let first = kim.message().await;
        assert_eq!(first.body, "1");
        assert_eq!(first.header("destination"), Some("/topic/a"));
        assert_eq!(first.header("message-id"), Some(&*ids[0]));
        assert_eq!(first.header("redelivered"), None);
        assert_eq!(kim.body().await, "2");
        let id = kim.session.ack_id(&first).unwrap();
        kim.session.ack(&id);
        // Now there is room for it.
        assert_eq!(kim.body().await, "3");
        leave(&broker, kim).await;

        let mut kim = Client::connect_with(&broker, way, config()).await;
        attach(&mut kim, AckMode::Auto, &[]).await;
        for body in ["2", "3"] {
            let again = kim.message().await;
            assert_eq!(again.body, body);
            assert_eq!(again.header("redelivered"), Some("true"));
        }
        publish(&broker, "/topic/c", &["live"]);
        assert_eq!(kim.body().await, "live");
        let statistics = broker.publisher.statistics();
        assert_eq!(statistics.durable_queued, 0);
        assert_eq!(statistics.durable_subscriptions, 1);
    }
}

#[tokio::test]
async fn sessions_that_are_attached_at_once_share_the_messages() {
    let broker = TestBroker::start().await;
    let mut first = Client::connect(&broker, Way::Tcp, "kim").await;
    let mut second = Client::connect(&broker, Way::Ws, "kim").await;
    let mut other = Client::connect(&broker, Way::Ws, "lee").await;
    for client in [&mut first, &mut second, &mut other] {
        attach(client, AckMode::Auto, &[]).await;
    }
    publish(&broker, "/topic/a", &["1", "2", "3", "4"]);
    assert_eq!([first.body().await, first.body().await], ["1", "3"]);
    assert_eq!([second.body().await, second.body().await], ["2", "4"]);
    for body in ["1", "2", "3", "4"] {
        assert_eq!(other.body().await, body);
    }
}

#[tokio::test]
async fn what_was_lost_for_lack_of_room_is_told() {
    let limits = DurableLimits {
        messages_each: 2,
        ..DurableLimits::default()
    };
    let broker = with(limits).await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    attach(&mut kim, AckMode::ClientIndividual, &[]).await;
    leave(&broker, kim).await;
    publish(&broker, "/topic/a", &["1", "2", "3", "4", "5"]);
    // A connection that is lost before the notice was acknowledged has not seen it.
    for redelivered in [None, Some("true")] {
        let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
        attach(&mut kim, AckMode::ClientIndividual, &[]).await;
        let notice = kim.message().await;
        assert_eq!(notice.header("x-gap"), Some("true"));
        assert_eq!(notice.header("destination"), Some("/topic/*"));
        assert_eq!(notice.header("redelivered"), redelivered);
        assert!(notice.body.is_empty());
        assert_eq!([kim.body().await, kim.body().await], ["4", "5"]);
        if redelivered.is_some() {
            acknowledge(&mut kim, &notice).await;
        }
        leave(&broker, kim).await;
    }
    let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
    attach(&mut kim, AckMode::Auto, &[]).await;
    assert_eq!([kim.body().await, kim.body().await], ["4", "5"]);
    let statistics = broker.publisher.statistics();
    assert_eq!((statistics.durable_dropped, statistics.gaps), (3, 2));
    assert_eq!(statistics.durable_queued, 0);
}

/// A SUBSCRIBE as it stands on the wire.
fn subscribe(id: &str, destination: &str, headers: &str) -> String {
    format!("SUBSCRIBE\nid:{id}\ndestination:{destination}\n{headers}receipt:r\n\n^")
}

const NAMED: &str = "durable-subscription-name:n\n";

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let limits = DurableLimits {
        per_subject: 1,
        ..DurableLimits::default()
    };
    let broker = with(limits).await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    attach(&mut kim, AckMode::Auto, &[]).await;
    let unsupported = "durable-unsupported";
    for (destination, headers, code) in [
        ("/topic/**", NAMED, "durable-mismatch"),
        ("/topic/a", NAMED, "durable-mismatch"),
        (
            "/topic/*",
            "durable-subscription-name:m\n",
            "too-many-durable-subscriptions",
        ),
        (
            "/topic/*",
            "durable-subscription-name:\n",
            "bad-durable-name",
        ),
        ("/queue/a", NAMED, unsupported),
        ("/user/queue/a", NAMED, unsupported),
        (
            "/topic/*",
            "durable-subscription-name:n\nx-resume-from:i-1\n",
            unsupported,
        ),
        (
            "/topic/*",
            "durable-subscription-name:n\nx-retained:true\n",
            unsupported,
        ),
    ] {
        let mut client = RawClient::connect(&broker, "kim").await;
        client.say(&subscribe("s", destination, headers)).await;
        let refused = (code.to_owned(), Some("r".to_owned()));
        assert_eq!(client.error().await, refused, "{destination} {headers}");
    }
    // Nothing of that has touched what was there.
    publish(&broker, "/topic/a", &["1"]);
    assert_eq!(kim.body().await, "1");
    assert_eq!(broker.publisher.statistics().durable_subscriptions, 1);
}

#[tokio::test]
async fn unsubscribe_detaches_and_deletes_when_it_says_so() {
    let broker = TestBroker::start().await;
    let count = || broker.publisher.statistics().durable_subscriptions;
    let unsubscribe = |headers: &str| format!("UNSUBSCRIBE\nid:s\n{headers}receipt:r\n\n^");
    let named = subscribe("s", "/topic/*", NAMED);
    let mut kim = RawClient::connect(&broker, "kim").await;
    kim.say(&named).await;
    kim.receipt("r").await;
    kim.say(&unsubscribe("")).await;
    kim.receipt("r").await;
    publish(&broker, "/topic/a", &["1"]);
    kim.say(&named).await;
    kim.receipt("r").await;
    let message = kim.frame().await.unwrap();
    assert!(message.ends_with("\n\n1"), "{message}");

    // Not while somebody else is attached, and nothing of another name.
    let mut other = RawClient::connect(&broker, "kim").await;
    other.say(&named).await;
    other.receipt("r").await;
    other.say(&unsubscribe(NAMED)).await;
    assert_eq!(other.error().await.0, "durable-in-use");
    let mut other = RawClient::connect(&broker, "kim").await;
    other.say(&subscribe("s", "/topic/*", "")).await;
    other.receipt("r").await;
    other.say(&unsubscribe(NAMED)).await;
    assert_eq!(other.error().await.0, "durable-mismatch");
    assert_eq!(count(), 1);

    eventually("the end of the others", || {
        broker.publisher.session_count() == 1
    })
    .await;
    kim.say(&unsubscribe(NAMED)).await;
    kim.receipt("r").await;
    assert_eq!(count(), 0);
    publish(&broker, "/topic/a", &["2"]);
    // The name is free, for another destination as well.
    kim.say(&subscribe("s", "/topic/**", NAMED)).await;
    kim.receipt("r").await;
    publish(&broker, "/topic/a", &["3"]);
    let message = kim.frame().await.unwrap();
    assert!(message.ends_with("\n\n3"), "{message}");
    assert_eq!(header_of(&message, "subscription"), Some("s"));
}

#[tokio::test]
async fn the_guard_is_asked_each_time() {
    let broker = TestBroker::start().await;
    let headers = [("durable-subscription-name", "n")];
    let mut kim = Client::connect(&broker, Way::Tcp, "kim+secret").await;
    let attach = |client: &mut Client| {
        let session = &mut client.session;
        let (_, receipt) = session.subscribe_with_receipt("/topic/secret", AckMode::Auto, &headers);
        receipt
    };
    let receipt = attach(&mut kim);
    kim.receipt(receipt).await;
    leave(&broker, kim).await;
    publish(&broker, "/topic/secret", &["1"]);
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    attach(&mut kim);
    assert_eq!(kim.error_code().await, "forbidden");
    let mut kim = Client::connect(&broker, Way::Tcp, "kim+secret").await;
    let receipt = attach(&mut kim);
    kim.receipt(receipt).await;
    assert_eq!(kim.body().await, "1");
}

#[tokio::test]
async fn one_that_nobody_comes_back_to_is_forgotten() {
    let limits = DurableLimits {
        idle: Duration::ZERO,
        ..DurableLimits::default()
    };
    let broker = with(limits).await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    attach(&mut kim, AckMode::Auto, &[]).await;
    publish(&broker, "/topic/a", &["1"]);
    assert_eq!(kim.body().await, "1");
    leave(&broker, kim).await;
    publish(&broker, "/topic/a", &["2"]);
    assert_eq!(broker.publisher.statistics().durable_subscriptions, 0);
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    attach(&mut kim, AckMode::Auto, &[]).await;
    publish(&broker, "/topic/a", &["3"]);
    assert_eq!(kim.body().await, "3");
}

/// Connections are lost again and again while messages flow: each message is consumed, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnecting_while_messages_flow_misses_nothing() {
    const MESSAGES: usize = 1000;
    const PER_CONNECTION: usize = 150;
    let broker = TestBroker::start().await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    attach(&mut kim, AckMode::Client, &[]).await;
    let publisher = broker.publisher.clone();
    let publishing = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let message = Outgoing::new("text/plain", number.to_string());
            publisher.publish(&format!("/topic/{}", number % 3), message);
            tokio::task::yield_now().await;
        }
    });
    let mut consumed = 0;
    while consumed < MESSAGES {
        let wanted = PER_CONNECTION.min(MESSAGES - consumed);
        let mut acknowledged = 0;
        for number in 0..wanted {
            let Some(ClientEvent::Message(message)) = kim.event().await else {
                panic!("a message comes");
            };
            assert_eq!(message.body, (consumed + number).to_string());
            if number % 10 == 9 || number + 1 == wanted {
                let id = kim.session.ack_id(&message).unwrap();
                kim.session.ack(&id);
                acknowledged = number + 1;
            }
        }
        let receipt = kim.send("/app/x", &[]);
        while !matches!(kim.event().await, Some(ClientEvent::Receipt(id)) if id == receipt) {}
        consumed += acknowledged;
        leave(&broker, kim).await;
        let way = Way::BOTH[consumed % 2];
        kim = Client::connect(&broker, way, "kim").await;
        attach(&mut kim, AckMode::Client, &[]).await;
    }
    publishing.await.unwrap();
    assert_eq!(broker.publisher.statistics().durable_queued, 0);
}
