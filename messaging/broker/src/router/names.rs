//! The tree of destinations that hold something. A pattern finds what it covers, newest first, without looking at what
//! is older than wanted. Pure.
//!
//! A place stands for as many segments as lead to it alone, so that no name needs more than two places however many
//! segments it has: one of its own, and one where it branches off.
//!
//! Invariants: `newest` of a place is at least that of everything below it; siblings are in the order of their
//! `newest`, the greatest first, and differ in their first segment. Every place has a value or several places below it.

use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
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
    /// The first of its segments: its name among its siblings.
    segment: Arc<str>,
    /// The others, each behind a slash.
    rest: Box<str>,
    children: HashMap<Arc<str>, usize>,
    first_child: Option<usize>,
    previous: Option<usize>,
    next: Option<usize>,
    newest: u64,
    held: Option<(Arc<str>, T)>,
}

impl<T> Node<T> {
    fn new(parent: usize, segment: Arc<str>, rest: &str) -> Self {
        Self {
            parent,
            segment,
            rest: rest.into(),
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
    /// Each in an allocation of its own: what a crowd of names took is given back when they are gone.
    nodes: Vec<Option<Box<Node<T>>>>,
    /// Places in `nodes` that are used by nobody.
    free: Vec<usize>,
    by_name: HashMap<Arc<str>, usize>,
}

/// Bytes that a name takes as long as it has a value, about; the value itself not counted. As measured
/// with sixty thousand of them.
pub(super) fn weight(name: &str) -> usize {
    /// Places, links and entries in tables.
    const NAME: usize = 768;
    /// In its value, in the table of names, and cut into segments.
    const COPIES: usize = 2;
    NAME + COPIES * name.len()
}

/// Gives back what a table took for many more than it has now.
pub(super) fn shrink<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    if table.len() < table.capacity() / MOSTLY_EMPTY {
        table.shrink_to(2 * table.len());
    }
}

/// A container that could hold so many times what it holds is made smaller: seldom enough to cost nothing.
pub(super) const MOSTLY_EMPTY: usize = 8;

impl<T> Names<T> {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Some(Box::new(Node::new(ROOT, "".into(), "")))],
            free: Vec::new(),
            by_name: HashMap::new(),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<Place> {
        self.by_name.get(name).copied().map(Place)
    }

    pub(super) fn get(&self, place: Place) -> Option<&T> {
        let node = self.nodes[place.0].as_ref()?;
        node.held.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        let node = self.nodes[place.0].as_mut()?;
        node.held.as_mut().map(|(_, value)| value)
    }

    /// The value of `name`, made when there is none, as the newest of all: `sequence` is greater than any before.
    pub(super) fn newest(
        &mut self,
        name: &str,
        sequence: u64,
        make: impl FnOnce() -> T,
    ) -> (Place, &mut T) {
        let (place, added) = match self.by_name.get(name) {
            Some(place) => (*place, None),
            None => {
                let place = self.add(name);
                let name: Arc<str> = name.into();
                self.by_name.insert(Arc::clone(&name), place);
                (place, Some(name))
            }
        };
        let mut at = place;
        while at != ROOT {
            self.node_mut(at).newest = sequence;
            self.move_to_front(at);
            at = self.node(at).parent;
        }
        let held = &mut self.node_mut(place).held;
        if let Some(name) = added {
            *held = Some((name, make()));
        }
        let (_, value) = held.as_mut().expect("what is in the table has a value");
        (Place(place), value)
    }

    /// Takes the value away, with the places that nobody needs any more. Returns the name as well.
    pub(super) fn remove(&mut self, place: Place) -> Option<(Arc<str>, T)> {
        let at = place.0;
        let held = self.nodes[at].as_mut()?.held.take()?;
        self.by_name.remove(&held.0);
        shrink(&mut self.by_name);
        if self.node(at).first_child.is_some() {
            self.merge(at);
            return Some(held);
        }
        self.unlink(at);
        let Node {
            parent, segment, ..
        } = *self.give_back(at);
        let siblings = &mut self.node_mut(parent).children;
        siblings.remove(&segment);
        shrink(siblings);
        self.merge(parent);
        Some(held)
    }

