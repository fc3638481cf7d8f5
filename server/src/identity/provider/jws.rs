//! Signed tokens (RFC 7515) in parts: what one claims before anybody believes it, and whether it is signed as it says. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::Key;
use crate::config::SigningAlgorithm;

/// Providers put groups into tokens; one of a few hundred groups is about this long.
pub(super) const TOKEN_BYTES_MAX: usize = 32 * 1024;

/// What a token claims.
pub(super) type Claims = Map<String, Value>;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// A token that nobody has checked yet.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    text: &'a str,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    claims: Claims,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Why it cannot be a token of the provider's.
    pub(super) fn read(text: &'a str, allowed: &[SigningAlgorithm]) -> Result<Self, &'static str> {
        let header: Header = part(text, 0).ok_or("it is no JWT")?;
        let claims = part(text, 1).ok_or("it is no JWT")?;
        let algorithm = match header.alg.as_str() {
            "RS256" => SigningAlgorithm::Rs256,
            "ES256" => SigningAlgorithm::Es256,
            "EdDSA" => SigningAlgorithm::EdDsa,
            _ => return Err("its algorithm is not accepted"),
        };
        if !allowed.contains(&algorithm) {
            return Err("its algorithm is not accepted");
        }
        // RFC 7515 section 4.1.11: whoever does not understand what is critical must refuse it, and there is nothing here.
        if header.crit.is_some() {
            return Err("its header has extensions");
        }
        Ok(Self {
            text,
            algorithm,
            kid: header.kid,
            typ: header.typ,
            claims,
        })
    }

    /// What it claims; nobody has checked that.
    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What it claims, if this key signed it.
    ///
    /// # Errors
    /// That it did not.
    pub(super) fn verify(self, key: &Key) -> Result<Claims, &'static str> {
        if key.algorithm != self.algorithm {
            return Err("its key is for another algorithm");
        }
        let mut signature_only = Validation::new(match key.algorithm {
            SigningAlgorithm::Rs256 => Algorithm::RS256,
            SigningAlgorithm::Es256 => Algorithm::ES256,
            SigningAlgorithm::EdDsa => Algorithm::EdDSA,
        });
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        jsonwebtoken::decode::<Claims>(self.text, &key.decoding, &signature_only)
            .map(|data| data.claims)
            .or(Err("its signature is wrong"))
    }
}

/// The issuer that a token claims, to know whom to ask about it.
pub(super) fn claimed_issuer(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issued {
        iss: String,
    }
    part::<Issued>(text, 1).map(|claims| claims.iss)
}

fn part<T: serde::de::DeserializeOwned>(text: &str, index: usize) -> Option<T> {
    let mut parts = text.split('.');
    if text.len() > TOKEN_BYTES_MAX || parts.clone().count() != 3 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(parts.nth(index)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{claims}.AAAA")
    }

    #[test]
    fn only_pinned_algorithms_are_looked_at() {
        use SigningAlgorithm::{Es256, Rs256};
        for (header, allowed, taken) in [
            (r#"{"alg":"ES256"}"#, vec![Es256], true),
            (r#"{"alg":"ES256"}"#, vec![Rs256], false),
            (r#"{"alg":"es256"}"#, vec![Es256], false),
            (r#"{"alg":"none"}"#, vec![Es256, Rs256], false),
            (r#"{"alg":"HS256"}"#, vec![Es256, Rs256], false),
            (r#"{"alg":"RS512"}"#, vec![Es256, Rs256], false),
            (
                r#"{"alg":"ES256","crit":["b64"],"b64":false}"#,
                vec![Es256],
                false,
            ),
            (r#"{}"#, vec![Es256], false),
        ] {
            let token = token(header, "{}");
            assert_eq!(
                Unverified::read(&token, &allowed).is_ok(),
                taken,
                "{header}"
            );
        }
    }

    #[test]
    fn an_issuer_is_read_of_whatever_looks_like_a_token() {
        let good = token("{}", r#"{"iss":"https://id.example"}"#);
        assert_eq!(claimed_issuer(&good).as_deref(), Some("https://id.example"));
        for bad in [
            "",
            "a.b",
            "a.b.c",
            "....",
            &token("{}", "[]"),
            &token("{}", r#"{"iss":7}"#),
        ] {
            assert_eq!(claimed_issuer(bad), None, "{bad}");
        }
        let long = token(
            "{}",
            &format!(r#"{{"iss":"{}"}}"#, "a".repeat(TOKEN_BYTES_MAX)),
        );
        assert_eq!(claimed_issuer(&long), None);
    }
}
