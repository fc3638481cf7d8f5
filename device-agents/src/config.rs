//! The agent's own configuration file, and how every file that people write is read.
//!
//! A file that is wrong gets one sentence that names it, the place and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use contract::AgentId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

/// The environment variable that holds the client secret: secrets do not stand in files that are shown around.
pub const SECRET_VARIABLE: &str = "LANDSIDE_AGENT_SECRET";

/// One thing wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    what: String,
}

impl ConfigError {
    pub(crate) fn new(path: &Path, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for ConfigError {}

pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(path, format!("cannot be read: {error}")))
}

/// Reads TOML; the message of an error names the line.
pub(crate) fn parse_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().replace('\n', " ");
        let line = error
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let what = match line {
            Some(line) => format!("line {line}: {message}"),
            None => message,
        };
        ConfigError::new(path, what)
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    id: AgentId,
    data: PathBuf,
    site: PathBuf,
    profiles: PathBuf,
    server: RawServer,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    url: String,
}

/// What an agent needs to know before it starts. Paths are resolved against the configuration file's directory.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Who it is; also its client id for tokens.
    pub id: AgentId,
    /// Where its outbox and journal are.
    pub data: PathBuf,
    /// Its site file.
    pub site: PathBuf,
    /// Its profiles.
    pub profiles: PathBuf,
    /// Where the server is.
    pub server: ServerAddress,
}

/// The server's addresses, all derived from the one URL of the configuration.
#[derive(Debug, Clone)]
pub struct ServerAddress {
    /// Where tokens come from.
    pub token_url: Url,
    /// STOMP over WebSocket.
    pub stomp_url: Url,
    /// The `host` header of CONNECT.
    pub host: String,
}

impl ServerAddress {
    /// From the server's base URL, for example `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "server.url \"{text}\" {why}: write it as \"http://host:port\", with nothing after the port"
            )
        };
        let base = Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error})")))?;
        if base.scheme() != "http" {
            return Err(wrong("is not http, and this build has no TLS"));
        }
        if base.path() != "/" || base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("has a path"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("has a login in it, which belongs in the environment"));
        }
        let host = base
            .host_str()
            .ok_or_else(|| wrong("has no host"))?
            .to_owned();
        let mut stomp_url = base.clone();
        stomp_url
            .set_scheme("ws")
            .expect("http and ws are both special schemes");
        stomp_url.set_path("/ws");
        let mut token_url = base;
        token_url.set_path("/oauth/token");
        Ok(Self {
            token_url,
            stomp_url,
            host,
        })
    }
}

impl AgentConfig {
    /// Reads the configuration file.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let raw: RawConfig = parse_toml(path, &read_text(path)?)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let server =
            ServerAddress::parse(&raw.server.url).map_err(|what| ConfigError::new(path, what))?;
        Ok(Self {
            id: raw.id,
            data: base.join(raw.data),
            site: base.join(raw.site),
            profiles: base.join(raw.profiles),
            server,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<AgentConfig, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        AgentConfig::load(&path).map_err(|error| error.to_string())
    }

    const GOOD: &str = "id = \"agent-p1\"\ndata = \"/var/agent\"\nsite = \"site.toml\"\nprofiles = \"profiles\"\n[server]\nurl = \"http://127.0.0.1:8080\"\n";

    #[test]
    fn addresses_come_from_one_url_and_paths_from_the_file() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.data, Path::new("/var/agent"));
        assert!(config.site.ends_with("site.toml") && config.site.is_absolute());
        assert_eq!(
            config.server.token_url.as_str(),
            "http://127.0.0.1:8080/oauth/token"
        );
        assert_eq!(config.server.stomp_url.as_str(), "ws://127.0.0.1:8080/ws");
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_place() {
        for (from, to, expected) in [
            ("id = \"agent-p1\"", "id = \"Agent\"", "line 1"),
            ("[server]", "colour = 1\n[server]", "colour"),
            ("http://", "https://", "no TLS"),
            (":8080\"", ":8080/x\"", "has a path"),
            ("site = \"site.toml\"\n", "", "site"),
        ] {
            let error = load(&GOOD.replace(from, to)).unwrap_err();
            assert!(
                error.contains("agent.toml") && error.contains(expected) && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