    /// What `pattern` covers, newest first, as far as something newer than `after` may be there.
    pub(super) fn walk<'walk>(&'walk self, pattern: &'walk str, after: u64) -> Walk<'walk, T> {
        let mut walk = Walk {
            names: self,
            pattern: Vec::new(),
            after,
            visits: BinaryHeap::new(),
            steps: 0,
        };
        if has_wildcard(pattern) {
            walk.pattern = pattern.split('/').collect();
            let first = walk.pattern[0];
            walk.visit(self.node(ROOT).children.get(first).copied(), 1, false);
        } else {
            walk.visit(self.by_name.get(pattern).copied(), 0, false);
        }
        walk
    }

    /// The place of a name that has no value.
    fn add(&mut self, name: &str) -> usize {
        let mut at = ROOT;
        let (mut segment, mut rest) = split(name);
        loop {
            let Some(child) = self.node(at).children.get(segment).copied() else {
                return self.add_child(at, segment, rest);
            };
            let shared = shared(&self.node(child).rest, rest);
            at = self.divide(child, shared);
            rest = &rest[shared..];
            if rest.is_empty() {
                return at;
            }
            (segment, rest) = split(&rest[1..]);
        }
    }

    fn add_child(&mut self, parent: usize, segment: &str, rest: &str) -> usize {
        let segment: Arc<str> = segment.into();
        let at = self.take_up(Node::new(parent, Arc::clone(&segment), rest));
        self.node_mut(parent).children.insert(segment, at);
        self.link_in_front(at);
        at
    }

    /// The place of the first segment and `shared` bytes of the rest of `at`, which stays for what is below.
    fn divide(&mut self, at: usize, shared: usize) -> usize {
        let lower = self.node_mut(at);
        if lower.rest.len() == shared {
            return at;
        }
        let mut upper = Node::new(
            lower.parent,
            Arc::clone(&lower.segment),
            &lower.rest[..shared],
        );
        (upper.previous, upper.next) = (lower.previous.take(), lower.next.take());
        upper.newest = lower.newest;
        let (segment, rest) = split(&lower.rest[shared + 1..]);
        let segment: Arc<str> = segment.into();
        (lower.rest, lower.segment) = (rest.into(), Arc::clone(&segment));
        upper.first_child = Some(at);
        upper.children.insert(segment, at);
        let upper = self.take_up(upper);
        self.node_mut(at).parent = upper;
        self.take_place_of(at, upper);
        upper
    }

    /// Lets the only place below `at` stand for both, when `at` has no value.
    fn merge(&mut self, at: usize) {
        let node = self.node(at);
        let Some(only) = node.first_child else {
            return;
        };
        if at == ROOT || node.held.is_some() || node.children.len() > 1 {
            return;
        }
        let upper = self.give_back(at);
        let lower = self.node_mut(only);
        lower.rest = format!("{}/{}{}", upper.rest, lower.segment, lower.rest).into();
        lower.segment = upper.segment;
        lower.parent = upper.parent;
        (lower.previous, lower.next) = (upper.previous, upper.next);
        lower.newest = upper.newest;
        self.take_place_of(at, only);
    }

    /// Lets those around `at` know `other` instead, which knows them already.
    fn take_place_of(&mut self, at: usize, other: usize) {
        let node = self.node(other);
        let (parent, previous, next) = (node.parent, node.previous, node.next);
        let segment = Arc::clone(&node.segment);
        if let Some(previous) = previous {
            self.node_mut(previous).next = Some(other);
        }
        if let Some(next) = next {
            self.node_mut(next).previous = Some(other);
        }
        let parent = self.node_mut(parent);
        parent.children.insert(segment, other);
        if parent.first_child == Some(at) {
            parent.first_child = Some(other);
        }
    }

