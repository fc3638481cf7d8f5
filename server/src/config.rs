//! The server's configuration: one TOML file, secrets from the environment, checked whole before anything starts.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::FixedOffset;
use contract::{AgentId, Text, ZoneId};
use serde::Deserialize;
use sockjs::Origins;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::audit::settings::AuditSettings;
use crate::identity::access::Access;
use crate::identity::digest::of_text;
use crate::identity::files::{self, Files};
use crate::identity::policy::Policy;
use crate::listener::limits::Limits;
use crate::site::Zone;

mod audit;
mod http;
mod listening;
mod people;
mod provider;
mod tokens;

use audit::{AuditSection, PersonalSection};
pub use http::WITHOUT_TLS;
use http::{HttpSection, MetricsSection, StompSection, may_listen, origins, public_url};
pub use listening::Tls;
use listening::{LimitsSection, TlsSection};
pub use people::IdentityConfig;
use people::IdentitySection;
#[cfg(test)]
pub(crate) use provider::tests::provider as provider_for_tests;
pub use provider::{ClientSecret, ProviderConfig, SigningAlgorithm, ZoneRule};
pub(crate) use provider::{RETURN_PATH, is_loopback, secure_url};
use tokens::TokensSection;

/// What is wrong with a configuration: one sentence that names the file, the key and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn read(path: &Path, source: std::io::Error) -> Self {
        Self(format!(
            "cannot read {}: {source}; name an existing, readable file",
            path.display()
        ))
    }

    /// The line is what a person looks for; the error's own text would draw it over several.
    pub(crate) fn parse(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map_or_else(String::new, |span| {
            let before = text.get(..span.start).unwrap_or_default();
            let line = text
                .lines()
                .nth(before.matches('\n').count())
                .unwrap_or_default()
                .trim();
            format!(", line {} ({line})", before.matches('\n').count() + 1)
        });
        Self(format!(
            "{}{place}: {}",
            path.display(),
            error.message().replace('\n', "; ")
        ))
    }

    /// As a program leaves a file that empties it before it writes it, and then fails.
    pub(crate) fn empty(path: &Path) -> Self {
        Self(format!(
            "{}: it is empty, which would shut everybody out: write the new one beside it, then move it into its place",
            path.display()
        ))
    }

    pub(crate) fn invalid(path: &Path, key: &str, wrong: &str) -> Self {
        Self(format!("{}: {key}: {wrong}", path.display()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: PathBuf,
    #[serde(default)]
    http: HttpSection,
    #[serde(default)]
    stomp: StompSection,
    #[serde(default)]
    metrics: MetricsSection,
    tls: Option<TlsSection>,
    #[serde(default)]
    limits: LimitsSection,
    #[serde(default)]
    zone: Vec<ZoneSection>,
    #[serde(default)]
    inventory: InventorySection,
    access: Option<AccessSection>,
    policy: Option<PolicySection>,
    provider: Option<provider::ProviderSection>,
    #[serde(default)]
    pages: PagesSection,
    #[serde(default)]
    tokens: TokensSection,
    #[serde(default)]
    identity: IdentitySection,
    #[serde(default)]
    audit: AuditSection,
    #[serde(default)]
    personal: PersonalSection,
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::read(path, source))?;
        toml::from_str(&text).map_err(|error| ConfigError::parse(path, &text, &error))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneSection {
    id: ZoneId,
    name: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct InventorySection {
    #[serde(default)]
    approve: Vec<AgentId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessSection {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicySection {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PagesSection {
    utc_offset_minutes: i32,
}

impl Default for PagesSection {
    fn default() -> Self {
        Self {
            utc_offset_minutes: 9 * 60,
        } // Korea, the whole year.
    }
}

/// Everything the server is told.
#[derive(Debug)]
pub struct Config {
    /// Where its own files live.
    pub data: PathBuf,
    /// Where pages, API and WebSocket are served: by HTTPS where [`Self::tls`] is there. Beyond loopback without TLS only
    /// with `without_tls` and the sentence [`WITHOUT_TLS`].
    pub http: SocketAddr,
    /// What the server is called from outside, as in `public_url = "https://landside.example"`: the issuer of its tokens, where
    /// one-time links lead, where an identity provider sends people back, and whereto pages may connect. By default where it
    /// listens. Behind a proxy that ends TLS it must be said.
    pub public_url: Url,
    /// Whether cookies are for HTTPS only: by default if [`Self::public_url`] is one of HTTPS.
    pub secure_cookies: bool,
    /// Reverse proxies in front of pages and WebSocket, as in `proxies = ["10.0.0.1"]`: their `X-Forwarded-For` and
    /// `X-Forwarded-Proto` are believed, those of nobody else, and the bounds on connections of one address do not count
    /// for them.
    pub proxies: Vec<IpAddr>,
    /// Pages of which other origins may connect by WebSocket and SockJS, as in `origins = ["https://kiosk.example"]`. Those
    /// of the server itself always may; `["*"]` lets all in.
    pub origins: Origins,
    /// Where STOMP over TCP is served without TLS; beyond loopback as with [`Self::http`].
    pub stomp: SocketAddr,
    /// Whether programs that can send nothing but a login and a passcode in CONNECT may show their id and secret there:
    /// `[stomp] passcodes = true`. Over TLS or from this machine only.
    pub passcodes: bool,
    /// How long a token is good: `[tokens] life_seconds`, 600 by default, from 30 to 3,600. Short, so that what nobody knows
    /// to be stolen is soon worth nothing; whoever is connected gets the next one in time and notices nothing of it. Agents
    /// believe no shorter life than half a minute.
    pub token_life: Duration,
    /// How long a key signs tokens before the next one does: `[tokens] key_days`, 30 by default. Who copied a key in secret
    /// (a backup, a disk) can sign until then and no longer; rotating more often costs nothing, so that is a matter of taste.
    pub key_age: Duration,
    /// Where STOMP over TCP is served with TLS: `[stomp] listen_tls`, by custom at port 61614.
    pub stomp_tls: Option<SocketAddr>,
    /// Where metrics are served, by plain HTTP wherever that is: they are counts, and tell no secret, but also nothing that
    /// is for everybody.
    pub metrics: SocketAddr,
    /// `[tls]`: certificates; without, nothing is encrypted here.
    pub tls: Option<Tls>,
    /// `[limits]`: what bounds whoever comes, as `arrival_seconds`, `body_seconds`, `answer_seconds`,
    /// `idle_seconds`, `connections` and `connections_per_address`.
    pub limits: Limits,
    /// `[identity] consoles`: addresses of the control room, as in `consoles = ["10.0.0.5"]`. Some connections and sessions
    /// are kept for them and for this machine alone, which nobody else can use up.
    pub consoles: Vec<IpAddr>,
    /// The zones, in the order in which they are shown.
    pub zones: Vec<Zone>,
    /// Agents whose announced devices count as approved.
    pub approved_agents: HashSet<AgentId>,
    /// Who must exist.
    pub access: Access,
    /// Who may do what, from `[policy] file = "policy.toml"` (beside this file); without it the built-in policy. A changed
    /// policy or access file takes effect while the server runs.
    pub policy: Policy,
    pub(crate) files: Files,
    /// Who else may say who somebody is: `[provider]`.
    pub provider: Option<ProviderConfig>,
    /// The time zone of pages, in seconds east of UTC.
    pub utc_offset_seconds: i32,
    /// What is asked of people.
    pub identity: IdentityConfig,
    /// An external database; none means the private cluster.
    pub database_url: Option<String>,
    /// The login that owns the tables, from `LANDSIDE_DATABASE_OWNER_URL`; used for migrations only. None means that the
    /// login of `DATABASE_URL` does.
    pub database_owner_url: Option<String>,
    /// Where the heads of the audit go: `[audit] head` and `syslog`.
    pub audit: AuditSettings,
    /// For how many days number plates are kept: `[personal] number_plates_days`, 30 by default. Disputes about a parking
    /// fee come within a month; a longer time needs a reason of one's own.
    pub number_plates_days: u32,
}

impl Config {
    /// Reads a configuration file, the access file that it names, and the environment.
    ///
    /// # Errors
    /// [`ConfigError`] with one sentence for a person.
    pub fn load(
        path: &Path,
        environment: &(impl Fn(&str) -> Option<String> + Clone + Send + Sync + 'static),
    ) -> Result<Self, ConfigError> {
        let file = File::read(path)?;
        let has_tls = file.tls.is_some();
        Self::of(path, file, has_tls, environment)
    }

    /// The same for a command beside a server, which lets nobody in: neither the files that it names nor the secrets of
    /// others have to be there. What is wrong with them stands in the way of no emergency.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_for_command(
        path: &Path,
        environment: &(impl Fn(&str) -> Option<String> + Clone + Send + Sync + 'static),
    ) -> Result<Self, ConfigError> {
        let file = File::read(path)?;
        let has_tls = file.tls.is_some();
        let file = File {
            access: None,
            policy: None,
            provider: None,
            tls: None,
            ..file
        };
        Self::of(path, file, has_tls, environment)
    }

    fn of(
        path: &Path,
        file: File,
        has_tls: bool,
        environment: &(impl Fn(&str) -> Option<String> + Clone + Send + Sync + 'static),
    ) -> Result<Self, ConfigError> {
        let beside = path.parent().unwrap_or(Path::new("."));
        let mut seen = HashSet::new();
        if let Some(twice) = file.zone.iter().find(|zone| !seen.insert(&zone.id)) {
            return Err(ConfigError::invalid(
                path,
                "zone",
                &format!("{} is there twice", twice.id),
            ));
        }
        let offset = file.pages.utc_offset_minutes.checked_mul(60);
        let Some(offset) = offset.filter(|offset| FixedOffset::east_opt(*offset).is_some()) else {
            let wrong = "use minutes east of UTC, between -1439 and 1439";
            return Err(ConfigError::invalid(
                path,
                "pages.utc_offset_minutes",
                wrong,
            ));
        };
        let (http, stomp) = (file.http, file.stomp);
        let origins = origins(http.origins)
            .map_err(|wrong| ConfigError::invalid(path, "http.origins", &wrong))?;
        let database_url = database_url(environment, "DATABASE_URL")?;
        let database_owner_url = database_url_of_owner(environment, database_url.is_some())?;
        let data = beside.join(file.data);
        let audit = file
            .audit
            .read(beside, &data)
            .map_err(|wrong| ConfigError::invalid(path, "audit.syslog", &wrong))?;
        let number_plates_days = file
            .personal
            .days()
            .map_err(|wrong| ConfigError::invalid(path, "personal.number_plates_days", &wrong))?;
        let (token_life, key_age) = file
            .tokens
            .read()
            .map_err(|(key, wrong)| ConfigError::invalid(path, key, &wrong))?;
        let mut files = Files {
            policy: file.policy.map(|section| beside.join(section.file)),
            access: None,
            zones: file.zone.iter().map(|zone| zone.id.clone()).collect(),
            environment: Arc::new(environment.clone()),
        };
        let access = match file.access {
            Some(section) => {
                let path = beside.join(section.file);
                let text = read(&path)?;
                let zones: Vec<&ZoneId> = files.zones.iter().collect();
                let access = Access::read(&path, &text, &zones, environment)?;
                files.access = Some((path, of_text(&text)));
                access
            }
            None => Access::default(),
        };
        let policy = match &files.policy {
            Some(path) => Policy::read(path, &read(path)?)?,
            None => Policy::default(),
        };
        let tls = file.tls.map(|section| section.read(beside)).transpose();
        let tls = tls.map_err(|wrong| ConfigError::invalid(path, "tls", &wrong))?;
        may_listen(http.listen, has_tls, http.without_tls.as_deref())
            .map_err(|wrong| ConfigError::invalid(path, "http.listen", &wrong))?;
        may_listen(stomp.listen, false, stomp.without_tls.as_deref())
            .map_err(|wrong| ConfigError::invalid(path, "stomp.listen", &wrong))?;
        if stomp.listen_tls.is_some() && !has_tls {
            let wrong = "it needs `[tls]` with a certificate and its key";
            return Err(ConfigError::invalid(path, "stomp.listen_tls", wrong));
        }
        let public_url = public_url(http.public_url.as_deref(), http.listen, has_tls)
            .map_err(|wrong| ConfigError::invalid(path, "http.public_url", &wrong))?;
        let zones: Vec<&ZoneId> = files.zones.iter().collect();
        let provider = file
            .provider
            .map(|section| section.check(path, &zones, &public_url, environment))
            .transpose()?;
        let limits = file.limits.read();
        let limits = limits.map_err(|wrong| ConfigError::invalid(path, "limits", &wrong))?;
        Ok(Self {
            data,
            http: http.listen,
            secure_cookies: http
                .secure_cookies
                .unwrap_or(public_url.scheme() == "https"),
            public_url,
            proxies: http.proxies,
            origins,
            stomp: stomp.listen,
            stomp_tls: stomp.listen_tls,
            passcodes: stomp.passcodes,
            token_life,
            key_age,
            metrics: file.metrics.listen,
            tls,
            limits,
            consoles: file.identity.consoles.clone(),
            zones: file
                .zone
                .into_iter()
                .map(|zone| Zone {
                    id: zone.id,
                    name: zone.name,
                })
                .collect(),
            approved_agents: file.inventory.approve.into_iter().collect(),
            access,
            policy,
            files,
            provider,
            utc_offset_seconds: offset,
            identity: file.identity.into(),
            database_url,
            database_owner_url,
            audit,
            number_plates_days,
        })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let text = files::read(path).map_err(|source| ConfigError::read(path, source))?;
    files::not_empty(path, &text)?;
    Ok(text)
}

fn database_url(
    environment: &dyn Fn(&str) -> Option<String>,
    name: &str,
) -> Result<Option<String>, ConfigError> {
    let url = environment(name).filter(|url| !url.is_empty());
    if let Some(Err(error)) = url.as_deref().map(PgConnectOptions::from_str) {
        return Err(ConfigError(format!(
            "{name} is not the address of a Postgres database ({error}): use postgres://user:password@host/database, or unset it"
        )));
    }
    Ok(url)
}

fn database_url_of_owner(
    environment: &dyn Fn(&str) -> Option<String>,
    has_database: bool,
) -> Result<Option<String>, ConfigError> {
    const NAME: &str = "LANDSIDE_DATABASE_OWNER_URL";
    let url = database_url(environment, NAME)?;
    if url.is_some() && !has_database {
        return Err(ConfigError(format!(
            "{NAME} is set and DATABASE_URL is not: set both, or unset both for a private cluster"
        )));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
