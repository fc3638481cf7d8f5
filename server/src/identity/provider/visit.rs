//! A person who signs in at the provider: authorization code with PKCE (RFC 7636), `state` and `nonce` (OpenID Connect Core 1.0,
//! section 3.1).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::claims::{BadClaims, CLOCK_SKEW, check_id_token, seconds, text};
use super::discovery::Metadata;
use super::fetch::Away;
use super::jws::{Claims, Unverified};
use super::mapping::{self, Stranger, Visitor};
use super::pending::{Pending, Purpose};
use super::{NoKey, Provider, lock};
use crate::identity::digest::of_secret;
use crate::identity::random::secret;
use crate::identity::seconds::second_of;

/// Where a second factor shown over there counts here, the provider asks for it again when the last sign-in there is older:
/// shorter than any time for which a policy would take it as recent.
const FACTOR_AGE: Duration = Duration::from_secs(300);

/// Where a browser is sent, and the cookie by which it is known when it comes back.
pub(crate) struct Begun {
    pub(crate) location: String,
    pub(crate) cookie: String,
}

/// What the provider sends along with the browser (RFC 6749 section 4.1.2).
#[derive(Deserialize)]
pub(crate) struct Returning {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    /// RFC 9207.
    iss: Option<String>,
}

/// Somebody who signed in over there.
pub(crate) struct Returned {
    pub(crate) visitor: Visitor,
    /// Whether they signed in there since they went: `auth_time`, or, of a provider that does not tell it, when the ID token
    /// was made.
    pub(crate) is_fresh: bool,
}

/// Why a person who went to sign in does not get in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The provider does not answer, or not as it should.
    #[error("the identity provider is away: {0}")]
    Away(String),
    /// It is not the browser that went, or came back before, or took too long.
    #[error("no sign-in of this browser is under way")]
    NotUnderWay,
    /// The provider let them not in.
    #[error("the identity provider refused")]
    Refused,
    /// What the provider answered cannot be believed.
    #[error("the answer of the identity provider is not accepted: {0}")]
    Unbelievable(&'static str),
    /// They are nobody here: who, at the provider, and why.
    #[error("{1}")]
    Stranger(String, Stranger),
}

impl From<Away> for Failure {
    fn from(Away(why): Away) -> Self {
        Self::Away(why)
    }
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

impl Provider {
    /// Sends a browser to the provider.
    ///
    /// # Errors
    /// [`Failure::Away`].
    pub(crate) async fn begin(&self, next: &str, purpose: Purpose) -> Result<Begun, Failure> {
        let metadata = self.present().await?;
        let (state, nonce, verifier, cookie) = (secret(), secret(), secret(), secret());
        let mut location = metadata.authorization.clone();
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.config.return_url)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair(
                "code_challenge",
                &URL_SAFE_NO_PAD.encode(of_secret(&verifier)),
            )
            .append_pair("code_challenge_method", "S256");
        let max_age = match purpose {
            // Whoever passes by must not be vouched for by the session that somebody has over there.
            Purpose::Prove(_) => {
                location.query_pairs_mut().append_pair("prompt", "login");
                Some(0)
            }
            // Whoever is asked for it must tell when the person signed in (OpenID Connect Core 1.0, section 3.1.2.1).
            Purpose::SignIn if self.config.trusts_second_factor => Some(FACTOR_AGE.as_secs()),
            Purpose::SignIn => None,
        };
        if let Some(max_age) = max_age {
            location
                .query_pairs_mut()
                .append_pair("max_age", &max_age.to_string());
        }
        let pending = Pending {
            browser: of_secret(&cookie),
            nonce,
            verifier,
            next: next.to_owned(),
            purpose,
            begun: second_of(SystemTime::now()),
        };
        lock(&self.waiting).put(state, pending, Instant::now());
        Ok(Begun {
            location: location.into(),
            cookie,
        })
    }

    /// Takes a browser back: what it went for.
    ///
    /// # Errors
    /// [`Failure::NotUnderWay`].
    pub(crate) fn take(
        &self,
        returning: &Returning,
        cookie: Option<&str>,
    ) -> Result<Pending, Failure> {
        let pending = returning
            .state
            .as_deref()
            .zip(cookie)
            .and_then(|(state, cookie)| {
                lock(&self.waiting).take(state, &of_secret(cookie), Instant::now())
            });
        pending.ok_or(Failure::NotUnderWay)
    }

