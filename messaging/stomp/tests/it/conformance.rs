//! The table of rules names tests that exist; and the rules that no other test shows.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use stomp::server::SubscriptionKey;
use stomp::{Command, Frame, ServerConfig};

use crate::harness::{Server, header};

const TABLE: &str = include_str!("../../CONFORMANCE.md");

/// How many rules each group has.
const GROUPS: [(&str, usize); 12] = [
    ("F", 15),
    ("E", 7),
    ("R", 4),
    ("C", 11),
    ("H", 7),
    ("S", 14),
    ("A", 6),
    ("T", 4),
    ("K", 4),
    ("D", 3),
    ("M", 4),
    ("X", 4),
];

/// The text of the file that a test is in: an integration test of this crate or of the broker, or a unit test.
fn source(module: &str) -> String {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let candidates = match module.strip_prefix("broker/") {
        Some(module) => vec![format!("../broker/tests/it/{module}.rs")],
        None => vec![format!("tests/it/{module}.rs"), format!("src/{module}.rs")],
    };
    candidates
        .iter()
        .filter_map(|path| std::fs::read_to_string(crate_directory.join(path)).ok())
        .collect()
}

#[test]
fn every_rule_has_tests_that_exist() {
    let mut rules = BTreeSet::new();
    for row in TABLE.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (rule, tests) = (cells[1], cells[3]);
        if rule == "rule" {
            continue;
        }
        assert!(rules.insert(rule.to_owned()), "{rule} is there twice");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{rule}");
        for name in names {
            let (module, test) = name.split_once("::").unwrap();
            let source = source(module);
            assert!(source.contains(&format!("fn {test}(")), "{rule}: {name}");
        }
    }
    let expected: BTreeSet<String> = GROUPS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}{number}")))
        .collect();
    assert_eq!(expected.len(), 83);
    assert_eq!(rules, expected);
}

/// A session in which both sides promised to beat every second.
fn beating(version: &str) -> Server {
    let second = Duration::from_secs(1);
    let mut server = Server::with(ServerConfig {
        heart_beat_send: second,
        heart_beat_receive: second,
        heart_beat_tolerance: 2,
        ..ServerConfig::default()
    });
    let connect = format!("CONNECT\naccept-version:{version}\nheart-beat:1000,1000\n\n\0");
    let answer = server.say(connect.as_bytes());
    assert_eq!(header(&answer[0], "heart-beat"), Some("1000,1000"));
    server
}

#[test]
fn a_heart_beat_is_one_line_feed_and_goes_out_in_time() {
    for version in ["1.1", "1.2"] {
        let mut server = beating(version);
        let start = server.now;
        for _ in 0..3 {
            let deadline = server.session.deadline().unwrap();
            assert!(deadline - server.now < Duration::from_secs(1));
            server.now = deadline;
            server.session.handle_bytes(b"\n", server.now);
            server.session.handle_deadline(server.now);
            assert_eq!(server.written(), ["\n"], "{version}");
        }
        assert!(server.now > start);
    }
}

#[test]
fn a_page_in_the_background_is_not_given_up() {
    // Browsers let its timers fire once a minute, so whatever it promised, it beats so often.
    let minute = Duration::from_secs(60);
    for promised in [1, 1000, 10_000, 20_000, 60_000] {
        let mut server = Server::with(ServerConfig::default());
        let connect = format!("CONNECT\naccept-version:1.2\nheart-beat:{promised},0\n\n\0");
        server.say(connect.as_bytes());
        for _ in 0..3 {
            server.now += minute + Duration::from_secs(5);
            server.session.handle_deadline(server.now);
            assert!(server.session.is_open(), "{promised}");
            server.session.handle_bytes(b"\n", server.now);
        }
        // And one that is gone is.
        server.now += 7 * Duration::from_millis(promised).max(minute / 6);
        server.session.handle_deadline(server.now);
        assert!(server.session.is_closed(), "{promised}");
    }
}

