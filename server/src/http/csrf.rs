//! That a form comes from a page of ours, so that nobody acts as somebody else, or is signed in as somebody else, by what a
//! page elsewhere sends. Whoever is signed in shows the token of their login; whoever is not, where the form comes from, or
//! the cookie that came with it.

use axum::http::{HeaderMap, header};
use axum::response::Response;

use super::App;
use super::cookie::{SetCookie, cookie, form_cookie};
use crate::identity::random::secret;
use crate::store::login::Login;

/// The header by which a script shows that it read the page it runs in, and asks for an answer instead of a redirect.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";

/// A form may stay open for a day before it is sent.
const FORM_SECONDS: i64 = 24 * 3600;

/// The token that a script sent along.
pub(super) fn of_script(headers: &HeaderMap) -> Option<&str> {
    headers.get(CSRF_HEADER)?.to_str().ok()
}

/// Whether this is the token of a login.
pub(super) fn is_of(login: &Login, shown: Option<&str>) -> bool {
    shown == Some(login.csrf.as_str())
}

/// Where a browser says that a form comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Ours,
    Elsewhere,
    /// It does not say: no browser, or an old one.
    Untold,
}

fn origin(headers: &HeaderMap, secure: bool) -> Origin {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key("sec-fetch-site")
        && !matches!(text("sec-fetch-site"), Some("same-origin" | "none"))
    {
        return Origin::Elsewhere;
    }
    let Some(shown) = headers
        .get(header::ORIGIN)
        .or_else(|| headers.get(header::REFERER))
    else {
        return match text("sec-fetch-site") {
            Some(_) => Origin::Ours,
            None => Origin::Untold,
        };
    };
    let shown = shown.to_str().ok().and_then(|url| url.split_once("://"));
    let is_ours = shown.is_some_and(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next();
        host == text("host") && (scheme == "https" || (scheme == "http" && !secure))
    });
    if is_ours {
        Origin::Ours
    } else {
        Origin::Elsewhere
    }
}

/// Whether a form of somebody who is not signed in comes from a page of ours: by what the browser says, and, where it says
/// nothing, by the cookie that the page set, which only the page can repeat.
pub(super) fn is_from_us(app: &App, headers: &HeaderMap, field: Option<&str>) -> bool {
    let secure = app.entrance.secure_cookies;
    match origin(headers, secure) {
        Origin::Ours => true,
        Origin::Elsewhere => false,
        Origin::Untold => {
            let kept = cookie(headers, form_cookie(secure)).filter(|kept| !kept.is_empty());
            kept.is_some() && kept == field
        }
    }
}

/// The token of a form of somebody who is not signed in.
pub(super) struct FormToken {
    value: String,
}

impl FormToken {
    /// The one that the browser has, so that several windows can be open, or a new one.
    pub(super) fn of(app: &App, headers: &HeaderMap) -> Self {
        let is_token = |text: &&str| {
            text.len() == 43
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let kept = cookie(headers, form_cookie(app.entrance.secure_cookies)).filter(is_token);
        Self {
            value: kept.map_or_else(secret, str::to_owned),
        }
    }

    /// What the form repeats.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// Lets the browser keep it.
    pub(super) fn kept(&self, app: &App, page: Response) -> Response {
        let name = form_cookie(app.entrance.secure_cookies);
        SetCookie::new(name, &self.value, FORM_SECONDS).into(app, page)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn forms_of_other_sites_are_told_apart() {
        for (name, shown, secure, expected) in [
            ("x-none", "", false, Origin::Untold),
            ("origin", "http://a:1", false, Origin::Ours),
            ("origin", "https://a:1", false, Origin::Ours),
            ("origin", "https://a:1", true, Origin::Ours),
            ("origin", "http://a:1", true, Origin::Elsewhere),
            ("origin", "http://b:1", false, Origin::Elsewhere),
            ("origin", "null", false, Origin::Elsewhere),
            ("origin", "ftp://a:1", false, Origin::Elsewhere),
            ("referer", "http://a:1/sign-in?next=/", false, Origin::Ours),
            (
                "referer",
                "http://b:1/?http://a:1",
                false,
                Origin::Elsewhere,
            ),
            ("sec-fetch-site", "same-origin", false, Origin::Ours),
            ("sec-fetch-site", "cross-site", false, Origin::Elsewhere),
            ("sec-fetch-site", "same-site", false, Origin::Elsewhere),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("a:1"));
            headers.insert(name, HeaderValue::from_static(shown));
            assert_eq!(origin(&headers, secure), expected, "{name}: {shown}");
        }
    }
}
