//! The head of the chain: the number and hash of its last row. Published where whoever rewrites the database cannot
//! reach, it shows that the whole chain was rewritten, or its end cut off. Pure.
//!
//! In a file, a head is one line: `2026-11-22T07:08:03.250000Z 1234 0f…9a`, the time of the row, its number, its hash. A
//! system log has something of its own before it, which ends with `audit head`.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};

use super::chain::Hash;

/// The last row of the chain at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// When the row was appended.
    pub at: DateTime<Utc>,
    /// The row's number.
    pub number: i64,
    /// The row's hash.
    pub hash: Hash,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.to_rfc3339_opts(SecondsFormat::Micros, true);
        write!(f, "{at} {} {}", self.number, self.hash)
    }
}

/// What stands before a head in a system log.
pub(super) const MARK: &str = "audit head ";

/// A line that is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a head is a time, a number and a hash of 64 hexadecimal digits")]
pub struct NoHead;

impl FromStr for Head {
    type Err = NoHead;

    fn from_str(line: &str) -> Result<Self, NoHead> {
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next().ok_or(NoHead);
        let head = Self {
            at: word()?.parse().map_err(|_not_a_time| NoHead)?,
            number: word()?.parse().map_err(|_not_a_number| NoHead)?,
            hash: word()?.parse().map_err(|_not_a_hash| NoHead)?,
        };
        let is_whole = head.number > 0 && words.next().is_none();
        is_whole.then_some(head).ok_or(NoHead)
    }
}

/// What a file of heads says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heads {
    /// In the order of their numbers; of the same head several times, one.
    pub heads: Vec<Head>,
    /// The lines that are no heads, counted from 1, but for a last one without an end: a crash may leave half a line.
    pub unreadable: Vec<usize>,
}

impl Heads {
    /// Reads a file of heads.
    pub fn read(text: &str) -> Self {
        let mut read = Self::default();
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let head = line.rsplit_once(MARK).map_or(line, |(_, head)| head);
            match head.parse() {
                Ok(head) => read.heads.push(head),
                Err(NoHead) if line.trim().is_empty() || !line.ends_with('\n') => {}
                Err(NoHead) => read.unreadable.push(number),
            }
        }
        read.heads.sort_by_key(|head: &Head| (head.number, head.at));
        read.heads.dedup_by_key(|head| (head.number, head.hash));
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: i64) -> Head {
        Head {
            at: "2026-11-22T07:08:03.25Z".parse().unwrap(),
            number,
            hash: Hash([7; 32]),
        }
    }

    #[test]
    fn a_head_is_one_line() {
        let line = head(12).to_string();
        assert_eq!(
            line,
            format!("2026-11-22T07:08:03.250000Z 12 {}", "07".repeat(32))
        );
        assert_eq!(line.parse(), Ok(head(12)));
    }

    #[test]
    fn half_a_line_is_told_and_hides_nothing() {
        let (early, late) = (head(3).to_string(), head(12).to_string());
        let text = format!("{late}\n{}\n\n{early}\n{early}\n{late} more\n", &late[..40]);
        let read = Heads::read(&text);
        assert_eq!(read.heads, [head(3), head(12)]);
        assert_eq!(read.unreadable, [2, 6]);
        assert_eq!(Heads::read("2026-11-22T07:08:03Z 0 00\n").unreadable, [1]);
        let cut = Heads::read(&format!("{early}\n{}", &late[..40]));
        assert_eq!((cut.heads.len(), cut.unreadable.len()), (1, 0));
    }

    #[test]
    fn a_head_is_found_behind_what_a_system_log_writes_before_it() {
        let head = head(12);
        for before in [
            "<109>1 2026-11-22T07:09:00.5Z - landside-server 7 audit-head - ",
            "Nov 22 16:09:00 tower landside-server[7]: ",
            "2026-11-22T16:09:00+09:00 tower landside-server[7] audit head of audit head ",
        ] {
            let read = Heads::read(&format!("{before}{MARK}{head}\n"));
            assert_eq!(
                (read.heads, read.unreadable.len()),
                (vec![head], 0),
                "{before}"
            );
        }
        assert_eq!(Heads::read("audit head of nothing\n").unreadable, [1]);
    }
}
