//! The tree of subscribed topics: finding the subscribers of a message takes time by the depth of its destination, not
//! by the number of subscriptions. Pure.
//!
//! A node stands for as many segments as lead to it alone, so that no pattern needs more than two however many segments
//! it has. Values of one node lie side by side, in no order that means anything; where each is, is looked up by its
//! identity, so that taking one away takes no time by how many others there are.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use super::names::{MOSTLY_EMPTY, shared, shrink, split};

/// What can be in a [`Trie`].
pub(crate) trait Member {
    /// Names the value: no other one in the tree has the same.
    type Identity: Copy + Debug + Eq + Hash;

    fn identity(&self) -> Self::Identity;
}

#[derive(Debug)]
pub(crate) struct Trie<T: Member> {
    root: Node<T>,
    /// Which one each is of the values of its node.
    places: Places<T>,
}

type Places<T> = HashMap<<T as Member>::Identity, usize>;

#[derive(Debug)]
struct Node<T> {
    /// Its segments but the first, each behind a slash.
    tail: Box<str>,
    /// By their first segment.
    children: HashMap<Box<str>, Box<Self>>,
    /// The child whose first segment is `*`.
    one: Option<Box<Self>>,
    /// Patterns that end here with `**`.
    rest: Vec<T>,
    /// Patterns that end here.
    here: Vec<T>,
}

impl<T: Member> Default for Trie<T> {
    fn default() -> Self {
        Self {
            root: Node::new(""),
            places: HashMap::new(),
        }
    }
}

impl<T: Member> Trie<T> {
    /// Adds `value` under `pattern`, whose form was checked by `destination::for_subscribe`.
    pub(crate) fn insert(&mut self, pattern: &str, value: T) {
        let (pattern, values) = ending(pattern);
        let mut node = &mut self.root;
        let mut left = pattern;
        while let Some(segments) = left {
            let (segment, tail) = split(segments);
            let child = match segment {
                "*" => node.one.get_or_insert_with(|| Box::new(Node::new(tail))),
                _ if node.children.contains_key(segment) => {
                    node.children.get_mut(segment).expect("it is there")
                }
                _ => node
                    .children
                    .entry(segment.into())
                    .or_insert_with(|| Box::new(Node::new(tail))),
            };
            let shared = shared(&child.tail, tail);
            child.divide(shared);
            left = tail[shared..].strip_prefix('/');
            node = child;
        }
        let values = values(node);
        self.places.insert(value.identity(), values.len());
        values.push(value);
    }

    /// Takes the value out that is under `pattern`, with the branches that nobody needs any more.
    pub(crate) fn remove(&mut self, pattern: &str, identity: T::Identity) {
        let Some(place) = self.places.remove(&identity) else {
            return;
        };
        shrink(&mut self.places);
        let (pattern, values) = ending(pattern);
        let places = &mut self.places;
        self.root.visit(pattern, &mut |node| {
            let values = values(node);
            values.swap_remove(place);
            if let Some(moved) = values.get(place) {
                places.insert(moved.identity(), place);
            }
            if values.len() < values.capacity() / MOSTLY_EMPTY {
                values.shrink_to(2 * values.len());
            }
        });
    }

    /// Calls `found` with everything under patterns that cover `destination`.
    pub(crate) fn for_each_match(&self, destination: &str, mut found: impl FnMut(&T)) {
        let segments: Vec<&str> = destination.split('/').collect();
        self.root.for_each_match(&segments, &mut found);
    }
}

/// The values of a node that have one kind of pattern.
type Values<T> = fn(&mut Node<T>) -> &mut Vec<T>;

/// A pattern without its `**`, and where the values are. `None`: it is nothing but that.
fn ending<T>(pattern: &str) -> (Option<&str>, Values<T>) {
    match pattern.strip_suffix("**") {
        Some("") => (None, |node| &mut node.rest),
        Some(before) if before.ends_with('/') => (before.strip_suffix('/'), |node| &mut node.rest),
        _ => (Some(pattern), |node| &mut node.here),
    }
}

impl<T> Node<T> {
    fn new(tail: &str) -> Self {
        Self {
            tail: tail.into(),
            children: HashMap::new(),
            one: None,
            rest: Vec::new(),
            here: Vec::new(),
        }
    }

    /// Keeps `shared` bytes of its tail; the others are those of a node below, which has all that this one had.
    fn divide(&mut self, shared: usize) {
        if self.tail.len() == shared {
            return;
        }
        let mut lower = std::mem::replace(self, Self::new(&self.tail[..shared]));
        let (segment, tail) = split(&lower.tail[shared + 1..]);
        let (segment, tail): (Box<str>, Box<str>) = (segment.into(), tail.into());
        lower.tail = tail;
        if *segment == *"*" {
            self.one = Some(Box::new(lower));
        } else {
            self.children.insert(segment, Box::new(lower));
        }
    }

    /// Calls `take` with the node at the end of `left`, then takes away what is not needed any more.
    fn visit(&mut self, left: Option<&str>, take: &mut impl FnMut(&mut Self)) {
        let Some(segments) = left else {
            take(self);
            return;
        };
        let (segment, tail) = split(segments);
        let child = match segment {
            "*" => self.one.as_mut(),
            _ => self.children.get_mut(segment),
        };
        let Some(child) = child else {
            return;
        };
        let Some(below) = tail.strip_prefix(&*child.tail) else {
            return;
        };
        child.visit(below.strip_prefix('/'), take);
        child.merge();
        if child.is_empty() {
            match segment {
                "*" => self.one = None,
                _ => {
                    self.children.remove(segment);
                    shrink(&mut self.children);
                }
            }
        }
    }

    /// Stands for its only child as well, when it has no values.
    fn merge(&mut self) {
        let below = self.children.len() + usize::from(self.one.is_some());
        if below != 1 || !self.rest.is_empty() || !self.here.is_empty() {
            return;
        }
        let only = match self.one.take() {
            Some(one) => Some(("*".into(), one)),
            None => self.children.drain().next(),
        };
        if let Some((segment, only)) = only {
            let tail = format!("{}/{segment}{}", self.tail, only.tail);
            *self = *only;
            self.tail = tail.into();
        }
    }

    /// `segments` are those behind the first one of this node.
    fn for_each_match(&self, mut segments: &[&str], found: &mut impl FnMut(&T)) {
        for wanted in self.tail.split('/').skip(1) {
            match segments.split_first() {
                Some((segment, below)) if wanted == "*" || wanted == *segment => segments = below,
                _ => return,
            }
        }
        self.rest.iter().for_each(&mut *found);
        let Some((segment, below)) = segments.split_first() else {
            self.here.iter().for_each(found);
            return;
        };
        if let Some(node) = self.children.get(*segment) {
            node.for_each_match(below, found);
        }
        if let Some(node) = &self.one {
            node.for_each_match(below, found);
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.one.is_none()
            && self.rest.is_empty()
            && self.here.is_empty()
    }
}

#[cfg(test)]
mod tests;
