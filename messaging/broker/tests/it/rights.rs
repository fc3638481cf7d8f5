//! Rights in the middle of a session: what may not be delivered, what changes, and what the guard is not asked twice.

use broker::Outgoing;
use stomp::AckMode;

use crate::client::{Client, Way};
use crate::harness::{Seen, TestBroker, eventually};

const QUEUE: &str = "/queue/a";

fn text(body: &str) -> Outgoing {
    Outgoing::new("text/plain", body.to_owned())
}

fn withheld(broker: &TestBroker) -> u64 {
    broker.publisher.statistics().withheld
}

async fn subscribe(client: &mut Client, to: &str, ack: AckMode, headers: &[(&str, &str)]) {
    let (_, receipt) = client.session.subscribe_with_receipt(to, ack, headers);
    client.receipt(receipt).await;
}

/// Waits until the broker has handled what the client said.
async fn settled(client: &mut Client) {
    let receipt = client.send("/app/x", &[]);
    client.receipt(receipt).await;
}

#[tokio::test]
async fn a_pattern_delivers_only_what_its_subscriber_may_have() {
    let broker = TestBroker::start().await;
    for (count, (way, ack)) in [
        (Way::Tcp, AckMode::Auto),
        (Way::Ws, AckMode::Auto),
        (Way::Tcp, AckMode::ClientIndividual),
    ]
    .into_iter()
    .enumerate()
    {
        let mut kim = Client::connect(&broker, way, "kim").await;
        let mut lee = Client::connect(&broker, way, "lee+secret").await;
        for client in [&mut kim, &mut lee] {
            subscribe(client, "/topic/**", ack, &[]).await;
        }
        for (topic, body) in [
            ("/topic/a", "1"),
            ("/topic/secret/a", "2"),
            ("/topic/secret", "3"),
            ("/topic/b", "4"),
        ] {
            broker.publisher.publish(topic, text(body));
        }
        for expected in ["1", "4"] {
            assert_eq!(kim.body().await, expected);
        }
        for expected in ["1", "2", "3", "4"] {
            assert_eq!(lee.body().await, expected);
        }
        settled(&mut kim).await;
        let expected = 2 * (u64::try_from(count).unwrap() + 1);
        assert_eq!(withheld(&broker), expected);
    }
}

#[tokio::test]
async fn what_was_missed_and_last_values_are_asked_about_as_well() {
    let broker = TestBroker::start().await;
    let start = broker.publisher.position().to_string();
    for (topic, body) in [("/topic/secret", "1"), ("/topic/a", "2"), ("/topic/b", "3")] {
        broker.publisher.publish(topic, text(body).retained());
    }
    for headers in [("x-resume-from", start.as_str()), ("x-retained", "true")] {
        let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
        let headers = [headers];
        let wanted = kim
            .session
            .subscribe_with_receipt("/topic/*", AckMode::Auto, &headers);
        let second = kim.message().await;
        assert_eq!(second.body, "2");
        assert_eq!(kim.body().await, "3");
        kim.receipt(wanted.1).await;
        // What was left out leaves no gap: one resumes from what came.
        let from = second.header("message-id").unwrap().to_owned();
        let mut again = Client::connect(&broker, Way::Ws, "kim").await;
        let headers = [("x-resume-from", from.as_str())];
        again
            .session
            .subscribe_with_receipt("/topic/*", AckMode::Auto, &headers);
        assert_eq!(again.body().await, "3");
    }
    assert_eq!(withheld(&broker), 2);
    // The notice that something is missing says nothing of what.
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    let headers = [("x-resume-from", "another-1")];
    kim.session
        .subscribe_with_receipt("/topic/*", AckMode::Auto, &headers);
    assert_eq!(kim.message().await.header("x-gap"), Some("true"));
}

