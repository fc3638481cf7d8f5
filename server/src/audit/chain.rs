//! The audit as a chain: what one row's hash covers, in bytes. Pure.
//!
//! The twin of `audit_canonical` in the migrations: the database computes a hash when a row is appended, this computes it
//! again, with code of its own, when the chain is verified.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::identity::digest::{hex, unhex};

/// What the canonical form begins with. Another form gets another tag, so that no row can be read as both.
const TAG: &str = "landside audit 1";

/// The length of an absent field.
const ABSENT: [u8; 4] = [0xff; 4];

/// A SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first row follows.
    pub const BEGINNING: Self = Self([0; 32]);
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A text that is no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hexadecimal digits")]
pub struct NoHash;

impl FromStr for Hash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        unhex(text).map(Self).ok_or(NoHash)
    }
}

/// One row as it is stored, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place in the chain, from 1.
    pub number: i64,
    /// When it was appended, in microseconds since 1970.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// With which login or token, as JSON.
    pub identity: String,
    /// From where.
    pub peer: String,
    /// What.
    pub action: String,
    /// On what.
    pub subject: String,
    /// Why, in the person's own words.
    pub reason: Option<String>,
    /// What came of it.
    pub outcome: String,
    /// With which parameters, as JSON.
    pub detail: String,
    /// The hash of the row before it.
    pub previous_hash: Vec<u8>,
    /// The hash that was stored with it.
    pub hash: Vec<u8>,
}

impl Row {
    /// The hash that a row with this content has.
    pub fn computed(&self) -> Hash {
        let mut bytes = Canonical(Sha256::new());
        bytes.field(Some(TAG.as_bytes()));
        bytes.field(Some(&self.previous_hash));
        bytes.0.update(self.number.to_be_bytes());
        bytes.0.update(self.at.to_be_bytes());
        for text in [
            &self.actor,
            &self.identity,
            &self.peer,
            &self.action,
            &self.subject,
        ] {
            bytes.field(Some(text.as_bytes()));
        }
        bytes.field(self.reason.as_ref().map(String::as_bytes));
        bytes.field(Some(self.outcome.as_bytes()));
        bytes.field(Some(self.detail.as_bytes()));
        Hash(bytes.0.finalize().into())
    }
}

struct Canonical(Sha256);

impl Canonical {
    /// Its length in four bytes, then the bytes: where one field ends and the next begins is never in doubt.
    fn field(&mut self, value: Option<&[u8]>) {
        let Some(value) = value else {
            return self.0.update(ABSENT);
        };
        let length =
            u32::try_from(value.len()).expect("Postgres stores less than 1 GiB in a field");
        self.0.update(length.to_be_bytes());
        self.0.update(value);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Rows that follow each other, as the database would append them.
    pub(crate) fn chain(texts: &[[&str; 3]]) -> Vec<Row> {
        let mut previous = Hash::BEGINNING;
        let mut rows = Vec::new();
        for (number, [actor, subject, reason]) in (1..).zip(texts) {
            let mut row = Row {
                number,
                at: 1_700_000_000_000_000 + number,
                actor: (*actor).to_owned(),
                identity: "{}".to_owned(),
                peer: "127.0.0.1".to_owned(),
                action: "test".to_owned(),
                subject: (*subject).to_owned(),
                reason: (!reason.is_empty()).then(|| (*reason).to_owned()),
                outcome: "done".to_owned(),
                detail: "{}".to_owned(),
                previous_hash: previous.0.to_vec(),
                hash: Vec::new(),
            };
            previous = row.computed();
            row.hash = previous.0.to_vec();
            rows.push(row);
        }
        rows
    }

    #[test]
    fn fields_cannot_be_shifted_into_each_other() {
        let [one, other] = [["ab", "c", ""], ["a", "bc", ""]].map(|texts| chain(&[texts]));
        assert_ne!(one[0].computed(), other[0].computed());
        let mut row = one[0].clone();
        row.reason = Some(String::new());
        assert_ne!(row.computed(), one[0].computed(), "empty is not absent");
    }

    #[test]
    fn a_hash_is_written_and_read() {
        let hash = chain(&[["a", "b", "c"]])[0].computed();
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(65), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Hash>(), Err(NoHash), "{wrong}");
        }
    }
}
