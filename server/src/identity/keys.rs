//! Signing keys: one signs, one is published before its time so that whoever caches the key set knows it when it is
//! used, and those that signed before are published until their last token has expired. Pure, but for the random numbers
//! of a new key.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{DecodingKey, EncodingKey};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::random::random;
use super::token::{LEEWAY, TOKEN_LIFE_MAX};
use crate::store::StoreError;

/// How long others may keep the key set ([RFC 7517] says nothing of it): a key is published at least this long before it
/// signs.
///
/// [RFC 7517]: https://www.rfc-editor.org/rfc/rfc7517
pub(crate) const KEY_SET_CACHED: Duration = Duration::from_secs(300);

/// What a key is for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published, and not used yet.
    Next,
    /// Signs.
    Current,
    /// Signs no more, and is published until its last token has expired.
    Retired,
}

impl std::fmt::Display for KeyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Retired => "retired",
        })
    }
}

/// A signing key that is stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) kid: String,
    /// Empty where it was not unsealed.
    pub(crate) private_der: Vec<u8>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) activated_at: Option<DateTime<Utc>>,
    pub(crate) retired_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredKey")
            .field("kid", &self.kid)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl StoredKey {
    pub(crate) fn new(created_at: DateTime<Utc>) -> Self {
        let key = new_key();
        Self {
            kid: thumbprint(&key),
            private_der: private_der(&key),
            created_at,
            activated_at: None,
            retired_at: None,
        }
    }

    pub(crate) fn state(&self) -> KeyState {
        match (self.activated_at, self.retired_at) {
            (_, Some(_)) => KeyState::Retired,
            (Some(_), None) => KeyState::Current,
            (None, None) => KeyState::Next,
        }
    }

    /// Since when it is what it is.
    pub(crate) fn since(&self) -> DateTime<Utc> {
        self.retired_at
            .or(self.activated_at)
            .unwrap_or(self.created_at)
    }

    /// Nothing that it signed can still be good.
    fn is_spent(&self, now: DateTime<Utc>) -> bool {
        let kept = TOKEN_LIFE_MAX + LEEWAY;
        self.retired_at.is_some_and(|at| at + delta(kept) <= now)
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).expect("our durations are days at most")
}

/// When the current key gives way to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotate {
    /// When it has signed for this long, and the next one has been published long enough.
    After(Duration),
    /// Now.
    Now,
}

/// What must change in the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) remove: Vec<String>,
    pub(crate) retire: Option<String>,
    pub(crate) activate: Option<String>,
    /// New keys: the one that signs at once, the one that is published for later.
    pub(crate) make_current: bool,
    pub(crate) make_next: bool,
}