#[tokio::test]
async fn own_queues_and_answers_need_no_right_to_be_delivered() {
    let broker = TestBroker::start().await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    kim.subscribe("/user/queue/a").await;
    let told = broker
        .publisher
        .send_to_user("kim", "/user/queue/a", text("1"));
    assert_eq!(told, 1);
    assert_eq!(kim.body().await, "1");
    let receipt = kim.send("/app/x", &[("reply-to", "/temp-queue/a")]);
    kim.receipt(receipt).await;
    let Seen::Frame { frame, .. } = broker.seen().await else {
        panic!("a frame comes first");
    };
    assert!(
        broker
            .publisher
            .reply(frame.header("reply-to").unwrap(), text("2"))
    );
    assert_eq!(kim.body().await, "2");
    assert_eq!(broker.broker.guard().asked_to_deliver(), 0);
}

#[tokio::test]
async fn a_queue_gives_to_others_what_a_consumer_may_not_have() {
    let broker = TestBroker::start().await;
    let guard = broker.broker.guard();
    for ack in [AckMode::Auto, AckMode::Client] {
        guard.withhold("kim", QUEUE);
        let before = withheld(&broker);
        let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
        subscribe(&mut kim, QUEUE, ack, &[]).await;
        for number in 0..20 {
            let message = text(&number.to_string());
            broker.publisher.send_to_queue(QUEUE, message).unwrap();
        }
        // They stay, and nobody runs in circles: the first one that comes back is the last that is tried.
        settled(&mut kim).await;
        assert_eq!(withheld(&broker), before + 1);
        assert_eq!(broker.publisher.statistics().queued, 20);

        let mut lee = Client::connect(&broker, Way::Ws, "lee").await;
        let headers = [("prefetch-count", "5")];
        subscribe(&mut lee, QUEUE, AckMode::ClientIndividual, &headers).await;
        for number in 0..5 {
            let message = lee.message().await;
            assert_eq!(message.body, number.to_string());
            assert_eq!(message.header("redelivered"), None);
        }
        // Those come back when lee goes; then kim may have them.
        drop(lee);
        guard.withhold_nothing();
        eventually("the end of a session", || {
            broker.publisher.session_count() == 1
        })
        .await;
        broker.publisher.rights_changed("kim");
        for number in 0..20 {
            let message = kim.message().await;
            assert_eq!(message.body, number.to_string());
            let again = (number < 5).then_some("true");
            assert_eq!(message.header("redelivered"), again, "{number}");
            if let Some(id) = kim.session.ack_id(&message) {
                kim.session.ack(&id);
            }
        }
        settled(&mut kim).await;
        assert_eq!(withheld(&broker), before + 1);
        assert_eq!(broker.publisher.statistics().queued, 0);
    }
}

#[tokio::test]
async fn a_durable_subscription_goes_on_without_what_it_may_not_have() {
    let broker = TestBroker::start().await;
    let headers = [
        ("durable-subscription-name", "mine"),
        ("prefetch-count", "1"),
    ];
    for ack in [AckMode::Auto, AckMode::ClientIndividual] {
        let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
        subscribe(&mut kim, "/topic/**", ack, &headers).await;
        for (topic, body) in [
            ("/topic/secret/a", "1"),
            ("/topic/a", "2"),
            ("/topic/secret/b", "3"),
            ("/topic/b", "4"),
        ] {
            broker.publisher.publish(topic, text(body));
        }
        for expected in ["2", "4"] {
            let message = kim.message().await;
            assert_eq!(message.body, expected);
            if let Some(id) = kim.session.ack_id(&message) {
                kim.session.ack(&id);
            }
        }
        settled(&mut kim).await;
        assert_eq!(broker.publisher.statistics().durable_queued, 0);
    }
    assert_eq!(withheld(&broker), 4);
}

