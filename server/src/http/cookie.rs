//! Cookies: their names, how they are found, how they are set.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::App;

/// The cookie of a login. Where it is `Secure`, its name makes browsers refuse one that a neighbour of this host, or a
/// page without TLS, tries to plant.
pub(crate) fn login_cookie(secure: bool) -> &'static str {
    if secure {
        "__Host-landside_login"
    } else {
        "landside_login"
    }
}

/// The cookie of a browser in which people have signed in.
pub(super) fn device_cookie(secure: bool) -> &'static str {
    if secure {
        "__Host-landside_device"
    } else {
        "landside_device"
    }
}

/// The cookie that the forms of people who are not signed in yet repeat.
pub(super) fn form_cookie(secure: bool) -> &'static str {
    if secure {
        "__Host-landside_form"
    } else {
        "landside_form"
    }
}

/// The cookie of a chosen language.
pub(super) const LANGUAGE_COOKIE: &str = "landside_language";

/// The value of a cookie that a browser sent.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = ::sockjs::cookie(headers, name)?;
    std::str::from_utf8(value).ok()
}

/// A cookie for the browser. None of ours is for scripts, and none goes along with what another site sends; but all do
/// when a browser comes back from one by a link.
pub(super) struct SetCookie<'a> {
    pub(super) name: &'static str,
    pub(super) value: &'a str,
    /// Where it is sent to.
    pub(super) path: &'static str,
    /// How long it is kept; 0 ends it.
    pub(super) seconds: i64,
}

impl<'a> SetCookie<'a> {
    /// One for the whole site.
    pub(super) fn new(name: &'static str, value: &'a str, seconds: i64) -> Self {
        Self {
            name,
            value,
            path: "/",
            seconds,
        }
    }

    /// Puts it into an answer.
    pub(super) fn into(self, app: &App, mut answer: Response) -> Response {
        let secure = if app.entrance.secure_cookies {
            "; Secure"
        } else {
            ""
        };
        let Self {
            name,
            value,
            path,
            seconds,
        } = self;
        let cookie = format!(
            "{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
        );
        let cookie = HeaderValue::from_str(&cookie)
            .expect("our cookies are base64url, hexadecimal and language tags");
        answer.headers_mut().append(header::SET_COOKIE, cookie);
        answer
    }
}
