//! Answers, header by header: who may read them, who may keep them.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::asker::cookie;
use crate::config::{Config, StickyCookie};

/// For what changes with each request.
const NEVER_KEPT: HeaderValue =
    HeaderValue::from_static("no-store, no-cache, no-transform, must-revalidate, max-age=0");

/// A year, in seconds: for what changes with the version only.
const KEPT_SECONDS: u64 = 31_536_000;

/// nginx would hold streaming answers back until they are complete.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(crate) const TEXT: &str = "text/plain; charset=UTF-8";
pub(crate) const SCRIPT: &str = "application/javascript; charset=UTF-8";
pub(crate) const HTML: &str = "text/html; charset=UTF-8";
pub(crate) const JSON: &str = "application/json; charset=UTF-8";
/// Without a character set, which is UTF-8 by definition.
pub(crate) const EVENTS: &str = "text/event-stream";

/// An answer with a body of this type.
pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    set(
        &mut response,
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type),
    );
    response
}

/// An answer that says nothing but its status.
pub(crate) fn silent(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub(crate) fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, TEXT, "there is nothing here\n")
}

/// 405: what may be done instead.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = silent(StatusCode::METHOD_NOT_ALLOWED);
    set(
        &mut response,
        header::ALLOW,
        HeaderValue::from_static(allowed),
    );
    response
}

pub(crate) fn set(response: &mut Response, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}

/// Nobody keeps the answer, and no proxy holds it back.
pub(crate) fn never_kept(response: &mut Response) {
    set(response, header::CACHE_CONTROL, NEVER_KEPT);
    set(response, BUFFERING, HeaderValue::from_static("no"));
}

/// Anybody may keep the answer for a year.
pub(crate) fn kept(response: &mut Response) {
    let lifetime = HeaderValue::from_str(&format!("public, max-age={KEPT_SECONDS}"))
        .expect("digits and letters");
    set(response, header::CACHE_CONTROL, lifetime);
    // For caches that do not know the header above. A date is as good as another that is far away.
    set(
        response,
        header::EXPIRES,
        HeaderValue::from_static("Thu, 31 Dec 2099 23:59:59 GMT"),
    );
}

/// A page of another site may read the answer. Its origin was looked at before.
pub(crate) fn readable(response: &mut Response, asked: &HeaderMap) {
    set(response, header::VARY, HeaderValue::from_static("Origin"));
    match asked.get(header::ORIGIN) {
        Some(origin) => {
            set(
                response,
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                origin.clone(),
            );
            set(
                response,
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        None => set(
            response,
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        ),
    }
}

/// The answer to a browser that asks whether it may ask.
pub(crate) fn preflight(asked: &HeaderMap, methods: &'static str) -> Response {
    let mut response = silent(StatusCode::NO_CONTENT);
    kept(&mut response);
    readable(&mut response, asked);
    set(
        &mut response,
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from(KEPT_SECONDS),
    );
    set(
        &mut response,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(methods),
    );
    if let Some(headers) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        && !headers.is_empty()
    {
        set(
            &mut response,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            headers.clone(),
        );
    }
    response
}

/// The cookie for balancers: what the client has, or the default.
pub(crate) fn stick(response: &mut Response, asked: &HeaderMap, config: &Config) {
    let Some(StickyCookie { name, value }) = &config.cookie else {
        return;
    };
    let value = cookie(asked, name).unwrap_or(value.as_bytes());
    match HeaderValue::from_bytes(&[name.as_bytes(), b"=", value, b"; path=/"].concat()) {
        Ok(sticky) => set(response, header::SET_COOKIE, sticky),
        Err(error) => tracing::warn!(%error, name, "the cookie for balancers is no header value"),
    }
}