#[tokio::test]
async fn who_was_revoked_is_ended_at_once_in_the_middle_of_a_stream() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        let mut kim = Client::connect(&broker, way, "kim").await;
        kim.subscribe("/topic/a").await;
        let mut silent = Client::connect(&broker, way, "kim").await;
        settled(&mut silent).await;
        let mut lee = Client::connect(&broker, way, "lee").await;
        lee.subscribe("/topic/a").await;
        broker.publisher.publish("/topic/a", text("before"));
        assert_eq!(kim.body().await, "before");
        assert_eq!(lee.body().await, "before");

        broker.broker.guard().revoke("kim");
        assert_eq!(broker.publisher.rights_changed("kim"), 2);
        broker.publisher.publish("/topic/a", text("after"));
        assert_eq!(kim.error_code().await, "token-revoked");
        assert_eq!(silent.error_code().await, "token-revoked");
        assert_eq!(lee.body().await, "after");
        broker.broker.guard().pardon("kim");
    }
}

#[tokio::test]
async fn whoever_changed_rights_every_session_asks_anew() {
    let broker = TestBroker::start().await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    let mut lee = Client::connect(&broker, Way::Tcp, "lee").await;
    for client in [&mut kim, &mut lee] {
        client.subscribe("/topic/a").await;
    }
    broker.publisher.publish("/topic/a", text("1"));
    assert_eq!(kim.body().await, "1");
    assert_eq!(lee.body().await, "1");
    // What was allowed is not any more, for one of them; and it is about somebody else that the broker is told.
    broker.broker.guard().withhold("kim", "/topic/a");
    broker.publisher.publish("/topic/a", text("2"));
    assert_eq!(kim.body().await, "2");
    broker.publisher.rights_changed("nobody");
    broker.publisher.publish("/topic/a", text("3"));
    for expected in ["2", "3"] {
        assert_eq!(lee.body().await, expected);
    }
    settled(&mut kim).await;
    assert_eq!(withheld(&broker), 1);
    // Whether it may stay is asked as well, with the next thing that it is given or does.
    broker.broker.guard().revoke("kim");
    broker.publisher.rights_changed("nobody");
    kim.send("/app/x", &[]);
    assert_eq!(kim.error_code().await, "token-revoked");
    // A new policy is for everybody.
    broker.broker.guard().forbid("lee");
    assert_eq!(broker.publisher.all_rights_changed(), 1);
    assert_eq!(lee.error_code().await, "forbidden");
}

#[tokio::test]
async fn the_guard_is_asked_once_for_what_comes_again_and_again() {
    let broker = TestBroker::start().await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    kim.subscribe("/topic/**").await;
    let publish = |times: usize| {
        for number in 0..times {
            let topic = format!("/topic/{}", number % 2);
            broker.publisher.publish(&topic, text("x"));
        }
    };
    let asked = || broker.broker.guard().asked_to_deliver();
    publish(100);
    for _ in 0..100 {
        kim.body().await;
    }
    assert_eq!(asked(), 2);
    broker.publisher.rights_changed("lee");
    publish(10);
    for _ in 0..10 {
        kim.body().await;
    }
    assert_eq!(asked(), 4);
    let renewed = kim.send("/app/x", &[("Authorization", "Bearer kim")]);
    kim.receipt(renewed).await;
    publish(10);
    for _ in 0..10 {
        kim.body().await;
    }
    assert_eq!(asked(), 6);
}

#[tokio::test]
async fn what_was_answered_to_a_send_holds_until_rights_change() {
    let broker = TestBroker::start().await;
    let mut kim = Client::connect(&broker, Way::Tcp, "kim").await;
    let sent = kim.send(QUEUE, &[]);
    kim.receipt(sent).await;
    broker.broker.guard().forbid("kim");
    // Nobody told the broker: what was answered holds.
    let again = kim.send(QUEUE, &[]);
    kim.receipt(again).await;
    broker.publisher.rights_changed("somebody");
    kim.send(QUEUE, &[]);
    assert_eq!(kim.error_code().await, "forbidden");
    assert_eq!(broker.publisher.statistics().queued, 2);
}
