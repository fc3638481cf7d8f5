//! The tree as a property: it finds what the patterns mean, and nothing is kept for nobody.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::destination::matches;

const PATTERNS: [&str; 16] = [
    "/topic/a",
    "/topic/a/b",
    "/topic/*",
    "/topic/*/b",
    "/topic/a/*",
    "/topic/**",
    "/topic/a/**",
    "/topic/*/b/**",
    "/topic/*/*",
    "/topic/a/b/c/d/e",
    "/topic/a/b/x/d/e",
    "/topic/a/*/c/*/e",
    "/topic/a/*/c/**",
    "/topic/*/b/c/d/*",
    "/topic/a/b/c/d/**",
    "**",
];
const DESTINATIONS: [&str; 9] = [
    "/topic/a",
    "/topic/a/b",
    "/topic/b",
    "/topic/c/b",
    "/topic/a/b/c",
    "/topic/a/b/c/d",
    "/topic/a/b/c/d/e",
    "/topic/a/b/x/d/e",
    "/x",
];

impl Member for usize {
    type Identity = Self;

    fn identity(&self) -> Self {
        *self
    }
}

fn found(trie: &Trie<usize>, destination: &str) -> Vec<usize> {
    let mut found = Vec::new();
    trie.for_each_match(destination, |index| found.push(*index));
    found.sort_unstable();
    found
}

#[test]
fn the_tree_finds_what_the_patterns_mean() {
    let mut trie = Trie::default();
    for (index, pattern) in PATTERNS.iter().enumerate() {
        trie.insert(pattern, index);
    }
    for destination in DESTINATIONS {
        let expected: Vec<usize> = (0..PATTERNS.len())
            .filter(|index| matches(PATTERNS[*index], destination))
            .collect();
        assert_eq!(found(&trie, destination), expected, "{destination}");
    }
}

#[test]
fn removing_everything_leaves_nothing() {
    let mut trie = Trie::default();
    for (index, pattern) in PATTERNS.iter().enumerate() {
        trie.insert(pattern, index);
    }
    for (index, pattern) in PATTERNS.iter().enumerate() {
        trie.remove(pattern, index);
        assert!(!found(&trie, "/topic/a/b").contains(&index), "{pattern}");
    }
    assert!(trie.root.is_empty() && trie.places.is_empty());
}

/// No pattern costs more than two nodes.
fn nodes(node: &Node<usize>) -> usize {
    let below = node.children.values().chain(&node.one);
    1 + below.map(|node| nodes(node)).sum::<usize>()
}

proptest! {
    /// Each step adds a value under a pattern, or takes one away.
    #[test]
    fn values_come_and_go(steps in vec((0..PATTERNS.len(), prop::option::weighted(0.4, 0..40_usize)), 0..60)) {
        let mut trie = Trie::default();
        let mut live: Vec<(usize, &str)> = Vec::new();
        for (value, (pattern, removes)) in steps.into_iter().enumerate() {
            match removes {
                Some(which) if !live.is_empty() => {
                    let (value, pattern) = live.remove(which % live.len());
                    trie.remove(pattern, value);
                }
                _ => {
                    trie.insert(PATTERNS[pattern], value);
                    live.push((value, PATTERNS[pattern]));
                }
            }
            for destination in DESTINATIONS {
                let covering = live.iter().filter(|(_, pattern)| matches(pattern, destination));
                let expected: Vec<usize> = covering.map(|(value, _)| *value).collect();
                prop_assert_eq!(found(&trie, destination), expected, "{}", destination);
            }
            let patterns: BTreeSet<&str> = live.iter().map(|(_, pattern)| *pattern).collect();
            prop_assert!(nodes(&trie.root) <= 1 + 2 * patterns.len());
            prop_assert_eq!(trie.places.len(), live.len());
        }
    }
}
