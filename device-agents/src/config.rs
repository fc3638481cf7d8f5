//! The agent's own configuration file, and how every file that people write is read.
//!
//! A file that is wrong gets one sentence that names it, the place and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use contract::AgentId;
use serde::Deserialize;
use serde::de::DeserializeOwned;

mod server;

pub use server::ServerAddress;
use server::ServerSection;

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
    server: ServerSection,
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
    /// Where the server is, and how the way there is secured.
    pub server: ServerAddress,
}

impl AgentConfig {
    /// Reads the configuration file.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let raw: RawConfig = parse_toml(path, &read_text(path)?)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let server = raw
            .server
            .read(base)
            .map_err(|what| ConfigError::new(path, what))?;
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
    fn paths_are_beside_the_file() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.data, Path::new("/var/agent"));
        assert!(config.site.ends_with("site.toml") && config.site.is_absolute());
        assert_eq!(config.server.stomp_url.as_str(), "ws://127.0.0.1:8080/ws");
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_place() {
        for (from, to, expected) in [
            ("id = \"agent-p1\"", "id = \"Agent\"", "line 1"),
            ("[server]", "colour = 1\n[server]", "colour"),
            ("http://", "ftp://", "neither https nor http"),
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