#[test]
fn a_sign_of_life_may_come_from_below_stomp() {
    let mut server = beating("1.2");
    for _ in 0..5 {
        server.now += Duration::from_millis(1900);
        // A pong, for instance: it brings no bytes.
        server.session.handle_bytes(&[], server.now);
        server.session.handle_deadline(server.now);
        assert!(server.session.is_open());
    }
}

#[test]
fn hosts_that_are_not_served_are_refused() {
    let connect = |hosts: &[&str], host: &str| {
        let mut server = Server::with(ServerConfig {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..ServerConfig::default()
        });
        server.say(format!("CONNECT\naccept-version:1.2\n{host}\n\0").as_bytes())
    };
    for (hosts, host) in [
        (&[] as &[&str], "host:anything\n"),
        (&["a.example", "/"], "host:A.Example\n"),
        (&["a.example", "/"], "host:/\n"),
        (&["a.example"], ""),
    ] {
        let answers = connect(hosts, host);
        assert!(answers[0].starts_with("CONNECTED\n"), "{hosts:?} {host:?}");
    }
    for host in ["host:b.example\n", "host:\n", "host: a.example\n"] {
        let answers = connect(&["a.example"], host);
        assert_eq!(
            header(&answers[0], "code"),
            Some("unknown-host"),
            "{host:?}"
        );
        assert_eq!(answers[1], "(closed)", "{host:?}");
    }
}

#[test]
fn a_part_of_a_frame_is_a_sign_of_life() {
    let mut server = beating("1.2");
    for byte in b"SEND\ndestination:/a\n" {
        server.now += Duration::from_millis(1900);
        server.session.handle_bytes(&[*byte], server.now);
        server.session.handle_deadline(server.now);
        assert!(server.session.is_open());
    }
    server.now += Duration::from_secs(2);
    server.session.handle_deadline(server.now);
    assert!(server.session.is_closed());
}

#[test]
fn in_1_0_a_subscription_ends_by_id_or_destination() {
    for (subscribe, unsubscribe, key) in [
        (
            "",
            "destination:/a",
            SubscriptionKey::Destination("/a".to_owned()),
        ),
        ("id:s\n", "id:s", SubscriptionKey::Id("s".to_owned())),
    ] {
        let mut server = Server::connected("1.0");
        server.say(format!("SUBSCRIBE\n{subscribe}destination:/a\n\n\0").as_bytes());
        let message = Frame::new(Command::Message).with_header("message-id", "1");
        server.session.message(&key, &message).unwrap();
        assert_eq!(server.written().len(), 1, "{key}");
        let answers = server.say(format!("UNSUBSCRIBE\n{unsubscribe}\nreceipt:1\n\n\0").as_bytes());
        assert_eq!(answers, ["RECEIPT\nreceipt-id:1\n\n"]);
        server.session.message(&key, &message).unwrap();
        assert!(server.written().is_empty(), "{key}");
    }
}

#[test]
fn no_content_type_is_invented() {
    let mut server = Server::connected("1.2");
    server.say(b"SUBSCRIBE\nid:s\ndestination:/a\n\n\0");
    let message = Frame::new(Command::Message)
        .with_header("destination", "/a")
        .with_header("message-id", "1")
        .with_body("x");
    let key = SubscriptionKey::Id("s".to_owned());
    server.session.message(&key, &message).unwrap();
    assert_eq!(
        server.written(),
        ["MESSAGE\nsubscription:s\ndestination:/a\nmessage-id:1\ncontent-length:1\n\nx"]
    );
}

#[test]
fn unspecified_headers_are_ignored() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut server = Server::connected(version);
        let answers = server.say(
            b"SUBSCRIBE\nid:s\ndestination:/a\nselector:x\nreceipt:1\n\n\0\
              BEGIN\ntransaction:t\nfoo:bar\nreceipt:2\n\n\0\
              ABORT\ntransaction:t\nid:1\nreceipt:3\n\n\0\
              UNSUBSCRIBE\nid:s\ndestination:/b\nreceipt:4\n\n\0",
        );
        let expected = ["1", "2", "3", "4"].map(|id| format!("RECEIPT\nreceipt-id:{id}\n\n"));
        assert_eq!(answers, expected, "{version}");
    }
}
