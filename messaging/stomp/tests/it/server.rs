//! A server session, case by case: what may come when, and what the answer is in each version.

use stomp::server::SubscriptionKey;
use stomp::{AckMode, Command, Frame, Limits, ServerConfig, ServerEvent};

use crate::harness::{CLOSED, Server, header};

/// The server answers `input` with one ERROR that has this code, then the session is over.
pub(crate) fn check_error(server: &mut Server, input: &str, code: &str) {
    let answers = server.say(input.as_bytes());
    assert_eq!(answers.len(), 2, "{input:?}: {answers:?}");
    assert!(answers[0].starts_with("ERROR\n"), "{input:?}: {answers:?}");
    assert_eq!(header(&answers[0], "code"), Some(code), "{input:?}");
    assert!(
        header(&answers[0], "message").is_some_and(|message| !message.is_empty()),
        "{input:?}: {answers:?}"
    );
    assert_eq!(answers[1], CLOSED, "{input:?}");
}

fn check_error_in(version: &str, input: &str, code: &str) {
    check_error(&mut Server::connected(version), input, code);
}

#[test]
fn connect_is_answered_with_what_each_version_wants() {
    let mut server = Server::new();
    assert_eq!(
        server.say(b"CONNECT\naccept-version:1.0,1.1,1.2\nhost:x\n\n\0"),
        ["CONNECTED\nversion:1.2\nserver:test/1\nsession:session-1\nheart-beat:0,0\n\n"]
    );
    let mut server = Server::new();
    assert_eq!(
        server.say(b"CONNECT\nlogin: x\n\n\0"),
        ["CONNECTED\nversion:1.0\nserver:test/1\nsession:session-1\n\n"]
    );
    // STOMP is CONNECT by another name; a missing host is forgiven; the highest common version is chosen.
    let mut server = Server::new();
    let answer = server.say(b"\n\nSTOMP\r\naccept-version:1.1, 1.2,2.0\r\n\r\n\0\n");
    assert_eq!(header(&answer[0], "version"), Some("1.2"));
}

#[test]
fn no_common_version_is_answered_with_those_that_are_spoken() {
    let mut server = Server::new();
    let answers = server.say(b"CONNECT\naccept-version:3.0\n\n\0");
    assert_eq!(header(&answers[0], "version"), Some("1.0,1.1,1.2"));
    assert_eq!(header(&answers[0], "code"), Some("unsupported-version"));
    assert_eq!(answers[1], CLOSED);
}

#[test]
fn a_receipt_is_not_valid_on_connect() {
    let mut server = Server::new();
    let answers = server.say(b"CONNECT\naccept-version:1.2\nreceipt:1\n\n\0");
    assert_eq!(answers.len(), 1);
    assert_eq!(header(&answers[0], "receipt-id"), None);
}

#[test]
fn frames_out_of_turn_end_the_session() {
    let mut fresh = Server::new();
    check_error(&mut fresh, "SEND\ndestination:/a\n\n\0", "unexpected-frame");
    check_error(&mut Server::new(), "GET / HTTP/1.1\r\n", "unknown-command");
    check_error(&mut Server::new(), "connect\n\n\0", "unknown-command");
    for version in ["1.0", "1.1", "1.2"] {
        check_error_in(
            version,
            "CONNECT\naccept-version:1.2\n\n\0",
            "unexpected-frame",
        );
        check_error_in(version, "MESSAGE\n\n\0", "unexpected-frame");
        check_error_in(version, "NOPE\n\n\0", "unknown-command");
    }
    check_error_in("1.0", "NACK\nmessage-id:1\n\n\0", "unexpected-frame");
}

#[test]
fn malformed_heart_beats_are_refused_where_there_are_any() {
    for value in ["abc", "-1,5", "1", "1,"] {
        let connect = format!("CONNECT\naccept-version:1.2\nheart-beat:{value}\n\n\0");
        check_error(&mut Server::new(), &connect, "bad-heart-beat");
    }
    let answers = Server::new().say(b"CONNECT\nheart-beat:abc\n\n\0");
    assert_eq!(header(&answers[0], "version"), Some("1.0"));
}

