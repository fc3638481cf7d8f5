//! From what the provider says of somebody to who they are here: name, roles, zones, second factor. Pure.

use contract::Role;
use serde_json::Value;

use super::claims::{seconds, text, texts};
use super::jws::Claims;
use crate::config::ProviderConfig;
use crate::identity::name::{NAME_CHARS_MAX, is_name};
use crate::identity::principal::Zones;

/// Values of `amr` (RFC 8176) and `acr` that speak of a second factor.
const SECOND_FACTOR_METHODS: [&str; 2] = ["mfa", "otp"];
const SECOND_FACTOR_CONTEXTS: [&str; 4] = [
    "mfa",
    "otp",
    "http://schemas.openid.net/pape/policies/2007/06/multi-factor",
    "https://refeds.org/profile/mfa",
];

/// When somebody showed a second factor whose provider does not tell when: 1970. They have shown one, and not recently.
const LONG_AGO: u64 = 0;

/// Claims that count only where they are signed: a login is believed by them.
pub(super) const SIGNED_ONLY: [&str; 3] = ["amr", "acr", "auth_time"];

/// Somebody whom the provider knows, as they would be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// Who they are for ever, at their issuer.
    pub(crate) sub: String,
    /// The name under which they would be known here.
    pub(crate) name: String,
    /// What others call them.
    pub(crate) full_name: String,
    /// The highest role of people that they have, and whether they are a program.
    pub(crate) roles: Vec<Role>,
    /// Where.
    pub(crate) zones: Zones,
    /// When they showed a second factor, in seconds since 1970, if the provider is believed in that: when they signed in
    /// over there, which may be long before the token was made; 0 where it does not tell.
    pub(crate) second_factor_at: Option<u64>,
}

impl Visitor {
    /// The role of a person that they have here.
    pub(crate) fn role(&self) -> Option<Role> {
        let role = self.roles.first().copied();
        role.filter(|role| *role != Role::Program)
    }
}

/// Why somebody is nobody here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    /// No value of the role claim is mapped.
    #[error("the provider gives nobody of this token a role here")]
    Roleless,
    /// None of theirs brings a zone.
    #[error("the provider gives nobody of this token a zone here")]
    Zoneless,
    /// What would be their name cannot be one.
    #[error("the name of this token cannot be one here")]
    Nameless,
}

/// A claim by its name, or a claim within a claim by both with a dot. Names of claims may have dots themselves.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        find(claims.get(outer)?.as_object()?, inner)
    })
}

/// Whether claims say everything that is mapped, or the provider must be asked for more.
pub(super) fn is_whole(claims: &Claims, config: &ProviderConfig) -> bool {
    find(claims, &config.role_claim).is_some()
}

/// Who somebody with these claims is.
///
/// # Errors
/// [`Stranger`] when they are nobody here.
pub(super) fn visitor(claims: &Claims, config: &ProviderConfig) -> Result<Visitor, Stranger> {
    let groups = texts(find(claims, &config.role_claim));
    let mapped = || groups.iter().filter_map(|group| config.roles.get(*group));
    let person = mapped().filter(|role| **role != Role::Program).max();
    let program = mapped().find(|role| **role == Role::Program);
    let roles: Vec<Role> = person.into_iter().chain(program).copied().collect();
    if roles.is_empty() {
        return Err(Stranger::Roleless);
    }
    let claimed = |claim: &str| {
        texts(find(claims, claim))
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let zones = config.zones.zones(&groups, claimed);
    if matches!(&zones, Zones::Some(zones) if zones.is_empty()) {
        return Err(Stranger::Zoneless);
    }
    let sub = text(claims, "sub").unwrap_or_default();
    let claimed = |claim: &str| find(claims, claim).and_then(Value::as_str);
    let name = claimed(&config.name_claim).unwrap_or(sub);
    if !is_name(name) {
        return Err(Stranger::Nameless);
    }
    let full_name = claimed(&config.full_name_claim).unwrap_or(name);
    let full_name = full_name.chars().filter(|letter| !letter.is_control());
    let believed = config.trusts_second_factor && shows_second_factor(claims);
    Ok(Visitor {
        sub: sub.to_owned(),
        name: name.to_owned(),
        full_name: full_name.take(NAME_CHARS_MAX).collect(),
        roles,
        zones,
        second_factor_at: believed.then(|| seconds(claims, "auth_time").unwrap_or(LONG_AGO)),
    })
}

fn shows_second_factor(claims: &Claims) -> bool {
    let methods = texts(claims.get("amr"));
    methods
        .iter()
        .any(|method| SECOND_FACTOR_METHODS.contains(method))
        || text(claims, "acr").is_some_and(|context| SECOND_FACTOR_CONTEXTS.contains(&context))
}

#[cfg(test)]
mod tests;
