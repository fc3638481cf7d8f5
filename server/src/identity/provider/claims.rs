//! What a signed token must say to be taken: as an ID token (OpenID Connect Core 1.0, 3.1.3.7), and as an access token
//! (RFC 9068 section 4). Pure.

use std::time::Duration;

use serde_json::Value;

use super::jws::Claims;
use crate::identity::standing::REVOCATION_KEPT;

/// The provider's clock and ours may differ this much.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// An ID token comes straight from the provider, which made it a moment ago: one that is older was kept by somebody.
const ID_TOKEN_AGE_MAX: Duration = Duration::from_secs(300);

/// Access tokens of the provider end after a shift, whatever they say: what is called back must be remembered for as long.
const LIFE_MAX: Duration = Duration::from_secs(12 * 3600);
const _: () = assert!(LIFE_MAX.as_secs() + 2 * CLOCK_SKEW.as_secs() <= REVOCATION_KEPT.as_secs());

/// OpenID Connect Core 1.0, section 2.
const SUB_BYTES_MAX: usize = 255;

/// Why a token is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadClaims {
    /// It was good once.
    Expired,
    /// It never was, here.
    Wrong(&'static str),
}

/// A text of a claim.
pub(super) fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// A claim with one text or a list of them.
pub(super) fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Seconds since 1970; some providers write fractions (RFC 7519 section 2, NumericDate).
pub(super) fn seconds(claims: &Claims, name: &str) -> Option<u64> {
    let number = claims.get(name)?;
    let whole = || {
        number
            .as_f64()
            .map(|seconds| format!("{:.0}", seconds.floor()))?
            .parse()
            .ok()
    };
    number.as_u64().or_else(whole)
}

/// What is the same for both kinds: the issuer, the subject, and that it is of now.
fn check_frame(claims: &Claims, issuer: &str, now: u64) -> Result<u64, BadClaims> {
    let skew = CLOCK_SKEW.as_secs();
    if text(claims, "iss") != Some(issuer) {
        return Err(BadClaims::Wrong("it is of another issuer"));
    }
    let sub = text(claims, "sub").unwrap_or_default();
    if sub.is_empty() || sub.len() > SUB_BYTES_MAX || sub.chars().any(char::is_control) {
        return Err(BadClaims::Wrong("it has no usable `sub`"));
    }
    let expires = seconds(claims, "exp").ok_or(BadClaims::Wrong("it has no `exp`"))?;
    let issued = seconds(claims, "iat").ok_or(BadClaims::Wrong("it has no `iat`"))?;
    if expires.saturating_add(skew) <= now {
        return Err(BadClaims::Expired);
    }
    let begins = match claims.get("nbf") {
        None => issued,
        Some(_) => seconds(claims, "nbf").ok_or(BadClaims::Wrong("its `nbf` is no time"))?,
    };
    let begins = begins.max(issued);
    if begins > now.saturating_add(skew) {
        return Err(BadClaims::Wrong(
            "it is from the future: one of the clocks is wrong",
        ));
    }
    Ok(issued)
}

/// Whether this is the ID token of the sign-in with this nonce.
///
/// # Errors
/// [`BadClaims`], why not.
pub(super) fn check_id_token(
    claims: &Claims,
    issuer: &str,
    client_id: &str,
    nonce: &str,
    now: u64,
) -> Result<(), BadClaims> {
    let issued = check_frame(claims, issuer, now)?;
    let audiences = texts(claims.get("aud"));
    if !audiences.contains(&client_id) {
        return Err(BadClaims::Wrong("it is for somebody else"));
    }
    let party = text(claims, "azp");
    if party.is_some_and(|party| party != client_id) || (audiences.len() > 1 && party.is_none()) {
        return Err(BadClaims::Wrong("it was made for somebody else"));
    }
    if text(claims, "nonce") != Some(nonce) {
        return Err(BadClaims::Wrong("it is of another sign-in"));
    }
    if issued.saturating_add(ID_TOKEN_AGE_MAX.as_secs()) < now {
        return Err(BadClaims::Wrong("it is old, or one of the clocks is wrong"));
    }
    Ok(())
}

/// Whether this is an access token for us, and until when, in seconds since 1970.
///
/// # Errors
/// [`BadClaims`], why not.
pub(super) fn check_access_token(
    claims: &Claims,
    issuer: &str,
    audience: &str,
    client_id: &str,
    now: u64,
) -> Result<u64, BadClaims> {
    let issued = check_frame(claims, issuer, now)?;
    let audiences = texts(claims.get("aud"));
    if !audiences.contains(&audience) {
        return Err(BadClaims::Wrong("it is for somebody else"));
    }
    // Whatever else it names: what is for the client is an ID token.
    if audiences.contains(&client_id) {
        return Err(BadClaims::Wrong("it is an ID token"));
    }
    let expires = seconds(claims, "exp").unwrap_or_default();
    let ends = expires.min(issued.saturating_add(LIFE_MAX.as_secs()));
    let ends = ends.saturating_add(CLOCK_SKEW.as_secs());
    if ends <= now {
        return Err(BadClaims::Expired);
    }
    Ok(ends)
}

#[cfg(test)]
mod tests;
