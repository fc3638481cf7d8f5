//! Who may attach, what is kept for whom, and what is forgotten.

use std::time::Duration;

use stomp::Command;

use super::*;
use crate::destination::GAP;

fn durables(limits: DurableLimits) -> Durables {
    let mut config = BrokerConfig {
        durables: limits,
        ..BrokerConfig::default()
    };
    config.queues.untaken_messages = 100;
    Durables::new("i", &config)
}

fn attach(
    durables: &mut Durables,
    subject: &str,
    name: &str,
    serial: u64,
    now: u64,
) -> Vec<(u64, u64)> {
    let terms = Terms {
        auto: false,
        prefetch: 10,
    };
    durables.check(subject, name, "/topic/*", now).unwrap();
    told(&durables.attach(subject, name, "/topic/*", Serial(serial), terms, now))
}

fn publish(durables: &mut Durables, topic: &str, sequence: u64, now: u64) -> Vec<(u64, u64)> {
    let frame = Arc::new(Frame::new(Command::Message).with_header("destination", topic));
    told(&durables.publish(topic, sequence, &frame, now))
}

/// Consumer and sequence of each, in the order of consumers.
fn told(handed: &[Handed]) -> Vec<(u64, u64)> {
    let mut told: Vec<_> = handed.iter().map(|h| (h.consumer.0, h.sequence)).collect();
    told.sort_by_key(|(consumer, _)| *consumer);
    told
}

fn code(result: Result<(), Denied>) -> Option<String> {
    result.err().map(|denied| denied.code.into_owned())
}

#[test]
fn what_matches_waits_for_whoever_comes_back() {
    let mut durables = durables(DurableLimits::default());
    assert!(publish(&mut durables, "/topic/a", 1, 0).is_empty());
    assert!(attach(&mut durables, "kim", "n", 1, 0).is_empty());
    assert_eq!(publish(&mut durables, "/topic/a", 2, 0), [(1, 2)]);
    durables.take(Serial(1), 2, 0).unwrap();
    assert!(durables.settle(Serial(1), &[2], true, 0).is_empty());
    assert!(durables.detach(Serial(1), 0).is_empty());
    publish(&mut durables, "/topic/a", 3, 0);
    publish(&mut durables, "/topic/a/b", 4, 0);
    publish(&mut durables, "/topic/b", 5, 0);
    // Another subject's of the same name is another one.
    assert!(attach(&mut durables, "lee", "n", 2, 0).is_empty());
    assert_eq!(attach(&mut durables, "kim", "n", 3, 0), [(3, 3), (3, 5)]);
    // Two that are attached share what comes.
    assert!(attach(&mut durables, "kim", "n", 4, 0).is_empty());
    let next = [6, 7].map(|sequence| publish(&mut durables, "/topic/c", sequence, 0));
    assert_eq!(next, [vec![(2, 6), (3, 6)], vec![(2, 7), (4, 7)]]);
    // What one of them had goes to the other.
    let freed = durables.detach(Serial(3), 0);
    assert_eq!(told(&freed), [(4, 3), (4, 5), (4, 6)]);
    assert_eq!(durables.count(), 2);
}

#[test]
fn names_belong_to_one_pattern_and_there_are_so_many_of_them() {
    let mut durables = durables(DurableLimits {
        subscriptions: 3,
        per_subject: 2,
        ..DurableLimits::default()
    });
    let mut serial = 0;
    let mut check = |subject, name, pattern, expected: Option<&str>| {
        let result = durables.check(subject, name, pattern, 0);
        let allowed = result.is_ok();
        assert_eq!(code(result).as_deref(), expected, "{subject} {name}");
        if allowed {
            serial += 1;
            let terms = Terms {
                auto: true,
                prefetch: 1,
            };
            durables.attach(subject, name, pattern, Serial(serial), terms, 0);
        }
    };
    check("kim", "a", "/topic/*", None);
    check("kim", "a", "/topic/*", None);
    check("kim", "a", "/topic/**", Some("durable-mismatch"));
    check("kim", "b", "/topic/b", None);
    check(
        "kim",
        "c",
        "/topic/c",
        Some("too-many-durable-subscriptions"),
    );
    check("kim", "b", "/topic/b", None);
    check("lee", "a", "/topic/**", None);
    check(
        "mia",
        "a",
        "/topic/a",
        Some("too-many-durable-subscriptions"),
    );
}

