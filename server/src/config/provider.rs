//! `[provider]`: an external OpenID Connect provider, for people who sign in and for tokens that it gives out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use contract::{Role, Text, ZoneId};
use serde::Deserialize;
use url::{Host, Url};

use super::ConfigError;
use crate::identity::principal::Zones;

/// The path to which the provider sends people back; the provider must know `public_url` with it.
pub(crate) const RETURN_PATH: &str = "/sign-in/external/return";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderSection {
    issuer: String,
    client_id: String,
    client_secret_env: Option<String>,
    /// Where it was once said, to tell whoever still says it here.
    public_url: Option<String>,
    name: Text,
    #[serde(default = "default_scopes")]
    scopes: Vec<String>,
    #[serde(default = "default_algorithms")]
    algorithms: Vec<SigningAlgorithm>,
    audience: Option<String>,
    #[serde(default = "default_token_types")]
    token_types: Vec<String>,
    #[serde(default = "default_name_claim")]
    name_claim: String,
    #[serde(default = "default_full_name_claim")]
    full_name_claim: String,
    #[serde(default = "default_role_claim")]
    role_claim: String,
    roles: BTreeMap<String, Role>,
    zones_claim: Option<String>,
    zones: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    trusts_second_factor: bool,
    ca_file: Option<PathBuf>,
}

fn default_scopes() -> Vec<String> {
    ["openid", "profile"].map(str::to_owned).to_vec()
}

fn default_algorithms() -> Vec<SigningAlgorithm> {
    use SigningAlgorithm::{EdDsa, Es256, Rs256};
    vec![Rs256, Es256, EdDsa]
}

fn default_token_types() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

fn default_name_claim() -> String {
    "preferred_username".to_owned()
}

fn default_full_name_claim() -> String {
    "name".to_owned()
}

fn default_role_claim() -> String {
    "groups".to_owned()
}

/// How a provider may sign: with a key of its own only, never with a secret that is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SigningAlgorithm {
    /// RSA with PKCS #1 v1.5 and SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// What Landside shows the provider to prove that it is its client. Never printed.
#[derive(Clone)]
pub struct ClientSecret(pub(crate) String);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// From which claim zones come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneRule {
    /// The claim of this name lists zone ids, or `*`.
    Claim(String),
    /// Each value of the role claim brings these zones; the value `*` stands for everybody.
    Groups(BTreeMap<String, Zones>),
}

/// An external OpenID Connect provider.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its name of itself, letter by letter as in its metadata: `issuer = "https://id.example/realms/staff"`. Https, but on
    /// loopback.
    pub issuer: String,
    /// As whom Landside is registered there.
    pub client_id: String,
    /// The secret of that registration, from the variable that `client_secret_env` names; without one, Landside is a public
    /// client, which PKCE alone protects.
    pub client_secret: Option<ClientSecret>,
    /// Where the provider sends people back: `[http] public_url`, and behind it `/sign-in/external/return`.
    pub return_url: String,
    /// What the button on the sign-in page says, as in `name = { ko = "공항 계정", en = "Airport account" }`.
    pub name: Text,
    /// What is asked for at sign-in: `openid` always, by default `profile` too.
    pub scopes: Vec<String>,
    /// How it may sign. By default RS256, ES256 and EdDSA; a key is only ever used for the one that it is made for.
    pub algorithms: Vec<SigningAlgorithm>,
    /// Of access tokens: the audience that stands for this server's API. Without it, tokens of the provider are not accepted. It must
    /// not be `client_id`, which is the audience of ID tokens.
    pub audience: Option<String>,
    /// Which `typ` an access token may have: `at+jwt` (RFC 9068) by default; some providers write `JWT`.
    pub token_types: Vec<String>,
    /// The claim with the name under which somebody is known here, once and for all from the first sign-in on:
    /// `preferred_username` by default. Where it is missing, it is `sub`.
    pub name_claim: String,
    /// The claim with the name that others read: `name` by default.
    pub full_name_claim: String,
    /// The claim that `roles` maps: `groups` by default. A claim within a claim is written with a dot: `realm_access.roles`.
    pub role_claim: String,
    /// Values of `role_claim`, and the role that each brings, as in `[provider.roles]` `landside-operators = "operator"`. A person
    /// has the highest of theirs; `program` is for tokens only.
    pub roles: BTreeMap<String, Role>,
    /// `zones_claim = "landside_zones"`, or `[provider.zones]` with values of `role_claim` as in `landside-p1 = ["p1"]` and
    /// `"*" = ["*"]`.
    pub zones: ZoneRule,
    /// Whether the provider is believed when it says (by `amr` or `acr`) that a second factor was shown.
    pub trusts_second_factor: bool,
    /// Certificates (PEM) that sign the provider's, beside those of the system.
    pub ca_file: Option<PathBuf>,
}

