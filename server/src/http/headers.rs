//! What every answer says of itself: what a page may load and do, who may frame it, who may read it.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::listener::asker::Asker;

/// Nothing but our own files, no inline script or style, no framing by others; SockJS has hidden frames of our own.
/// `ws:` and `wss:` to ourselves are covered by 'self' in current browsers only, so the scheme of older ones is named
/// too.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self' ws: wss:; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Pages show and sound; they use none of what a browser has besides. (The horn needs `autoplay`, which is left as it is.)
const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
     hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=()";

/// A year: whoever has come by HTTPS once does not come without.
const TRANSPORT_SECURITY: &str = "max-age=31536000";

/// Where pages of other origins read answers, as scripts and frames do: who may is decided there for each request.
const FOR_OTHERS: [&str; 2] = ["/sockjs", "/socket.io"];

/// What routes say themselves stays.
const DEFAULTS: [(HeaderName, &str); 2] = [
    // SockJS's pages in hidden frames say themselves what they may do.
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY),
    // What a page shows is of this moment and of this person; assets say otherwise themselves.
    (header::CACHE_CONTROL, "no-store"),
];

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
pub(super) async fn add(Asker(peer): Asker, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_for_others = FOR_OTHERS.iter().any(|prefix| path.starts_with(prefix));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in DEFAULTS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    let ours = FOR_OURSELVES.into_iter().filter(|_| !is_for_others);
    let secured = (header::STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY);
    let secured = peer.is_secured.then_some(secured);
    for (name, value) in ALWAYS.into_iter().chain(ours).chain(secured) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
