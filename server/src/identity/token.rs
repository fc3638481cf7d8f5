//! Access tokens: short-lived JWTs (RFC 7519, in the profile of RFC 9068), signed with ES256. Algorithm, issuer and audience are pinned when one is
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
use super::principal::{Principal, Proof, Zones};
use super::standing::Revoked;
use crate::store::{Store, StoreError};
use contract::Role;

/// Who issues the tokens, and whom they are for.
pub const ISSUER: &str = "landside";

/// How long a token is good: short, so that what nobody knows to be stolen is soon worth nothing.
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
    /// What it came from: a login, a family of refresh tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<Uuid>,
    /// To whom it was given; none for pages of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// When a second factor was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second_factor_at: Option<u64>,
}

/// RFC 9068 section 2.1: what makes an access token none of the other JWTs.
const TYPE: &str = "at+jwt";

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
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// It was good once.
    #[error("the token has expired; get a new one")]
    Expired,
    /// It would be good, but was called back.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// Whether it is good cannot be found out now.
    #[error("whether the token is good cannot be found out now; try again in a moment")]
    Unavailable,
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

    /// Makes a token for somebody who has shown who they are. `issue_second` may move its `iat` a little.
    pub(crate) fn issue(&self, principal: &Principal, issue_second: impl Fn(u64) -> u64) -> Issued {
        self.issue_at(principal, SystemTime::now(), issue_second)
    }

    fn issue_at(
        &self,
        principal: &Principal,
        now: SystemTime,
        issue_second: impl Fn(u64) -> u64,
    ) -> Issued {
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
            iat: issue_second(now),
            jti: Uuid::new_v4(),
            name: principal.full_name.clone(),
            roles: principal.roles.clone(),
            zones: principal.zones.to_words(),
            sid: principal.proof.grant,
            client_id: principal.proof.client.clone(),
            second_factor_at: principal.proof.second_factor_at,
        };
        let header = Header {
            kid: Some(self.kid.clone()),
            typ: Some(TYPE.to_owned()),
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
    pub(crate) fn check(&self, token: &str) -> Result<Checked, TokenError> {
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Invalid(error.to_string()),
            })?;
        if !data
            .header
            .typ
            .is_some_and(|is| is.eq_ignore_ascii_case(TYPE))
        {
            return Err(TokenError::Invalid("it is no access token".to_owned()));
        }
        let claims = data.claims;
        let zones = Zones::from_words(&claims.zones)
            .map_err(|error| TokenError::Invalid(error.to_string()))?;
        Ok(Checked {
            principal: Principal {
                subject: claims.sub,
                full_name: claims.name,
                roles: claims.roles,
                zones,
                proof: Proof {
                    token: Some(claims.jti),
                    grant: claims.sid,
                    client: claims.client_id,
                    issued_at: claims.iat,
                    second_factor_at: claims.second_factor_at,
                },
            },
            expires_at: UNIX_EPOCH + Duration::from_secs(claims.exp),
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

    fn keep(second: u64) -> u64 {
        second
    }

    fn kim() -> Principal {
        Principal {
            subject: "kim".to_owned(),
            full_name: "김하늘".to_owned(),
            roles: vec![Role::Operator],
            zones: Zones::from_words(&["p1".to_owned()]).unwrap(),
            proof: Proof {
                grant: Some(Uuid::new_v4()),
                client: Some("kiosk-app".to_owned()),
                second_factor_at: Some(7),
                ..Proof::default()
            },
        }
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        let tokens = tokens();
        let kim = kim();
        let checked = tokens.check(&tokens.issue(&kim, keep).token).unwrap();
        let proof = &checked.principal.proof;
        assert!(proof.token.is_some() && proof.issued_at > 0);
        let expected = Principal {
            proof: Proof {
                token: proof.token,
                issued_at: proof.issued_at,
                ..kim.proof.clone()
            },
            ..kim
        };
        assert_eq!(checked.principal, expected);
        assert!(checked.expires_at > SystemTime::now());
    }

    #[test]
    fn an_old_token_is_told_from_a_wrong_one() {
        let tokens = tokens();
        let old = tokens.issue_at(
            &kim(),
            SystemTime::now() - TOKEN_LIFETIME - Duration::from_secs(10),
            keep,
        );
        assert!(matches!(tokens.check(&old.token), Err(TokenError::Expired)));
        let early = tokens.issue_at(&kim(), SystemTime::now() + Duration::from_secs(60), keep);
        assert!(matches!(
            tokens.check(&early.token),
            Err(TokenError::Invalid(_))
        ));
        assert!(matches!(tokens.check("x.y.z"), Err(TokenError::Invalid(_))));
    }

    #[test]
    fn tokens_of_another_key_or_algorithm_are_refused() {
        let ours = tokens();
        let theirs = tokens().issue(&kim(), keep).token;
        assert!(matches!(ours.check(&theirs), Err(TokenError::Invalid(_))));

        let claims = ours
            .issue(&kim(), keep)
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
        let token = tokens.issue(&kim(), keep).token;
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
