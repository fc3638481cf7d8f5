//! `[server]`: where the server is, and how the way there is secured.
//!
//! The secret and tokens go by TLS, or stay on this machine, or the configuration says in words that they may be read.

use std::path::{Path, PathBuf};

use network::WITHOUT_TLS;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use url::{Host, Url};

use crate::tls::{OwnCertificate, TlsFiles};

/// The section as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerSection {
    /// `https://host:port`, or `http://` on this machine.
    url: String,
    /// The certificate of the authority that made the server's, as PEM. Default: the authorities of this machine.
    authority: Option<PathBuf>,
    /// The agent's certificate and those between it and its authority, as PEM, for a server that asks for one.
    certificate: Option<PathBuf>,
    /// The certificate's key, as PEM, not encrypted.
    key: Option<PathBuf>,
    /// The sentence [`WITHOUT_TLS`], for `http://` beyond this machine.
    without_tls: Option<String>,
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
    /// What TLS needs; `None`: the way there is not secured.
    pub tls: Option<TlsFiles>,
}

impl ServerSection {
    /// Reads the files as well, as it is done for each connection.
    pub(super) fn read(self, beside: &Path) -> Result<ServerAddress, String> {
        let base = base_url(&self.url)?;
        let host = base.host().expect("looked at by base_url");
        let tls = if base.scheme() == "https" {
            Some(self.tls_files(beside)?)
        } else {
            self.may_be_plain(&host)?;
            None
        };
        if let Some(tls) = &tls {
            tls.check().map_err(|error| error.to_string())?;
        }
        let host = host.to_string();
        let mut stomp_url = base.clone();
        stomp_url
            .set_scheme(if tls.is_some() { "wss" } else { "ws" })
            .expect("http, https, ws and wss are all special schemes");
        stomp_url.set_path("/ws");
        let mut token_url = base;
        token_url.set_path("/oauth/token");
        Ok(ServerAddress {
            token_url,
            stomp_url,
            host,
            tls,
        })
    }

    fn tls_files(&self, beside: &Path) -> Result<TlsFiles, String> {
        self.check_sentence()?;
        let own = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(OwnCertificate {
                certificate: beside.join(certificate),
                key: beside.join(key),
            }),
            (None, None) => None,
            (Some(_), None) => return Err(half("certificate", "key")),
            (None, Some(_)) => return Err(half("key", "certificate")),
        };
        Ok(TlsFiles {
            authority: self.authority.as_ref().map(|path| beside.join(path)),
            own,
        })
    }

    fn may_be_plain(&self, host: &Host<&str>) -> Result<(), String> {
        for (name, file) in [
            ("authority", &self.authority),
            ("certificate", &self.certificate),
            ("key", &self.key),
        ] {
            if file.is_some() {
                return Err(format!(
                    "server.{name} is for TLS, and server.url \"{}\" has none: write it with https, or take the key out",
                    self.url
                ));
            }
        }
        self.check_sentence()?;
        if self.without_tls.is_some() || is_this_machine(host) {
            return Ok(());
        }
        Err(format!(
            "server.url \"{}\" leads to another machine, and the secret and tokens would cross the network unencrypted: \
             write it with https; if this network needs no TLS, say server.without_tls = {WITHOUT_TLS:?}",
            self.url
        ))
    }

    fn check_sentence(&self) -> Result<(), String> {
        match self.without_tls.as_deref() {
            None | Some(WITHOUT_TLS) => Ok(()),
            Some(other) => Err(format!(
                "server.without_tls = {other:?} is not the sentence {WITHOUT_TLS:?}: write exactly that, or take the key out"
            )),
        }
    }
}

fn half(is: &str, misses: &str) -> String {
    format!(
        "server.{is} needs server.{misses}: name both files of the agent's certificate, or neither"
    )
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.to_canonical().is_loopback(),
    }
}

