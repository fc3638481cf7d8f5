//! The tree of destinations that hold something, one level for each segment. A pattern finds what it covers, newest
//! first, without looking at what is older than wanted. Pure.
//!
//! Invariants: `newest` of a place is at least that of everything below it; siblings are in the order of their
//! `newest`, the greatest first. Every place has a value at it or below it.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use crate::destination::has_wildcard;

/// Above the first segment; it has no value, no siblings and no name.
const ROOT: usize = 0;

/// Where a destination's value is. Good as long as it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(usize);

#[derive(Debug)]
struct Node<T> {
    parent: usize,
    segment: Arc<str>,
    children: HashMap<Arc<str>, usize>,
    first_child: Option<usize>,
    previous: Option<usize>,
    next: Option<usize>,
    newest: u64,
    held: Option<(Arc<str>, T)>,
}

impl<T> Node<T> {
    fn new(parent: usize, segment: Arc<str>) -> Self {
        Self {
            parent,
            segment,
            children: HashMap::new(),
            first_child: None,
            previous: None,
            next: None,
            newest: 0,
            held: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Names<T> {
    nodes: Vec<Node<T>>,
    /// Places in `nodes` that are used by nobody.
    free: Vec<usize>,
    by_name: HashMap<Arc<str>, usize>,
}

impl<T> Names<T> {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::new(ROOT, "".into())],
            free: Vec::new(),
            by_name: HashMap::new(),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<Place> {
        self.by_name.get(name).copied().map(Place)
    }

    pub(super) fn get(&self, place: Place) -> Option<&T> {
        self.nodes[place.0].held.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        self.nodes[place.0].held.as_mut().map(|(_, value)| value)
    }

    /// The value of `name`, made when there is none, as the newest of all: `sequence` is greater than any before.
    pub(super) fn newest(
        &mut self,
        name: &str,
        sequence: u64,
        make: impl FnOnce() -> T,
    ) -> (Place, &mut T) {
        let place = match self.by_name.get(name) {
            Some(place) => *place,
            None => self.add(name),
        };
        let mut at = place;
        while at != ROOT {
            self.nodes[at].newest = sequence;
            self.move_to_front(at);
            at = self.nodes[at].parent;
        }
        let held = &mut self.nodes[place].held;
        let (_, value) = held.get_or_insert_with(|| (name.into(), make()));
        (Place(place), value)
    }

    /// Takes the value away, with the places that nobody needs any more.
    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        let (name, value) = self.nodes[place.0].held.take()?;
        self.by_name.remove(&name);
        let mut at = place.0;
        while at != ROOT && self.nodes[at].held.is_none() && self.nodes[at].children.is_empty() {
            self.unlink(at);
            let node = &self.nodes[at];
            let (parent, segment) = (node.parent, Arc::clone(&node.segment));
            self.nodes[parent].children.remove(&segment);
            self.free.push(at);
            at = parent;
        }
        Some(value)
    }

    /// What `pattern` covers, newest first, as far as something newer than `after` may be there.
    pub(super) fn walk<'walk>(&'walk self, pattern: &'walk str, after: u64) -> Walk<'walk, T> {
        let mut walk = Walk {
            names: self,
            pattern: Vec::new(),
            after,
            visits: BinaryHeap::new(),
        };
        if has_wildcard(pattern) {
            walk.pattern = pattern.split('/').collect();
            let first = walk.pattern[0];
            walk.visit(self.nodes[ROOT].children.get(first).copied(), 1, false);
        } else {
            walk.visit(self.by_name.get(pattern).copied(), 0, false);
        }
        walk
    }

    fn add(&mut self, name: &str) -> usize {
        let mut at = ROOT;
        for segment in name.split('/') {
            at = match self.nodes[at].children.get(segment) {
                Some(child) => *child,
                None => self.add_child(at, segment.into()),
            };
        }
        self.by_name.insert(name.into(), at);
        at
    }

    fn add_child(&mut self, parent: usize, segment: Arc<str>) -> usize {
        let node = Node::new(parent, Arc::clone(&segment));
        let at = match self.free.pop() {
            Some(free) => {
                self.nodes[free] = node;
                free
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.nodes[parent].children.insert(segment, at);
        self.link_in_front(at);
        at
    }

    fn move_to_front(&mut self, at: usize) {
        let parent = self.nodes[at].parent;
        if self.nodes[parent].first_child != Some(at) {
            self.unlink(at);
            self.link_in_front(at);
        }
    }

    fn link_in_front(&mut self, at: usize) {
        let parent = self.nodes[at].parent;
        let second = self.nodes[parent].first_child.replace(at);
        self.nodes[at].previous = None;
        self.nodes[at].next = second;
        if let Some(second) = second {
            self.nodes[second].previous = Some(at);
        }
    }

    fn unlink(&mut self, at: usize) {
        let node = &self.nodes[at];
        let (parent, previous, next) = (node.parent, node.previous, node.next);
        match previous {
            Some(previous) => self.nodes[previous].next = next,
            None => self.nodes[parent].first_child = next,
        }
        if let Some(next) = next {
            self.nodes[next].previous = previous;
        }
    }
}

/// A place that is to be looked at. The newest is looked at first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    newest: u64,
    at: usize,
    /// Segments of the pattern that lead here.
    matched: usize,
    /// Its next sibling is wanted as well.
    siblings: bool,
}

/// Looks at one place after the other.
pub(super) struct Walk<'walk, T> {
    names: &'walk Names<T>,
    /// Empty: no wildcards, and the only visit is the place itself.
    pattern: Vec<&'walk str>,
    after: u64,
    visits: BinaryHeap<Visit>,
}

impl<'walk, T> Walk<'walk, T> {
    /// Nothing that was not found yet is newer than this. `None`: everything was found.
    pub(super) fn bound(&self) -> Option<u64> {
        self.visits.peek().map(|visit| visit.newest)
    }

