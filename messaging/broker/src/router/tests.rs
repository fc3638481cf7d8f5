//! Resuming as a property: whatever was published, whenever one resumes, nothing is missed untold and nothing doubled.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::destination::{GAP, matches};

const TOPICS: [&str; 4] = ["/topic/a", "/topic/a/b", "/topic/c/b", "/topic/d"];
const PATTERNS: [&str; 5] = [
    "/topic/a",
    "/topic/*",
    "/topic/*/b",
    "/topic/**",
    "/topic/d",
];

fn tight() -> BrokerConfig {
    BrokerConfig {
        replay_messages_per_destination: 3,
        replay_messages: 8,
        ..BrokerConfig::default()
    }
}

pub(super) fn open(router: &mut Router, version: Version) -> SessionId {
    let outbox = Arc::new(Outbox::new(&BrokerConfig::default()));
    router.open("kim", version, outbox)
}

pub(super) fn publish(
    router: &mut Router,
    topic: &str,
    message: Outgoing,
) -> (Position, Vec<(SessionId, Outbound)>) {
    let mut deliveries = Vec::new();
    let (position, handed) = router.publish(topic, message, 0, |subscriber, outbound, _| {
        deliveries.push((subscriber.session, outbound));
    });
    deliveries.extend(handed);
    (position, deliveries)
}

fn wanted<'request>(
    destination: &'request str,
    resume_from: Option<&'request str>,
) -> Wanted<'request> {
    Wanted {
        key: SubscriptionKey::Id("s".to_owned()),
        destination,
        kind: Kind::Topic,
        // Deliveries keep their frames, which the test can look into.
        ack: AckMode::ClientIndividual,
        resume_from,
        retained: false,
        durable: None,
        prefetch: None,
        conflate: false,
    }
}

pub(super) fn frame(outbound: &Outbound) -> &Frame {
    match &outbound.payload {
        Payload::Frame(frame) => frame,
        Payload::Encoded(_) | Payload::Queued(..) => panic!("the subscription acknowledges"),
    }
}

fn sequence(frame: &Frame) -> u64 {
    let id: Position = frame.header("message-id").unwrap().parse().unwrap();
    id.sequence
}

/// Publishes to all `topics` in turn, resumes `pattern` after the first `seen` of them, then publishes `live`.
/// Returns the sequence of the gap notice, and those of all messages that came.
fn resume(
    config: &BrokerConfig,
    topics: &[usize],
    pattern: usize,
    seen: usize,
    live: &[usize],
) -> (Option<u64>, Vec<u64>) {
    let mut router = Router::new("i", config);
    let mut position = router.position();
    for (index, topic) in topics.iter().enumerate() {
        let (after, _) = publish(&mut router, TOPICS[*topic], Outgoing::default());
        if index < seen {
            position = after;
        }
    }
    let session = open(&mut router, Version::V1_2);
    let position = position.to_string();
    let wanted = wanted(PATTERNS[pattern], Some(&position));
    let (_, replayed) = router.subscribe(session, &wanted, 0).unwrap();
    let mut messages: Vec<Frame> = replayed.iter().map(|out| frame(out).clone()).collect();
    for topic in live {
        let (_, deliveries) = publish(&mut router, TOPICS[*topic], Outgoing::default());
        messages.extend(deliveries.iter().map(|(_, out)| frame(out).clone()));
    }
    let gap = messages
        .first()
        .filter(|first| first.header(GAP).is_some())
        .map(sequence);
    let rest = &messages[usize::from(gap.is_some())..];
    assert!(rest.iter().all(|message| message.header(GAP).is_none()));
    (gap, rest.iter().map(sequence).collect())
}

/// Sequences after `from` that `pattern` covers.
fn expected(topics: &[usize], live: &[usize], pattern: usize, from: u64) -> Vec<u64> {
    (1..)
        .zip(topics.iter().chain(live))
        .filter(|(sequence, topic)| *sequence > from && matches(PATTERNS[pattern], TOPICS[**topic]))
        .map(|(sequence, _)| sequence)
        .collect()
}

proptest! {
    #[test]
    fn resuming_misses_nothing_untold_and_doubles_nothing(
        topics in vec(0..TOPICS.len(), 0..24),
        pattern in 0..PATTERNS.len(),
        seen in 0_usize..24,
        live in vec(0..TOPICS.len(), 0..6),
    ) {
        let seen = seen.min(topics.len());
        let from = seen as u64;
        let (gap, messages) = resume(&tight(), &topics, pattern, seen, &live);
        match gap {
            None => prop_assert_eq!(messages, expected(&topics, &live, pattern, from)),
            Some(gap) => {
                // After the gap's position everything is there; what came of before is in order and was missed.
                prop_assert!(gap > from);
                let complete = expected(&topics, &live, pattern, gap);
                prop_assert!(messages.ends_with(&complete));
                prop_assert!(messages.is_sorted());
                let all = expected(&topics, &live, pattern, from);
                prop_assert!(messages.iter().all(|sequence| all.contains(sequence)));
            }
        }
    }

    #[test]
    fn nothing_is_called_lost_as_long_as_everything_is_kept(
        topics in vec(0..TOPICS.len(), 0..24),
        pattern in 0..PATTERNS.len(),
        seen in 0_usize..24,
    ) {
        let seen = seen.min(topics.len());
        let (gap, messages) = resume(&BrokerConfig::default(), &topics, pattern, seen, &[]);
        prop_assert_eq!(gap, None);
        prop_assert_eq!(messages, expected(&topics, &[], pattern, seen as u64));
    }
}

