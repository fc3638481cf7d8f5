//! The tree of names as a property: a walk finds what a scan finds, and nothing is kept for nobody.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::destination::matches;

const NAMES: [&str; 9] = [
    "/topic/a",
    "/topic/a/b",
    "/topic/a/c",
    "/topic/c/b",
    "/topic/a/b/c",
    "/topic/d",
    "/topic/e/f/g/h/i",
    "/topic/e/f/x/h/i",
    "/topic/e/f/g",
];
const PATTERNS: [&str; 13] = [
    "/topic/a",
    "/topic/*",
    "/topic/*/b",
    "/topic/**",
    "/topic/a/**",
    "/topic/*/*",
    "/topic/*/b/**",
    "/topic/x/**",
    "/topic/e/f/**",
    "/topic/e/f/g/h/i/**",
    "/topic/*/*/*/h/*",
    "/topic/e/f/*",
    "/topic/e/f/g",
];

fn found(names: &Names<u64>, pattern: &str, after: u64) -> Vec<u64> {
    let mut walk = names.walk(pattern, after);
    let mut found = Vec::new();
    while let Some(bound) = walk.bound() {
        if let Some((place, value)) = walk.step() {
            assert_eq!(names.get(place), Some(value));
            assert!(*value <= bound, "nothing is newer than was said");
            found.push(*value);
        }
    }
    found
}

/// No name costs more than two places, and none is there for nothing.
fn check_places(names: &Names<u64>) {
    let used = names.nodes.len() - names.free.len();
    assert!(used <= (2 * names.by_name.len()).max(1));
    for (at, node) in names.nodes.iter().enumerate() {
        let Some(node) = node else { continue };
        assert!(at == ROOT || node.held.is_some() || node.children.len() > 1);
        let mut below = node.first_child;
        let mut siblings = Vec::new();
        while let Some(child) = below {
            siblings.push(names.node(child).newest);
            assert_eq!(names.node(child).parent, at);
            assert_eq!(node.children[&names.node(child).segment], child);
            below = names.node(child).next;
        }
        assert_eq!(siblings.len(), node.children.len());
        assert!(siblings.is_sorted_by(|a, b| a >= b));
        assert!(at == ROOT || siblings.iter().all(|newest| *newest <= node.newest));
    }
}

proptest! {
    /// Each value is the sequence at which its name was last the newest.
    #[test]
    fn a_walk_finds_what_a_scan_finds(
        steps in vec((0..NAMES.len(), prop::bool::weighted(0.3)), 0..40),
        pattern in 0..PATTERNS.len(),
        after in 0..40_u64,
    ) {
        let mut names = Names::new();
        let mut scanned = [None; NAMES.len()];
        for (sequence, (name, removes)) in (1..).zip(steps) {
            if removes {
                let removed = names.find(NAMES[name]).and_then(|place| names.remove(place));
                let removed = removed.map(|(_, value)| value);
                prop_assert_eq!(removed, scanned[name].take());
            } else {
                *names.newest(NAMES[name], sequence, || 0).1 = sequence;
                scanned[name] = Some(sequence);
            }
            check_places(&names);
        }
        let mut expected: Vec<u64> = (NAMES.iter().zip(scanned))
            .filter(|(name, _)| matches(PATTERNS[pattern], name))
            .filter_map(|(_, value)| value.filter(|value| *value > after))
            .collect();
        expected.sort_unstable();
        // A place may stand for what was newer and is gone: then what is older is found behind it.
        let mut found = found(&names, PATTERNS[pattern], after);
        found.retain(|value| *value > after);
        found.sort_unstable();
        prop_assert_eq!(found, expected);

        for name in NAMES {
            if let Some(place) = names.find(name) {
                names.remove(place);
            }
        }
        prop_assert_eq!(names.nodes.len(), names.free.len() + 1, "nothing is left");
        prop_assert_eq!(names.node(ROOT).first_child, None);
    }
}

#[test]
fn what_is_older_than_wanted_is_not_looked_at() {
    let mut names = Names::new();
    for sequence in 1..=1000 {
        names.newest(&format!("/topic/{sequence}/x"), sequence, || sequence);
    }
    for (pattern, most) in [("/topic/**", 12), ("/topic/*/x", 12), ("/topic/7/x", 0)] {
        let mut walk = names.walk(pattern, 995);
        let mut steps = 0;
        while walk.bound().is_some() {
            walk.step();
            steps += 1;
        }
        assert!(steps <= most, "{pattern}: {steps}");
    }
}

#[test]
fn a_long_name_has_one_place_and_a_crowd_gives_back_its_tables() {
    let mut names = Names::new();
    let long = "/topic".to_owned() + &"/a".repeat(30);
    for sequence in 1..=1000 {
        names.newest(&format!("/topic/{sequence}{long}"), sequence, || sequence);
    }
    assert!(names.nodes.len() <= 1000 + 2);
    for sequence in 1..1000 {
        let place = names.find(&format!("/topic/{sequence}{long}")).unwrap();
        assert_eq!(names.remove(place).map(|(_, value)| value), Some(sequence));
    }
    assert_eq!(found(&names, "/topic/*/topic/**", 0), [1000]);
    assert_eq!(names.nodes.iter().flatten().count(), 2);
    let left: usize = names
        .nodes
        .iter()
        .flatten()
        .map(|node| node.children.capacity())
        .sum();
    assert!(left + names.by_name.capacity() < 64, "{left}");
}
