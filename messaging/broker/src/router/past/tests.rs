//! Snapshot, then live, as a property: whoever follows what it is given knows what was last said, however often it
//! loses its connection, in the middle of a snapshot as well.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use stomp::Version;
use stomp::server::SubscriptionKey;

use super::*;
use crate::destination::{KEY, RETAINED, matches};
use crate::message::Outgoing;
use crate::router::tests::{frame, open, publish};

const TOPICS: [&str; 3] = ["/topic/a", "/topic/a/b", "/topic/c"];
const PATTERNS: [&str; 4] = ["/topic/a", "/topic/*", "/topic/**", "/topic/a/**"];

/// By topic and key: the position of what was last said.
type State = BTreeMap<(String, String), String>;

/// Somebody who shows the last value of each topic and key.
#[derive(Default)]
struct Follower {
    state: State,
    /// The `message-id` of what came last.
    position: Option<String>,
    snapshots: usize,
}

impl Follower {
    fn follow(&mut self, message: &Frame) {
        let header = |name| message.header(name).unwrap_or_default().to_owned();
        self.position = Some(header("message-id"));
        if message.header(GAP).is_some() {
            self.state.clear();
            return;
        }
        self.snapshots += usize::from(message.header(RETAINED) == Some("true"));
        let whose = (header("destination"), header(KEY));
        if message.body.is_empty() {
            self.state.remove(&whose);
        } else {
            let before = self.state.insert(whose, header("message-id"));
            assert_ne!(before, self.position, "nothing comes twice");
        }
    }
}

fn subscribe(router: &mut Router, pattern: &str, position: Option<&str>) -> Vec<Outbound> {
    let session = open(router, Version::V1_2);
    let wanted = Wanted {
        key: SubscriptionKey::Id("s".to_owned()),
        destination: pattern,
        kind: Kind::Topic,
        // Deliveries keep their frames, which the test can look into.
        ack: AckMode::ClientIndividual,
        resume_from: position,
        retained: true,
        durable: None,
        prefetch: None,
        conflate: false,
    };
    router.subscribe(session, &wanted, 0).unwrap().1
}

#[derive(Debug, Clone)]
enum Step {
    /// Says something of a topic and a key; `false`: there is nothing to say any more.
    Say(usize, usize, bool),
    /// The connection is lost, and the new one is lost again after so many messages of the past.
    Lose(usize),
    /// The connection is lost and comes back.
    Return,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..TOPICS.len(), 0..3_usize, prop::bool::weighted(0.8))
            .prop_map(|(topic, key, says)| Step::Say(topic, key, says)),
        1 => (0..4_usize).prop_map(Step::Lose),
        1 => Just(Step::Return),
    ]
}

proptest! {
    #[test]
    fn whoever_follows_knows_what_was_last_said(
        steps in vec(step(), 0..80),
        pattern in 0..PATTERNS.len(),
        per_destination in 1..8_usize,
    ) {
        let config = BrokerConfig {
            replay_messages_per_destination: per_destination,
            ..BrokerConfig::default()
        };
        let mut router = Router::new("i", &config);
        let mut truth = State::new();
        let mut follower = Follower::default();
        let mut connected = false;
        for step in steps.into_iter().chain([Step::Return]) {
            match step {
                Step::Say(topic, key, says) => {
                    let body = if says { "x" } else { "" };
                    let message = Outgoing::new("text/plain", body).with_key(key.to_string()).retained();
                    let (position, deliveries) = publish(&mut router, TOPICS[topic], message);
                    let whose = (TOPICS[topic].to_owned(), key.to_string());
                    if !matches(PATTERNS[pattern], TOPICS[topic]) {
                        prop_assert!(deliveries.is_empty());
                        continue;
                    }
                    if says {
                        truth.insert(whose, position.to_string());
                    } else {
                        truth.remove(&whose);
                    }
                    // The newest session is the one that lives.
                    if connected {
                        let (_, last) = deliveries.last().unwrap();
                        prop_assert_eq!(frame(last).header(RETAINED), None);
                        follower.follow(frame(last));
                    }
                }
                Step::Lose(_) | Step::Return => {
                    let past = subscribe(&mut router, PATTERNS[pattern], follower.position.as_deref());
                    let ids: Vec<u64> = past
                        .iter()
                        .map(|out| frame(out).header("message-id").unwrap().parse::<Position>().unwrap().sequence)
                        .collect();
                    prop_assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
                    connected = matches!(step, Step::Return);
                    let most = match step {
                        Step::Lose(most) => most,
                        _ => past.len(),
                    };
                    for out in past.iter().take(most) {
                        follower.follow(frame(out));
                    }
                }
            }
            if connected {
                prop_assert_eq!(&follower.state, &truth);
            }
        }
    }
}

