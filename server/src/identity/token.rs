//! Access tokens: short-lived JWTs (RFC 7519, in the profile of RFC 9068), signed with ES256. Algorithm, type, issuer and
//! audience are pinned when one is checked (RFC 8725 section 3).

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::Utc;
use contract::Role;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key_file::KeyFile;
use super::keys::{Ring, Rotate, StoredKey};
use super::principal::{AsOf, Holder, Principal, Proof, Zones};
use super::rotation;
use super::seconds::second_of;
use super::standing::{REVOCATION_KEPT, Revoked};
use crate::store::{Store, StoreError};
use known::{KnownTokens, fingerprint};

mod es256;
mod known;

/// Whom the tokens are for.
pub const AUDIENCE: &str = "landside";

/// No server of ours makes a token that is good for longer: what they signed may be good as long after a key has retired.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(3600);

/// Several servers may share a database; they keep time by NTP, and this much they may differ. It counts for the beginning
/// of a token's life only: its end is the end.
pub(crate) const LEEWAY: Duration = Duration::from_secs(5);

/// Ours have 700 bytes, with the longest names and twenty zones less than 2 KiB: what is longer is not even decoded.
const TOKEN_BYTES_MAX: usize = 4 * 1024;

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
    /// In whose hands it is.
    #[serde(default)]
    holder: Holder,
    /// Which generation of its subject's rights it tells.
    #[serde(default)]
    generation: i64,
    /// When a second factor was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second_factor_at: Option<u64>,
}

impl Claims {
    fn read(self, kid: &str) -> Result<Checked, TokenError> {
        let zones = Zones::from_words(&self.zones)
            .map_err(|error| TokenError::Invalid(error.to_string()))?;
        Ok(Checked {
            principal: Principal {
                subject: self.sub,
                full_name: self.name,
                roles: self.roles,
                zones,
                proof: Proof {
                    token: Some(self.jti),
                    grant: self.sid,
                    client: self.client_id,
                    key: Some(kid.into()),
                    holder: self.holder,
                    as_of: AsOf::Generation(self.generation),
                    second_factor_at: self.second_factor_at,
                },
            },
            expires_at: UNIX_EPOCH + Duration::from_secs(self.exp),
        })
    }
}

/// What an ID token says (OpenID Connect Core 1.0 section 2): who signed in, to the application that asked.
#[derive(Debug, Clone, Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    exp: u64,
    iat: u64,
    name: &'a str,
    roles: &'a [Role],
    zones: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
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

fn invalid(what: &str) -> TokenError {
    TokenError::Invalid(what.to_owned())
}

/// What tokens say of where they come from, how long they are good, and what signs them.
pub(crate) struct TokenSettings {
    pub(crate) issuer: String,
    pub(crate) life: Duration,
    /// How long a key signs.
    pub(crate) key_age: Duration,
    /// What the keys are sealed with.
    pub(crate) sealing: Arc<KeyFile>,
}

/// Makes and checks tokens.
pub struct Tokens {
    issuer: String,
    life: Duration,
    validation: Validation,
    ring: RwLock<Arc<Ring>>,
    known: Mutex<KnownTokens>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("issuer", &self.issuer)
            .field("kid", &self.ring().signing_kid)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Takes the signing keys from the store, or makes and stores the first ones. `issuer` is what this server is called
    /// from outside: another server does not take its tokens. They are good for `life`, at most [`TOKEN_LIFE_MAX`].
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer or holds something else than keys.
    pub(crate) async fn open(store: &Store, settings: TokenSettings) -> Result<Self, StoreError> {
        let TokenSettings {
            issuer,
            life,
            key_age,
            sealing,
        } = settings;
        store.seal_signing_keys(&sealing).await?;
        let keys = rotation::turn(store, &sealing, Rotate::After(key_age), Utc::now()).await?;
        Ok(Self::new(issuer, life, Ring::new(&keys)?))
    }

