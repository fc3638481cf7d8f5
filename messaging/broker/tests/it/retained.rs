//! Last values over real connections: snapshot, then live, without a race; bounds; what others see.

use std::time::{SystemTime, UNIX_EPOCH};

use broker::{BrokerConfig, Outgoing, RetainedLimits};
use stomp::{AckMode, ClientEvent, Frame};

use crate::client::{Client, RawClient, Way, header_of};
use crate::harness::{TestBroker, eventually};

fn value(body: impl Into<String>) -> Outgoing {
    Outgoing::new("text/plain", body.into()).retained()
}

/// Subscribes to last values; returns what came before the RECEIPT.
async fn snapshot(
    client: &mut Client,
    destination: &str,
    ack: AckMode,
    headers: &[(&str, &str)],
) -> Vec<Frame> {
    let headers = [&[("x-retained", "true")], headers].concat();
    let (_, receipt) = client
        .session
        .subscribe_with_receipt(destination, ack, &headers);
    let mut frames = Vec::new();
    loop {
        match client.event().await {
            Some(ClientEvent::Message(message)) => frames.push(message),
            Some(ClientEvent::Receipt(id)) if id == receipt => return frames,
            other => panic!("{other:?}"),
        }
    }
}

fn bodies(frames: &[Frame]) -> Vec<&str> {
    frames
        .iter()
        .map(|frame| std::str::from_utf8(&frame.body).unwrap())
        .collect()
}

/// A SEND to `/topic/a` as it stands on the wire.
fn send(headers: &str, body: &str) -> String {
    format!("SEND\ndestination:/topic/a\n{headers}receipt:r\n\n{body}^")
}

#[tokio::test]
async fn what_clients_retain_comes_first_and_live_messages_follow() {
    let broker = TestBroker::start().await;
    let mut boss = RawClient::connect(&broker, "boss").await;
    for (headers, body) in [
        ("x-retain:true\nx-key:a\n", "1"),
        ("x-retain:true\nx-key:b\nx-retained:true\nexpires:0\n", "2"),
        ("x-retain:true\n", "3"),
        ("x-retain:false\nx-key:a\n", "4"),
        ("x-retain:true\nx-key:a\n", "5"),
        ("x-retain:true\n", ""),
    ] {
        boss.say(&send(headers, body)).await;
        boss.receipt("r").await;
    }
    assert_eq!(broker.publisher.statistics().retained, 2);
    for way in Way::BOTH {
        let mut kim = Client::connect(&broker, way, "kim").await;
        let first = snapshot(&mut kim, "/topic/*", AckMode::Auto, &[]).await;
        assert_eq!(bodies(&first), ["2", "5"]);
        let keys: Vec<_> = first.iter().map(|frame| frame.header("x-key")).collect();
        assert_eq!(keys, [Some("b"), Some("a")]);
        for frame in &first {
            assert_eq!(frame.header("x-retained"), Some("true"));
            assert_eq!(frame.header("x-retain"), None);
            assert_eq!(frame.header("destination"), Some("/topic/a"));
        }
        assert_eq!(first[0].header("expires"), Some("0"));
        let headers =
            "x-retain:true\nx-key:b\nexpires:0\nx-retained:true\nx-gap:true\nx-conflate:true\n";
        boss.say(&send(headers, "2")).await;
        boss.receipt("r").await;
        let live = kim.message().await;
        assert_eq!(live.header("x-key"), Some("b"));
        for stripped in ["x-retain", "x-retained", "x-gap", "x-conflate"] {
            assert_eq!(live.header(stripped), None, "{stripped}");
        }
        boss.say(&send("x-retain:true\nx-key:a\n", "5")).await;
        boss.receipt("r").await;
        assert_eq!(kim.body().await, "5");
    }
}

/// Values flow while clients come: each sees every value of its key from the snapshot on, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_snapshot_and_live_nothing_is_lost_or_doubled() {
    const VALUES: usize = 3000;
    let broker = TestBroker::with(BrokerConfig {
        // The publisher does not wait for the client.
        queue_messages: VALUES,
        ..BrokerConfig::default()
    })
    .await;
    let publisher = broker.publisher.clone();
    publisher.publish("/topic/a", value("0"));
    let publishing = tokio::spawn(async move {
        for number in 1..=VALUES {
            publisher.publish("/topic/a", value(number.to_string()));
            tokio::task::yield_now().await;
        }
    });
    let mut last = 0;
    while last < VALUES {
        let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
        let first = snapshot(&mut kim, "/topic/**", AckMode::Auto, &[]).await;
        assert_eq!(first.len(), 1, "live messages come after the RECEIPT");
        last = bodies(&first)[0].parse().unwrap();
        for next in last + 1..=VALUES.min(last + 200) {
            assert_eq!(kim.body().await, next.to_string());
            last = next;
        }
    }
    publishing.await.unwrap();
}

#[tokio::test]
async fn a_known_position_gets_what_it_missed_and_an_unknown_one_the_snapshot() {
    let broker = TestBroker::start().await;
    broker.publisher.publish("/topic/a", value("1"));
    let position = broker.publisher.publish("/topic/b", value("2")).to_string();
    broker.publisher.publish("/topic/c", value("3"));
    let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
    let from = [("x-resume-from", position.as_str())];
    let missed = snapshot(&mut kim, "/topic/*", AckMode::Auto, &from).await;
    assert_eq!(bodies(&missed), ["3"]);
    assert_eq!(missed[0].header("x-retained"), None);
    let from = [("x-resume-from", "other-1")];
    let all = snapshot(&mut kim, "/topic/*", AckMode::Auto, &from).await;
    assert_eq!(bodies(&all), ["", "1", "2", "3"]);
    assert_eq!(all[0].header("x-gap"), Some("true"));
    let statistics = broker.publisher.statistics();
    assert_eq!((statistics.replayed, statistics.gaps), (1, 1));
}

