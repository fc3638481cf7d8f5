//! An external OpenID Connect provider: what it says of itself, its keys, the tokens that it gives out.
//!
//! | module | |
//! |---|---|
//! | `fetch` | asking it, within bounds |
//! | `cache` | for how long an answer counts |
//! | `discovery`, `keys` | reading its answers |
//! | `jws`, `claims` | checking what it signed |
//! | `mapping` | who somebody of its is here |
//! | `pending`, `visit` | a person who goes there to sign in, and comes back |
//!
//! It is asked when it is needed and not before: a server starts, and works for everybody else, while the provider is away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

mod cache;
mod claims;
mod discovery;
mod fetch;
mod jws;
mod keys;
mod mapping;
mod pending;
mod visit;

use self::cache::{ATTEMPT_PAUSE, Cache};
use self::claims::{BadClaims, CLOCK_SKEW, check_access_token, seconds, text};
use self::discovery::Metadata;
use self::fetch::{Away, FETCH_TIMEOUT, Fetcher};
use self::jws::{Claims, Unverified};
use self::keys::{Key, KeySet};
use self::pending::Waiting;
use super::principal::{AsOf, Holder, Proof};
use super::seconds::second_of;
use super::token::TokenError;
use crate::config::{ProviderConfig, SigningAlgorithm};

pub(crate) use mapping::{Stranger, Visitor};
pub(crate) use pending::{PENDING_KEPT, Purpose};
pub(crate) use visit::{Begun, Failure, Returned, Returning};

/// How long somebody waits for an answer to what others asked: no longer than for one of their own.
const TURN_TIMEOUT: Duration = FETCH_TIMEOUT;

/// How long the first who needs keys that are stale waits for new ones: a key that was withdrawn is then refused at once, and
/// a provider that hangs keeps nobody for long whose key is at hand.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(1);

/// The provider, as far as it is known.
pub(crate) struct Provider {
    config: ProviderConfig,
    fetcher: Fetcher,
    metadata: Mutex<Cache<Metadata>>,
    keys: Mutex<Cache<KeySet>>,
    /// Held while the provider is asked for one of the two: a hundred who need the same ask once.
    asking: Arc<tokio::sync::Mutex<()>>,
    waiting: Mutex<Waiting>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("issuer", &self.config.issuer)
            .finish_non_exhaustive()
    }
}

/// An access token that was checked: whose it is over there, and what it proves.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) visitor: Visitor,
    pub(crate) proof: Proof,
    pub(crate) expires_at: SystemTime,
}

/// Why there is no key for a token.
enum NoKey {
    Away,
    Unknown,
}

impl Provider {
    /// A provider that nobody has asked yet.
    ///
    /// # Errors
    /// What is wrong with `ca_file`.
    pub(crate) fn new(config: ProviderConfig) -> anyhow::Result<Self> {
        Ok(Self {
            fetcher: Fetcher::new(config.ca_file.as_deref())?,
            config,
            metadata: Mutex::default(),
            keys: Mutex::default(),
            asking: Arc::default(),
            waiting: Mutex::default(),
        })
    }

    /// What it was told.
    pub(crate) fn config(&self) -> &ProviderConfig {
        &self.config
    }

    /// Whether a token says that it is the provider's. Which of the keys it names decides nothing: anybody can name any.
    pub(crate) fn is_issuer_of(&self, token: &str) -> bool {
        jws::claimed_issuer(token).is_some_and(|issuer| issuer == self.config.issuer)
    }

