//! The tree of subscribed topics, one level for each segment: finding the subscribers of a message takes time by the
//! depth of its destination, not by the number of subscriptions. Pure.

use std::collections::HashMap;

#[derive(Debug)]
pub(crate) struct Trie<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    children: HashMap<String, Self>,
    /// Below `*`.
    one: Option<Box<Self>>,
    /// Patterns that end here with `**`.
    rest: Vec<T>,
    /// Patterns that end here.
    here: Vec<T>,
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self {
            root: Node::default(),
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            children: HashMap::new(),
            one: None,
            rest: Vec::new(),
            here: Vec::new(),
        }
    }
}

impl<T> Trie<T> {
    /// Adds `value` under `pattern`, whose form was checked by `destination::for_subscribe`.
    pub(crate) fn insert(&mut self, pattern: &str, value: T) {
        let mut node = &mut self.root;
        for segment in pattern.split('/') {
            node = match segment {
                "**" => {
                    node.rest.push(value);
                    return;
                }
                "*" => node.one.get_or_insert_default(),
                _ => node.children.entry(segment.to_owned()).or_default(),
            };
        }
        node.here.push(value);
    }

    /// Takes `value` out from under `pattern`, with the branches that nobody needs any more.
    pub(crate) fn remove<V>(&mut self, pattern: &str, value: &V)
    where
        T: PartialEq<V>,
    {
        let segments: Vec<&str> = pattern.split('/').collect();
        self.root.remove(&segments, value);
    }

    /// Calls `found` with everything under patterns that cover `destination`.
    pub(crate) fn for_each_match(&self, destination: &str, mut found: impl FnMut(&T)) {
        let segments: Vec<&str> = destination.split('/').collect();
        self.root.for_each_match(&segments, &mut found);
    }
}

impl<T> Node<T> {
    fn remove<V>(&mut self, segments: &[&str], value: &V)
    where
        T: PartialEq<V>,
    {
        match segments {
            [] => self.here.retain(|other| *other != *value),
            ["**", ..] => self.rest.retain(|other| *other != *value),
            ["*", below @ ..] => {
                if let Some(node) = &mut self.one {
                    node.remove(below, value);
                    if node.is_empty() {
                        self.one = None;
                    }
                }
            }
            [segment, below @ ..] => {
                if let Some(node) = self.children.get_mut(*segment) {
                    node.remove(below, value);
                    if node.is_empty() {
                        self.children.remove(*segment);
                    }
                }
            }
        }
    }

    fn for_each_match(&self, segments: &[&str], found: &mut impl FnMut(&T)) {
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
mod tests {
    use super::*;
    use crate::destination::matches;

    const PATTERNS: [&str; 9] = [
        "/topic/a",
        "/topic/a/b",
        "/topic/*",
        "/topic/*/b",
        "/topic/a/*",
        "/topic/**",
        "/topic/a/**",
        "/topic/*/b/**",
        "/topic/*/*",
    ];

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
        for destination in [
            "/topic/a",
            "/topic/a/b",
            "/topic/b",
            "/topic/c/b",
            "/topic/a/b/c",
            "/x",
        ] {
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
            trie.remove(pattern, &index);
            assert!(!found(&trie, "/topic/a/b").contains(&index), "{pattern}");
        }
        assert!(trie.root.is_empty());
    }
}