#[test]
fn one_that_is_left_alone_for_too_long_is_forgotten() {
    let mut durables = durables(DurableLimits {
        idle: Duration::from_millis(100),
        per_subject: 1,
        ..DurableLimits::default()
    });
    attach(&mut durables, "kim", "n", 1, 0);
    durables.detach(Serial(1), 50);
    publish(&mut durables, "/topic/a", 1, 149);
    // Who comes back in time begins anew.
    assert_eq!(attach(&mut durables, "kim", "n", 2, 149), [(2, 1)]);
    publish(&mut durables, "/topic/a", 2, 1000);
    durables.detach(Serial(2), 1000);
    publish(&mut durables, "/topic/a", 3, 1100);
    assert_eq!((durables.count(), durables.counts().held), (0, 0));
    // Its room is free, and a new one of that name knows nothing.
    assert!(attach(&mut durables, "kim", "n", 3, 1100).is_empty());
    assert!(durables.idle.is_empty() && durables.names.len() == 1);
}

#[test]
fn who_is_attached_alone_may_delete() {
    let mut durables = durables(DurableLimits::default());
    attach(&mut durables, "kim", "n", 1, 0);
    attach(&mut durables, "kim", "n", 2, 0);
    publish(&mut durables, "/topic/a", 1, 0);
    let check = |durables: &Durables, serial, name, expected: Option<&str>| {
        let result = durables.check_delete(Serial(serial), name);
        assert_eq!(code(result).as_deref(), expected, "{serial} {name}");
    };
    check(&durables, 1, "n", Some("durable-in-use"));
    check(&durables, 1, "m", Some("durable-mismatch"));
    check(&durables, 9, "n", Some("durable-mismatch"));
    durables.detach(Serial(2), 0);
    check(&durables, 1, "n", None);
    durables.delete(Serial(1), 0);
    assert_eq!((durables.count(), durables.counts().held), (0, 0));
    assert!(publish(&mut durables, "/topic/a", 2, 0).is_empty());
    assert!(durables.names.is_empty() && durables.idle.is_empty() && durables.attached.is_empty());
}

#[test]
fn a_gap_is_told_in_the_words_of_a_gap() {
    let mut durables = durables(DurableLimits {
        messages_each: 1,
        ..DurableLimits::default()
    });
    attach(&mut durables, "kim", "n", 1, 0);
    durables.detach(Serial(1), 0);
    for sequence in 1..=3 {
        publish(&mut durables, "/topic/a", sequence, 0);
    }
    let terms = Terms {
        auto: false,
        prefetch: 10,
    };
    let handed = durables.attach("kim", "n", "/topic/*", Serial(2), terms, 0);
    let header = |name| handed[0].frame.header(name);
    assert_eq!(header(GAP), Some("true"));
    assert_eq!(header("destination"), Some("/topic/*"));
    assert_eq!(header("message-id"), Some("i-2-gap"));
    assert_eq!(header(REDELIVERED), None);
    assert_eq!(handed[1].frame.header("destination"), Some("/topic/a"));
    assert_eq!((durables.gaps(), durables.counts().dropped), (1, 2));
    // Acknowledged like a message; until then it comes again.
    durables.take(Serial(2), 2, 0).unwrap();
    let again = durables.settle(Serial(2), &[2], false, 0);
    assert_eq!(again[0].frame.header(REDELIVERED), Some("true"));
    assert_eq!(again[0].frame.header(GAP), Some("true"));
}

#[test]
fn names_are_short_and_not_empty() {
    assert!(check_name("n").is_ok() && check_name(&"n".repeat(256)).is_ok());
    for bad in [String::new(), "n".repeat(257)] {
        assert_eq!(code(check_name(&bad)).as_deref(), Some("bad-durable-name"));
    }
}
