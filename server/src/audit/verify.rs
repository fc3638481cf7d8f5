//! Verifies the chain, row by row: what was changed, removed, put in, moved, cut off or rewritten. Pure.
//!
//! It holds one hash of the chain at a time, however long the chain is, and the published heads.

use std::fmt;
use std::iter::Peekable;
use std::vec;

use chrono::{DateTime, Utc};

use super::chain::{Hash, Row};
use super::head::Head;

/// Whoever changed every row is told a hundred times, and then counted: a report is read by a person.
pub const FINDINGS_MAX: usize = 100;

/// Something that is wrong with the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The row says something else than when it was appended.
    Changed(i64),
    /// Rows between two others are not there.
    Missing {
        /// The first that is missing.
        from: i64,
        /// The last that is missing.
        to: i64,
    },
    /// A number that does not come after the one before it.
    OutOfPlace(i64),
    /// The row follows another row than the one that stands before it.
    Unlinked(i64),
    /// A head says that the chain was longer.
    CutOff {
        /// The last row that is there; 0 for none.
        last: i64,
        /// What was published.
        head: i64,
        /// Of when.
        at: DateTime<Utc>,
    },
    /// A head says that the row was another one.
    Rewritten {
        /// Which row.
        number: i64,
        /// Of when the head is.
        at: DateTime<Utc>,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(number) => write!(
                f,
                "row {number} was changed: its hash does not fit what it says"
            ),
            Self::Missing { from, to } if from == to => write!(f, "row {from} was removed"),
            Self::Missing { from, to } => write!(f, "rows {from} to {to} were removed"),
            Self::OutOfPlace(number) => {
                write!(f, "row {number} was put in: that number was there before")
            }
            Self::Unlinked(number) => write!(
                f,
                "row {number} does not follow the row before it: one of the two was replaced"
            ),
            Self::CutOff { last, head, at } => write!(
                f,
                "the rows after {last} were removed: the head published of {at} says that there was a row {head}"
            ),
            Self::Rewritten { number, at } => write!(
                f,
                "row {number} is another one than the head published of {at} says: the chain was rewritten"
            ),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many rows there are.
    pub rows: u64,
    /// The number of the last one; 0 for none.
    pub last: i64,
    /// How many heads were compared.
    pub heads: usize,
    /// What is wrong, in the order of the rows; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
}

/// Takes the rows in the order of their numbers.
#[derive(Debug)]
pub struct Verifier {
    heads: Peekable<vec::IntoIter<Head>>,
    compared: usize,
    rows: u64,
    last: i64,
    last_hash: Vec<u8>,
    findings: Vec<Finding>,
    more: u64,
}

impl Verifier {
    /// A verifier that also compares with `heads`, which are in the order of their numbers.
    pub fn new(heads: Vec<Head>) -> Self {
        Self {
            compared: heads.len(),
            heads: heads.into_iter().peekable(),
            rows: 0,
            last: 0,
            last_hash: Hash::BEGINNING.0.to_vec(),
            findings: Vec::new(),
            more: 0,
        }
    }

    /// The next row.
    pub fn take(&mut self, row: &Row) {
        self.rows += 1;
        let expected = self.last.saturating_add(1);
        if row.number < expected {
            self.found(Finding::OutOfPlace(row.number));
        } else if row.number > expected {
            self.found(Finding::Missing {
                from: expected,
                to: row.number - 1,
            });
        } else if row.previous_hash != self.last_hash {
            self.found(Finding::Unlinked(row.number));
        }
        if row.computed().0[..] != row.hash[..] {
            self.found(Finding::Changed(row.number));
        }
        self.compare(row);
        self.last = self.last.max(row.number);
        self.last_hash.clone_from(&row.hash);
    }

    /// After the last row.
    pub fn finish(mut self) -> Verdict {
        // The newest head says it all: one cut is one finding.
        if let Some(head) = self.heads.by_ref().last() {
            self.found(Finding::CutOff {
                last: self.last,
                head: head.number,
                at: head.at,
            });
        }
        Verdict {
            rows: self.rows,
            last: self.last,
            heads: self.compared,
            findings: self.findings,
            more: self.more,
        }
    }

    fn compare(&mut self, row: &Row) {
        while let Some(head) = self.heads.next_if(|head| head.number <= row.number) {
            // A head of a row that is missing needs no finding of its own.
            if head.number == row.number && head.hash.0[..] != row.hash[..] {
                self.found(Finding::Rewritten {
                    number: row.number,
                    at: head.at,
                });
            }
        }
    }

