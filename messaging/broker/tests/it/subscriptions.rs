//! Topics, wildcards, user queues, slow consumers.

use broker::{BrokerConfig, Delivery, Denied, Outgoing};
use bytes::Bytes;
use stomp::{AckMode, ClientEvent, Frame, SubscriptionId, Version};

use crate::client::{Client, Way, config_of};
use crate::harness::{TestBroker, eventually};

fn text(body: &str) -> Outgoing {
    Outgoing::new("text/plain", body.to_owned())
}

#[tokio::test]
async fn what_is_published_reaches_subscribers_of_every_version() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        for version in Version::ALL {
            let mut client = Client::connect_with(&broker, way, config_of(version, "kim")).await;
            let id = client.subscribe("/topic/a").await;
            let message = text("hello").with_header("k", "1:2");
            let position = broker.publisher.publish("/topic/a", message);
            let message = client.message().await;
            assert_eq!(SubscriptionId::of(&message), Some(id));
            assert_eq!(message.header("destination"), Some("/topic/a"));
            assert_eq!(message.header("message-id"), Some(&*position.to_string()));
            assert_eq!(message.header("content-type"), Some("text/plain"));
            assert_eq!(message.header("k"), Some("1:2"));
            assert_eq!(message.body, "hello");
        }
    }
}

#[tokio::test]
async fn wildcards_get_the_destination_that_was_published_to() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Ws, "kim").await;
    client.subscribe("/topic/zones/*/alarms").await;
    client.subscribe("/topic/ui/**").await;
    for destination in [
        "/topic/zones/p1/alarms",
        "/topic/zones/p1/tile",
        "/topic/ui/ko/zones/p1/tile",
    ] {
        broker.publisher.publish(destination, text(""));
    }
    let mut destination = async || {
        let message = client.message().await;
        message.header("destination").unwrap().to_owned()
    };
    assert_eq!(destination().await, "/topic/zones/p1/alarms");
    assert_eq!(destination().await, "/topic/ui/ko/zones/p1/tile");
}

#[tokio::test]
async fn clients_publish_where_the_guard_allows_it_and_nothing_private_travels() {
    let broker = TestBroker::start().await;
    let mut boss = Client::connect(&broker, Way::Ws, "boss").await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    kim.subscribe("/topic/a").await;
    let receipt = boss.send(
        "/topic/a",
        &[
            ("Authorization", "Bearer boss"),
            ("login", "l"),
            ("Passcode", "p"),
            ("x-gap", "true"),
            ("x-resume-from", "1"),
            ("message-id", "mine"),
            ("subscription", "mine"),
            ("custom", "kept"),
        ],
    );
    boss.receipt(receipt).await;
    let mut message = kim.message().await;
    let position = broker.publisher.position().to_string();
    message.headers.retain(|name, _| name != "subscription");
    let expected = Frame::new(stomp::Command::Message)
        .with_header("destination", "/topic/a")
        .with_header("message-id", position)
        .with_header("content-type", "text/plain")
        .with_header("custom", "kept")
        .with_body("x");
    assert_eq!(message, expected);
}

#[tokio::test]
async fn what_the_guard_denies_ends_the_session_and_has_no_effect() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        let mut kim = Client::connect(&broker, way, "kim").await;
        let receipt = kim.send("/topic/a", &[]);
        let error = kim.error().await;
        assert_eq!(error.header("code"), Some("forbidden"));
        assert_eq!(error.header("receipt-id"), Some(&*receipt.to_string()));
        assert_eq!(error.header("message"), Some("/topic/a is not for you"));

        for destination in ["/topic/secret", "/user/queue/secret"] {
            let mut kim = Client::connect(&broker, way, "kim").await;
            let (_, receipt) = kim
                .session
                .subscribe_with_receipt(destination, AckMode::Auto, &[]);
            let error = kim.error().await;
            assert_eq!(error.header("code"), Some("forbidden"));
            assert_eq!(error.header("receipt-id"), Some(&*receipt.to_string()));
        }
        let mut kim = Client::connect(&broker, way, "kim").await;
        kim.send("/app/secret", &[]);
        assert_eq!(kim.error_code().await, "forbidden");
    }
    let statistics = broker.publisher.statistics();
    assert_eq!((statistics.published, statistics.subscriptions), (0, 0));
}

#[tokio::test]
async fn destinations_that_are_not_served_are_refused() {
    let broker = TestBroker::start().await;
    for (destination, code) in [
        ("/queues/a", "unsupported-destination"),
        ("/app/a", "unsupported-destination"),
        ("/topic/a*", "bad-destination"),
        ("/user/queue/*", "bad-destination"),
        ("/queue/*", "bad-destination"),
    ] {
        let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
        client.session.subscribe(destination, AckMode::Auto, &[]);
        assert_eq!(client.error_code().await, code, "{destination}");
    }
    for (destination, code) in [
        ("/queues/a", "unsupported-destination"),
        ("/user/queue/a", "unsupported-destination"),
        ("/topic/**", "bad-destination"),
    ] {
        let mut client = Client::connect(&broker, Way::Tcp, "boss").await;
        client.send(destination, &[]);
        assert_eq!(client.error_code().await, code, "{destination}");
    }
}

#[tokio::test]
async fn nothing_comes_after_unsubscribe() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Ws, "kim").await;
    let ended = client.subscribe("/topic/a").await;
    client.subscribe("/topic/b").await;
    client.session.unsubscribe(ended);
    let done = client.send("/app/x", &[]);
    client.receipt(done).await;
    broker.publisher.publish("/topic/a", text("a"));
    broker.publisher.publish("/topic/b", text("b"));
    assert_eq!(client.body().await, "b");
}

