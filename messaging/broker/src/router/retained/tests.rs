//! Last values as a property: a snapshot is what was last said of each key, or it says that something lacks.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use stomp::Command;

use super::*;
use crate::destination::{EXPIRES, matches};

const TOPICS: [&str; 4] = ["/topic/a", "/topic/a/b", "/topic/c/b", "/topic/d"];
const PATTERNS: [&str; 5] = [
    "/topic/a",
    "/topic/*",
    "/topic/*/b",
    "/topic/**",
    "/topic/a/**",
];

fn message(key: &str, expires: Option<u64>, bytes: usize) -> Outgoing {
    let message = Outgoing::new("text/plain", vec![b'x'; bytes])
        .with_key(key)
        .retained();
    match expires {
        None => message,
        Some(at) => message.with_header(EXPIRES, at.to_string()),
    }
}

fn keep(retained: &mut Retained, sequence: u64, topic: &str, message: &Outgoing, now: u64) {
    let retain = Retain::of(topic, message).unwrap();
    let frame = Frame::new(Command::Message);
    retained.keep(sequence, topic, &retain, &frame, now);
}

fn sequences(snapshot: &Snapshot) -> Vec<u64> {
    snapshot.values.iter().map(|(at, _)| *at).collect()
}

#[derive(Debug, Clone)]
struct Said {
    topic: usize,
    key: usize,
    /// 0: forgets.
    bytes: usize,
    expires: Option<u64>,
    passes: u64,
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = prop_oneof![1 => Just(0_usize), 4 => 1..600_usize];
    let expires = option::weighted(0.3, 0..40_u64);
    (0..TOPICS.len(), 0..3_usize, bytes, expires, 0..3_u64).prop_map(
        |(topic, key, bytes, expires, passes)| Said {
            topic,
            key,
            bytes,
            expires,
            passes,
        },
    )
}

/// Sums that are kept agree with what is there.
fn check_accounts(retained: &Retained) {
    let mut walk = retained.topics.walk("/topic/**", 0);
    let (mut held, mut bytes, mut missing, mut expiring) = (0, 0, 0, 0);
    while walk.bound().is_some() {
        let Some((_, keys)) = walk.step() else {
            continue;
        };
        assert!(!keys.values.is_empty() || !keys.missing.is_empty());
        assert!(keys.values.len() <= retained.limits.keys_per_destination);
        held += keys.values.len();
        missing += keys.missing.len();
        let terms = || keys.values.values().map(|value| value.terms);
        bytes += terms().map(|terms| terms.weight).sum::<usize>();
        expiring += terms().filter(|terms| terms.expires.is_some()).count();
    }
    assert_eq!((held, bytes), (retained.counts.held, retained.bytes));
    assert_eq!(
        (missing, expiring),
        (retained.missing, retained.by_expiry.len())
    );
    assert!(held <= retained.limits.values && bytes <= retained.limits.bytes);
    assert!(missing <= retained.limits.values);
}

proptest! {
    #[test]
    fn a_snapshot_is_what_was_last_said_or_says_that_it_lacks_something(
        story in vec(said(), 0..60),
        values in 1..12_usize,
        bytes in 1400..16_000_usize,
        keys_per_destination in 1..4_usize,
    ) {
        let limits = RetainedLimits { values, bytes, keys_per_destination };
        let mut retained = Retained::new(limits);
        // By topic and key: sequence and `expires`.
        let mut last: BTreeMap<(usize, usize), (u64, Option<u64>)> = BTreeMap::new();
        let mut now = 0;
        for (sequence, said) in (1..).zip(story) {
            now += said.passes;
            let topic = TOPICS[said.topic];
            let message = message(&said.key.to_string(), said.expires, said.bytes);
            let wanted = [(topic, Retain::of(topic, &message).unwrap())];
            let fits = retained.check_room(&wanted, now).is_ok();
            let refused = retained.counts().refused;
            keep(&mut retained, sequence, topic, &message, now);
            prop_assert_eq!(retained.counts().refused == refused, fits, "what is checked is so");
            last.remove(&(said.topic, said.key));
            if said.bytes > 0 {
                let expires = said.expires.filter(|at| *at > 0);
                last.insert((said.topic, said.key), (sequence, expires));
            }
            check_accounts(&retained);
            for pattern in PATTERNS {
                let snapshot = retained.snapshot(pattern, usize::MAX, now);
                let mut expected: Vec<u64> = last
                    .iter()
                    .filter(|((topic, _), _)| matches(pattern, TOPICS[*topic]))
                    .filter(|(_, (_, expires))| expires.is_none_or(|at| at > now))
                    .map(|(_, (sequence, _))| *sequence)
                    .collect();
                expected.sort_unstable();
                let found = sequences(&snapshot);
                prop_assert!(found.is_sorted());
                prop_assert!(found.iter().all(|at| expected.contains(at)), "nothing is outdated");
                if snapshot.complete {
                    prop_assert_eq!(found, expected, "{}", pattern);
                }
            }
        }
    }

    /// Of a transaction, all of what was checked finds room.
    #[test]
    fn room_for_several_is_room_for_all_of_them(
        before in vec(said(), 0..12),
        together in vec(said(), 1..6),
        values in 1..8_usize,
        bytes in 1400..12_000_usize,
        keys_per_destination in 1..4_usize,
    ) {
        let limits = RetainedLimits { values, bytes, keys_per_destination };
        let mut retained = Retained::new(limits);
        let mut sequence = 0;
        let mut keep_all = |retained: &mut Retained, story: Vec<Said>| {
            for said in story {
                let message = message(&said.key.to_string(), None, said.bytes);
                sequence += 1;
                keep(retained, sequence, TOPICS[said.topic], &message, 0);
            }
        };
        keep_all(&mut retained, before);
        let messages = together.iter().map(|said| {
            let message = message(&said.key.to_string(), None, said.bytes);
            (TOPICS[said.topic], Retain::of(TOPICS[said.topic], &message).unwrap())
        });
        let messages: Vec<_> = messages.collect();
        let fits = retained.check_room(&messages, 0).is_ok();
        let refused = retained.counts().refused;
        keep_all(&mut retained, together);
        prop_assert_eq!(retained.counts().refused == refused, fits);
    }
}