#[tokio::test]
async fn a_snapshot_is_acknowledged_like_any_message() {
    let broker = TestBroker::start().await;
    broker
        .publisher
        .publish("/topic/a", value("1").with_key("k"));
    broker.publisher.publish("/topic/a", value("2"));
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    for mode in [AckMode::Client, AckMode::ClientIndividual] {
        let first = snapshot(&mut kim, "/topic/a", mode, &[]).await;
        assert_eq!(bodies(&first), ["1", "2"]);
        for frame in &first[usize::from(mode == AckMode::Client)..] {
            let id = kim.session.ack_id(frame).unwrap();
            kim.session.ack(&id);
        }
        let receipt = kim.send("/app/x", &[]);
        kim.receipt(receipt).await;
    }
}

#[tokio::test]
async fn what_there_is_no_room_for_is_refused_and_a_transaction_as_a_whole() {
    let broker = TestBroker::with(BrokerConfig {
        retained: RetainedLimits {
            values: 2,
            ..RetainedLimits::default()
        },
        ..BrokerConfig::default()
    })
    .await;
    let retain = |key: &str| send(&format!("x-retain:true\nx-key:{key}\n"), "x");
    let mut boss = RawClient::connect(&broker, "boss").await;
    for key in ["a", "b", "b"] {
        boss.say(&retain(key)).await;
        boss.receipt("r").await;
    }
    boss.say(&retain("c")).await;
    let refused = ("retained-full".to_owned(), Some("r".to_owned()));
    assert_eq!(boss.error().await, refused);

    let mut boss = RawClient::connect(&broker, "boss").await;
    let held = |key: &str, body: &str| {
        format!("SEND\ndestination:/topic/a\ntransaction:t\nx-retain:true\nx-key:{key}\n\n{body}^")
    };
    let begin = "BEGIN\ntransaction:t\n\n^";
    let commit = "COMMIT\ntransaction:t\nreceipt:c\n\n^";
    let enough = [begin, &held("a", ""), &held("c", "x"), commit].concat();
    boss.say(&enough).await;
    boss.receipt("c").await;
    let too_much = [begin, &held("c", "y"), &held("d", "x"), commit].concat();
    boss.say(&too_much).await;
    assert_eq!(boss.error().await.0, "retained-full");

    let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
    let first = snapshot(&mut kim, "/topic/a", AckMode::Auto, &[]).await;
    assert_eq!(bodies(&first), ["x", "x"]);

    // The application's own is published all the same, and who asks for the snapshot is told.
    broker
        .publisher
        .publish("/topic/a", value("y").with_key("e"));
    assert_eq!(kim.body().await, "y");
    let again = snapshot(&mut kim, "/topic/a", AckMode::Auto, &[]).await;
    assert_eq!(bodies(&again), ["", "x", "x"]);
    assert_eq!(again[0].header("x-gap"), Some("true"));
    let statistics = broker.publisher.statistics();
    assert_eq!((statistics.retained, statistics.retained_refused), (2, 1));
}

#[tokio::test]
async fn a_value_that_expires_is_dropped() {
    let broker = TestBroker::start().await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let message = |at: u128| value("x").with_header("expires", at.to_string());
    broker.publisher.publish("/topic/a", message(now - 1));
    broker.publisher.publish("/topic/b", message(now + 60_000));
    broker.publisher.publish("/topic/c", message(now + 20));
    eventually("the end of a value", || {
        // Whoever publishes next finds it gone.
        broker.publisher.publish("/topic/d", value(""));
        broker.publisher.statistics().retained == 1
    })
    .await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    let first = snapshot(&mut kim, "/topic/*", AckMode::Auto, &[]).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].header("destination"), Some("/topic/b"));
}

#[tokio::test]
async fn headers_that_make_no_sense_are_refused() {
    let broker = TestBroker::start().await;
    let long = format!("x-key:{}\n", "k".repeat(257));
    let subscribe = "SUBSCRIBE\nid:s\ndestination:/topic/a\nx-retained:yes\nreceipt:r\n\n^";
    for (frame, code) in [
        (send("x-retain:1\n", "x"), "bad-flag"),
        (send(&long, "x"), "bad-key"),
        (send("expires:soon\n", "x"), "bad-expires"),
        (subscribe.to_owned(), "bad-flag"),
    ] {
        let mut boss = RawClient::connect(&broker, "boss").await;
        boss.say(&frame).await;
        let refused = (code.to_owned(), Some("r".to_owned()));
        assert_eq!(boss.error().await, refused, "{frame}");
    }
    let mut boss = RawClient::connect(&broker, "boss").await;
    boss.say("SUBSCRIBE\nid:s\ndestination:/topic/a\nx-retained:false\n\n^")
        .await;
    boss.say(&send("expires:99999999999999\n", "x")).await;
    let answers = [boss.frame().await.unwrap(), boss.frame().await.unwrap()];
    let message = answers.iter().find(|frame| frame.starts_with("MESSAGE\n"));
    assert_eq!(
        header_of(message.unwrap(), "expires"),
        Some("99999999999999")
    );
}
