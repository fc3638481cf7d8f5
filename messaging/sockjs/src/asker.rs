//! Who asks: the address behind trusted proxies, and what a session is bound to.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

use crate::config::Config;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a session belongs to. Requests of another owner do not find it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    /// A keyed hash: the cookie itself lets people in, and is not kept.
    cookie: Option<u64>,
    address: Option<IpAddr>,
}

/// One request's sender.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// The connection that it came over, if the application tells it.
    pub(crate) via: Option<SocketAddr>,
    /// The client's address, with the connection's port.
    pub(crate) peer: SocketAddr,
    /// The address whose sessions are counted; `None`: nobody's.
    pub(crate) bounded_address: Option<IpAddr>,
    pub(crate) owner: Owner,
}

impl Asker {
    pub(crate) fn new(parts: &Parts, config: &Config, key: &RandomState) -> Self {
        let via = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0);
        let connection = via.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let address = client_address(connection.ip(), &parts.headers, &config.trusted_proxies);
        let is_known = via.is_some() && !is_trusted(address, &config.trusted_proxies);
        let cookie = config
            .owner_cookie
            .as_deref()
            .and_then(|name| cookie(&parts.headers, name))
            .map(|value| key.hash_one(value));
        Self {
            via,
            peer: SocketAddr::new(address, connection.port()),
            bounded_address: is_known.then_some(address),
            owner: Owner {
                cookie,
                address: config.bind_to_address.then_some(address),
            },
        }
    }
}

fn is_trusted(address: IpAddr, proxies: &[IpAddr]) -> bool {
    proxies
        .iter()
        .any(|proxy| proxy.to_canonical() == address.to_canonical())
}

/// The last address of `X-Forwarded-For` that no trusted proxy has: what stands before it, anybody may have written.
fn client_address(connection: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let mut address = connection;
    let told = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect::<Vec<_>>();
    for before in told.into_iter().rev() {
        if !is_trusted(address, proxies) {
            break;
        }
        let Some(parsed) = address_of(before.trim()) else {
            break;
        };
        address = parsed;
    }
    address.to_canonical()
}

/// Some proxies write the port as well.
fn address_of(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    text.parse().or_else(|_| with_port()).ok()
}

/// The value of the first cookie of this name.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(connection: &str, told: &[&str], proxies: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in told {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let proxies: Vec<_> = proxies.iter().map(|text| address(text)).collect();
        let found = client_address(address(connection), &headers, &proxies);
        assert_eq!(found, address(expected), "{connection} {told:?}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check("10.0.0.1", &[], &[], "10.0.0.1");
        check("10.0.0.9", &["1.2.3.4"], &["10.0.0.1"], "10.0.0.9");
        check("10.0.0.1", &["1.2.3.4"], &["10.0.0.1"], "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6, 1.2.3.4"], &["10.0.0.1"], "1.2.3.4");
        check(
            "10.0.0.1",
            &["6.6.6.6", "1.2.3.4, 10.0.0.2"],
            &["10.0.0.1", "10.0.0.2"],
            "1.2.3.4",
        );
        check("10.0.0.1", &["1.2.3.4:5678"], &["10.0.0.1"], "1.2.3.4");
        check("10.0.0.1", &["nonsense"], &["10.0.0.1"], "10.0.0.1");
        check("::ffff:10.0.0.1", &["1.2.3.4"], &["10.0.0.1"], "1.2.3.4");
    }

    #[test]
    fn cookies_are_found_by_their_name() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; JSESSIONID=x=y"),
        );
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        assert_eq!(cookie(&headers, "JSESSIONID"), Some("x=y"));
        assert_eq!(cookie(&headers, "b"), Some("2"));
        assert_eq!(cookie(&headers, "SESSIONID"), None);
    }
}
