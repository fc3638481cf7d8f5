//! Tokens that expire, and are renewed in place.

use crate::client::{Client, Way, config};
use crate::harness::{Seen, TestBroker};

#[tokio::test]
async fn a_silent_subscriber_is_ended_when_its_token_expires() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        let mut client = Client::connect(&broker, way, "kim/1000").await;
        client.subscribe("/topic/a").await;
        assert_eq!(client.error_code().await, "token-expired");
    }
}

#[tokio::test]
async fn an_expired_token_is_not_let_in() {
    let broker = TestBroker::start().await;
    let mut client = Client::new(&broker, Way::Ws, config("kim/0")).await;
    assert_eq!(client.error_code().await, "token-expired");
    assert!(broker.has_seen_nothing());
}

#[tokio::test]
async fn a_renewed_token_keeps_the_session() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Ws, "kim/1000").await;
    client.subscribe("/topic/a").await;
    let renewed = client.send("/app/x", &[("Authorization", "Bearer kim/600000")]);
    client.receipt(renewed).await;
    // A session whose token was not renewed ends; by then this one would have, too.
    let mut other = Client::connect(&broker, Way::Ws, "lee/1100").await;
    assert_eq!(other.error_code().await, "token-expired");
    let alive = client.send("/app/x", &[]);
    client.receipt(alive).await;
}

#[tokio::test]
async fn a_renewal_may_not_change_who_it_is_nor_be_refused() {
    let broker = TestBroker::start().await;
    for (token, code) in [
        ("Bearer lee", "subject-changed"),
        ("Bearer nobody", "unauthenticated"),
        ("Bearer kim/0", "token-expired"),
        ("Basic kim", "unauthenticated"),
    ] {
        let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
        let receipt = client.send("/app/x", &[("authorization", token)]);
        let error = client.error().await;
        assert_eq!(error.header("code"), Some(code), "{token}");
        assert_eq!(error.header("receipt-id"), Some(&*receipt.to_string()));
    }
}

#[tokio::test]
async fn live_subscriptions_are_looked_at_again_after_a_renewal() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Tcp, "kim+secret").await;
    client.subscribe("/topic/secret").await;
    let same = client.send("/app/x", &[("Authorization", "Bearer kim+secret")]);
    client.receipt(same).await;
    client.send("/app/y", &[("Authorization", "Bearer kim")]);
    let error = client.error().await;
    assert_eq!(error.header("code"), Some("forbidden"));
    assert_eq!(
        error.header("message"),
        Some("/topic/secret is not for you")
    );
    // The frame that brought the lesser token had no effect.
    assert!(matches!(broker.seen().await, Seen::Frame { .. }));
    assert!(matches!(broker.seen().await, Seen::Ended { .. }));
}
