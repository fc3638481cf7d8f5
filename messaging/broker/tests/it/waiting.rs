//! What waits for a session: the urgent overtakes, conflation keeps the newest, what has expired is dropped, and rights
//! that were taken away stop deliveries.
//!
//! These tests run on one thread: what is published without an await in between waits together in the outbox.

use std::time::Duration;

use broker::destination::{CONFLATE, DURABLE_NAME, EXPIRES, KEY};
use broker::{BrokerConfig, Outgoing};
use stomp::{AckMode, ClientConfig, ClientEvent, Limits, Version};

use crate::client::{Client, RawClient, Way, config, config_of};
use crate::harness::{TestBroker, eventually};

fn text(body: &str) -> Outgoing {
    Outgoing::new("text/plain", body.to_owned())
}

async fn bodies(client: &mut Client, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        bodies.push(client.body().await);
    }
    bodies
}

#[tokio::test]
async fn urgent_messages_overtake_and_no_subscription_is_reordered() {
    let config = BrokerConfig {
        urgent: vec!["/topic/alarms/**".to_owned()],
        ..BrokerConfig::default()
    };
    let broker = TestBroker::with(config).await;
    for way in Way::BOTH {
        let mut client = Client::connect(&broker, way, "kim").await;
        for pattern in ["/topic/readings", "/topic/alarms/*", "/topic/**"] {
            client.subscribe(pattern).await;
        }
        for (topic, body) in [
            ("/topic/readings", "r1"),
            ("/topic/readings", "r2"),
            ("/topic/alarms/p1", "a1"),
            ("/topic/readings", "r3"),
            ("/topic/alarms/p1", "a2"),
        ] {
            broker.publisher.publish(topic, text(body));
        }
        // `/topic/**` gets other things, too: nothing in it overtakes.
        let expected = ["a1", "a2", "r1", "r1", "r2", "r2", "a1", "r3", "r3", "a2"];
        assert_eq!(bodies(&mut client, 10).await, expected, "{way:?}");
    }
}

#[tokio::test]
async fn a_subscriber_that_conflates_gets_the_newest_of_each_key() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Ws, "kim").await;
    let (_, receipt) =
        client
            .session
            .subscribe_with_receipt("/topic/**", AckMode::Auto, &[(CONFLATE, "true")]);
    client.receipt(receipt).await;
    for (topic, key, body) in [
        ("/topic/a", "x", "ax1"),
        ("/topic/a", "y", "ay1"),
        ("/topic/b", "x", "bx1"),
        ("/topic/a", "x", "ax2"),
        ("/topic/a", "y", "ay2"),
        ("/topic/a", "x", "ax3"),
    ] {
        let message = text(body).with_header(KEY, key);
        broker.publisher.publish(topic, message);
    }
    assert_eq!(bodies(&mut client, 3).await, ["ax3", "ay2", "bx1"]);
    assert_eq!(broker.publisher.statistics().conflated, 3);
    broker.publisher.publish("/topic/a", text("later"));
    assert_eq!(client.body().await, "later");
}

#[tokio::test]
async fn conflation_is_refused_where_it_would_lie() {
    let broker = TestBroker::start().await;
    let check = async |destination, ack, headers: &[(&str, &str)], code| {
        let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
        client
            .session
            .subscribe_with_receipt(destination, ack, headers);
        let error = client.error().await;
        assert_eq!(error.header("code"), Some(code), "{headers:?}");
        assert!(error.header("receipt-id").is_some());
    };
    let (yes, no) = ((CONFLATE, "true"), "conflate-unsupported");
    check(
        "/topic/a",
        AckMode::Auto,
        &[(CONFLATE, "maybe")],
        "bad-flag",
    )
    .await;
    check("/queue/a", AckMode::Auto, &[yes], no).await;
    check("/user/queue/a", AckMode::Auto, &[yes], no).await;
    check("/topic/a", AckMode::Client, &[yes], no).await;
    check(
        "/topic/a",
        AckMode::Auto,
        &[yes, ("x-resume-from", "a-1")],
        no,
    )
    .await;
    check("/topic/a", AckMode::Auto, &[yes, (DURABLE_NAME, "d")], no).await;
}

