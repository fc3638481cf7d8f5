//! Failed sign-ins, of people and of programs, so that all are told and a flood of them does not fill the audit. Pure: `now` is given.
//!
//! The first few of a person are written down as they are; what follows within the window is counted, and told as one
//! sum when the window is over.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How many of one name are written down as they come, within one window.
const SINGLE_MAX: u32 = 5;

/// And how many of all names: names can be made up.
const ALL_MAX: u32 = 100;

/// Sums are told this long after the first attempt that they count.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Names that have a sum of their own; those beyond share one.
pub(super) const NAMES_MAX: usize = 256;

/// Addresses that a sum tells apart; beyond these it says "or more".
const ADDRESSES_MAX: usize = 256;

/// Addresses that a sum names: enough to begin to look, and a row that can be read.
const NAMED_MAX: usize = 8;

/// Under this name stand those that found no place of their own. Nobody can be called so.
pub const OTHERS: &str = "*";

/// What was counted instead of being written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// As whom.
    pub name: String,
    /// How many attempts.
    pub attempts: u64,
    /// How many of these were refused before anybody looked at what they showed.
    pub refused: u64,
    /// From how many addresses, at least.
    pub addresses: usize,
    /// Some of them, in order.
    pub from: Vec<String>,
}

#[derive(Debug, Default)]
struct Count {
    single: u32,
    attempts: u64,
    refused: u64,
    addresses: HashSet<String>,
}

impl Count {
    fn add(&mut self, address: &str, refused: bool) {
        self.attempts += 1;
        self.refused += u64::from(refused);
        if self.addresses.len() < ADDRESSES_MAX {
            self.addresses.insert(address.to_owned());
        }
    }
}

/// The attempts of one window.
#[derive(Debug, Default)]
pub struct Tally {
    since: Option<Instant>,
    single: u32,
    names: HashMap<String, Count>,
}

impl Tally {
    /// Whether this failure is to be written down by itself; if not, it is counted.
    pub fn is_single(&mut self, name: &str, address: &str, refused: bool, now: Instant) -> bool {
        let all = self.single;
        let (count, known) = self.named(name, now);
        if !refused && known && count.single < SINGLE_MAX && all < ALL_MAX {
            count.single += 1;
            self.single += 1;
            return true;
        }
        count.add(address, refused);
        false
    }

    /// Counts this failure: there is no room to write it down by itself.
    pub fn count(&mut self, name: &str, address: &str, refused: bool, now: Instant) {
        self.named(name, now).0.add(address, refused);
    }

    /// The count of this name or of the others, and whether the name has one of its own.
    fn named(&mut self, name: &str, now: Instant) -> (&mut Count, bool) {
        self.since.get_or_insert(now);
        let known = self.names.contains_key(name) || self.names.len() < NAMES_MAX;
        let name = if known { name } else { OTHERS };
        (self.names.entry(name.to_owned()).or_default(), known)
    }

    /// The sums, once their window is over.
    pub fn due(&mut self, now: Instant) -> Vec<Sum> {
        match self.since {
            Some(since) if now.saturating_duration_since(since) >= WINDOW => self.take(),
            _ => Vec::new(),
        }
    }

    /// The sums of now; a new window begins with the next attempt.
    pub fn take(&mut self) -> Vec<Sum> {
        let ended = std::mem::take(self);
        let mut sums: Vec<Sum> = ended
            .names
            .into_iter()
            .filter(|(_, count)| count.attempts > 0)
            .map(|(name, count)| Sum {
                name,
                attempts: count.attempts,
                refused: count.refused,
                addresses: count.addresses.len(),
                from: named(count.addresses),
            })
            .collect();
        sums.sort_by(|a, b| a.name.cmp(&b.name));
        sums
    }
}

fn named(addresses: HashSet<String>) -> Vec<String> {
    let mut named: Vec<String> = addresses.into_iter().collect();
    named.sort();
    named.truncate(NAMED_MAX);
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_one_by_one_and_a_flood_as_one_sum() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        let single = (0..10_000).filter(|number| {
            tally.is_single("ada", &format!("a{}", number % 7), *number >= 6, now)
        });
        assert_eq!(single.count(), 5);
        assert!(tally.due(now + WINDOW / 2).is_empty());
        let expected = Sum {
            name: "ada".to_owned(),
            attempts: 9_995,
            refused: 9_994,
            addresses: 7,
            from: (0..7).map(|number| format!("a{number}")).collect(),
        };
        assert_eq!(tally.due(now + WINDOW), [expected]);
        assert!(tally.due(now + WINDOW * 3).is_empty());
        assert!(tally.is_single("ada", "a", false, now + WINDOW * 3));
    }

    #[test]
    fn names_without_end_share_a_sum() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        let mut single = 0_u64;
        for number in 0..5_000 {
            single += u64::from(tally.is_single(&format!("n{number}"), "a", false, now));
        }
        assert_eq!(single, u64::from(ALL_MAX));
        let sums = tally.take();
        assert!(sums.len() <= NAMES_MAX + 1 && sums[0].name == OTHERS);
        assert_eq!(
            sums.iter().map(|sum| sum.attempts).sum::<u64>(),
            5_000 - single
        );
    }
}