#[test]
fn an_error_quotes_the_receipt_and_no_receipt_follows() {
    let mut server = Server::connected("1.2");
    server.say(b"SUBSCRIBE\nid:1\ndestination:/a\n\n\0");
    let answers = server.say(b"SUBSCRIBE\nid:1\ndestination:/b\nreceipt:77\n\n\0");
    assert_eq!(header(&answers[0], "receipt-id"), Some("77"));
    assert_eq!(header(&answers[0], "code"), Some("duplicate-subscription"));
    assert_eq!(answers[1..], [CLOSED]);

    // Also when the frame cannot be read to its end.
    let answers = Server::connected("1.2").say(b"SEND\nreceipt:78\na:\\t\n");
    assert_eq!(header(&answers[0], "receipt-id"), Some("78"));
}

#[test]
fn nothing_is_read_after_the_end() {
    let mut server = Server::connected("1.2");
    let answers = server.say(b"DISCONNECT\nreceipt:77\n\n\0SEND\ndestination:/a\nreceipt:78\n\n\0");
    assert_eq!(answers, ["RECEIPT\nreceipt-id:77\n\n", CLOSED]);
    assert!(server.say(b"SEND\ndestination:/a\n\n\0").is_empty());
    assert!(server.events.is_empty());
}

#[test]
fn missing_headers_are_named() {
    for (version, frame, missing) in [
        ("1.2", "SEND\n\n\0", "destination"),
        ("1.0", "SEND\n\n\0", "destination"),
        ("1.2", "SUBSCRIBE\nid:1\n\n\0", "destination"),
        ("1.2", "SUBSCRIBE\ndestination:/a\n\n\0", "id"),
        ("1.1", "SUBSCRIBE\ndestination:/a\n\n\0", "id"),
        ("1.1", "UNSUBSCRIBE\ndestination:/a\n\n\0", "id"),
        ("1.0", "UNSUBSCRIBE\n\n\0", "destination"),
        ("1.2", "ACK\nmessage-id:1\nsubscription:1\n\n\0", "id"),
        ("1.1", "ACK\nmessage-id:1\n\n\0", "subscription"),
        ("1.0", "ACK\n\n\0", "message-id"),
        ("1.2", "BEGIN\n\n\0", "transaction"),
    ] {
        let answers = Server::connected(version).say(frame.as_bytes());
        assert_eq!(
            header(&answers[0], "code"),
            Some("missing-header"),
            "{frame:?}"
        );
        let message = header(&answers[0], "message").unwrap();
        assert!(message.ends_with(missing), "{frame:?}: {message}");
    }
}

#[test]
fn unknown_things_are_errors() {
    check_error_in("1.2", "UNSUBSCRIBE\nid:1\n\n\0", "unknown-subscription");
    check_error_in(
        "1.0",
        "UNSUBSCRIBE\ndestination:/a\n\n\0",
        "unknown-subscription",
    );
    check_error_in("1.2", "ACK\nid:1-1\n\n\0", "unknown-ack");
    check_error_in(
        "1.1",
        "NACK\nmessage-id:1\nsubscription:1\n\n\0",
        "unknown-ack",
    );
    check_error_in(
        "1.2",
        "SUBSCRIBE\nid:1\ndestination:/a\nack:bogus\n\n\0",
        "bad-ack-mode",
    );
    check_error_in(
        "1.0",
        "SUBSCRIBE\ndestination:/a\nack:client-individual\n\n\0",
        "bad-ack-mode",
    );
}