#[tokio::test]
async fn what_has_expired_is_not_delivered_any_more() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
    client.subscribe("/topic/a").await;
    let (_, receipt) = client
        .session
        .subscribe_with_receipt("/topic/b", AckMode::Client, &[]);
    client.receipt(receipt).await;
    for topic in ["/topic/a", "/topic/b"] {
        for (expires, body) in [
            ("1", "long past"),
            ("0", "never"),
            ("99999999999999", "later"),
        ] {
            let message = text(body).with_header(EXPIRES, expires);
            broker.publisher.publish(topic, message);
        }
        assert_eq!(bodies(&mut client, 2).await, ["never", "later"], "{topic}");
    }
    assert_eq!(broker.publisher.statistics().expired, 2);
}

#[tokio::test]
async fn rights_that_were_taken_away_stop_what_was_on_its_way() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        let mut client = Client::connect(&broker, way, "kim").await;
        let mut other = Client::connect(&broker, way, "lee").await;
        for client in [&mut client, &mut other] {
            client.subscribe("/topic/a").await;
        }
        broker.publisher.publish("/topic/a", text("1"));
        assert_eq!(client.body().await, "1");
        // Nothing has changed for this one: it goes on.
        assert_eq!(broker.publisher.rights_changed("kim"), 1);
        broker.publisher.publish("/topic/a", text("2"));
        assert_eq!(client.body().await, "2");

        broker.broker.guard().forbid("kim");
        assert_eq!(broker.publisher.rights_changed("kim"), 1);
        broker.publisher.publish("/topic/a", text("secret now"));
        assert_eq!(client.error_code().await, "forbidden", "{way:?}");
        assert_eq!(broker.publisher.rights_changed("kim"), 0);
        assert_eq!(bodies(&mut other, 3).await, ["1", "2", "secret now"]);
        assert!(matches!(
            client.event().await,
            None | Some(ClientEvent::Closed(_))
        ));
        broker.broker.guard().allow("kim");
    }
}

/// Nothing but what happens wakes such a session: a wake-up that is lost is not made good by a heart-beat.
fn without_heart_beats(token: &str) -> ClientConfig {
    ClientConfig {
        heart_beat_send: Duration::ZERO,
        heart_beat_receive: Duration::ZERO,
        ..config(token)
    }
}

#[tokio::test]
async fn a_session_goes_on_after_a_replay_that_had_to_wait_for_the_socket() {
    /// What is written at once is full with four of these; the last is alone.
    const MESSAGES: usize = 201;
    const BYTES: usize = 9_900;
    let mut config = BrokerConfig::default();
    config.stomp.connect_timeout = Duration::from_secs(3600);
    let broker = TestBroker::with(config).await;
    for way in Way::BOTH {
        let start = broker.publisher.position().to_string();
        for _ in 0..MESSAGES {
            let long = Outgoing::new("text/plain", vec![b'x'; BYTES]);
            broker.publisher.publish("/topic/a", long);
        }
        let mut client = Client::connect_with(&broker, way, without_heart_beats("kim")).await;
        let headers = [("x-resume-from", &*start)];
        client
            .session
            .subscribe("/topic/a", AckMode::Auto, &headers);
        assert_eq!(client.message().await.body.len(), BYTES);
        broker.publisher.publish("/topic/a", text("live"));
        for _ in 1..MESSAGES {
            assert_eq!(client.message().await.body.len(), BYTES);
        }
        assert_eq!(client.body().await, "live", "{way:?}");
        let receipt = client.send("/app/x", &[]);
        client.receipt(receipt).await;
    }
}

