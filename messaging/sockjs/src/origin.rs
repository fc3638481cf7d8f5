//! From which pages the service may be used (RFC 6454). Pure.
//!
//! A browser names the page's origin wherever a script of another site could read an answer, and with every WebSocket;
//! programs name none and may come. Where old transports make a browser name none (scripts and frames), it is found in
//! what else the browser says.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};

/// Says where a request comes from, in today's browsers.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Origins whose pages may connect, besides the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All, `null` included. For services that are open to everybody, or ask everybody who they are by other means than
    /// cookies.
    Any,
    /// These, each as `https://example.org` or `http://example.org:8080`.
    Listed(Vec<String>),
}

impl Origins {
    /// The server's own pages only.
    pub const SAME: Self = Self::Listed(Vec::new());

    /// Whether a request to this URI with these headers may be answered.
    pub fn allow(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Self::Listed(listed) = self else {
            return true;
        };
        let text = |name| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap_or_default())
        };
        // HTTP/2 has it in the URI.
        let asked = uri.authority().map(Authority::as_str);
        let host = asked.or_else(|| text(header::HOST)).unwrap_or_default();
        let may = |origin: &str| {
            is_of_host(origin, host) || listed.iter().any(|may| may.eq_ignore_ascii_case(origin))
        };
        if let Some(origin) = text(header::ORIGIN) {
            return may(origin);
        }
        if let Some(site) = text(FETCH_SITE) {
            // Of the page itself, or typed by a person. Else the page's address decides.
            if matches!(site, "same-origin" | "none") {
                return true;
            }
            return text(header::REFERER).and_then(origin_of).is_some_and(may);
        }
        text(header::REFERER).is_none_or(|page| origin_of(page).is_some_and(may))
    }
}

/// Whether a page of this origin comes from the server that the request asks by the name of `host`. The scheme is not
/// compared: behind a proxy the server does not know its own.
fn is_of_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |name: &str| {
        name.strip_suffix(default)
            .unwrap_or(name)
            .to_ascii_lowercase()
    };
    !host.is_empty() && bare(authority) == bare(host)
}

/// The origin of a page's address.
fn origin_of(page: &str) -> Option<&str> {
    let authority = page.find("://")? + 3;
    let end = page[authority..]
        .find(['/', '?', '#'])
        .map_or(page.len(), |at| authority + at);
    Some(&page[..end])
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(origins: &Origins, headers: &[(HeaderName, &str)], expected: bool) {
        let mut map = HeaderMap::new();
        map.insert(header::HOST, HeaderValue::from_static("land.side:8080"));
        for (name, value) in headers {
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(
            origins.allow(&Uri::from_static("/"), &map),
            expected,
            "{origins:?} {headers:?}"
        );
    }

    #[test]
    fn pages_of_the_same_origin_and_programs_may_come() {
        let same = Origins::SAME;
        check(&same, &[], true);
        check(&same, &[(header::ORIGIN, "http://land.side:8080")], true);
        check(&same, &[(header::ORIGIN, "https://LAND.side:8080")], true);
        for other in [
            "http://land.side",
            "http://evil.example",
            "null",
            "",
            "land.side:8080",
            "file://land.side:8080",
        ] {
            check(&same, &[(header::ORIGIN, other)], false);
        }
    }

    #[test]
    fn listed_origins_may_come_as_well() {
        let listed = Origins::Listed(vec!["https://kiosk.example".to_owned()]);
        check(&listed, &[(header::ORIGIN, "https://kiosk.example")], true);
        check(&listed, &[(header::ORIGIN, "http://land.side:8080")], true);
        check(&listed, &[(header::ORIGIN, "http://kiosk.example")], false);
        check(
            &listed,
            &[(header::ORIGIN, "https://kiosk.example.evil.example")],
            false,
        );
        check(&Origins::Any, &[(header::ORIGIN, "null")], true);
    }

    #[test]
    fn scripts_and_frames_of_other_sites_are_known() {
        let same = Origins::SAME;
        let page = "http://evil.example/page?http://land.side:8080/";
        check(&same, &[(FETCH_SITE, "same-origin")], true);
        check(&same, &[(FETCH_SITE, "cross-site")], false);
        check(
            &same,
            &[(FETCH_SITE, "cross-site"), (header::REFERER, page)],
            false,
        );
        check(&same, &[(FETCH_SITE, "same-site")], false);
        check(&same, &[(header::REFERER, page)], false);
        check(
            &same,
            &[(header::REFERER, "http://land.side:8080/alarms")],
            true,
        );
        let listed = Origins::Listed(vec!["http://evil.example".to_owned()]);
        check(
            &listed,
            &[(FETCH_SITE, "cross-site"), (header::REFERER, page)],
            true,
        );
    }

    #[test]
    fn the_host_may_stand_in_the_uri() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ORIGIN,
            HeaderValue::from_static("https://land.side"),
        );
        let uri = |text| Uri::from_static(text);
        assert!(Origins::SAME.allow(&uri("https://land.side/echo"), &headers));
        assert!(!Origins::SAME.allow(&uri("https://other.side/echo"), &headers));
        assert!(!Origins::SAME.allow(&uri("/echo"), &headers));
    }

    #[test]
    fn default_ports_may_be_left_out() {
        assert!(is_of_host("https://land.side", "land.side:443"));
        assert!(is_of_host("http://land.side:80", "land.side"));
        assert!(!is_of_host("http://land.side", "land.side:443"));
        assert!(!is_of_host("http://", ""));
    }
}