    fn found(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chain::tests::chain;
    use super::*;

    fn rows(count: usize) -> Vec<Row> {
        let texts: Vec<String> = (0..count).map(|place| format!("device-{place}")).collect();
        let texts: Vec<[&str; 3]> = texts.iter().map(|text| ["omar", text, "why"]).collect();
        chain(&texts)
    }

    fn head(row: &Row) -> Head {
        Head {
            at: DateTime::UNIX_EPOCH,
            number: row.number,
            hash: row.computed(),
        }
    }

    fn verify(rows: &[Row], heads: Vec<Head>) -> Vec<Finding> {
        let mut verifier = Verifier::new(heads);
        rows.iter().for_each(|row| verifier.take(row));
        verifier.finish().findings
    }

    /// What somebody does who knows how the chain is made: every hash from `from` on is right again.
    fn rehash(rows: &mut [Row]) {
        let mut previous = Hash::BEGINNING;
        for (number, row) in (1..).zip(rows) {
            row.number = number;
            row.previous_hash = previous.0.to_vec();
            previous = row.computed();
            row.hash = previous.0.to_vec();
        }
    }

    #[test]
    fn each_kind_of_harm_is_named() {
        let whole = rows(5);
        let heads = vec![head(&whole[1]), head(&whole[4])];
        let check = |name: &str, harm: &dyn Fn(&mut Vec<Row>), expected: &[&str]| {
            let mut rows = whole.clone();
            harm(&mut rows);
            let found = verify(&rows, heads.clone());
            let told: Vec<String> = found.iter().map(Finding::to_string).collect();
            assert_eq!(told.len(), expected.len(), "{name}: {told:?}");
            for (told, expected) in told.iter().zip(expected) {
                assert!(told.contains(expected), "{name}: {told}");
            }
        };
        check("nothing", &|_| {}, &[]);
        check(
            "a word",
            &|rows| rows[2].outcome = "x".to_owned(),
            &["row 3 was changed"],
        );
        check("the time", &|rows| rows[2].at += 1, &["row 3 was changed"]);
        check(
            "the first",
            &|rows| drop(rows.remove(0)),
            &["row 1 was removed"],
        );
        check(
            "two of the middle",
            &|rows| drop(rows.drain(2..4)),
            &["rows 3 to 4 were removed"],
        );
        check(
            "the last",
            &|rows| drop(rows.pop()),
            &["rows after 4 were removed"],
        );
        check("all", &Vec::clear, &["rows after 0 were removed"]);
        check(
            "a row twice",
            &|rows| rows.insert(2, rows[1].clone()),
            &["row 2 was put in"],
        );
        let replaced = |rows: &mut Vec<Row>| {
            rows[2].actor = "somebody".to_owned();
            rows[2].hash = rows[2].computed().0.to_vec();
        };
        check(
            "one row with its hash",
            &replaced,
            &["row 4 does not follow"],
        );
        let rewritten = |rows: &mut Vec<Row>| {
            rows[2].actor = "somebody".to_owned();
            rehash(rows);
        };
        check(
            "everything from there on",
            &rewritten,
            &["row 5 is another one"],
        );
    }

    #[test]
    fn a_report_is_bounded() {
        let mut rows = rows(FINDINGS_MAX + 50);
        rows.iter_mut().for_each(|row| row.peer.clear());
        let mut verifier = Verifier::new(Vec::new());
        rows.iter().for_each(|row| verifier.take(row));
        let verdict = verifier.finish();
        assert_eq!((verdict.findings.len(), verdict.more), (FINDINGS_MAX, 50));
    }

    #[derive(Debug, Clone)]
    enum Harm {
        Change(usize, usize, char),
        Remove(usize),
        Insert(usize, usize),
        Swap(usize, usize),
        Renumber(usize, i64),
    }

    fn harm() -> impl Strategy<Value = Harm> {
        prop_oneof![
            (0usize..12, 0usize..10, any::<char>())
                .prop_map(|(row, field, with)| Harm::Change(row, field, with)),
            // The last row alone is what only a head can miss.
            (0usize..11).prop_map(Harm::Remove),
            (0usize..12, 0usize..12).prop_map(|(from, to)| Harm::Insert(from, to)),
            (0usize..12, 0usize..12).prop_map(|(one, other)| Harm::Swap(one, other)),
            (0usize..12, -3i64..40).prop_map(|(row, number)| Harm::Renumber(row, number)),
        ]
    }

    fn apply(rows: &mut Vec<Row>, harm: Harm) {
        match harm {
            Harm::Change(place, field, with) => {
                let row = &mut rows[place];
                match field {
                    0 => row.actor.push(with),
                    1 => row.identity.push(with),
                    2 => row.peer.push(with),
                    3 => row.action.push(with),
                    4 => row.subject.push(with),
                    5 => row.outcome.push(with),
                    6 => row.detail.push(with),
                    7 => row.reason = with.is_alphabetic().then(|| with.to_string()),
                    8 => row.at = row.at.wrapping_add(i64::from(u32::from(with))),
                    _ => row.previous_hash[0] ^= u8::try_from(u32::from(with) & 0xff).unwrap(),
                }
            }
            Harm::Remove(place) => drop(rows.remove(place)),
            Harm::Insert(from, to) => rows.insert(to, rows[from].clone()),
            Harm::Swap(one, other) => {
                // Their contents change places, their numbers do not.
                rows.swap(one, other);
                let (first, second) = (rows[one].number, rows[other].number);
                rows[one].number = second;
                rows[other].number = first;
            }
            Harm::Renumber(place, number) => rows[place].number = number,
        }
        rows.sort_by_key(|row| row.number); // As the database hands them out.
    }

    proptest! {
        #[test]
        fn whatever_is_changed_removed_put_in_or_swapped_is_found(harm in harm()) {
            let whole = rows(12);
            let mut harmed = whole.clone();
            apply(&mut harmed, harm);
            prop_assume!(harmed != whole);
            prop_assert!(!verify(&harmed, Vec::new()).is_empty());
        }

        #[test]
        fn not_even_a_chain_with_right_hashes_fits_the_heads_of_another(
            harm in harm(),
            published in 1usize..=12,
        ) {
            let whole = rows(12);
            let mut harmed = whole.clone();
            apply(&mut harmed, harm);
            rehash(&mut harmed);
            let same = harmed.len() >= published && harmed[..published] == whole[..published];
            let findings = verify(&harmed, vec![head(&whole[published - 1])]);
            prop_assert_eq!(findings.is_empty(), same);
        }
    }
}