#[tokio::test]
async fn a_session_that_lets_others_run_goes_on_with_what_it_has_read() {
    const SUBSCRIPTIONS: usize = 250;
    /// Together more than one turn publishes.
    const MESSAGES: usize = 40;
    let broker = TestBroker::with(BrokerConfig {
        queue_messages: SUBSCRIPTIONS * MESSAGES,
        ..BrokerConfig::default()
    })
    .await;
    let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
    for _ in 0..SUBSCRIPTIONS {
        client.session.subscribe("/topic/a", AckMode::Auto, &[]);
    }
    client.subscribe("/topic/b").await;
    let mut boss = Client::connect_with(&broker, Way::Tcp, without_heart_beats("boss")).await;
    let mut last = None;
    for _ in 0..MESSAGES {
        boss.session.send("/topic/a", "text/plain", "x".into(), &[]);
        last = Some(boss.send("/app/x", &[]));
    }
    for _ in 1..MESSAGES {
        assert!(matches!(boss.event().await, Some(ClientEvent::Receipt(_))));
    }
    boss.receipt(last.unwrap()).await;
    for _ in 0..SUBSCRIPTIONS * MESSAGES {
        assert_eq!(client.body().await, "x");
    }
}

#[tokio::test]
async fn a_reader_that_keeps_up_is_not_overrun() {
    const MESSAGES: usize = 3000;
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        let mut reader = Client::connect(&broker, way, "kim").await;
        reader.subscribe("/topic/a").await;
        let mut boss = RawClient::connect(&broker, "boss").await;
        boss.say(&"SEND\ndestination:/topic/a\n\nx^".repeat(MESSAGES))
            .await;
        for _ in 0..MESSAGES {
            assert_eq!(reader.body().await, "x", "{way:?}");
        }
    }
}

#[tokio::test]
async fn a_transaction_does_not_overrun_those_who_read() {
    let broker = TestBroker::start().await;
    let mut reader = Client::connect(&broker, Way::Tcp, "kim").await;
    reader.subscribe("/topic/a").await;
    reader.subscribe("/topic/*").await;
    let mut boss = RawClient::connect(&broker, "boss").await;
    let frames = Limits::default().transaction_frames;
    let sends = "SEND\ndestination:/topic/a\ntransaction:t\n\nx^".repeat(frames);
    let transaction = format!("BEGIN\ntransaction:t\n\n^{sends}COMMIT\ntransaction:t\n\n^");
    boss.say(&transaction.repeat(4)).await;
    for _ in 0..frames * 8 {
        assert_eq!(reader.body().await, "x");
    }
}

#[tokio::test]
async fn what_is_urgent_does_not_wait_for_a_replay() {
    let broker = TestBroker::with(BrokerConfig {
        replay_bytes_per_subscribe: usize::MAX,
        ..BrokerConfig::default()
    })
    .await;
    for way in Way::BOTH {
        let start = broker.publisher.position().to_string();
        for _ in 0..200 {
            let long = Outgoing::new("text/plain", vec![b'x'; 300_000]);
            broker.publisher.publish("/topic/a", long);
        }
        let mut client = Client::connect(&broker, way, "kim").await;
        client.subscribe("/user/queue/answers").await;
        let headers = [("x-resume-from", &*start)];
        client
            .session
            .subscribe("/topic/a", AckMode::Auto, &headers);
        assert_eq!(client.message().await.body.len(), 300_000);
        let session = broker.publisher.sessions_of("kim")[0];
        broker
            .publisher
            .send_to_session(session, "/user/queue/answers", text("answer"));
        let mut before = 1;
        while client.message().await.body != "answer" {
            before += 1;
        }
        // What the sockets hold is before it.
        assert!(before < 50, "{before} of 200 {way:?}");
        drop(client);
        eventually("the end", || broker.publisher.sessions_of("kim").is_empty()).await;
    }
}

#[tokio::test]
async fn a_long_message_is_the_same_for_all_its_readers() {
    let broker = TestBroker::start().await;
    for bytes in [1_023, 1_024, 8_000, 8_192, 70_000, 900_000] {
        for body in [vec![b'x'; bytes], vec![0xFF; bytes]] {
            let mut readers = Vec::new();
            for version in Version::ALL {
                for way in Way::BOTH {
                    let config = config_of(version, "kim");
                    let mut reader = Client::connect_with(&broker, way, config).await;
                    reader.subscribe("/topic/a").await;
                    readers.push(reader);
                }
            }
            let message = Outgoing::new("text/plain", body.clone());
            broker.publisher.publish("/topic/a", message);
            broker.publisher.publish("/topic/a", text("next"));
            for reader in &mut readers {
                assert_eq!(reader.message().await.body, body);
                assert_eq!(reader.body().await, "next");
            }
        }
    }
}
