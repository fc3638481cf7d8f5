//! The provider's public keys (RFC 7517): which of them this server uses, and for what. Pure.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::config::SigningAlgorithm;

/// A provider has a handful; what comes after so many is not looked at.
const KEYS_MAX: usize = 64;

/// RFC 7518 section 3.3 asks for 2048 bits; beyond 8192 only the checking gets slow.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// A key, and the one algorithm for which it is used.
#[derive(Debug, Clone)]
pub(super) struct Key {
    kid: Option<String>,
    /// Tells it from every other, whatever they are called.
    pub(super) print: Arc<str>,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) decoding: DecodingKey,
}

/// Every key of the provider with which it may sign.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a key set. Keys of other kinds and for other uses are left out: providers publish those as well.
    ///
    /// # Errors
    /// What is wrong with the document as a whole.
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(body)?;
        let keys = document.keys.into_iter().take(KEYS_MAX);
        Ok(Self(keys.filter_map(key).collect()))
    }

    /// Whether the key with this print is among them.
    pub(super) fn has(&self, print: &str) -> bool {
        self.0.iter().any(|key| *key.print == *print)
    }

    /// What is among them and not among `others`.
    pub(super) fn prints_beside(&self, others: &Self) -> Vec<Arc<str>> {
        let prints = self.0.iter().map(|key| &key.print);
        prints.filter(|print| !others.has(print)).cloned().collect()
    }

    /// The key with which a token says it is signed. A token that names none is only taken where there is no choice.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: SigningAlgorithm) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| key.algorithm == algorithm);
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

fn key(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let print = print(&jwk);
    let (algorithm, name, decoding) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (SigningAlgorithm::Rs256, "RS256", rsa(&jwk.n?, &jwk.e?)?),
        ("EC", Some("P-256")) => {
            let decoding = DecodingKey::from_ec_components(&jwk.x?, &jwk.y?).ok()?;
            (SigningAlgorithm::Es256, "ES256", decoding)
        }
        ("OKP", Some("Ed25519")) => {
            let decoding = DecodingKey::from_ed_components(&jwk.x?).ok()?;
            (SigningAlgorithm::EdDsa, "EdDSA", decoding)
        }
        _ => return None,
    };
    let fits = jwk.alg.is_none_or(|alg| alg == name);
    fits.then_some(Key {
        kid: jwk.kid,
        print,
        algorithm,
        decoding,
    })
}

fn print(jwk: &Jwk) -> Arc<str> {
    let parts = [
        Some(&jwk.kty),
        jwk.kid.as_ref(),
        jwk.crv.as_ref(),
        jwk.x.as_ref(),
        jwk.y.as_ref(),
        jwk.n.as_ref(),
        jwk.e.as_ref(),
    ];
    let mut hash = Sha256::new();
    for part in parts.map(|part| part.map_or("", String::as_str)) {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize()).into()
}

fn rsa(modulus: &str, exponent: &str) -> Option<DecodingKey> {
    let bytes = URL_SAFE_NO_PAD.decode(modulus).ok()?;
    let key = DecodingKey::from_rsa_components(modulus, exponent).ok()?;
    RSA_BYTES.contains(&bytes.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ec(kid: Option<&str>) -> Value {
        let byte = URL_SAFE_NO_PAD.encode([7; 32]);
        json!({"kty": "EC", "crv": "P-256", "x": byte, "y": byte, "kid": kid})
    }

    fn with(mut key: Value, name: &str, value: &str) -> Value {
        key[name] = json!(value);
        key
    }

    fn rsa_key(bytes: usize) -> Value {
        let modulus = URL_SAFE_NO_PAD.encode(vec![0xf1; bytes]);
        json!({"kty": "RSA", "n": modulus, "e": "AQAB", "kid": "a"})
    }

    #[track_caller]
    fn check(keys: &[Value], kid: Option<&str>, algorithm: SigningAlgorithm, found: bool) {
        let set = KeySet::read(json!({"keys": keys}).to_string().as_bytes()).unwrap();
        assert_eq!(
            set.find(kid, algorithm).is_some(),
            found,
            "{keys:?} {kid:?}"
        );
    }

    #[test]
    fn a_key_is_for_one_algorithm_and_one_use() {
        use SigningAlgorithm::{EdDsa, Es256, Rs256};
        let a = ec(Some("a"));
        check(std::slice::from_ref(&a), Some("a"), Es256, true);
        check(std::slice::from_ref(&a), Some("b"), Es256, false);
        check(std::slice::from_ref(&a), Some("a"), Rs256, false);
        check(&[with(a.clone(), "alg", "ES256")], Some("a"), Es256, true);
        check(&[with(a.clone(), "alg", "ES384")], Some("a"), Es256, false);
        check(&[with(a.clone(), "use", "sig")], Some("a"), Es256, true);
        check(&[with(a.clone(), "use", "enc")], Some("a"), Es256, false);
        check(&[with(a, "crv", "P-384")], Some("a"), Es256, false);
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 32]), "kid": "e"});
        check(std::slice::from_ref(&ed), Some("e"), EdDsa, true);
        check(&[with(ed, "crv", "X25519")], Some("e"), EdDsa, false);
        check(&[rsa_key(256)], Some("a"), Rs256, true);
        check(&[rsa_key(128)], Some("a"), Rs256, false);
        check(&[rsa_key(2048)], Some("a"), Rs256, false);
        check(
            &[json!({"kty": "oct", "k": "AAAA", "kid": "a"})],
            Some("a"),
            Es256,
            false,
        );
        check(&[json!("no key"), ec(Some("a"))], Some("a"), Es256, true);
    }

    #[test]
    fn a_key_that_is_not_there_any_more_is_found_by_what_it_is() {
        let set =
            |keys: &[Value]| KeySet::read(json!({"keys": keys}).to_string().as_bytes()).unwrap();
        let (a, b) = (ec(Some("a")), ec(Some("b")));
        let both = set(&[a.clone(), b.clone()]);
        assert!(both.prints_beside(&set(&[b.clone(), a.clone()])).is_empty());
        let gone = both.prints_beside(&set(std::slice::from_ref(&b)));
        assert_eq!(gone.len(), 1);
        assert!(set(std::slice::from_ref(&a)).has(&gone[0]) && !set(&[b]).has(&gone[0]));
        // The same name is not the same key.
        let other = URL_SAFE_NO_PAD.encode([8; 32]);
        assert_eq!(
            set(std::slice::from_ref(&a))
                .prints_beside(&set(&[with(a, "x", &other)]))
                .len(),
            1
        );
    }

    #[test]
    fn without_a_name_there_must_be_no_choice() {
        use SigningAlgorithm::Es256;
        check(&[ec(None)], None, Es256, true);
        check(&[ec(Some("a")), rsa_key(256)], None, Es256, true);
        check(&[ec(Some("a")), ec(Some("b"))], None, Es256, false);
        check(&[], None, Es256, false);
    }
}
