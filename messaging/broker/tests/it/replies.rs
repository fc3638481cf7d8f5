//! Temporary reply queues: an answer finds whoever asked, and nobody else.

use broker::{BrokerConfig, QueueLimits};
use stomp::{Frame, Version};

use crate::client::{Client, Way, config_of};
use crate::harness::{Seen, TestBroker};

const OWN: (&str, &str) = ("reply-to", "/temp-queue/answers");

/// Asks on `/queue/questions`, and returns the `reply-to` that the other side gets.
async fn ask(asking: &mut Client, answering: &mut Client) -> String {
    let receipt = asking.send("/queue/questions", &[OWN]);
    asking.receipt(receipt).await;
    reply_to(&answering.message().await)
}

fn reply_to(question: &Frame) -> String {
    question.header("reply-to").unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_reaches_whoever_asked_in_every_version() {
    let broker = TestBroker::start().await;
    let mut lee = Client::connect(&broker, Way::Tcp, "lee").await;
    lee.subscribe("/queue/questions").await;
    let mut names = Vec::new();
    for version in Version::ALL {
        let mut kim = Client::connect_with(&broker, Way::Ws, config_of(version, "kim")).await;
        let name = ask(&mut kim, &mut lee).await;
        assert!(name.starts_with("/reply-queue/"), "{name}");
        // The same again: the queue is there already.
        assert_eq!(ask(&mut kim, &mut lee).await, name);
        for _ in 0..2 {
            let receipt = lee.send(&name, &[("k", "v")]);
            lee.receipt(receipt).await;
            let answer = kim.message().await;
            assert_eq!(answer.header("subscription"), Some(OWN.1));
            assert_eq!(answer.header("destination"), Some(&*name));
            assert_eq!(answer.header("ack"), None);
            assert_eq!(answer.header("k"), Some("v"));
        }
        assert!(!names.contains(&name));
        names.push(name);
        assert_eq!(broker.publisher.statistics().subscriptions, 2);
        // Its end is the queue's end, and who answers is not to blame.
        let sessions = broker.publisher.sessions_of("kim");
        let reason = broker::Denied::forbidden("test");
        assert!(broker.publisher.end_session(sessions[0], reason));
        let receipt = lee.send(names.last().unwrap(), &[]);
        lee.receipt(receipt).await;
        assert_eq!(broker.publisher.statistics().subscriptions, 1);
    }
}

#[tokio::test]
async fn handlers_get_the_name_that_works_for_others() {
    let broker = TestBroker::start().await;
    let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
    let receipt = kim.send("/app/x", &[OWN]);
    kim.receipt(receipt).await;
    let Seen::Frame { frame, .. } = broker.seen().await else {
        panic!("a frame was sent");
    };
    let mut lee = Client::connect(&broker, Way::Tcp, "lee").await;
    lee.send(&reply_to(&frame), &[]);
    lee.flush().await;
    assert_eq!(kim.body().await, "x");
    // What is no reply queue of the session's own is the business of those who talk.
    let receipt = kim.send("/app/x", &[("reply-to", "/topic/a")]);
    kim.receipt(receipt).await;
    match broker.seen().await {
        Seen::Frame { frame, .. } => assert_eq!(reply_to(&frame), "/topic/a"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn reply_queues_are_bounded_and_guarded() {
    let broker = TestBroker::with(BrokerConfig {
        queues: QueueLimits {
            reply_queues: 1,
            ..QueueLimits::default()
        },
        ..BrokerConfig::default()
    })
    .await;
    for (reply_to, code) in [
        ("/temp-queue/b", "too-many-reply-queues"),
        ("/temp-queue/", "bad-destination"),
    ] {
        let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
        kim.send("/app/x", &[OWN]);
        kim.send("/app/x", &[("reply-to", reply_to)]);
        loop {
            match kim.event().await {
                Some(stomp::ClientEvent::Receipt(_)) => {}
                Some(stomp::ClientEvent::Error(error)) => {
                    assert_eq!(error.header("code"), Some(code));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
    kim.send("/app/x", &[("reply-to", "/temp-queue/secret")]);
    assert_eq!(kim.error_code().await, "forbidden");
    for destination in ["/temp-queue/a", "/reply-queue/a"] {
        let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
        let ack = stomp::AckMode::Auto;
        kim.session.subscribe(destination, ack, &[]);
        assert_eq!(kim.error_code().await, "unsupported-destination");
    }
}

#[tokio::test]
async fn the_application_answers() {
    let broker = TestBroker::start().await;
    let mut kim = Client::connect(&broker, Way::Ws, "kim").await;
    let receipt = kim.send("/app/x", &[OWN]);
    kim.receipt(receipt).await;
    let Seen::Frame { frame, .. } = broker.seen().await else {
        panic!("a frame comes first");
    };
    let answer = broker::Outgoing::json("{}");
    assert!(broker.publisher.reply(&reply_to(&frame), answer.clone()));
    let message = kim.message().await;
    assert_eq!(message.header("subscription"), Some(OWN.1));
    assert_eq!(message.body, "{}");
    drop(kim);
    assert!(matches!(broker.seen().await, Seen::Ended { .. }));
    assert!(!broker.publisher.reply(&reply_to(&frame), answer));
}
