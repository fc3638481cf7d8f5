//! `[http]`, `[stomp]` and `[metrics]`: where the server listens, and what it is called from outside.

use std::net::{IpAddr, SocketAddr};

pub use network::WITHOUT_TLS;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use sockjs::Origins;
use url::Url;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpSection {
    #[serde(default = "http")]
    pub(super) listen: SocketAddr,
    pub(super) public_url: Option<String>,
    pub(super) secure_cookies: Option<bool>,
    #[serde(default, deserialize_with = "addresses")]
    pub(super) proxies: Vec<IpAddr>,
    #[serde(default)]
    pub(super) origins: Vec<String>,
    pub(super) without_tls: Option<String>,
}

/// Each is one address: who may be believed, or is at hand, is said one by one.
pub(super) fn addresses<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<IpAddr>, D::Error> {
    let words = Vec::<String>::deserialize(list)?;
    let address = |word: String| {
        word.parse().map_err(|_unparsed| {
            Error::custom(format!(
                "{word:?} is no address: write each address by itself, as in \"10.0.0.1\", no network and no name"
            ))
        })
    };
    words.into_iter().map(address).collect()
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            listen: http(),
            public_url: None,
            secure_cookies: None,
            proxies: Vec::new(),
            origins: Vec::new(),
            without_tls: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StompSection {
    #[serde(default = "stomp")]
    pub(super) listen: SocketAddr,
    pub(super) listen_tls: Option<SocketAddr>,
    pub(super) without_tls: Option<String>,
    #[serde(default)]
    pub(super) passcodes: bool,
}

impl Default for StompSection {
    fn default() -> Self {
        Self {
            listen: stomp(),
            listen_tls: None,
            without_tls: None,
            passcodes: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricsSection {
    pub(super) listen: SocketAddr,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self {
            listen: address("127.0.0.1:9464"),
        }
    }
}

fn http() -> SocketAddr {
    address("127.0.0.1:8080")
}

fn stomp() -> SocketAddr {
    address("127.0.0.1:61613")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("the default is an address")
}

/// Whether secrets may be told to this address, or the sentence that says what to do. `without_tls` is what the
/// configuration says of it.
pub(super) fn may_listen(
    listen: SocketAddr,
    is_secured: bool,
    without_tls: Option<&str>,
) -> Result<(), String> {
    match without_tls {
        Some(WITHOUT_TLS) => Ok(()),
        Some(other) => Err(format!(
            "without_tls = {other:?} is not the sentence {WITHOUT_TLS:?}: write exactly that, or take the key out"
        )),
        None if is_secured || listen.ip().to_canonical().is_loopback() => Ok(()),
        None => Err(format!(
            "{listen} is reached from other machines, and there passwords and tokens would cross the network unencrypted: \
             configure a certificate (`[tls]`, and `listen_tls` for STOMP), or listen on 127.0.0.1 behind a proxy that ends TLS; \
             if this network needs neither, say without_tls = {WITHOUT_TLS:?}"
        )),
    }
}

/// What the server is called from outside: the configured URL, or where it listens.
pub(super) fn public_url(
    configured: Option<&str>,
    listen: SocketAddr,
    has_tls: bool,
) -> Result<Url, String> {
    let Some(configured) = configured else {
        let scheme = if has_tls { "https" } else { "http" };
        let host = if listen.ip().is_unspecified() {
            format!("localhost:{}", listen.port())
        } else {
            listen.to_string()
        };
        let url = Url::parse(&format!("{scheme}://{host}"));
        return Ok(url.expect("a host and a port make a URL"));
    };
    let wrong = || {
        format!(
            "{configured:?} is not the URL of a site: write it like \"https://landside.example\""
        )
    };
    let url = Url::parse(configured).map_err(|error| format!("{} ({error})", wrong()))?;
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_bare {
        return Err(wrong());
    }
    Ok(url)
}

/// Origins are compared as text, so they must be written as browsers write them (RFC 6454, 6.2).
pub(super) fn origins(listed: Vec<String>) -> Result<Origins, String> {
    if listed == ["*"] {
        return Ok(Origins::Any);
    }
    for origin in &listed {
        let serialized = Url::parse(origin).map(|url| url.origin().ascii_serialization());
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

    #[track_caller]
    fn check_listen(
        listen: &str,
        is_secured: bool,
        sentence: Option<&str>,
        expected: Result<(), &str>,
    ) {
        match (
            may_listen(listen.parse().unwrap(), is_secured, sentence),
            expected,
        ) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(word)) => assert!(error.contains(word), "{error}"),
            (got, _) => panic!("{listen} {is_secured} {sentence:?}: {got:?}"),
        }
    }

    #[test]
    fn other_machines_are_listened_to_with_tls_or_by_a_sentence() {
        check_listen("127.0.0.1:1", false, None, Ok(()));
        check_listen("[::1]:1", false, None, Ok(()));
        check_listen("0.0.0.0:1", true, None, Ok(()));
        check_listen("0.0.0.0:1", false, Some(WITHOUT_TLS), Ok(()));
        for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            check_listen(open, false, None, Err(WITHOUT_TLS));
            check_listen(open, false, None, Err("certificate"));
            check_listen(open, false, None, Err("proxy"));
        }
        for other in [
            "yes",
            "",
            "Passwords and tokens may be read on this network",
        ] {
            check_listen("10.0.0.1:1", false, Some(other), Err(WITHOUT_TLS));
            check_listen("127.0.0.1:1", false, Some(other), Err("take the key out"));
        }
    }

    #[track_caller]
    fn check_url(
        configured: Option<&str>,
        listen: &str,
        has_tls: bool,
        expected: Result<&str, &str>,
    ) {
        let url = public_url(configured, listen.parse().unwrap(), has_tls);
        match (url, expected) {
            (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected),
            (Err(error), Err(word)) => assert!(error.contains(word), "{error}"),
            (got, _) => panic!("{configured:?}: {got:?}"),
        }
    }

    #[test]
    fn a_site_has_one_url() {
        check_url(None, "127.0.0.1:8080", false, Ok("http://127.0.0.1:8080/"));
        check_url(None, "10.0.0.1:443", true, Ok("https://10.0.0.1/"));
        check_url(None, "0.0.0.0:8443", true, Ok("https://localhost:8443/"));
        check_url(None, "[::1]:8080", false, Ok("http://[::1]:8080/"));
        let named = Some("https://landside.example");
        check_url(
            named,
            "127.0.0.1:8080",
            false,
            Ok("https://landside.example/"),
        );
        for wrong in [
            "landside.example",
            "ftp://landside.example",
            "https://landside.example/airport",
            "https://landside.example/?a",
            "https://kim@landside.example",
            "https://",
        ] {
            check_url(
                Some(wrong),
                "127.0.0.1:1",
                false,
                Err("https://landside.example"),
            );
        }
    }
}
