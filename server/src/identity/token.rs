//! Access tokens: short-lived JWTs (RFC 7519), signed with ES256. Algorithm, issuer and audience are pinned when one is
//! checked (RFC 8725 section 3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::password::random;
use super::policy::{Principal, Zones};
use crate::store::{Store, StoreError};
use contract::Role;

/// Who issues the tokens, and whom they are for.
pub const ISSUER: &str = "landside";

/// How long a token is good: short, since a stolen one cannot be called back before.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// Servers and agents keep time by NTP; this much they may differ.
const LEEWAY_SECONDS: u64 = 5;

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: u64,
    nbf: u64,
    iat: u64,
    jti: Uuid,
    name: String,
    roles: Vec<Role>,
    zones: Vec<String>,
}

/// A token that was just made.
#[derive(Debug)]
pub struct Issued {
    /// The compact JWT.
    pub token: String,
    /// How long it is good from now.
    pub lifetime: Duration,
}

/// A token that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whose it is.
    pub principal: Principal,
    /// Until when it is good.
    pub expires_at: SystemTime,
    /// Its own number (`jti`), for the audit.
    pub jti: Uuid,
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired; get a new one")]
    Expired,
    /// It is not one of ours, or not for us.
    #[error("the token is none of this server's, or damaged ({0}); get a new one")]
    Invalid(String),
}

/// Makes and checks tokens.
pub struct Tokens {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    jwks: serde_json::Value,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Takes the signing key from the store, or makes and stores the first one.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer or holds something else than a key.
    pub async fn open(store: &Store) -> Result<Self, StoreError> {
        if let Some((kid, der)) = store.signing_key().await? {
            let key = SecretKey::from_pkcs8_der(&der).map_err(|error| StoreError::Corrupt {
                table: "signing_key",
                what: error.to_string(),
            })?;
            return Ok(Self::new(kid, &key));
        }
        let key = new_key();
        let kid = thumbprint(&key);
        store.put_signing_key(&kid, &private_der(&key)).await?;
        Ok(Self::new(kid, &key))
    }

    fn new(kid: String, key: &SecretKey) -> Self {
        let (x, y) = coordinates(key);
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        let jwks = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256",
        }]});
        Self {
            kid,
            encoding: EncodingKey::from_ec_der(&private_der(key)),
            decoding: DecodingKey::from_ec_components(&x, &y)
                .expect("coordinates of a key are valid"),
            validation,
            jwks,
        }
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> &serde_json::Value {
        &self.jwks
    }

    /// Makes a token for somebody who has shown who they are.
    pub fn issue(&self, principal: &Principal) -> Issued {
        self.issue_at(principal, SystemTime::now())
    }

    fn issue_at(&self, principal: &Principal, now: SystemTime) -> Issued {
        let now = now
            .duration_since(UNIX_EPOCH)
            .expect("the clock stands after 1970")
            .as_secs();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: principal.subject.clone(),
            exp: now + TOKEN_LIFETIME.as_secs(),
            nbf: now,
            iat: now,
            jti: Uuid::new_v4(),
            name: principal.full_name.clone(),
            roles: principal.roles.clone(),
            zones: principal.zones.to_words(),
        };
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::ES256)
        };
        let token = jsonwebtoken::encode(&header, &claims, &self.encoding)
            .expect("our key signs our claims");
        Issued {
            token,
            lifetime: TOKEN_LIFETIME,
        }
    }

    /// Checks a token.
    ///
    /// # Errors
    /// [`TokenError`] when it is not ours, not for us, not yet or no longer good.
    pub fn check(&self, token: &str) -> Result<Checked, TokenError> {
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Invalid(error.to_string()),
            })?;
        let claims = data.claims;
        let zones = Zones::from_words(&claims.zones)
            .map_err(|error| TokenError::Invalid(error.to_string()))?;
        Ok(Checked {
            principal: Principal {
                subject: claims.sub,
                full_name: claims.name,
                roles: claims.roles,
                zones,
            },
            expires_at: UNIX_EPOCH + Duration::from_secs(claims.exp),
            jti: claims.jti,
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

    fn tokens() -> Tokens {
        let key = new_key();
        Tokens::new(thumbprint(&key), &key)
    }

    fn kim() -> Principal {
        Principal {
            subject: "kim".to_owned(),
            full_name: "김하늘".to_owned(),
            roles: vec![Role::Operator],
            zones: Zones::from_words(&["p1".to_owned()]).unwrap(),
        }
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        let tokens = tokens();
        let checked = tokens.check(&tokens.issue(&kim()).token).unwrap();
        assert_eq!(checked.principal, kim());
        assert!(checked.expires_at > SystemTime::now());
    }

    #[test]
    fn an_old_token_is_told_from_a_wrong_one() {
        let tokens = tokens();
        let old = tokens.issue_at(
            &kim(),
            SystemTime::now() - TOKEN_LIFETIME - Duration::from_secs(10),
        );
        assert!(matches!(tokens.check(&old.token), Err(TokenError::Expired)));
        let early = tokens.issue_at(&kim(), SystemTime::now() + Duration::from_secs(60));
        assert!(matches!(
            tokens.check(&early.token),
            Err(TokenError::Invalid(_))
        ));
        assert!(matches!(tokens.check("x.y.z"), Err(TokenError::Invalid(_))));
    }

    #[test]
    fn tokens_of_another_key_or_algorithm_are_refused() {
        let ours = tokens();
        let theirs = tokens().issue(&kim()).token;
        assert!(matches!(ours.check(&theirs), Err(TokenError::Invalid(_))));

        let claims = ours
            .issue(&kim())
            .token
            .split('.')
            .nth(1)
            .unwrap()
            .to_owned();
        let none = format!(
            "{}.{claims}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#)
        );
        assert!(matches!(ours.check(&none), Err(TokenError::Invalid(_))));
    }

    #[test]
    fn a_changed_token_is_refused() {
        let tokens = tokens();
        let token = tokens.issue(&kim()).token;
        let (head, rest) = token.split_once('.').unwrap();
        let (claims, signature) = rest.split_once('.').unwrap();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let promoted = URL_SAFE_NO_PAD.encode(claims.replace("operator", "supervisor"));
        assert!(
            tokens
                .check(&format!("{head}.{promoted}.{signature}"))
                .is_err()
        );
    }
}
