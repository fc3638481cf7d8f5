//! What every answer says of itself: what a page may load and do, who may frame it, who may read it.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use url::Url;

use crate::listener::asker::Asker;

/// What pages may load and do, for answers that say nothing of it themselves. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ContentSecurity(HeaderValue);

impl ContentSecurity {
    /// Nothing but our own files, no inline script or style, no framing by others; SockJS has hidden frames of our own.
    ///
    /// That 'self' covers a WebSocket to ourselves only current browsers know, so for older ones its address is named as
    /// well, as people write it: by `public_url`. Of those, whoever came by another name connects by SockJS over HTTP.
    pub(super) fn new(public_url: &Url) -> Self {
        let scheme = if public_url.scheme() == "https" {
            "wss"
        } else {
            "ws"
        };
        let origin = public_url.origin().ascii_serialization();
        let host = origin.split_once("//").map_or("", |(_, host)| host);
        let value = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self' {scheme}://{host}; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        let value = HeaderValue::try_from(value);
        Self(value.expect("a URL's origin is of visible ASCII"))
    }
}

/// Pages show and sound; they use none of what a browser has besides. (The horn needs `autoplay`, which is left as it is.)
const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
     hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=()";

/// A year: whoever has come by HTTPS once does not come without.
const TRANSPORT_SECURITY: &str = "max-age=31536000";

/// Where pages of other origins read answers, as scripts and frames do: who may is decided there for each request.
const FOR_OTHERS: [&str; 2] = ["/sockjs", "/socket.io"];

/// What a page shows is of this moment and of this person; assets say otherwise themselves.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("no-store");

const ALWAYS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
];

/// A window of another site that opened a page of ours, or was opened by it, has no hold on it; and other sites do not get
/// our answers into their processes. Browsers that know no `frame-ancestors` are told by `X-Frame-Options`.
const FOR_OURSELVES: [(HeaderName, &str); 3] = [
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Adds them.
pub(super) async fn add(
    State(ContentSecurity(content_security)): State<ContentSecurity>,
    Asker(peer): Asker,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_for_others = FOR_OTHERS.iter().any(|prefix| path.starts_with(prefix));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // SockJS's pages in hidden frames say themselves what they may do.
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, content_security),
        (header::CACHE_CONTROL, CACHE_CONTROL),
    ] {
        headers.entry(name).or_insert(value);
    }
    let ours = FOR_OURSELVES.into_iter().filter(|_| !is_for_others);
    let secured = (header::STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY);
    let secured = peer.is_secured.then_some(secured);
    for (name, value) in ALWAYS.into_iter().chain(ours).chain(secured) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_connect_to_this_server_and_nowhere_else() {
        for (public_url, expected) in [
            (
                "https://landside.example",
                "connect-src 'self' wss://landside.example;",
            ),
            (
                "http://127.0.0.1:8080",
                "connect-src 'self' ws://127.0.0.1:8080;",
            ),
            (
                "https://[::1]:8443/",
                "connect-src 'self' wss://[::1]:8443;",
            ),
        ] {
            let ContentSecurity(value) = ContentSecurity::new(&public_url.parse().unwrap());
            let value = value.to_str().unwrap();
            assert!(value.contains(expected), "{value}");
            assert!(!value.contains("ws: "), "{value}");
        }
    }
}