    fn node(&self, at: usize) -> &Node<T> {
        self.nodes[at]
            .as_deref()
            .expect("only used places are known")
    }

    fn node_mut(&mut self, at: usize) -> &mut Node<T> {
        self.nodes[at]
            .as_deref_mut()
            .expect("only used places are known")
    }

    fn take_up(&mut self, node: Node<T>) -> usize {
        let node = Some(Box::new(node));
        match self.free.pop() {
            Some(free) => {
                self.nodes[free] = node;
                free
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    fn give_back(&mut self, at: usize) -> Box<Node<T>> {
        self.free.push(at);
        self.nodes[at].take().expect("only used places are known")
    }

    fn move_to_front(&mut self, at: usize) {
        let parent = self.node(at).parent;
        if self.node(parent).first_child != Some(at) {
            self.unlink(at);
            self.link_in_front(at);
        }
    }

    fn link_in_front(&mut self, at: usize) {
        let parent = self.node(at).parent;
        let second = self.node_mut(parent).first_child.replace(at);
        self.node_mut(at).previous = None;
        self.node_mut(at).next = second;
        if let Some(second) = second {
            self.node_mut(second).previous = Some(at);
        }
    }

    fn unlink(&mut self, at: usize) {
        let node = self.node(at);
        let (parent, previous, next) = (node.parent, node.previous, node.next);
        match previous {
            Some(previous) => self.node_mut(previous).next = next,
            None => self.node_mut(parent).first_child = next,
        }
        if let Some(next) = next {
            self.node_mut(next).previous = previous;
        }
    }
}

/// The first segment, and the others, each behind a slash.
pub(super) fn split(segments: &str) -> (&str, &str) {
    segments.split_at(segments.find('/').unwrap_or(segments.len()))
}

/// Bytes of the segments, each behind a slash, with which both begin.
pub(super) fn shared(one: &str, other: &str) -> usize {
    let both = one.split('/').zip(other.split('/')).skip(1);
    both.take_while(|(a, b)| a == b)
        .map(|(a, _)| 1 + a.len())
        .sum()
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
    steps: usize,
}

/// Segments that can be compared in the time that finding a place takes, about.
const SEGMENTS_PER_STEP: usize = 8;

impl<'walk, T> Walk<'walk, T> {
    /// Nothing that was not found yet is newer than this. `None`: everything was found.
    pub(super) fn bound(&self) -> Option<u64> {
        self.visits.peek().map(|visit| visit.newest)
    }

    /// Steps so far: places that were looked at, those of many segments counting more than once.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Looks at one place: a value that the pattern covers, or only the way to some.
    pub(super) fn step(&mut self) -> Option<(Place, &'walk T)> {
        let Visit {
            at,
            mut matched,
            siblings,
            ..
        } = self.visits.pop()?;
        let node = self.names.node(at);
        if siblings {
            self.visit(node.next, matched, true);
        }
        if !self.follow(&node.rest, &mut matched) {
            return None;
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

    /// Whether the pattern leads through `rest`; `matched` of its segments have led to the end of it.
    fn follow(&mut self, rest: &str, matched: &mut usize) -> bool {
        let mut compared = 0;
        let mut segments = rest.split('/').skip(1);
        // Without wildcards the place was found by its name.
        let fits = self.pattern.is_empty()
            || loop {
                let wanted = self.pattern.get(*matched).copied();
                if wanted == Some("**") {
                    break true;
                }
                let Some(segment) = segments.next() else {
                    break true;
                };
                if wanted != Some("*") && wanted != Some(segment) {
                    break false;
                }
                *matched += 1;
                compared += 1;
            };
        self.steps += 1 + compared / SEGMENTS_PER_STEP;
        fits
    }

    fn visit(&mut self, at: Option<usize>, matched: usize, siblings: bool) {
        let newest = |at: &usize| self.names.node(*at).newest;
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
mod tests;