#[test]
fn a_position_that_was_never_given_here_is_a_gap_and_nothing_is_replayed() {
    let mut router = Router::new("i", &BrokerConfig::default());
    publish(&mut router, "/topic/a", Outgoing::default());
    let session = open(&mut router, Version::V1_2);
    for position in ["other-0", "i-2", "rubbish", ""] {
        let (_, replayed) = router
            .subscribe(session, &wanted("/topic/a", Some(position)), 0)
            .unwrap();
        assert_eq!(replayed.len(), 1, "{position}");
        let notice = frame(&replayed[0]);
        assert_eq!(notice.header(GAP), Some("true"), "{position}");
        assert_eq!(notice.header("message-id"), Some("i-1-gap"), "{position}");
        assert!(notice.body.is_empty());
    }
}

#[test]
fn bytes_are_bounded_as_well() {
    let config = BrokerConfig {
        replay_bytes: 10_000,
        ..BrokerConfig::default()
    };
    let mut router = Router::new("i", &config);
    let start = router.position().to_string();
    for _ in 0..100 {
        publish(
            &mut router,
            "/topic/a",
            Outgoing::new("text/plain", vec![b'x'; 1000]),
        );
    }
    let session = open(&mut router, Version::V1_2);
    let (_, replayed) = router
        .subscribe(session, &wanted("/topic/a", Some(&start)), 0)
        .unwrap();
    assert!(frame(&replayed[0]).header(GAP).is_some());
    assert!((2..10).contains(&replayed.len()), "{}", replayed.len());
    assert_eq!(sequence(frame(replayed.last().unwrap())), 100);
}

#[test]
fn a_fan_out_encodes_once_for_each_version_and_id() {
    let mut router = Router::new("i", &BrokerConfig::default());
    let mut subscribe = |version, id: &str| {
        let session = open(&mut router, version);
        let wanted = Wanted {
            key: SubscriptionKey::Id(id.to_owned()),
            ack: AckMode::Auto,
            ..wanted("/topic/a", None)
        };
        router.subscribe(session, &wanted, 0).unwrap();
    };
    subscribe(Version::V1_2, "s-1");
    subscribe(Version::V1_2, "s-1");
    subscribe(Version::V1_2, "s-2");
    subscribe(Version::V1_1, "s-1");
    let (_, deliveries) = publish(&mut router, "/topic/a", Outgoing::json("{}"));
    let mut buffers: Vec<*const u8> = deliveries
        .iter()
        .map(|(_, outbound)| match &outbound.payload {
            Payload::Encoded(encoded) => encoded.frame.head.as_ptr(),
            Payload::Frame(_) | Payload::Queued(..) => {
                panic!("the subscription does not acknowledge")
            }
        })
        .collect();
    assert_eq!(buffers.len(), 4);
    buffers.sort_unstable();
    buffers.dedup();
    assert_eq!(buffers.len(), 3);
}

#[test]
fn a_closed_session_leaves_nothing_behind() {
    let mut router = Router::new("i", &BrokerConfig::default());
    let session = open(&mut router, Version::V1_2);
    router
        .subscribe(session, &wanted("/topic/**", None), 0)
        .unwrap();
    router.close(session, 0);
    assert_eq!(router.session_count(), 0);
    assert_eq!(router.subscription_count(), 0);
    assert!(router.forms.is_empty());
    assert!(router.sessions_of("kim").is_empty());
    let (_, deliveries) = publish(&mut router, "/topic/a", Outgoing::default());
    assert!(deliveries.is_empty());
    assert!(
        router
            .subscribe(session, &wanted("/topic/a", None), 0)
            .is_none()
    );
}

#[test]
fn one_subscribe_gets_so_much_of_the_past_and_is_told_of_the_rest() {
    let check = |ack, expected_gap, expected: &[u64]| {
        let mut config = BrokerConfig {
            replay_messages_per_subscribe: 4,
            ..BrokerConfig::default()
        };
        config.stomp.limits.pending_acks = 6;
        let mut router = Router::new("i", &config);
        let start = router.position().to_string();
        for _ in 0..6 {
            publish(&mut router, "/topic/a", Outgoing::default());
        }
        let session = open(&mut router, Version::V1_2);
        let wanted = Wanted {
            ack,
            ..wanted("/topic/*", Some(&start))
        };
        let (_, replayed) = router.subscribe(session, &wanted, 0).unwrap();
        assert_eq!(frame(&replayed[0]).header(GAP), Some("true"));
        let ids: Vec<u64> = replayed.iter().map(|out| sequence(frame(out))).collect();
        assert_eq!(ids[0], expected_gap, "{ack:?}");
        assert_eq!(ids[1..], *expected, "{ack:?}");
        let told = router.told();
        assert_eq!((told.gaps, told.replayed), (1, expected.len() as u64));
    };
    check(AckMode::Auto, 2, &[3, 4, 5, 6]);
    // It must be able to acknowledge what it gets.
    check(AckMode::Client, 3, &[4, 5, 6]);
    check(AckMode::ClientIndividual, 3, &[4, 5, 6]);
}