#[tokio::test]
async fn user_queues_belong_to_their_session() {
    let broker = TestBroker::start().await;
    let queue = "/user/queue/commands";
    let mut first = Client::connect(&broker, Way::Ws, "kim").await;
    let mut second = Client::connect(&broker, Way::Tcp, "kim").await;
    let mut other = Client::connect(&broker, Way::Tcp, "lee").await;
    first.subscribe(queue).await;
    other.subscribe(queue).await;
    let publisher = &broker.publisher;
    let [one, two] = publisher.sessions_of("kim")[..] else {
        panic!("kim has two sessions");
    };

    assert_eq!(
        publisher.send_to_session(one, queue, text("1")),
        Delivery::Queued
    );
    assert_eq!(
        publisher.send_to_session(two, queue, text("2")),
        Delivery::NotSubscribed
    );
    assert_eq!(publisher.send_to_user("kim", queue, text("3")), 1);
    // Nothing was kept for the second session.
    second.subscribe(queue).await;
    assert_eq!(publisher.send_to_user("kim", queue, text("4")), 2);
    assert_eq!(publisher.send_to_user("lee", queue, text("5")), 1);
    assert_eq!(publisher.send_to_user("park", queue, text("6")), 0);

    let message = first.message().await;
    assert_eq!(message.header("destination"), Some(queue));
    assert_eq!(message.body, "1");
    assert_eq!(first.body().await, "3");
    assert_eq!(first.body().await, "4");
    assert_eq!(second.body().await, "4");
    assert_eq!(other.body().await, "5");

    drop(first);
    eventually("the end of the first session", || {
        publisher.sessions_of("kim") == [two]
    })
    .await;
    assert_eq!(
        publisher.send_to_session(one, queue, text("7")),
        Delivery::NoSuchSession
    );
}

#[tokio::test]
async fn user_messages_are_acknowledged_one_by_one() {
    let broker = TestBroker::start().await;
    for version in [Version::V1_1, Version::V1_2] {
        let mut client = Client::connect_with(&broker, Way::Ws, config_of(version, "kim")).await;
        let queue = "/user/queue/commands";
        let (_, receipt) =
            client
                .session
                .subscribe_with_receipt(queue, AckMode::ClientIndividual, &[]);
        client.receipt(receipt).await;
        assert_eq!(broker.publisher.send_to_user("kim", queue, text("1")), 1);
        assert_eq!(broker.publisher.send_to_user("kim", queue, text("2")), 1);
        let first = client.message().await;
        let second = client.message().await;
        let id = |client: &Client, message| client.session.ack_id(message).unwrap();
        let (first, second) = (id(&client, &first), id(&client, &second));
        client.session.ack(&second);
        client.session.nack(&first);
        let done = client.send("/app/x", &[]);
        client.receipt(done).await;
        client.session.ack(&first);
        assert_eq!(client.error_code().await, "unknown-ack");
        eventually("the session's end", || {
            broker.publisher.session_count() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn who_never_acknowledges_is_ended() {
    let mut config = BrokerConfig::default();
    config.stomp.limits.pending_acks = 2;
    let broker = TestBroker::with(config).await;
    let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
    let (_, receipt) = client
        .session
        .subscribe_with_receipt("/topic/a", AckMode::Client, &[]);
    client.receipt(receipt).await;
    for body in ["1", "2", "3"] {
        broker.publisher.publish("/topic/a", text(body));
    }
    assert_eq!(client.body().await, "1");
    assert_eq!(client.body().await, "2");
    assert_eq!(client.error_code().await, "too-many-unacknowledged");
}

#[tokio::test]
async fn a_slow_consumer_is_ended_and_others_keep_getting_messages() {
    /// Far more than sockets and queues hold.
    const ROUNDS: usize = 2000;
    let config = BrokerConfig {
        queue_messages: 8,
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(config).await;
    let mut slow = Client::connect(&broker, Way::Tcp, "slow").await;
    slow.subscribe("/topic/a").await;
    let mut quick = Client::connect(&broker, Way::Ws, "quick").await;
    quick.subscribe("/topic/a").await;

    let body = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut rounds = 0;
    while broker.publisher.statistics().slow_consumers == 0 {
        rounds += 1;
        assert!(rounds < ROUNDS, "the slow consumer was never ended");
        broker
            .publisher
            .publish("/topic/a", Outgoing::new("text/plain", body.clone()));
        assert_eq!(quick.message().await.body, body);
    }
    assert!(broker.publisher.sessions_of("slow").is_empty());
    broker.publisher.publish("/topic/a", text("still here"));
    assert_eq!(quick.body().await, "still here");

    // Reading again, it gets what was written, and no more; then it learns why, unless it was too slow for that, too.
    let mut received = 0;
    loop {
        match slow.event().await {
            Some(ClientEvent::Message(message)) => {
                assert_eq!(message.body, body);
                received += 1;
            }
            Some(ClientEvent::Error(error)) => {
                assert_eq!(error.header("code"), Some("slow-consumer"));
            }
            Some(ClientEvent::Closed(_)) | None => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(received < rounds);
}

#[tokio::test]
async fn the_application_ends_sessions() {
    let broker = TestBroker::start().await;
    let mut older = Client::connect(&broker, Way::Ws, "agent").await;
    let mut newer = Client::connect(&broker, Way::Ws, "agent").await;
    let fenced = Denied::new("fenced", "a newer instance is connected");
    let sessions = broker.publisher.sessions_of("agent");
    assert!(broker.publisher.end_session(sessions[0], fenced.clone()));
    assert!(!broker.publisher.end_session(sessions[0], fenced.clone()));
    assert_eq!(older.error_code().await, "fenced");
    assert_eq!(broker.publisher.end_sessions_of("agent", &fenced), 1);
    assert_eq!(newer.error_code().await, "fenced");
}