    /// Checks an access token.
    ///
    /// # Errors
    /// [`TokenError`] when it is not good for us, or when the provider must be asked and is away.
    pub(crate) async fn check(self: &Arc<Self>, token: &str) -> Result<Vouched, TokenError> {
        let invalid = |why: &str| TokenError::Invalid(why.to_owned());
        let Some(audience) = &self.config.audience else {
            return Err(invalid(
                "tokens of the identity provider are not accepted here",
            ));
        };
        let unverified = Unverified::read(token, &self.config.algorithms).map_err(invalid)?;
        if !self.is_access_token(unverified.typ.as_deref()) {
            return Err(invalid("it is no access token"));
        }
        // Before anybody is asked for a key: what is not for us anyway needs none.
        let check = |claims: &Claims| {
            let now = second_of(SystemTime::now());
            let ProviderConfig {
                issuer, client_id, ..
            } = &self.config;
            check_access_token(claims, issuer, audience, client_id, now).map_err(TokenError::from)
        };
        check(unverified.claims())?;
        let key = self
            .key(unverified.kid.as_deref(), unverified.algorithm)
            .await;
        let key = key.map_err(|no_key| match no_key {
            NoKey::Away => TokenError::Unavailable,
            NoKey::Unknown => {
                invalid("it is signed with a key that the identity provider does not have")
            }
        })?;
        let claims = unverified.verify(&key).map_err(invalid)?;
        let ends = check(&claims)?;
        let visitor = mapping::visitor(&claims, &self.config)
            .map_err(|stranger| TokenError::Invalid(stranger.to_string()))?;
        Ok(Vouched {
            proof: self.proof(&claims, &visitor),
            visitor,
            expires_at: UNIX_EPOCH + Duration::from_secs(ends),
        })
    }

    fn is_access_token(&self, typ: Option<&str>) -> bool {
        // RFC 7515 section 4.1.9: `application/` may stand before it.
        let typ = typ.unwrap_or_default().to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        let mut types = self.config.token_types.iter();
        types.any(|allowed| allowed.eq_ignore_ascii_case(typ))
    }

    fn proof(&self, claims: &Claims, visitor: &Visitor) -> Proof {
        let issued = seconds(claims, "iat").unwrap_or_default();
        let party = text(claims, "azp").or_else(|| text(claims, "client_id"));
        let client = match party {
            // A client over there is none of ours, whatever its name.
            Some(party) => Some(format!("{party} of {}", self.config.issuer)),
            None => Some(self.config.issuer.clone()),
        };
        Proof {
            token: text(claims, "jti").map(|jti| self.token_id(jti)),
            grant: None,
            client,
            key: None,
            // The provider's clock may be ahead: a token that it made before its holder was called back must not seem newer.
            as_of: AsOf::Second(issued.saturating_sub(CLOCK_SKEW.as_secs())),
            holder: Holder::Person,
            second_factor_at: visitor.second_factor_at,
        }
    }