/// The server's base URL, for example `http://127.0.0.1:8080`.
fn base_url(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| {
        format!(
            "server.url \"{text}\" {why}: write it as \"https://host:port\", with nothing after the port"
        )
    };
    let base = Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error})")))?;
    if !matches!(base.scheme(), "http" | "https") {
        return Err(wrong("is neither https nor http"));
    }
    if base.path() != "/" || base.query().is_some() || base.fragment().is_some() {
        return Err(wrong("has a path"));
    }
    if !base.username().is_empty() || base.password().is_some() {
        // Not quoted: it is a secret.
        return Err(
            "server.url has a login in it, which belongs in the environment: write it as \"https://host:port\""
                .to_owned(),
        );
    }
    match base.host() {
        None => Err(wrong("has no host")),
        Some(Host::Domain(name)) if ServerName::try_from(name).is_err() => {
            Err(wrong("has a host that is no name"))
        }
        Some(_) => Ok(base),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &str) -> Result<ServerAddress, String> {
        let section: ServerSection = toml::from_str(section).unwrap();
        section.read(Path::new("/nowhere"))
    }

    #[track_caller]
    fn check(section: &str, expected: Result<&str, &str>) {
        match (read(section), expected) {
            (Ok(address), Ok(url)) => assert_eq!(address.stomp_url.as_str(), url),
            (Err(error), Err(word)) => {
                assert!(error.contains(word) && !error.contains('\n'), "{error}");
            }
            (got, _) => panic!("{section}: {got:?}"),
        }
    }

    fn url(url: &str) -> String {
        format!("url = \"{url}\"\n")
    }

    #[test]
    fn the_secret_leaves_this_machine_by_tls_or_by_a_sentence() {
        for here in [
            "127.0.0.1:8080",
            "127.8.8.8:1",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(read(&url(&format!("http://{here}"))).is_ok(), "{here}");
        }
        check(&url("http://localhost:8080"), Ok("ws://localhost:8080/ws"));
        for there in [
            "10.0.0.1:8080",
            "[fe80::1]:8080",
            "landside.example",
            "localhost.example",
        ] {
            let there = url(&format!("http://{there}"));
            check(&there, Err(WITHOUT_TLS));
            check(&there, Err("https"));
            check(
                &format!("{there}without_tls = \"yes\""),
                Err("exactly that"),
            );
            assert!(read(&format!("{there}without_tls = \"{WITHOUT_TLS}\"")).is_ok());
        }
        let here = url("http://localhost");
        check(&format!("{here}without_tls = \"\""), Err("exactly that"));
    }

    #[test]
    fn one_url_gives_all_addresses() {
        let address = read(&url("http://127.0.0.1:8080")).unwrap();
        assert_eq!(
            address.token_url.as_str(),
            "http://127.0.0.1:8080/oauth/token"
        );
        assert_eq!(address.stomp_url.as_str(), "ws://127.0.0.1:8080/ws");
        assert_eq!((address.host.as_str(), address.tls), ("127.0.0.1", None));
        for (wrong, word) in [
            ("https://a/x", "has a path"),
            ("https://a/?x", "has a path"),
            ("wss://a", "neither"),
            ("a:1", "neither"),
            ("", "no URL"),
            ("https://a..b", "no name"),
            ("https://kim:secret@a", "login"),
        ] {
            check(&url(wrong), Err(word));
        }
        assert!(
            !read(&url("https://kim:secret@a"))
                .unwrap_err()
                .contains("secret")
        );
    }

    #[test]
    fn the_files_are_for_tls_and_whole() {
        for key in ["authority", "certificate", "key"] {
            let section = format!("{}{key} = \"a.pem\"", url("http://localhost"));
            check(&section, Err("is for TLS"));
        }
        let tls = url("https://landside.example");
        check(
            &format!("{tls}key = \"key.pem\""),
            Err("needs server.certificate"),
        );
        check(
            &format!("{tls}certificate = \"c.pem\""),
            Err("needs server.key"),
        );
        check(
            &format!("{tls}authority = \"ca.pem\""),
            Err("/nowhere/ca.pem"),
        );
        check(&format!("{tls}without_tls = \"no\""), Err("exactly that"));
    }
}