#[test]
fn padding_of_1_0_clients_is_taken_off_and_that_of_others_kept() {
    let destination = |version| {
        let mut server = Server::connected(version);
        server.say(b"SEND\ndestination: /a\ncontent-length:1\n\nx\0");
        match &server.events[0] {
            ServerEvent::Send(frame) => frame.header("destination").unwrap().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(destination("1.0"), "/a");
    assert_eq!(destination("1.1"), " /a");
    assert_eq!(destination("1.2"), " /a");
}

#[test]
fn receipts_come_in_order() {
    let mut server = Server::connected("1.2");
    let answers = server.say(
        b"SEND\ndestination:/a\nreceipt:1\n\n\0SUBSCRIBE\nid:1\ndestination:/a\nreceipt:2\n\n\0\
          UNSUBSCRIBE\nid:1\nreceipt:3\n\n\0",
    );
    let expected = ["1", "2", "3"].map(|id| format!("RECEIPT\nreceipt-id:{id}\n\n"));
    assert_eq!(answers, expected);
}

fn message(id: &str) -> Frame {
    Frame::new(Command::Message)
        .with_header("destination", "/a")
        .with_header("message-id", id)
}

/// Subscribes with `ack`, sends the messages 1, 2, 3, and returns them as they were written.
pub(crate) fn subscribed(version: &str, ack: &str) -> (Server, Vec<String>) {
    let mut server = Server::connected(version);
    server.say(format!("SUBSCRIBE\nid:s\ndestination:/a\nack:{ack}\n\n\0").as_bytes());
    let key = SubscriptionKey::Id("s".to_owned());
    for id in ["1", "2", "3"] {
        server.session.message(&key, &message(id)).unwrap();
    }
    let written = server.written();
    (server, written)
}

fn settled(server: &Server) -> Vec<&str> {
    match server.events.last().unwrap() {
        ServerEvent::Ack { deliveries, .. } | ServerEvent::Nack { deliveries, .. } => deliveries
            .iter()
            .map(|delivery| delivery.message_id.as_str())
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_have_the_headers_of_their_version_and_mode() {
    let first = |version, ack| subscribed(version, ack).1.remove(0);
    let plain = "MESSAGE\nsubscription:s\ndestination:/a\nmessage-id:1\n\n";
    assert_eq!(first("1.2", "auto"), plain);
    assert_eq!(first("1.1", "client"), plain);
    assert_eq!(first("1.0", "client"), plain);
    let acked = first("1.2", "client");
    assert!(header(&acked, "ack").is_some(), "{acked}");

    let mut server = Server::connected("1.0");
    server.say(b"SUBSCRIBE\ndestination:/a\n\n\0");
    let key = SubscriptionKey::Destination("/a".to_owned());
    server.session.message(&key, &message("1")).unwrap();
    assert_eq!(
        server.written(),
        ["MESSAGE\ndestination:/a\nmessage-id:1\n\n"]
    );
}

#[test]
fn an_ack_covers_what_its_mode_says() {
    for (version, ack, expected) in [
        ("1.2", "client", vec!["1", "2"]),
        ("1.2", "client-individual", vec!["2"]),
        ("1.1", "client", vec!["1", "2"]),
        ("1.1", "client-individual", vec!["2"]),
        ("1.0", "client", vec!["1", "2"]),
    ] {
        for command in ["ACK", "NACK"] {
            if version == "1.0" && command == "NACK" {
                continue;
            }
            let (mut server, written) = subscribed(version, ack);
            let headers = match version {
                "1.2" => format!("id:{}\n", header(&written[1], "ack").unwrap()),
                "1.1" => "message-id:2\nsubscription:s\n".to_owned(),
                _ => "message-id:2\n".to_owned(),
            };
            let frame = format!("{command}\n{headers}receipt:r\n\n\0");
            assert_eq!(
                server.say(frame.as_bytes()),
                ["RECEIPT\nreceipt-id:r\n\n"],
                "{version} {ack}"
            );
            assert_eq!(settled(&server), expected, "{version} {ack} {command}");
            // The same once more: it waits no longer.
            check_error(&mut server, &frame, "unknown-ack");
        }
    }
}

#[test]
fn an_ended_subscription_gets_nothing_and_its_acks_are_unknown() {
    let (mut server, written) = subscribed("1.2", "client");
    let ack = header(&written[0], "ack").unwrap().to_owned();
    server.say(b"UNSUBSCRIBE\nid:s\n\n\0SUBSCRIBE\nid:s\ndestination:/a\nack:client\n\n\0");
    check_error(&mut server, &format!("ACK\nid:{ack}\n\n\0"), "unknown-ack");

    let mut server = Server::connected("1.2");
    let gone = SubscriptionKey::Id("gone".to_owned());
    server.session.message(&gone, &message("1")).unwrap();
    assert!(server.written().is_empty());
}

#[test]
fn subscriptions_and_pending_acks_are_bounded() {
    let mut server = Server::with(ServerConfig {
        limits: Limits {
            subscriptions: 2,
            pending_acks: 2,
            ..Limits::default()
        },
        ..ServerConfig::default()
    });
    server.say(b"CONNECT\naccept-version:1.2\n\n\0");
    server.say(
        b"SUBSCRIBE\nid:1\ndestination:/a\nack:client\n\n\0SUBSCRIBE\nid:2\ndestination:/a\n\n\0",
    );
    let key = SubscriptionKey::Id("1".to_owned());
    server.session.message(&key, &message("1")).unwrap();
    server.session.message(&key, &message("2")).unwrap();
    let refused = server.session.message(&key, &message("3")).unwrap_err();
    assert_eq!(refused.code(), "too-many-unacknowledged");
    assert_eq!(server.written().len(), 2);
    check_error(
        &mut server,
        "SUBSCRIBE\nid:3\ndestination:/a\n\n\0",
        "too-many-subscriptions",
    );
}

#[test]
fn long_frames_are_allowed_only_after_connected() {
    let limit = Limits::default().frame_bytes_before_connect;
    // What is longest without being too long: all of the frame counts, its NUL too.
    let frame_of = |bytes: usize, head: &str| {
        let body = "x".repeat(bytes - head.len() - 1);
        format!("{head}{body}\0")
    };
    let connect = "CONNECT\naccept-version:1.2\n\n";
    let answers = Server::new().say(frame_of(limit, connect).as_bytes());
    assert!(answers[0].starts_with("CONNECTED\n"), "{answers:?}");
    let too_long = frame_of(limit + 1, connect);
    check_error(&mut Server::new(), &too_long, "frame-too-large");
    let announced = "CONNECT\naccept-version:1.2\ncontent-length:70000\n\n";
    check_error(&mut Server::new(), announced, "frame-too-large");

    let mut server = Server::connected("1.2");
    let send = frame_of(limit + 1, "SEND\ndestination:/a\nreceipt:1\n\n");
    assert_eq!(server.say(send.as_bytes()), ["RECEIPT\nreceipt-id:1\n\n"]);
}

#[test]
fn a_stranger_is_refused_at_the_very_byte_that_is_too_much() {
    let limit = Limits::default().frame_bytes_before_connect;
    let header = format!("a:{}\n", "x".repeat(8189));
    let in_head = format!("CONNECT\n{}", header.repeat(9));
    let in_body = format!("CONNECT\n\n{}", "x".repeat(limit));
    for (stream, most, code) in [
        (in_head, limit, "head-too-large"),
        // A body leaves one byte to its NUL.
        (in_body, limit - 1, "frame-too-large"),
    ] {
        let mut server = Server::new();
        for byte in &stream.as_bytes()[..most] {
            assert!(server.say(&[*byte]).is_empty());
        }
        let rest = &stream[most..=most];
        check_error(&mut server, rest, code);
    }
}

#[test]
fn little_may_wait_while_connect_is_decided() {
    let limit = Limits::default().frame_bytes_before_connect;
    let mut server = Server::new();
    let now = server.now;
    server.session.handle_bytes(b"CONNECT\n\n\0", now);
    let connect = server.session.poll_event();
    assert!(matches!(connect, Some(ServerEvent::Connect(_))));
    server.session.handle_bytes(&vec![b'x'; limit], now);
    assert!(!server.session.is_closed());
    server.session.handle_bytes(b"x", now);
    server.session.accept("1", now);
    let written = server.written();
    assert_eq!(written.len(), 1, "{written:?}");
    assert_eq!(header(&written[0], "code"), Some("frame-too-large"));
}

#[test]
fn what_comes_before_connected_waits_for_it() {
    let mut server = Server::new();
    let now = server.now;
    let bytes = b"CONNECT\naccept-version:1.2\n\n\0SUBSCRIBE\nid:1\ndestination:/a\n\n\0";
    server.session.handle_bytes(bytes, now);
    assert!(matches!(
        server.session.poll_event(),
        Some(ServerEvent::Connect(_))
    ));
    assert_eq!(server.session.poll_event(), None);
    server.session.accept("1", now);
    assert!(matches!(
        server.session.poll_event(),
        Some(ServerEvent::Subscribe {
            ack: AckMode::Auto,
            ..
        })
    ));
}