#[test]
fn a_position_that_is_known_needs_no_snapshot() {
    let mut router = Router::new("i", &BrokerConfig::default());
    let say = |router: &mut Router, topic| {
        let message = Outgoing::new("text/plain", "x").retained();
        publish(router, topic, message).0.to_string()
    };
    say(&mut router, "/topic/a");
    let position = say(&mut router, "/topic/b");
    say(&mut router, "/topic/c");
    let check = |router: &mut Router, position, expected: &[(&str, bool, bool)]| {
        let past = subscribe(router, "/topic/*", position);
        let found: Vec<_> = past
            .iter()
            .map(|out| {
                let id = frame(out).header("message-id").unwrap();
                let has = |header| frame(out).header(header) == Some("true");
                (id, has(GAP), has(RETAINED))
            })
            .collect();
        assert_eq!(found, expected, "{position:?}");
    };
    let (gap, value) = ((true, false), (false, true));
    let all = [("i-1", value), ("i-2", value), ("i-3", value)].map(|(id, (g, r))| (id, g, r));
    check(&mut router, None, &all);
    check(&mut router, Some(&position), &[("i-3", false, false)]);
    let told = [[("i-0-gap", gap.0, gap.1)].as_slice(), &all].concat();
    check(&mut router, Some("other-7"), &told);
}

#[test]
fn a_snapshot_that_lacks_something_says_so() {
    let mut config = BrokerConfig::default();
    config.retained.values = 1;
    let mut router = Router::new("i", &config);
    for topic in ["/topic/a", "/topic/b"] {
        let message = Outgoing::new("text/plain", "x").retained();
        publish(&mut router, topic, message);
    }
    let check = |router: &mut Router, pattern, expected: &[&str]| {
        let past = subscribe(router, pattern, None);
        let ids: Vec<_> = past
            .iter()
            .map(|out| frame(out).header("message-id").unwrap())
            .collect();
        assert_eq!(ids, expected, "{pattern}");
    };
    check(&mut router, "/topic/a", &["i-1"]);
    check(&mut router, "/topic/b", &["i-2-gap"]);
    check(&mut router, "/topic/*", &["i-0-gap", "i-1"]);
    let counts = router.retained_counts();
    assert_eq!((counts.held, counts.refused), (1, 1));
    assert_eq!(router.told().gaps, 2);
}

#[test]
fn what_a_subscribe_looks_at_is_counted() {
    let mut router = Router::new("i", &BrokerConfig::default());
    let start = router.position().to_string();
    for index in 0..100 {
        let message = Outgoing::new("text/plain", "x").retained();
        publish(&mut router, &format!("/topic/{index}/a"), message);
    }
    let mut check = |pattern, position, least, most| {
        let before = router.steps();
        subscribe(&mut router, pattern, position);
        let steps = router.steps() - before;
        assert!(
            (least..=most).contains(&steps),
            "{pattern} {position:?}: {steps}"
        );
    };
    check("/topic/*/b", None, 100, 110);
    check("/topic/*/b", Some(start.as_str()), 100, 110);
    // Found and listed.
    check("/topic/*/a", None, 200, 210);
    check("/topic/*/a", Some(start.as_str()), 200, 210);
    check("/topic/7/a", None, 1, 10);
}

#[test]
fn the_past_of_one_subscribe_has_so_many_bytes_and_the_rest_is_told() {
    let config = BrokerConfig {
        replay_bytes_per_subscribe: 10_000,
        ..BrokerConfig::default()
    };
    let mut router = Router::new("i", &config);
    let start = router.position().to_string();
    for key in 0..20 {
        let message = Outgoing::new("text/plain", vec![b'x'; 1000]);
        let message = message.with_key(key.to_string()).retained();
        publish(&mut router, "/topic/a", message);
    }
    for position in [None, Some(start.as_str())] {
        let past = subscribe(&mut router, "/topic/a", position);
        assert!((5..10).contains(&past.len()), "{}", past.len());
        let first = 20 - (past.len() - 1);
        let notice = frame(&past[0]);
        assert_eq!(notice.header(GAP), Some("true"));
        let id = format!("i-{first}-gap");
        assert_eq!(notice.header("message-id"), Some(id.as_str()));
    }
}
