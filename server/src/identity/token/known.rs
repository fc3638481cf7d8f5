//! Tokens that were checked already: the signature of each is verified once, however often it is shown. Pure.
//!
//! A token is remembered as its SHA-256, beside the key that signed it; who asks compares the time and what was called back
//! each time. All are forgotten when the keys change.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::Checked;

/// Each half holds some 300 bytes for each of these: more than twice the tokens of the largest site together.
const HALF_MAX: usize = 8 * 1024;

pub(super) type Fingerprint = [u8; 32];

pub(super) fn fingerprint(token: &str) -> Fingerprint {
    Sha256::digest(token).into()
}

/// When the young half is full, it becomes the old one, and what was in the old one is forgotten unless it was asked for
/// since: no token takes long to put in, and nobody can make it grow.
#[derive(Debug, Default)]
pub(super) struct KnownTokens {
    young: HashMap<Fingerprint, Checked>,
    old: HashMap<Fingerprint, Checked>,
}

impl KnownTokens {
    pub(super) fn get(&mut self, token: &Fingerprint) -> Option<Checked> {
        if let Some(checked) = self.young.get(token) {
            return Some(checked.clone());
        }
        let checked = self.old.remove(token)?;
        self.put(*token, checked.clone());
        Some(checked)
    }

    pub(super) fn put(&mut self, token: Fingerprint, checked: Checked) {
        if self.young.len() >= HALF_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, checked);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::principal::{Principal, Proof, Zones};
    use std::time::UNIX_EPOCH;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let checked = Checked {
            principal: Principal {
                subject: "kim".to_owned(),
                full_name: String::new(),
                roles: Vec::new(),
                zones: Zones::All,
                proof: Proof::default(),
            },
            expires_at: UNIX_EPOCH,
        };
        let mut known = KnownTokens::default();
        let asked = fingerprint("asked for");
        known.put(asked, checked.clone());
        known.put(fingerprint("once"), checked.clone());
        for n in 0..3 * HALF_MAX {
            known.put(fingerprint(&n.to_string()), checked.clone());
            if n % 1000 == 0 {
                assert!(known.get(&asked).is_some());
            }
        }
        assert!(known.get(&fingerprint("once")).is_none());
        assert!(known.young.len() + known.old.len() <= 2 * HALF_MAX);
        known.clear();
        assert!(known.get(&asked).is_none());
    }
}
