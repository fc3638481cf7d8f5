//! Where a connection comes from: the network that it counts for, and who stands behind a trusted proxy. Pure.
//!
//! Whoever bounds something by address (HTTP, the broker, SockJS) asks here, so that one client counts as one everywhere.
//! Of what a proxy adds to a request, only what a trusted one wrote is believed: anybody may have written the rest.
//!
//! What a configuration must say of a network that is not secured is here as well, for whoever listens or connects.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

/// What must be written, as `without_tls`, in the configuration of a server or an agent whose passwords and tokens shall cross
/// a network without TLS.
pub const WITHOUT_TLS: &str = "passwords and tokens may be read on this network";

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 one, since a single machine has all of that.
pub fn network(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !(u64::MAX as u128);
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Whether this address is one of these, however it is written.
pub fn is_listed(address: IpAddr, listed: &[IpAddr]) -> bool {
    listed
        .iter()
        .any(|known| known.to_canonical() == address.to_canonical())
}

/// Somebody of whom a trusted proxy says nothing that can be read: nobody in particular, and never the proxy itself, which
/// may be this machine.
pub const UNKNOWN: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The client of one request, as far as trusted proxies tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The last address of `X-Forwarded-For` that no trusted proxy has, or the connection's; [`UNKNOWN`] where a proxy wrote
    /// something else there.
    pub address: IpAddr,
    /// A trusted proxy says that the client came to it by HTTPS.
    pub is_secured: bool,
}

/// Who asks, on a connection from this address, when these proxies are trusted.
pub fn client(connection: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> Client {
    let mut address = connection;
    let mut hops = 0;
    let told: Vec<_> = parts_of(headers, FORWARDED_FOR, b',').collect();
    for before in told.into_iter().rev() {
        if !is_listed(address, proxies) {
            break;
        }
        let parsed = str::from_utf8(before).ok().and_then(address_of);
        address = parsed.unwrap_or(UNKNOWN);
        hops += 1;
    }
    Client {
        address: address.to_canonical(),
        is_secured: is_listed(connection, proxies) && is_https(headers, hops),
    }
}

/// How the client came to the proxy nearest to it. Proxies add their word or replace those before them, so there are at
/// most as many trusted ones as there are hops, counted from the end.
fn is_https(headers: &HeaderMap, hops: usize) -> bool {
    let told: Vec<_> = parts_of(headers, FORWARDED_PROTO, b',').collect();
    let of_client = told.len().saturating_sub(hops.max(1));
    told.get(of_client)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"))
}

/// Some proxies write the port as well, and some brackets without one. The address that stands for [`UNKNOWN`] is no client's.
fn address_of(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip()).ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let bracketed = || bracketed().map(|address: Ipv6Addr| IpAddr::V6(address));
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

/// What all headers of this name list. As bytes: one part that is no text shall not hide the others.
pub fn parts_of(
    headers: &HeaderMap,
    name: HeaderName,
    separator: u8,
) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(move |value| value.as_bytes().split(move |byte| *byte == separator))
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn asked(connection: &str, told: &[&str], schemes: &[&str], proxies: &[&str]) -> Client {
        let mut headers = HeaderMap::new();
        for (name, values) in [(FORWARDED_FOR, told), (FORWARDED_PROTO, schemes)] {
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(&name, value);
            }
        }
        let proxies: Vec<_> = proxies.iter().map(|text| address(text)).collect();
        client(address(connection), &headers, &proxies)
    }

    #[track_caller]
    fn check(connection: &str, told: &[&str], proxies: &[&str], expected: &str) {
        let found = asked(connection, told, &[], proxies);
        assert_eq!(found.address, address(expected), "{connection} {told:?}");
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
        check("10.0.0.1", &["ÿ, 1.2.3.4"], &["10.0.0.1"], "1.2.3.4");
        check("::ffff:10.0.0.1", &["1.2.3.4"], &["10.0.0.1"], "1.2.3.4");
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (written, expected) in [
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:5678", "2001:db8::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            // Whoever it is: not the proxy, and not whoever the client says it is.
            ("nonsense", "::"),
            ("unknown", "::"),
            ("[1.2.3.4]", "::"),
            ("", "::"),
            ("6.6.6.6, [2001:db8::1", "::"),
        ] {
            check("127.0.0.1", &[written], &["127.0.0.1"], expected);
            check("10.0.0.9", &[written], &["127.0.0.1"], "10.0.0.9");
        }
    }

    #[track_caller]
    fn check_scheme(connection: &str, told: &[&str], schemes: &[&str], expected: bool) {
        let found = asked(connection, told, schemes, &["10.0.0.1", "10.0.0.2"]);
        assert_eq!(
            found.is_secured, expected,
            "{connection} {told:?} {schemes:?}"
        );
    }

    #[test]
    fn a_trusted_proxy_says_that_its_client_came_by_https() {
        check_scheme("10.0.0.1", &["1.2.3.4"], &["https"], true);
        check_scheme("10.0.0.1", &[], &["HTTPS"], true);
        check_scheme("10.0.0.1", &["1.2.3.4"], &["http"], false);
        check_scheme("10.0.0.1", &["1.2.3.4"], &[], false);
        check_scheme("10.0.0.9", &["1.2.3.4"], &["https"], false);
        // A client wrote the first of them.
        check_scheme("10.0.0.1", &["1.2.3.4"], &["https", "http"], false);
        check_scheme("10.0.0.1", &["1.2.3.4"], &["https, http"], false);
        // Two proxies, and the client came to the outer one by HTTPS.
        let two = ["1.2.3.4, 10.0.0.2"];
        check_scheme("10.0.0.1", &two, &["https, http"], true);
        check_scheme("10.0.0.1", &two, &["http, https"], false);
        check_scheme("10.0.0.1", &two, &["https"], true);
        check_scheme("10.0.0.1", &two, &["https, http, https"], false);
    }

    #[test]
    fn whoever_has_an_ipv6_address_has_its_whole_network() {
        for (of, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(network(address(of)), address(expected));
        }
    }
}
