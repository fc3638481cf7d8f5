//! The server's configuration: one TOML file, secrets from the environment, checked whole before anything starts.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::FixedOffset;
use contract::{AgentId, Text, ZoneId};
use serde::Deserialize;
use sockjs::Origins;
use sqlx::postgres::PgConnectOptions;

mod provider;

#[cfg(test)]
pub(crate) use provider::tests::provider as provider_for_tests;
pub use provider::{ClientSecret, ProviderConfig, SigningAlgorithm, ZoneRule};
pub(crate) use provider::{RETURN_PATH, is_loopback, secure_url};

use crate::identity::access::Access;
use crate::site::Zone;

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
    #[serde(default)]
    zone: Vec<ZoneSection>,
    #[serde(default)]
    inventory: InventorySection,
    access: Option<AccessSection>,
    provider: Option<provider::ProviderSection>,
    #[serde(default)]
    pages: PagesSection,
}

macro_rules! listen_section {
    ($name:ident, $default:literal) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            listen: SocketAddr,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    listen: $default.parse().expect("the default is an address"),
                }
            }
        }
    };
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpSection {
    #[serde(default = "default_http")]
    listen: SocketAddr,
    secure_cookies: Option<bool>,
    #[serde(default)]
    proxies: Vec<IpAddr>,
    #[serde(default)]
    origins: Vec<String>,
}

fn default_http() -> SocketAddr {
    "127.0.0.1:8080".parse().expect("the default is an address")
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            listen: default_http(),
            secure_cookies: None,
            proxies: Vec::new(),
            origins: Vec::new(),
        }
    }
}

listen_section!(StompSection, "127.0.0.1:61613");
listen_section!(MetricsSection, "127.0.0.1:9464");

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
    /// Where pages, API and WebSocket are served.
    pub http: SocketAddr,
    /// Whether cookies are for HTTPS only: by default wherever pages are not served on loopback. Behind a proxy that ends
    /// TLS, say `secure_cookies = true`.
    pub secure_cookies: bool,
    /// Reverse proxies in front of pages and WebSocket, as in `proxies = ["10.0.0.1"]`: everybody behind one seems to come
    /// from there, so the bounds on sessions of one address do not count for them. SockJS believes their
    /// `X-Forwarded-For`.
    pub proxies: Vec<IpAddr>,
    /// Pages of which other origins may connect by WebSocket and SockJS, as in `origins = ["https://kiosk.example"]`. Those
    /// of the server itself always may; `["*"]` lets all in.
    pub origins: Origins,
    /// Where STOMP over TCP is served.
    pub stomp: SocketAddr,
    /// Where metrics are served.
    pub metrics: SocketAddr,
    /// The zones, in the order in which they are shown.
    pub zones: Vec<Zone>,
    /// Agents whose announced devices count as approved.
    pub approved_agents: HashSet<AgentId>,
    /// Who must exist.
    pub access: Access,
    /// Who else may say who somebody is: `[provider]`.
    pub provider: Option<ProviderConfig>,
    /// The time zone of pages, in seconds east of UTC.
    pub utc_offset_seconds: i32,
    /// An external database; none means the private cluster.
    pub database_url: Option<String>,
}

impl Config {
    /// Reads a configuration file, the access file that it names, and the environment.
    ///
    /// # Errors
    /// [`ConfigError`] with one sentence for a person.
    pub fn load(
        path: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::read(path, source))?;
        let file: File =
            toml::from_str(&text).map_err(|error| ConfigError::parse(path, &text, &error))?;
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
        let origins = origins(file.http.origins)
            .map_err(|wrong| ConfigError::invalid(path, "http.origins", &wrong))?;
        let database_url = environment("DATABASE_URL").filter(|url| !url.is_empty());
        if let Some(Err(error)) = database_url.as_deref().map(PgConnectOptions::from_str) {
            return Err(ConfigError(format!(
                "DATABASE_URL is not the address of a Postgres database ({error}): use postgres://user:password@host/database, or unset it for a private cluster"
            )));
        }
        let zones: Vec<&ZoneId> = file.zone.iter().map(|zone| &zone.id).collect();
        let provider = file
            .provider
            .map(|section| section.check(path, &zones, environment))
            .transpose()?;
        let access = match file.access {
            Some(section) => Access::load(&beside.join(section.file), &zones, environment)?,
            None => Access::default(),
        };
        Ok(Self {
            data: beside.join(file.data),
            http: file.http.listen,
            secure_cookies: file
                .http
                .secure_cookies
                .unwrap_or(!file.http.listen.ip().is_loopback()),
            proxies: file.http.proxies,
            origins,
            stomp: file.stomp.listen,
            metrics: file.metrics.listen,
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
            provider,
            utc_offset_seconds: offset,
            database_url,
        })
    }
}

