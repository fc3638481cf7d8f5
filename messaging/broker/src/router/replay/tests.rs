//! The index of the past as a property: it finds what a scan of everything finds.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use stomp::Command;

use super::*;
use crate::destination::matches;

const NAMES: [&str; 6] = [
    "/topic/a",
    "/topic/a/b",
    "/topic/a/c",
    "/topic/c/b",
    "/topic/d",
    "/topic/a/b/c",
];
const PATTERNS: [&str; 8] = [
    "/topic/a",
    "/topic/*",
    "/topic/*/b",
    "/topic/**",
    "/topic/a/**",
    "/topic/*/*",
    "/topic/e",
    "/topic/e/**",
];

fn message(sequence: u64, bytes: usize) -> Arc<Frame> {
    let frame = Frame::new(Command::Message)
        .with_header("message-id", sequence.to_string())
        .with_body(vec![b'x'; bytes]);
    Arc::new(frame)
}

fn sequences(past: &Past) -> Vec<u64> {
    let id = |frame: &Arc<Frame>| frame.header("message-id").unwrap().parse().unwrap();
    past.messages.iter().map(id).collect()
}

fn most(messages: usize) -> Most {
    Most {
        messages,
        bytes: usize::MAX,
    }
}

/// The same bounds, kept by looking at everything each time.
struct Naive {
    config: BrokerConfig,
    kept: Vec<(u64, &'static str, usize)>,
    /// By destination that has messages.
    lost: BTreeMap<&'static str, u64>,
    lost_elsewhere: u64,
}

impl Naive {
    fn keep(&mut self, sequence: u64, name: &'static str, bytes: usize) {
        self.lost.entry(name).or_insert(self.lost_elsewhere);
        self.kept.push((sequence, name, bytes));
        let of_name = |kept: &[(u64, &str, usize)]| {
            kept.iter().filter(|(_, other, _)| *other == name).count()
        };
        if of_name(&self.kept) > self.config.replay_messages_per_destination {
            let first = self.kept.iter().position(|(_, other, _)| *other == name);
            self.lose(first.unwrap());
        }
        let bytes = |kept: &[(u64, &str, usize)]| -> usize {
            let weights = kept
                .iter()
                .map(|(sequence, _, bytes)| weight(&message(*sequence, *bytes)));
            let names: BTreeSet<&str> = kept.iter().map(|(_, name, _)| *name).collect();
            weights.sum::<usize>() + names.into_iter().map(names::weight).sum::<usize>()
        };
        while self.kept.len() > self.config.replay_messages
            || bytes(&self.kept) > self.config.replay_bytes
        {
            self.lose(0);
        }
    }

    fn lose(&mut self, index: usize) {
        let (sequence, name, _) = self.kept.remove(index);
        self.lost.insert(name, sequence);
        if !self.kept.iter().any(|(_, other, _)| *other == name) {
            self.lost.remove(name);
            self.lost_elsewhere = self.lost_elsewhere.max(sequence);
        }
    }

    fn after(&self, after: u64, pattern: &str, most: usize) -> (Option<u64>, Vec<u64>) {
        let lost = self.lost.iter().filter(|(name, _)| matches(pattern, name));
        let elsewhere = has_wildcard(pattern) || !self.lost.contains_key(pattern);
        let mut lost = lost.map(|(_, lost)| *lost).max().unwrap_or(0);
        if elsewhere {
            lost = lost.max(self.lost_elsewhere);
        }
        let covered = |(at, name, _): &&(u64, &str, usize)| *at > after && matches(pattern, name);
        let mut found: Vec<u64> = self
            .kept
            .iter()
            .filter(covered)
            .map(|(at, ..)| *at)
            .collect();
        let rest = found.split_off(found.len().saturating_sub(most));
        lost = lost.max(found.last().copied().unwrap_or(0));
        ((lost > after).then_some(lost), rest)
    }
}

proptest! {
    #[test]
    fn the_index_finds_what_a_scan_finds(
        published in vec((0..NAMES.len(), 0..400_usize), 0..60),
        per_destination in 1..6_usize,
        messages in 1..20_usize,
        bytes in 1200..16_000_usize,
        after in 0..60_u64,
        messages_most in 1..12_usize,
    ) {
        let config = BrokerConfig {
            replay_messages_per_destination: per_destination,
            replay_messages: messages,
            replay_bytes: bytes,
            ..BrokerConfig::default()
        };
        let mut replay = Replay::new(&config);
        let mut naive = Naive { config, kept: Vec::new(), lost: BTreeMap::new(), lost_elsewhere: 0 };
        for (sequence, (name, bytes)) in (1..).zip(published) {
            replay.keep(sequence, NAMES[name], message(sequence, bytes));
            naive.keep(sequence, NAMES[name], bytes);
        }
        for pattern in PATTERNS {
            let past = replay.after(after, pattern, most(messages_most));
            let found = (past.lost_up_to, sequences(&past));
            prop_assert_eq!(found, naive.after(after, pattern, messages_most), "{}", pattern);
        }
        prop_assert_eq!(replay.order.len(), naive.kept.len());
    }
}

#[test]
fn a_wildcard_that_leads_nowhere_is_given_up_and_told() {
    let config = BrokerConfig {
        replay_messages: 2 * STEPS,
        ..BrokerConfig::default()
    };
    let mut replay = Replay::new(&config);
    let last = 2 * STEPS as u64;
    for sequence in 1..=last {
        replay.keep(
            sequence,
            &format!("/topic/{sequence}/a"),
            message(sequence, 0),
        );
    }
    let past = replay.after(0, "/topic/*/b", most(10));
    assert!(past.messages.is_empty());
    let lost = past.lost_up_to.expect("not everything was looked at");
    assert_eq!(lost, last - STEPS as u64 + 1, "one place leads there");
    // Who asks for less does not pay for the rest.
    let past = replay.after(last - 5, "/topic/*/b", most(10));
    assert_eq!((past.lost_up_to, past.messages.len()), (None, 0));
    let past = replay.after(last - 5, "/topic/**", most(10));
    assert_eq!(
        sequences(&past),
        [last - 4, last - 3, last - 2, last - 1, last]
    );
}

#[test]
fn long_names_of_short_messages_count() {
    let config = BrokerConfig {
        replay_bytes: 1024 * 1024,
        ..BrokerConfig::default()
    };
    let mut replay = Replay::new(&config);
    let long = "/a".repeat(29);
    for sequence in 1..=4096 {
        let name = format!("/topic/{sequence}{long}");
        replay.keep(sequence, &name, message(sequence, 1));
    }
    let kept = replay.order.len();
    // Three quarters of a KiB for a name, and what the message takes.
    assert!((800..1300).contains(&kept), "{kept}");
}

#[test]
fn the_newest_that_fit_are_replayed_and_one_always_does() {
    let mut replay = Replay::new(&BrokerConfig::default());
    for sequence in 1..=10 {
        let name = format!("/topic/{}", sequence % 3);
        replay.keep(sequence, &name, message(sequence, 1000));
    }
    let each = weight(&message(1, 1000));
    let check = |bytes, lost, expected: &[u64]| {
        let most = Most {
            messages: 10,
            bytes,
        };
        let past = replay.after(2, "/topic/*", most);
        assert_eq!(
            (past.lost_up_to, sequences(&past).as_slice()),
            (lost, expected),
            "{bytes}"
        );
    };
    check(9 * each, None, &[3, 4, 5, 6, 7, 8, 9, 10]);
    check(3 * each + 1, Some(7), &[8, 9, 10]);
    check(1, Some(9), &[10]);
}