    /// A `jti` may be any text, and is unique at its issuer only.
    fn token_id(&self, jti: &str) -> Uuid {
        let digest = Sha256::new()
            .chain_update(&self.config.issuer)
            .chain_update([0])
            .chain_update(jti)
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// The key that a token names: of those at hand, which are renewed behind when they are stale, else asked for.
    async fn key(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: SigningAlgorithm,
    ) -> Result<Key, NoKey> {
        let find = |set: Option<Arc<KeySet>>| set?.find(kid, algorithm).cloned();
        if let Some(key) = find(lock(&self.keys).fresh(Instant::now())) {
            return Ok(key);
        }
        let at_hand = find(lock(&self.keys).kept(Instant::now())).is_some();
        if at_hand && self.keys_are_stale() {
            self.renew_keys().await;
            // It may have been withdrawn.
            return find(lock(&self.keys).kept(Instant::now())).ok_or(NoKey::Unknown);
        }
        let _turn = self.turn().await.or(Err(NoKey::Away))?;
        let now = Instant::now();
        if let Some(key) = find(lock(&self.keys).fresh(now)) {
            return Ok(key);
        }
        // The reason was logged when the attempt failed.
        let asked = if lock(&self.keys).try_now(now) {
            self.fetch_keys().await.ok()
        } else {
            None
        };
        let set = asked.or_else(|| lock(&self.keys).kept(Instant::now()));
        let set = set.ok_or(NoKey::Away)?;
        find(Some(set)).ok_or(NoKey::Unknown)
    }

    fn keys_are_stale(&self) -> bool {
        lock(&self.keys).fresh(Instant::now()).is_none()
    }

    /// Asks for new keys, unless somebody does already, and waits a moment for them.
    async fn renew_keys(self: &Arc<Self>) {
        let Ok(turn) = Arc::clone(&self.asking).try_lock_owned() else {
            return;
        };
        if !self.keys_are_stale() || !lock(&self.keys).try_now(Instant::now()) {
            return;
        }
        let provider = Arc::clone(self);
        // It ends by itself: each question has its bound.
        let renewal = tokio::spawn(async move {
            let _turn = turn;
            provider.fetch_keys().await.is_ok()
        });
        if timeout(RENEWAL_PATIENCE, renewal).await.is_err() {
            tracing::debug!("the keys of the identity provider are stale, and it takes its time");
        }
    }

    /// The right to ask. Whoever waits for it wants what somebody else is asking for.
    async fn turn(&self) -> Result<OwnedMutexGuard<()>, Away> {
        timeout(TURN_TIMEOUT, Arc::clone(&self.asking).lock_owned())
            .await
            .or(Err(Away("it keeps others waiting".to_owned())))
    }

    /// Call it in turn only.
    async fn fetch_keys(&self) -> Result<Arc<KeySet>, Away> {
        let fetched = self.ask_for_keys().await;
        if let Err(away) = &fetched {
            lock(&self.keys).failed(Instant::now());
            tracing::warn!(%away, "the keys of the identity provider could not be fetched");
        }
        fetched
    }

    async fn ask_for_keys(&self) -> Result<Arc<KeySet>, Away> {
        let kept = lock(&self.metadata).fresh(Instant::now());
        let metadata = match kept {
            Some(metadata) => metadata,
            None => self.fetch_metadata().await?,
        };
        let answer = self.fetcher.get(&metadata.keys, None).await?;
        let set = KeySet::read(&answer.body)
            .map_err(|error| Away(format!("its keys cannot be read: {error}")))?;
        Ok(lock(&self.keys).put(set, answer.fresh_for, Instant::now()))
    }

    /// Call it in turn only.
    async fn fetch_metadata(&self) -> Result<Arc<Metadata>, Away> {
        if !lock(&self.metadata).try_now(Instant::now()) {
            return Err(Away("it did not answer a moment ago".to_owned()));
        }
        let fetched = self.ask_for_metadata().await;
        if fetched.is_err() {
            lock(&self.metadata).failed(Instant::now());
        }
        fetched
    }

    async fn ask_for_metadata(&self) -> Result<Arc<Metadata>, Away> {
        let issuer = &self.config.issuer;
        let url = Url::parse(&discovery::address(issuer))
            .map_err(|error| Away(format!("its issuer is no URL: {error}")))?;
        let answer = self.fetcher.get(&url, None).await?;
        let metadata = Metadata::read(&answer.body, issuer).map_err(Away)?;
        Ok(lock(&self.metadata).put(metadata, answer.fresh_for, Instant::now()))
    }

    /// The metadata of a provider that answers now: whoever is sent to one that does not has nowhere to go.
    async fn present(&self) -> Result<Arc<Metadata>, Away> {
        let _turn = self.turn().await?;
        let recent = lock(&self.metadata).younger_than(ATTEMPT_PAUSE, Instant::now());
        match recent {
            Some(recent) => Ok(recent),
            None => self.fetch_metadata().await,
        }
    }
}

impl From<BadClaims> for TokenError {
    fn from(refused: BadClaims) -> Self {
        match refused {
            BadClaims::Expired => Self::Expired,
            BadClaims::Wrong(why) => Self::Invalid(why.to_owned()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