#[test]
fn what_is_missing_is_told_until_it_is_there_again() {
    let limits = RetainedLimits {
        values: 2,
        ..RetainedLimits::default()
    };
    let mut retained = Retained::new(limits);
    let check = |retained: &mut Retained, pattern, expected: &[u64], complete| {
        let snapshot = retained.snapshot(pattern, usize::MAX, 0);
        assert_eq!(sequences(&snapshot), expected, "{pattern}");
        assert_eq!(snapshot.complete, complete, "{pattern}");
    };
    for (sequence, key) in (1..).zip(["a", "b", "c"]) {
        keep(
            &mut retained,
            sequence,
            "/topic/a",
            &message(key, None, 1),
            0,
        );
    }
    check(&mut retained, "/topic/a", &[1, 2], false);
    check(&mut retained, "/topic/b", &[], true);
    // Forgotten: nothing lacks.
    keep(&mut retained, 4, "/topic/a", &message("c", None, 0), 0);
    check(&mut retained, "/topic/*", &[1, 2], true);
    // Room again.
    keep(&mut retained, 5, "/topic/b", &message("", None, 1), 0);
    check(&mut retained, "/topic/*", &[1, 2], false);
    keep(&mut retained, 6, "/topic/a", &message("a", None, 0), 0);
    keep(&mut retained, 7, "/topic/b", &message("", None, 1), 0);
    check(&mut retained, "/topic/*", &[2, 7], true);
    // More is missing than can be remembered.
    for (sequence, key) in (8..).zip(["d", "e", "f"]) {
        keep(
            &mut retained,
            sequence,
            "/topic/a",
            &message(key, None, 1),
            0,
        );
    }
    check(&mut retained, "/topic/x", &[], false);
    assert_eq!(retained.counts().refused, 5);
    let (held, missing) = (retained.counts().held, retained.missing);
    assert_eq!((held, missing), (2, 2));
}

#[test]
fn a_value_leaves_when_its_time_has_passed() {
    let mut retained = Retained::new(RetainedLimits::default());
    keep(&mut retained, 1, "/topic/a", &message("a", Some(10), 1), 0);
    keep(&mut retained, 2, "/topic/a", &message("b", Some(10), 1), 0);
    // Said again, it lives longer.
    keep(&mut retained, 3, "/topic/a", &message("b", Some(20), 1), 0);
    for (now, expected) in [(9, vec![1, 3]), (10, vec![3]), (19, vec![3]), (20, vec![])] {
        let snapshot = retained.snapshot("/topic/a", usize::MAX, now);
        assert_eq!(sequences(&snapshot), expected, "{now}");
        assert!(snapshot.complete);
    }
    check_accounts(&retained);
    assert!(retained.topics.find("/topic/a").is_none());
}

#[test]
fn a_snapshot_that_searches_for_long_is_given_up_and_told() {
    let mut retained = Retained::new(RetainedLimits::default());
    let last = 2 * STEPS as u64;
    for sequence in 1..=last {
        let topic = format!("/topic/{sequence}/a");
        keep(&mut retained, sequence, &topic, &message("", None, 1), 0);
    }
    let check = |retained: &mut Retained, pattern, complete, found: usize| {
        let snapshot = retained.snapshot(pattern, usize::MAX, 0);
        assert_eq!(snapshot.complete, complete, "{pattern}");
        assert_eq!(snapshot.values.len(), found, "{pattern}");
        assert!(
            snapshot.steps <= STEPS + (STEPS_PER_TOPIC + 1) * found,
            "{pattern}"
        );
    };
    check(&mut retained, "/topic/*/b", false, 0);
    check(&mut retained, "/topic/1/*", true, 1);
    // What it finds is not what is bounded here.
    check(&mut retained, "/topic/*/a", true, 2 * STEPS);
    check(&mut retained, "/topic/**", true, 2 * STEPS);
}

#[test]
fn the_newest_values_that_fit_are_given_and_one_always_is() {
    let mut retained = Retained::new(RetainedLimits::default());
    for sequence in 1..=4 {
        let message = message(&sequence.to_string(), None, 1);
        keep(&mut retained, sequence, "/topic/a", &message, 0);
    }
    let snapshot = retained.snapshot("/topic/a", usize::MAX, 0);
    let each = replay::weight(&snapshot.values[0].1);
    let mut check = |bytes, complete, expected: &[u64]| {
        let snapshot = retained.snapshot("/topic/a", bytes, 0);
        assert_eq!(
            (snapshot.complete, sequences(&snapshot).as_slice()),
            (complete, expected),
            "{bytes}"
        );
        assert!(
            retained.snapshot("/topic/b", bytes, 0).complete,
            "there is nothing to cut"
        );
    };
    check(4 * each, true, &[1, 2, 3, 4]);
    check(4 * each - 1, false, &[2, 3, 4]);
    check(1, false, &[4]);
}
