//! Transactions: what is held, what happens at COMMIT, what aborts, and the bounds.

use proptest::collection::vec;
use proptest::prelude::*;
use stomp::server::Step;
use stomp::{Limits, ServerConfig, ServerEvent};

use crate::harness::{CLOSED, Server, header};
use crate::server::{check_error, subscribed};

const VERSIONS: [&str; 3] = ["1.0", "1.1", "1.2"];

/// What a COMMIT brings, in short: the destination of a SEND, or what an ACK or NACK covers.
fn told(steps: &[Step]) -> Vec<String> {
    let ids = |deliveries: &[stomp::server::Delivery]| {
        deliveries
            .iter()
            .map(|delivery| delivery.message_id.as_str())
            .collect::<Vec<_>>()
            .join(",")
    };
    steps
        .iter()
        .map(|step| match step {
            Step::Send(frame) => frame.header("destination").unwrap().to_owned(),
            Step::Ack { deliveries, .. } => format!("ack {}", ids(deliveries)),
            Step::Nack { deliveries, .. } => format!("nack {}", ids(deliveries)),
        })
        .collect()
}

/// What all COMMITs so far have brought.
fn committed(server: &Server) -> Vec<String> {
    server
        .events
        .iter()
        .flat_map(|event| match event {
            ServerEvent::Commit { steps, .. } => told(steps),
            _ => Vec::new(),
        })
        .collect()
}

/// Whether an event asked the owner to do something at once.
fn is_effect(event: &ServerEvent) -> bool {
    matches!(
        event,
        ServerEvent::Send(_) | ServerEvent::Ack { .. } | ServerEvent::Nack { .. }
    )
}

fn send(destination: &str, transaction: &str) -> String {
    format!("SEND\ndestination:{destination}\ntransaction:{transaction}\n\n\0")
}

#[test]
fn sends_are_held_until_commit_and_come_in_order() {
    for version in VERSIONS {
        let mut server = Server::connected(version);
        server.say(b"BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:u\n\n\0");
        for (destination, transaction) in [("/a", "t"), ("/b", "u"), ("/c", "t")] {
            server.say(send(destination, transaction).as_bytes());
        }
        assert!(!server.events.iter().any(is_effect), "{version}");
        assert!(committed(&server).is_empty(), "{version}");
        server.say(b"COMMIT\ntransaction:t\n\n\0");
        assert_eq!(committed(&server), ["/a", "/c"], "{version}");
        server.say(b"COMMIT\ntransaction:u\n\n\0");
        assert_eq!(committed(&server), ["/a", "/c", "/b"], "{version}");
    }
}

#[test]
fn each_frame_of_a_transaction_gets_its_receipt_in_order() {
    let mut server = Server::connected("1.2");
    let answers = server.say(
        b"BEGIN\ntransaction:t\nreceipt:1\n\n\0\
          SEND\ndestination:/a\ntransaction:t\nreceipt:2\n\n\0\
          COMMIT\ntransaction:t\nreceipt:3\n\n\0\
          BEGIN\ntransaction:t\nreceipt:4\n\n\0\
          ABORT\ntransaction:t\nreceipt:5\n\n\0",
    );
    let expected = ["1", "2", "3", "4", "5"].map(|id| format!("RECEIPT\nreceipt-id:{id}\n\n"));
    assert_eq!(answers, expected);
}

#[test]
fn acks_of_a_transaction_count_at_commit() {
    for (command, mode, expected) in [
        ("ACK", "client", "ack 1,2"),
        ("NACK", "client", "nack 1,2"),
        ("ACK", "client-individual", "ack 2"),
        ("NACK", "client-individual", "nack 2"),
    ] {
        for version in ["1.1", "1.2"] {
            let (mut server, written) = subscribed(version, mode);
            let id = match version {
                "1.2" => format!("id:{}", header(&written[1], "ack").unwrap()),
                _ => "message-id:2\nsubscription:s".to_owned(),
            };
            let frame = format!("{command}\n{id}\ntransaction:t\n\n\0");
            // What is aborted was never said, and may be said again.
            for end in ["ABORT", "COMMIT"] {
                let frames = format!(
                    "BEGIN\ntransaction:t\n\n\0{frame}{}{end}\ntransaction:t\n\n\0",
                    send("/a", "t")
                );
                assert!(server.say(frames.as_bytes()).is_empty());
            }
            assert!(!server.events.iter().any(is_effect));
            assert_eq!(committed(&server), [expected, "/a"], "{version} {mode}");
        }
    }
}

#[test]
fn an_ack_in_1_0_may_be_part_of_a_transaction() {
    let (mut server, _) = subscribed("1.0", "client");
    server.say(
        b"BEGIN\ntransaction:t\n\n\0ACK\nmessage-id:3\ntransaction: t\n\n\0COMMIT\ntransaction:t\n\n\0",
    );
    assert_eq!(committed(&server), ["ack 1,2,3"]);
}

#[test]
fn a_commit_whose_ack_came_too_late_does_nothing_at_all() {
    let (mut server, written) = subscribed("1.2", "client");
    let ack = format!("ACK\nid:{}\n", header(&written[1], "ack").unwrap());
    let frames = format!(
        "BEGIN\ntransaction:t\n\n\0{}{ack}transaction:t\n\n\0{ack}\n\0",
        send("/a", "t")
    );
    assert!(server.say(frames.as_bytes()).is_empty());
    let answers = server.say(b"COMMIT\ntransaction:t\nreceipt:9\n\n\0");
    assert_eq!(header(&answers[0], "code"), Some("unknown-ack"));
    assert_eq!(header(&answers[0], "receipt-id"), Some("9"));
    assert_eq!(answers[1..], [CLOSED]);
    assert!(committed(&server).is_empty());
}