    /// Who came back.
    ///
    /// # Errors
    /// [`Failure`], why the person is not believed.
    pub(crate) async fn finish(
        self: &Arc<Self>,
        returning: Returning,
        pending: &Pending,
    ) -> Result<Returned, Failure> {
        let metadata = self.present().await?;
        let named = returning.iss.as_deref();
        if named.is_some_and(|issuer| issuer != self.config.issuer)
            || (named.is_none() && metadata.answers_name_issuer)
        {
            return Err(Failure::Unbelievable("it is of another issuer"));
        }
        if returning.error.is_some() {
            return Err(Failure::Refused);
        }
        let code = returning
            .code
            .ok_or(Failure::Unbelievable("it has no code"))?;
        let tokens = self.redeem(&metadata, &code, &pending.verifier).await?;
        let mut claims = self.believe(&tokens.id_token, &pending.nonce).await?;
        if !mapping::is_whole(&claims, &self.config) {
            self.ask_for_more(&metadata, tokens.access_token, &mut claims)
                .await?;
        }
        let visitor = mapping::visitor(&claims, &self.config).map_err(|why| {
            Failure::Stranger(text(&claims, "sub").unwrap_or_default().to_owned(), why)
        })?;
        Ok(Returned {
            visitor,
            is_fresh: is_since(&claims, pending.begun),
        })
    }

    /// The tokens for a code.
    async fn redeem(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &str,
    ) -> Result<Tokens, Failure> {
        let (authorization, form) = self.redemption(metadata, code, verifier);
        let answer = self
            .fetcher
            .post(&metadata.token, authorization, form)
            .await;
        let (status, body) = answer?;
        if status != StatusCode::OK {
            // What it answers names the reason, and may repeat what was sent.
            tracing::warn!(%status, error = error_code(&body), "the identity provider refused a code");
            return Err(Failure::Unbelievable("it does not know its own code"));
        }
        serde_json::from_slice(&body).or(Err(Failure::Unbelievable("it has no ID token")))
    }

    /// What is sent for a code: the header that shows the client's secret, if there is one, and the form.
    fn redemption(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &str,
    ) -> (Option<String>, String) {
        let id = &self.config.client_id;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.config.return_url)
            .append_pair("code_verifier", verifier);
        let mut authorization = None;
        match &self.config.client_secret {
            Some(secret) if metadata.secret_in_form => {
                form.append_pair("client_id", id)
                    .append_pair("client_secret", &secret.0);
            }
            Some(secret) => {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(id), encoded(&secret.0));
                authorization = Some(format!("Basic {}", STANDARD.encode(pair)));
            }
            None => {
                form.append_pair("client_id", id);
            }
        }
        (authorization, form.finish())
    }

    /// The claims of an ID token that was made for this sign-in.
    async fn believe(self: &Arc<Self>, id_token: &str, nonce: &str) -> Result<Claims, Failure> {
        let unverified =
            Unverified::read(id_token, &self.config.algorithms).map_err(Failure::Unbelievable)?;
        let key = self
            .key(unverified.kid.as_deref(), unverified.algorithm)
            .await;
        let key = key.map_err(|no_key| match no_key {
            NoKey::Away => Failure::Away("its keys could not be fetched".to_owned()),
            NoKey::Unknown => {
                Failure::Unbelievable("it is signed with a key that it does not have")
            }
        })?;
        let claims = unverified.verify(&key).map_err(Failure::Unbelievable)?;
        let now = second_of(SystemTime::now());
        check_id_token(
            &claims,
            &self.config.issuer,
            &self.config.client_id,
            nonce,
            now,
        )
        .map_err(|refused| {
            Failure::Unbelievable(match refused {
                BadClaims::Expired => "it has expired, or one of the clocks is wrong",
                BadClaims::Wrong(why) => why,
            })
        })?;
        Ok(claims)
    }

    /// Some providers keep ID tokens short and tell groups and names only when asked (section 5.3).
    async fn ask_for_more(
        &self,
        metadata: &Metadata,
        access_token: Option<String>,
        claims: &mut Claims,
    ) -> Result<(), Failure> {
        let Some((url, token)) = metadata.userinfo.as_ref().zip(access_token) else {
            return Ok(());
        };
        let answer = self.fetcher.get(url, Some(&token)).await?;
        let more: Claims = serde_json::from_slice(&answer.body).or(Err(Failure::Unbelievable(
            "what it says of the person cannot be read",
        )))?;
        // Section 5.3.2: it may be about somebody else.
        if text(&more, "sub") != text(claims, "sub") {
            return Err(Failure::Unbelievable("it speaks of somebody else"));
        }
        for (name, value) in more {
            // What is signed stays as it is; and how somebody signed in must be.
            if !mapping::SIGNED_ONLY.contains(&name.as_str()) {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(())
    }
}

/// Whether somebody signed in over there at `begun` or later, as far as the clocks agree. When they did must be told to whoever
/// asks for `max_age` (OpenID Connect Core 1.0, section 2).
fn is_since(claims: &Claims, begun: u64) -> bool {
    seconds(claims, "auth_time").is_some_and(|at| at.saturating_add(CLOCK_SKEW.as_secs()) >= begun)
}

/// The `error` of RFC 6749 section 5.2, if it is one: these are words of a protocol, everything else is a stranger's text.
fn error_code(body: &[u8]) -> &'static str {
    const CODES: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let said = serde_json::from_slice::<Refusal>(body).ok();
    let known = said.and_then(|refusal| CODES.into_iter().find(|code| *code == refusal.error));
    known.unwrap_or("unknown")
}