/// Origins are compared as text, so they must be written as browsers write them (RFC 6454, 6.2).
fn origins(listed: Vec<String>) -> Result<Origins, String> {
    if listed == ["*"] {
        return Ok(Origins::Any);
    }
    for origin in &listed {
        let serialized = url::Url::parse(origin).map(|url| url.origin().ascii_serialization());
        if serialized.as_ref() != Ok(origin) {
            let better = serialized.ok().filter(|origin| origin != "null");
            let example = better.unwrap_or_else(|| "https://kiosk.example".to_owned());
            return Err(format!(
                "{origin:?} is no origin: write it like {example:?}"
            ));
        }
    }
    Ok(Origins::Listed(listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, access: &str) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(directory.path().join("access.toml"), access).unwrap();
        let environment = |name: &str| (name == "PASSWORD").then(|| "secret".to_owned());
        Config::load(&path, &environment).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(text: &str, access: &str, words: &[&str]) {
        let error = load(text, access).expect_err("the file is broken");
        for word in words {
            assert!(error.contains(word), "{word:?} is missing in: {error}");
        }
        assert!(!error.contains('\n'), "one sentence: {error}");
    }

    #[test]
    fn a_small_file_is_enough() {
        let config = load("data = \"data\"", "").unwrap();
        assert!(config.data.ends_with("data") && config.data.is_absolute());
        assert_eq!(config.http.to_string(), "127.0.0.1:8080");
        assert_eq!(config.database_url, None);
        assert!(config.proxies.is_empty());
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        let origins = |list: &str| {
            let text = format!("data = \"d\"\n[http]\norigins = [{list}]");
            load(&text, "").map(|config| config.origins)
        };
        let listed = |origin: &str| Ok(Origins::Listed(vec![origin.to_owned()]));
        assert_eq!(origins(""), Ok(Origins::SAME));
        assert_eq!(origins("\"*\""), Ok(Origins::Any));
        assert_eq!(
            origins("\"https://a.example\""),
            listed("https://a.example")
        );
        assert_eq!(
            origins("\"http://a.example:81\""),
            listed("http://a.example:81")
        );
        for (wrong, better) in [
            ("https://a.example/", "https://a.example"),
            ("https://A.example", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("a.example", "https://kiosk.example"),
            ("null", "https://kiosk.example"),
        ] {
            let message = origins(&format!("\"{wrong}\"")).unwrap_err();
            assert!(message.contains("http.origins"), "{message}");
            assert!(
                message.ends_with(&format!("write it like \"{better}\"")),
                "{message}"
            );
        }
    }

    #[test]
    fn proxies_are_named_by_their_addresses() {
        let config = load(
            "data = \"d\"\n[http]\nproxies = [\"10.0.0.1\", \"::1\"]",
            "",
        );
        let expected: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(config.unwrap().proxies, expected);
        check(
            "data = \"d\"\n[http]\nproxies = [\"10.0.0.0/8\"]",
            "",
            &["server.toml", "proxies"],
        );
    }

    #[test]
    fn each_mistake_is_named() {
        check("", "", &["server.toml", "data"]);
        check("data = \"d\"\nport = 1", "", &["server.toml", "port"]);
        check(
            "data = \"d\"\n[http]\nlisten = \"8080\"",
            "",
            &["server.toml", "listen"],
        );
        check(
            "data = \"d\"\n[[zone]]\nid = \"P 1\"\nname = {ko=\"a\",en=\"b\"}",
            "",
            &["server.toml", "zone id", "a-z"],
        );
        let zone = "[[zone]]\nid = \"p1\"\nname = {ko=\"a\",en=\"b\"}\n";
        check(
            &format!("data = \"d\"\n{zone}{zone}"),
            "",
            &["server.toml", "p1", "twice"],
        );
        check(
            "data = \"d\"\n[pages]\nutc_offset_minutes = 71582788",
            "",
            &["utc_offset_minutes"],
        );
        check(
            "data = \"d\"\n[access]\nfile = \"missing.toml\"",
            "",
            &["missing.toml"],
        );
    }

    #[test]
    fn the_access_file_is_checked_too() {
        let server = "data = \"d\"\n[access]\nfile = \"access.toml\"";
        let user = |role: &str, zones: &str, variable: &str| {
            format!(
                "[[user]]\nname=\"kim\"\nfull_name=\"Kim\"\nrole=\"{role}\"\nzones=[\"{zones}\"]\npassword_env=\"{variable}\""
            )
        };
        assert!(load(server, &user("operator", "*", "PASSWORD")).is_ok());
        check(
            server,
            &user("operator", "*", "NOT_SET"),
            &["access.toml", "kim", "NOT_SET"],
        );
        check(
            server,
            &user("agent", "*", "PASSWORD"),
            &["access.toml", "kim", "agent"],
        );
        check(
            server,
            &user("boss", "*", "PASSWORD"),
            &["access.toml", "boss"],
        );
        check(
            server,
            &user("operator", "P 1", "PASSWORD"),
            &["access.toml", "kim", "P 1"],
        );
        check(
            server,
            &user("operator", "p9", "PASSWORD"),
            &["access.toml", "kim", "p9", "no zone"],
        );
    }
}