impl Due {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What must change at `now`.
pub(crate) fn due(keys: &[StoredKey], rotate: Rotate, now: DateTime<Utc>) -> Due {
    let of = |state| keys.iter().find(move |key| key.state() == state);
    let (current, next) = (of(KeyState::Current), of(KeyState::Next));
    let turns = current.is_none_or(|current| match rotate {
        Rotate::Now => true,
        Rotate::After(age) => {
            let known = next.is_some_and(|next| next.created_at + delta(KEY_SET_CACHED) <= now);
            known && current.since() + delta(age) <= now
        }
    });
    Due {
        remove: keys
            .iter()
            .filter(|key| key.is_spent(now))
            .map(|key| key.kid.clone())
            .collect(),
        retire: current.filter(|_| turns).map(|key| key.kid.clone()),
        activate: next.filter(|_| turns).map(|key| key.kid.clone()),
        make_current: turns && next.is_none(),
        make_next: turns || next.is_none(),
    }
}

/// The keys as tokens are made and checked with them.
pub(super) struct Ring {
    pub(super) signing_kid: String,
    pub(super) signing: EncodingKey,
    pub(super) checking: HashMap<String, DecodingKey>,
    /// RFC 7517.
    pub(super) set: Value,
}

impl Ring {
    pub(super) fn new(keys: &[StoredKey]) -> Result<Self, StoreError> {
        let corrupt = |what: String| StoreError::Corrupt {
            table: "signing_key",
            what,
        };
        let mut checking = HashMap::new();
        let mut set = Vec::new();
        let mut signing = None;
        for stored in keys {
            let key = SecretKey::from_pkcs8_der(&stored.private_der)
                .map_err(|error| corrupt(error.to_string()))?;
            let (x, y) = coordinates(&key);
            let public = DecodingKey::from_ec_components(&x, &y)
                .map_err(|error| corrupt(error.to_string()))?;
            checking.insert(stored.kid.clone(), public);
            set.push(json!({
                "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": stored.kid, "use": "sig", "alg": "ES256",
            }));
            if stored.state() == KeyState::Current {
                signing = Some((
                    stored.kid.clone(),
                    EncodingKey::from_ec_der(&stored.private_der),
                ));
            }
        }
        let (signing_kid, signing) =
            signing.ok_or_else(|| corrupt("no key that signs".to_owned()))?;
        Ok(Self {
            signing_kid,
            signing,
            checking,
            set: json!({ "keys": set }),
        })
    }
}

fn new_key() -> SecretKey {
    loop {
        // All but one in 2^32 of 32 random bytes are a private key of P-256.
        if let Ok(key) = SecretKey::from_slice(&random::<32>()) {
            return key;
        }
    }
}

fn private_der(key: &SecretKey) -> Vec<u8> {
    key.to_pkcs8_der()
        .expect("a key can be written as PKCS #8")
        .as_bytes()
        .to_vec()
}

fn coordinates(key: &SecretKey) -> (String, String) {
    let point = key.public_key().to_encoded_point(false);
    let x = point
        .x()
        .expect("the public key of a private key is not the identity");
    let y = point.y().expect("the point was asked for uncompressed");
    (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
}

/// RFC 7638, so that the key's name follows from the key.
fn thumbprint(key: &SecretKey) -> String {
    let (x, y) = coordinates(key);
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn key(created: i64, activated: Option<i64>, retired: Option<i64>) -> StoredKey {
        StoredKey {
            kid: format!("made at {created}"),
            private_der: Vec::new(),
            created_at: at(created),
            activated_at: activated.map(at),
            retired_at: retired.map(at),
        }
    }

    #[track_caller]
    fn check(keys: &[StoredKey], rotate: Rotate, now: i64, expected: &str) {
        let due = due(keys, rotate, at(now));
        let mut words: Vec<String> = due.remove.iter().map(|kid| format!("-{kid}")).collect();
        words.extend(due.retire.map(|kid| format!("retire {kid}")));
        words.extend(due.activate.map(|kid| format!("use {kid}")));
        words.extend(due.make_current.then(|| "make current".to_owned()));
        words.extend(due.make_next.then(|| "make next".to_owned()));
        assert_eq!(words.join(", "), expected);
    }

    #[test]
    fn a_key_is_known_before_it_signs_and_after() {
        let weekly = Rotate::After(Duration::from_secs(7 * 24 * 3600));
        check(&[], weekly, 0, "make current, make next");
        check(&[key(0, Some(0), None)], weekly, 5, "make next");
        let both = [key(0, Some(0), None), key(1, None, None)];
        check(&both, weekly, 7 * DAY - 1, "");
        let turn = "retire made at 0, use made at 1, make next";
        check(&both, weekly, 7 * DAY, turn);
        check(&both, Rotate::Now, 2, turn);
        // Others may not know it yet.
        let hasty = [key(0, Some(0), None), key(8 * DAY, None, None)];
        check(&hasty, weekly, 8 * DAY + 299, "");
        check(
            &hasty,
            weekly,
            8 * DAY + 300,
            &format!("retire made at 0, use made at {}, make next", 8 * DAY),
        );
        let retired = [
            key(0, Some(0), Some(100)),
            key(1, Some(100), None),
            key(2, None, None),
        ];
        check(&retired, weekly, 3704, "");
        check(&retired, weekly, 3705, "-made at 0");
    }

    #[test]
    fn without_a_key_that_signs_there_is_no_ring() {
        let now = at(0);
        let next = StoredKey::new(now);
        assert!(Ring::new(std::slice::from_ref(&next)).is_err());
        let current = StoredKey {
            activated_at: Some(now),
            ..StoredKey::new(now)
        };
        let ring = Ring::new(&[next, current.clone()]).unwrap();
        assert_eq!(ring.signing_kid, current.kid);
        assert_eq!(ring.set["keys"].as_array().unwrap().len(), 2);
        assert!(!ring.set.to_string().contains("\"d\""), "public parts only");
    }
}
