//! Each limit, and what the client learns when it goes over it: `code`, `message`, and the receipt that it asked for.

use stomp::server::SubscriptionKey;
use stomp::{Command, Frame, Limits, ServerConfig};

use crate::harness::{CLOSED, Server, header};

fn limits() -> Limits {
    Limits {
        line_bytes: 64,
        head_bytes: 160,
        headers: 5,
        body_bytes: 10,
        frame_bytes_before_connect: 100,
        subscriptions: 1,
        subscription_id_bytes: 20,
        pending_acks: 1,
        transactions: 1,
        transaction_frames: 1,
        transaction_bytes: 1000,
    }
}

fn connected() -> Server {
    let mut server = Server::with(ServerConfig {
        limits: limits(),
        ..ServerConfig::default()
    });
    let answers = server.say(b"CONNECT\naccept-version:1.2\n\n\0");
    assert!(answers[0].starts_with("CONNECTED\n"), "{answers:?}");
    let before = "SUBSCRIBE\nid:1\ndestination:/a\nack:client\n\n\0BEGIN\ntransaction:1\n\n\0";
    assert!(server.say(before.as_bytes()).is_empty());
    server
}

/// `frame` asks for the receipt `r` and is refused with `code` because of `bound`.
fn check(frame: &str, code: &str, bound: usize) {
    let mut server = connected();
    let answers = server.say(frame.as_bytes());
    assert_eq!(answers.len(), 2, "{frame:?}: {answers:?}");
    assert_eq!(header(&answers[0], "code"), Some(code), "{frame:?}");
    assert_eq!(header(&answers[0], "receipt-id"), Some("r"), "{frame:?}");
    let message = header(&answers[0], "message").unwrap();
    assert!(message.contains(&bound.to_string()), "{frame:?}: {message}");
    assert_eq!(answers[1], CLOSED, "{frame:?}");
}

#[test]
fn each_limit_is_told_with_its_code_the_bound_and_the_receipt() {
    let limits = limits();
    let x = |count| "x".repeat(count);
    let send = "SEND\nreceipt:r\ndestination:/a\n";

    let line = format!("{send}a:{}", x(limits.line_bytes));
    check(&line, "head-too-large", limits.line_bytes);
    let head = format!("{send}a:{0}\nb:{0}\nc:{0}", x(60));
    check(&head, "head-too-large", limits.head_bytes);
    let headers = format!("{send}a:1\nb:2\nc:3\nd:4\n");
    check(&headers, "head-too-large", limits.headers);
    let body = format!("{send}\n{}", x(limits.body_bytes + 1));
    check(&body, "body-too-large", limits.body_bytes);
    let announced = format!("content-length:11\n{}", "receipt:r\n\n");
    check(
        &format!("SEND\n{announced}"),
        "body-too-large",
        limits.body_bytes,
    );
    check(
        "SUBSCRIBE\nid:2\ndestination:/a\nreceipt:r\n\n\0",
        "too-many-subscriptions",
        limits.subscriptions,
    );
    check(
        &format!(
            "SUBSCRIBE\ndestination:/b\nreceipt:r\nid:{}\n\n\0",
            x(limits.subscription_id_bytes + 1)
        ),
        "subscription-id-too-long",
        limits.subscription_id_bytes,
    );
    check(
        "BEGIN\ntransaction:2\nreceipt:r\n\n\0",
        "too-many-transactions",
        limits.transactions,
    );
    let held = "SEND\ndestination:/a\ntransaction:1\n\n\0";
    check(
        &format!("{held}SEND\ndestination:/a\ntransaction:1\nreceipt:r\n\n\0"),
        "transaction-too-large",
        limits.transaction_frames,
    );
}

#[test]
fn messages_without_acknowledgement_are_bounded_and_their_owner_told() {
    let mut server = connected();
    let key = SubscriptionKey::Id("1".to_owned());
    let message = Frame::new(Command::Message).with_header("message-id", "1");
    server.session.message(&key, &message).unwrap();
    let refused = server.session.message(&key, &message).unwrap_err();
    assert_eq!(refused.code(), "too-many-unacknowledged");

    // What waited for an ended subscription waits no longer.
    server.say(b"UNSUBSCRIBE\nid:1\n\n\0SUBSCRIBE\nid:1\ndestination:/a\nack:client\n\n\0");
    assert_eq!(server.session.message(&key, &message), Ok(()));
}

#[test]
fn a_receipt_that_was_given_is_not_quoted_for_the_next_broken_frame() {
    for broken in ["NOPE\n", "\0", &"x".repeat(100)] {
        let mut server = connected();
        let first = "SEND\ndestination:/a\nreceipt:r\n\n\0";
        assert_eq!(server.say(first.as_bytes()), ["RECEIPT\nreceipt-id:r\n\n"]);
        let answers = server.say(broken.as_bytes());
        assert!(answers[0].starts_with("ERROR\n"), "{broken:?}");
        assert_eq!(header(&answers[0], "receipt-id"), None, "{broken:?}");
    }
}

#[test]
fn a_receipt_is_quoted_as_it_would_be_given() {
    // 1.0 pads.
    for broken in [
        "SEND\nreceipt: 7\ndestination: /a\nno colon\n",
        "SUBSCRIBE\nreceipt: 7\n\n\0",
    ] {
        let answers = Server::connected("1.0").say(broken.as_bytes());
        assert_eq!(header(&answers[0], "receipt-id"), Some("7"), "{broken:?}");
    }
    // CONNECT cannot ask for one.
    let answers = Server::new().say(b"CONNECT\nreceipt:7\nno colon\n");
    assert_eq!(header(&answers[0], "code"), Some("malformed-frame"));
    assert_eq!(header(&answers[0], "receipt-id"), None);
}