#[test]
fn unknown_and_repeated_ids_are_errors() {
    for version in VERSIONS {
        for (frames, code) in [
            ("BEGIN\n\n\0", "missing-header"),
            ("COMMIT\n\n\0", "missing-header"),
            ("ABORT\ntransaction:\n\n\0", "missing-header"),
            ("COMMIT\ntransaction:u\n\n\0", "unknown-transaction"),
            ("ABORT\ntransaction:u\n\n\0", "unknown-transaction"),
            (&*send("/a", "u"), "unknown-transaction"),
            ("BEGIN\ntransaction:t\n\n\0", "duplicate-transaction"),
            (
                "COMMIT\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0",
                "unknown-transaction",
            ),
            (
                "ABORT\ntransaction:t\n\n\0SEND\ndestination:/a\ntransaction:t\n\n\0",
                "unknown-transaction",
            ),
        ] {
            let mut server = Server::connected(version);
            server.say(b"BEGIN\ntransaction:t\n\n\0");
            check_error(&mut server, frames, code);
        }
    }
    let (mut server, written) = subscribed("1.2", "client");
    let id = header(&written[0], "ack").unwrap();
    let frame = format!("ACK\nid:{id}\ntransaction:u\n\n\0");
    check_error(&mut server, &frame, "unknown-transaction");
    // What waits for no ACK is told when the ACK comes, not at COMMIT.
    let mut server = Server::connected("1.2");
    server.say(b"BEGIN\ntransaction:t\n\n\0");
    let frame = "ACK\nid:1-1\ntransaction:t\n\n\0";
    check_error(&mut server, frame, "unknown-ack");
}

#[test]
fn disconnect_and_a_lost_connection_abort() {
    for end in [
        "DISCONNECT\nreceipt:1\n\n\0COMMIT\ntransaction:t\n\n\0",
        "NOPE\n\n\0COMMIT\ntransaction:t\n\n\0",
        "",
    ] {
        let mut server = Server::connected("1.2");
        server.say(b"BEGIN\ntransaction:t\n\n\0");
        server.say(send("/a", "t").as_bytes());
        server.say(end.as_bytes());
        assert!(committed(&server).is_empty(), "{end:?}");
        assert!(!server.events.iter().any(is_effect), "{end:?}");
    }
}

fn bounded(limits: Limits) -> Server {
    let mut server = Server::with(ServerConfig {
        limits,
        ..ServerConfig::default()
    });
    server.say(b"CONNECT\naccept-version:1.2\n\n\0BEGIN\ntransaction:t\n\n\0");
    server
}

#[test]
fn what_a_session_can_have_held_is_bounded() {
    let limits = Limits {
        transactions: 2,
        transaction_frames: 2,
        transaction_bytes: 2000,
        ..Limits::default()
    };
    let mut server = bounded(limits.clone());
    assert!(server.say(b"BEGIN\ntransaction:u\n\n\0").is_empty());
    let third = "BEGIN\ntransaction:v\n\n\0";
    check_error(&mut server, third, "too-many-transactions");
    // One that has ended makes room.
    let mut server = bounded(limits.clone());
    server.say(b"BEGIN\ntransaction:u\n\n\0ABORT\ntransaction:u\n\n\0");
    assert!(server.say(third.as_bytes()).is_empty());

    // Frames, in all of them together; one that has ended makes room.
    for transaction in ["t", "v"] {
        assert!(server.say(send("/a", transaction).as_bytes()).is_empty());
    }
    server.say(b"COMMIT\ntransaction:v\n\n\0");
    assert!(server.say(send("/a", "t").as_bytes()).is_empty());
    check_error(&mut server, &send("/a", "t"), "transaction-too-large");

    let body = |bytes: usize| {
        let body = "x".repeat(bytes);
        format!("SEND\ndestination:/a\ntransaction:t\n\n{body}\0")
    };
    let mut server = bounded(limits);
    assert!(server.say(body(1000).as_bytes()).is_empty());
    check_error(&mut server, &body(1000), "transaction-too-large");
}

proptest! {
    /// Whatever is interleaved, each transaction brings its own frames in order, and nothing else does.
    #[test]
    fn each_commit_brings_what_its_transaction_was_told(
        actions in vec((0..4_usize, 0..3_usize), 0..40),
    ) {
        let mut server = Server::connected("1.2");
        let mut open: [Option<Vec<String>>; 3] = [None, None, None];
        let mut expected = Vec::new();
        for (number, (action, transaction)) in actions.into_iter().enumerate() {
            let frame = match (action, &mut open[transaction]) {
                (0, held @ None) => {
                    *held = Some(Vec::new());
                    format!("BEGIN\ntransaction:{transaction}\n\n\0")
                }
                (1, Some(held)) => {
                    held.push(format!("/{number}"));
                    send(&format!("/{number}"), &transaction.to_string())
                }
                (2, held @ Some(_)) => {
                    expected.extend(held.take().unwrap());
                    format!("COMMIT\ntransaction:{transaction}\n\n\0")
                }
                (3, held @ Some(_)) => {
                    *held = None;
                    format!("ABORT\ntransaction:{transaction}\n\n\0")
                }
                _ => continue,
            };
            prop_assert!(server.say(frame.as_bytes()).is_empty());
        }
        prop_assert_eq!(committed(&server), expected);
        prop_assert!(!server.events.iter().any(is_effect));
    }
}