    fn new(issuer: String, life: Duration, ring: Ring) -> Self {
        es256::install();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        Self {
            issuer,
            life,
            validation,
            ring: RwLock::new(Arc::new(ring)),
            known: Mutex::default(),
        }
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, KnownTokens> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this server is called in its tokens.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public keys (RFC 7517).
    pub(crate) fn key_set(&self) -> serde_json::Value {
        self.ring().set.clone()
    }

    /// Whether tokens of this key are good.
    pub(crate) fn has_key(&self, kid: &str) -> bool {
        self.ring().checking.contains_key(kid)
    }

    /// From now on these are the keys. Those that are gone.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be used; everything stays as it was then.
    pub(super) fn use_keys(&self, keys: &[StoredKey]) -> Result<Vec<String>, StoreError> {
        let old = self.ring();
        let signs = |kid: &str| {
            let current = keys
                .iter()
                .find(|key| key.state() == super::keys::KeyState::Current);
            current.is_some_and(|key| key.kid == kid)
        };
        let same = keys.len() == old.checking.len()
            && keys.iter().all(|key| old.checking.contains_key(&key.kid))
            && signs(&old.signing_kid);
        if same {
            return Ok(Vec::new());
        }
        let ring = Ring::new(keys)?;
        let is_gone = |kid: &&String| !ring.checking.contains_key(*kid);
        let removed = old.checking.keys().filter(is_gone).cloned().collect();
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        self.known().clear();
        Ok(removed)
    }

    /// Makes a token for somebody who has shown who they are. It is as good as the rights that were read then.
    pub(crate) fn issue(&self, principal: &Principal) -> Issued {
        self.issue_at(principal, SystemTime::now())
    }

    fn issue_at(&self, principal: &Principal, now: SystemTime) -> Issued {
        let now = second_of(now);
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: principal.subject.clone(),
            exp: now + self.life.as_secs(),
            nbf: now,
            iat: now,
            jti: Uuid::new_v4(),
            name: principal.full_name.clone(),
            roles: principal.roles.clone(),
            zones: principal.zones.to_words(),
            sid: principal.proof.grant,
            client_id: principal.proof.client.clone(),
            holder: principal.proof.holder,
            generation: principal.proof.as_of.generation(),
            second_factor_at: principal.proof.second_factor_at,
        };
        let ring = self.ring();
        let token = sign(&ring, TYPE, &claims);
        // Whoever gets a token shows it next: what was just signed need not be verified.
        if let Ok(checked) = claims.read(&ring.signing_kid) {
            self.remember(&ring, &token, checked);
        }
        Issued {
            token,
            lifetime: self.life,
        }
    }

    /// Tells an application who signed in.
    pub(crate) fn id_token(
        &self,
        principal: &Principal,
        application: &str,
        nonce: Option<&str>,
    ) -> String {
        let now = second_of(SystemTime::now());
        let claims = IdClaims {
            iss: &self.issuer,
            aud: application,
            sub: &principal.subject,
            exp: now + self.life.as_secs(),
            iat: now,
            name: &principal.full_name,
            roles: &principal.roles,
            zones: principal.zones.to_words(),
            nonce,
        };
        sign(&self.ring(), "JWT", &claims)
    }

    /// Unless the keys changed meanwhile: nothing of a removed key is remembered.
    fn remember(&self, ring: &Arc<Ring>, token: &str, checked: Checked) {
        let mut known = self.known();
        if Arc::ptr_eq(ring, &self.ring()) {
            known.put(fingerprint(token), checked);
        }
    }

    /// Checks a token.
    ///
    /// # Errors
    /// [`TokenError`] when it is not ours, not for us, not yet or no longer good.
    pub(crate) fn check(&self, token: &str) -> Result<Checked, TokenError> {
        self.check_at(token, SystemTime::now())
    }

    fn check_at(&self, token: &str, now: SystemTime) -> Result<Checked, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid("it is too long"));
        }
        let known = self.known().get(&fingerprint(token));
        let checked = match known {
            Some(checked) => checked,
            None => self.verify(token, now)?,
        };
        // To the moment: the clock that made it is the one that ends it.
        if checked.expires_at <= now {
            return Err(TokenError::Expired);
        }
        Ok(checked)
    }

    fn verify(&self, token: &str, now: SystemTime) -> Result<Checked, TokenError> {
        let of_library = |error: jsonwebtoken::errors::Error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            _ => TokenError::Invalid(error.to_string()),
        };
        let header = jsonwebtoken::decode_header(token).map_err(of_library)?;
        if !header.typ.is_some_and(|is| is.eq_ignore_ascii_case(TYPE)) {
            return Err(invalid("it is no access token"));
        }
        let ring = self.ring();
        let kid = header.kid.unwrap_or_default();
        let key = ring
            .checking
            .get(&kid)
            .ok_or_else(|| invalid("its key is not one of ours"))?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation)
            .map_err(of_library)?
            .claims;
        if claims.iat > second_of(now) + LEEWAY.as_secs() {
            return Err(invalid("it was made in the future"));
        }
        if claims.exp.saturating_sub(claims.iat) > REVOCATION_KEPT.as_secs() {
            return Err(invalid("it would live too long"));
        }
        let checked = claims.read(&kid)?;
        self.remember(&ring, token, checked.clone());
        Ok(checked)
    }
}

fn sign(ring: &Ring, kind: &str, claims: &impl Serialize) -> String {
    let header = Header {
        kid: Some(ring.signing_kid.clone()),
        typ: Some(kind.to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    jsonwebtoken::encode(&header, claims, &ring.signing).expect("our key signs our claims")
}

#[cfg(test)]
mod tests;
