//! Who asks: the address behind trusted proxies, and what a session is bound to.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use network::{is_listed, parts_of};

use crate::config::Config;

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
        let proxies = &config.trusted_proxies;
        let address = network::client(connection.ip(), &parts.headers, proxies).address;
        let is_known = via.is_some() && !is_listed(address, proxies);
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

/// The value of the first cookie of this name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    parts_of(headers, header::COOKIE, b';')
        .filter_map(|pair| pair.strip_prefix(name.as_bytes()))
        .find_map(|rest| rest.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_are_found_by_their_name() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; JSESSIONID=x=y"),
        );
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        assert_eq!(cookie(&headers, "JSESSIONID"), Some(&b"x=y"[..]));
        assert_eq!(cookie(&headers, "b"), Some(&b"2"[..]));
        headers.insert(
            header::COOKIE,
            HeaderValue::from_bytes(b"a=\xff; b=3").unwrap(),
        );
        assert_eq!(cookie(&headers, "b"), Some(&b"3"[..]));
        assert_eq!(cookie(&headers, "SESSIONID"), None);
    }
}