impl ProviderSection {
    pub(super) fn check(
        self,
        path: &Path,
        known: &[&ZoneId],
        public_url: &Url,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<ProviderConfig, ConfigError> {
        let beside = path.parent().unwrap_or(Path::new("."));
        let return_url = return_url(public_url)
            .map_err(|wrong| ConfigError::invalid(path, "http.public_url", &wrong))?;
        self.checked(known, return_url, environment, beside)
            .map_err(|(key, wrong)| ConfigError::invalid(path, &format!("provider.{key}"), &wrong))
    }

    fn checked(
        self,
        known: &[&ZoneId],
        return_url: String,
        environment: &dyn Fn(&str) -> Option<String>,
        beside: &Path,
    ) -> Result<ProviderConfig, (&'static str, String)> {
        let issuer = secure_url(&self.issuer).map_err(|wrong| ("issuer", wrong))?;
        if issuer.query().is_some() || issuer.fragment().is_some() {
            return Err(("issuer", "an issuer has neither `?` nor `#`".to_owned()));
        }
        if self.public_url.is_some() {
            let moved =
                "what browsers call this server is said once: move it to `[http] public_url`";
            return Err(("public_url", moved.to_owned()));
        }
        if self.client_id.is_empty() {
            return Err((
                "client_id",
                "name the client, as the provider knows it".to_owned(),
            ));
        }
        let client_secret = self.client_secret_env.map(|variable| {
            let secret = environment(&variable).filter(|secret| !secret.is_empty());
            let missing = || {
                (
                    "client_secret_env",
                    format!("the environment variable {variable} is not set"),
                )
            };
            secret.map(ClientSecret).ok_or_else(missing)
        });
        if self.audience.as_ref() == Some(&self.client_id) {
            let wrong = "it is the client_id, and ID tokens would pass as access tokens: give the API an audience of its own at the provider";
            return Err(("audience", wrong.to_owned()));
        }
        if self.algorithms.is_empty() {
            return Err((
                "algorithms",
                "name at least one of RS256, ES256, EdDSA".to_owned(),
            ));
        }
        if self.audience.is_some() && self.token_types.is_empty() {
            return Err((
                "token_types",
                "name at least one, for example \"at+jwt\"".to_owned(),
            ));
        }
        let mut scopes = self.scopes;
        if !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".to_owned());
        }
        Ok(ProviderConfig {
            issuer: self.issuer,
            client_id: self.client_id,
            client_secret: client_secret.transpose()?,
            return_url,
            name: self.name,
            scopes,
            algorithms: self.algorithms,
            audience: self.audience,
            token_types: self.token_types,
            name_claim: self.name_claim,
            full_name_claim: self.full_name_claim,
            role_claim: self.role_claim,
            roles: checked_roles(self.roles).map_err(|wrong| ("roles", wrong))?,
            zones: zone_rule(self.zones_claim, self.zones, known)
                .map_err(|wrong| ("zones", wrong))?,
            trusts_second_factor: self.trusts_second_factor,
            ca_file: self.ca_file.map(|file| beside.join(file)),
        })
    }
}

fn checked_roles(roles: BTreeMap<String, Role>) -> Result<BTreeMap<String, Role>, String> {
    if roles.is_empty() {
        return Err("nobody could sign in: map at least one value of the role claim".to_owned());
    }
    let machine = roles.iter().find(|(_, role)| role.is_machine());
    if let Some((group, role)) = machine {
        return Err(format!(
            "{group} cannot bring the role {role}: agents and machines get their tokens from this server"
        ));
    }
    Ok(roles)
}

fn zone_rule(
    claim: Option<String>,
    groups: Option<BTreeMap<String, Vec<String>>>,
    known: &[&ZoneId],
) -> Result<ZoneRule, String> {
    let groups = match (claim, groups) {
        (Some(claim), None) => return Ok(ZoneRule::Claim(claim)),
        (None, Some(groups)) => groups,
        _ => return Err("say either `zones_claim` or `[provider.zones]`".to_owned()),
    };
    let zones = groups.into_iter().map(|(group, words)| {
        let zones = Zones::among(&words, known).map_err(|error| format!("{group}: {error}"))?;
        Ok((group, zones))
    });
    Ok(ZoneRule::Groups(zones.collect::<Result<_, String>>()?))
}

/// Whether a URL leads to this machine itself, where nobody listens in between.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Reads a URL over which secrets may go: https, or http to this machine.
pub(crate) fn secure_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("{text:?} is no URL ({error}): write it like \"https://id.example\"")
    })?;
    let allowed = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if !allowed || url.host().is_none() {
        return Err(format!(
            "{text:?} must begin with https:// (http:// is for loopback only)"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or password in it is not taken".to_owned());
    }
    Ok(url)
}

/// Where the provider sends people back.
fn return_url(public_url: &Url) -> Result<String, String> {
    let secure = secure_url(public_url.as_str())
        .map_err(|wrong| format!("`[provider]` sends people back there, and {wrong}"))?;
    Ok(secure.origin().ascii_serialization() + RETURN_PATH)
}

impl ZoneRule {
    /// The zones of somebody with these values of the role claim and of the zones claim.
    pub(crate) fn zones(&self, groups: &[&str], claimed: impl Fn(&str) -> Vec<String>) -> Zones {
        let words = match self {
            // What is no zone id, or none of this site, opens nothing.
            Self::Claim(claim) => claimed(claim)
                .into_iter()
                .filter(|word| word == Zones::ALL_WORD || word.parse::<ZoneId>().is_ok())
                .collect(),
            Self::Groups(zones) => {
                let brought = zones.iter().filter(|(group, _)| {
                    *group == Zones::ALL_WORD || groups.contains(&group.as_str())
                });
                brought
                    .flat_map(|(_, zones)| zones.to_words())
                    .collect::<Vec<_>>()
            }
        };
        Zones::from_words(&words).unwrap_or(Zones::Some(BTreeSet::new()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