    /// Looks at one place: a value that the pattern covers, or only the way to some.
    pub(super) fn step(&mut self) -> Option<(Place, &'walk T)> {
        let Visit {
            at,
            matched,
            siblings,
            ..
        } = self.visits.pop()?;
        let node = &self.names.nodes[at];
        if siblings {
            self.visit(node.next, matched, true);
        }
        match self.pattern.get(matched) {
            None => {}
            Some(&"**") => self.visit(node.first_child, matched, true),
            Some(&"*") => {
                self.visit(node.first_child, matched + 1, true);
                return None;
            }
            Some(segment) => {
                self.visit(node.children.get(*segment).copied(), matched + 1, false);
                return None;
            }
        }
        let (_, value) = node.held.as_ref()?;
        Some((Place(at), value))
    }

    fn visit(&mut self, at: Option<usize>, matched: usize, siblings: bool) {
        let newest = |at: &usize| self.names.nodes[*at].newest;
        if let Some(at) = at
            && newest(&at) > self.after
        {
            self.visits.push(Visit {
                newest: newest(&at),
                at,
                matched,
                siblings,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::destination::matches;

    const NAMES: [&str; 6] = [
        "/topic/a",
        "/topic/a/b",
        "/topic/a/c",
        "/topic/c/b",
        "/topic/a/b/c",
        "/topic/d",
    ];
    const PATTERNS: [&str; 8] = [
        "/topic/a",
        "/topic/*",
        "/topic/*/b",
        "/topic/**",
        "/topic/a/**",
        "/topic/*/*",
        "/topic/*/b/**",
        "/topic/x/**",
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
                    prop_assert_eq!(removed, scanned[name].take());
                } else {
                    *names.newest(NAMES[name], sequence, || 0).1 = sequence;
                    scanned[name] = Some(sequence);
                }
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
            prop_assert_eq!(names.nodes[ROOT].first_child, None);
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
}
