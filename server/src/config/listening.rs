//! `[tls]` and `[limits]`: certificates, and what bounds whoever comes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::listener::limits::Limits;
use crate::listener::tls::TlsFiles;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsSection {
    certificate: PathBuf,
    key: PathBuf,
    client_authority: Option<PathBuf>,
    client_revocations: Option<PathBuf>,
    #[serde(default)]
    agents_need_certificate: bool,
}

/// How connections are secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `certificate`, `key`, `client_authority` and `client_revocations`, as paths beside the configuration file.
    pub files: TlsFiles,
    /// `agents_need_certificate = true`: a token with the role agent or device is taken only on a connection whose client
    /// certificate has the token's subject as its name.
    pub agents_need_certificate: bool,
}

impl TlsSection {
    pub(super) fn read(self, beside: &Path) -> Result<Tls, String> {
        let files = TlsFiles {
            certificate: beside.join(self.certificate),
            key: beside.join(self.key),
            client_authority: self.client_authority.map(|path| beside.join(path)),
            client_revocations: self.client_revocations.map(|path| beside.join(path)),
        };
        if files.client_revocations.is_some() && files.client_authority.is_none() {
            let wrong = "client_revocations needs client_authority: name the file with the certificate of the authority whose list it is";
            return Err(wrong.to_owned());
        }
        if self.agents_need_certificate && files.client_authority.is_none() {
            let wrong = "agents_need_certificate needs client_authority: name the file with the certificate of the authority that made theirs";
            return Err(wrong.to_owned());
        }
        files.check().map_err(|error| error.to_string())?;
        Ok(Tls {
            files,
            agents_need_certificate: self.agents_need_certificate,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsSection {
    arrival_seconds: Option<u64>,
    body_seconds: Option<u64>,
    answer_seconds: Option<u64>,
    idle_seconds: Option<u64>,
    connections: Option<usize>,
    connections_per_address: Option<usize>,
}

/// Nobody waits for longer, and nothing counts further.
const SECONDS_MAX: u64 = 3600;
const CONNECTIONS_MAX: usize = 1_000_000;

impl LimitsSection {
    pub(super) fn read(&self) -> Result<Limits, String> {
        let standard = Limits::default();
        let seconds = |key: &str, value: Option<u64>, standard: Duration| match value {
            None => Ok(standard),
            Some(seconds) if (1..=SECONDS_MAX).contains(&seconds) => {
                Ok(Duration::from_secs(seconds))
            }
            Some(seconds) => Err(format!(
                "{key} = {seconds}: use a number from 1 to {SECONDS_MAX}"
            )),
        };
        let count = |key: &str, value: Option<usize>, standard: usize| match value {
            None => Ok(standard),
            Some(count) if (1..=CONNECTIONS_MAX).contains(&count) => Ok(count),
            Some(count) => Err(format!(
                "{key} = {count}: use a number from 1 to {CONNECTIONS_MAX}"
            )),
        };
        let connections = count("connections", self.connections, standard.connections)?;
        // A small server keeps a sixteenth, as a large one does, and an eighth of that for consoles.
        let reserved = standard.connections_reserved.min(connections / 16);
        Ok(Limits {
            arrival: seconds("arrival_seconds", self.arrival_seconds, standard.arrival)?,
            body: seconds("body_seconds", self.body_seconds, standard.body)?,
            answer: seconds("answer_seconds", self.answer_seconds, standard.answer)?,
            idle: seconds("idle_seconds", self.idle_seconds, standard.idle)?,
            connections,
            connections_per_address: count(
                "connections_per_address",
                self.connections_per_address,
                standard.connections_per_address,
            )?,
            connections_reserved: reserved,
            connections_of_consoles: reserved.div_ceil(8),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> Result<Limits, String> {
        toml::from_str::<LimitsSection>(text).unwrap().read()
    }

    #[test]
    fn limits_have_defaults_and_ends() {
        assert_eq!(limits(""), Ok(Limits::default()));
        let changed = limits("arrival_seconds = 1\nconnections = 32").unwrap();
        assert_eq!(changed.arrival, Duration::from_secs(1));
        assert_eq!((changed.connections, changed.connections_reserved), (32, 2));
        assert_eq!(changed.connections_of_consoles, 1);
        for wrong in [
            "arrival_seconds = 0",
            "body_seconds = 3601",
            "answer_seconds = 0",
            "connections = 0",
        ] {
            let key = wrong.split(' ').next().unwrap();
            assert!(limits(wrong).unwrap_err().contains(key), "{wrong}");
        }
    }

    #[test]
    fn what_is_asked_of_clients_needs_their_authority() {
        for key in [
            "agents_need_certificate = true",
            "client_revocations = \"l\"",
        ] {
            let text = format!("certificate = \"c\"\nkey = \"k\"\n{key}");
            let section: TlsSection = toml::from_str(&text).unwrap();
            let wrong = section.read(Path::new("/")).unwrap_err();
            assert!(wrong.contains(" needs client_authority: "), "{wrong}");
        }
    }
}
