//! Who asks: extractors. A handler without one cannot see anybody's data.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Utc;
use contract::Language;
use web_ui::{ErrorKind, ErrorPage, Template, Viewing};

use super::App;
use super::error::{Problem, log_unavailable};
use super::idle;
use super::page::html;
use crate::alarm::Actor;
use crate::identity::digest::of_secret;
use crate::identity::principal::Principal;
use crate::identity::token::TokenError;
use crate::listener::asker::Asker;
use crate::store::StoreError;
use crate::store::login::Login;

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

/// The cookie of a chosen language.
pub(super) const LANGUAGE_COOKIE: &str = "landside_language";

/// The header by which a script shows that it read the page it runs in, and asks for an answer instead of a redirect.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";

/// Where a request comes from, as it is written down.
#[derive(Debug, Clone)]
pub(super) struct Peer(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Asker(peer) = Asker::from_request_parts(parts, state).await?;
        Ok(Self(peer.address.ip().to_string()))
    }
}

/// The language somebody reads: chosen, else the browser's, else Korean.
pub(super) fn language(headers: &HeaderMap) -> Language {
    let chosen = cookie(headers, LANGUAGE_COOKIE).and_then(|tag| tag.parse().ok());
    chosen
        .or_else(|| accepted_language(headers))
        .unwrap_or(Language::Ko)
}

fn accepted_language(headers: &HeaderMap) -> Option<Language> {
    let accepted = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    // Browsers list them best first; the weights only repeat that.
    accepted.split(',').find_map(|entry| {
        let tag = entry.split(';').next()?.trim();
        tag.split('-').next()?.to_ascii_lowercase().parse().ok()
    })
}

pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

impl App {
    pub(super) fn viewing(&self, headers: &HeaderMap) -> Viewing {
        Viewing {
            language: language(headers),
            offset: self.offset,
            now: Utc::now(),
        }
    }

    async fn login(&self, headers: &HeaderMap) -> Result<Option<Login>, StoreError> {
        match cookie(headers, login_cookie(self.entrance.secure_cookies)) {
            Some(cookie) => self.store.login(&of_secret(cookie)).await,
            None => Ok(None),
        }
    }

    /// The login of somebody who still has to show a second factor.
    pub(super) async fn awaiting_login(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<Login>, StoreError> {
        match cookie(headers, login_cookie(self.entrance.secure_cookies)) {
            Some(cookie) => self.store.awaiting_login(&of_secret(cookie)).await,
            None => Ok(None),
        }
    }
}

/// Somebody who is signed in and looks at a page. Everybody else is sent to sign in.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub(super) login: Login,
    pub(super) viewing: Viewing,
    pub(super) peer: String,
    /// The page's path with its query.
    pub(super) path: String,
    /// The CSRF token that a script sent along.
    pub(super) script_csrf: Option<String>,
    /// Whether nobody did anything for long: it may see, and not act.
    pub(super) is_locked: bool,
    /// What this browser is known by.
    pub(super) device_cookie: Option<String>,
}

impl Viewer {
    pub(super) fn principal(&self) -> &Principal {
        &self.login.principal
    }

    pub(super) fn actor(&self) -> Actor {
        Actor {
            principal: self.login.principal.clone(),
            peer: self.peer.clone(),
        }
    }
}

impl FromRequestParts<App> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let viewing = app.viewing(&parts.headers);
        let path = parts
            .uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string);
        let Peer(peer) = Peer::from_request_parts(parts, app)
            .await
            .unwrap_or_else(|never| match never {});
        let script_csrf = parts
            .headers
            .get(CSRF_HEADER)
            .and_then(|token| token.to_str().ok())
            .map(str::to_owned);
        match app.login(&parts.headers).await {
            Ok(Some(login)) => {
                let device = device_cookie(app.entrance.secure_cookies);
                let viewer = Self {
                    is_locked: idle::is_locked(&app.entrance.identity, &login, viewing.now),
                    device_cookie: cookie(&parts.headers, device).map(str::to_owned),
                    login,
                    viewing,
                    peer,
                    path,
                    script_csrf,
                };
                idle::note(app, &viewer, parts).await;
                Ok(viewer)
            }
            // A script's request and a partial are not pages to come back to.
            Ok(None)
                if script_csrf.is_some()
                    || path == "/login/token"
                    || path.starts_with("/partials/") =>
            {
                Err(Problem::unauthenticated().into_response())
            }
            Ok(None) if path == "/" => Err(Redirect::to("/sign-in").into_response()),
            Ok(None) => {
                Err(Redirect::to(&format!("/sign-in?next={}", in_query(&path))).into_response())
            }
            Err(error) => {
                let reference = log_unavailable(&error).to_string();
                let page = ErrorPage {
                    viewing,
                    kind: ErrorKind::Unavailable,
                    reference: Some(&reference),
                    path: &path,
                    shell: None,
                };
                Err(html(StatusCode::SERVICE_UNAVAILABLE, page.render()))
            }
        }
    }
}

/// A path as one value of a query (RFC 3986 section 2.1).
fn in_query(path: &str) -> String {
    path.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

/// Somebody who calls the API: with a token, or from a page with its cookie (and its CSRF token, to change anything).
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Actor);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Peer(peer) = Peer::from_request_parts(parts, app)
            .await
            .unwrap_or_else(|never| match never {});
        if let Some(authorization) = parts.headers.get(header::AUTHORIZATION) {
            let token = authorization
                .to_str()
                .ok()
                .and_then(|value| value.split_once(' '));
            let token = token
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token.trim());
            let token = token.ok_or_else(Problem::unauthenticated)?;
            let checked = app.authenticator.authenticate(token).await;
            let checked = checked.map_err(|error| {
                let (status, code) = match error {
                    TokenError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
                    _ => (StatusCode::UNAUTHORIZED, "unauthenticated"),
                };
                Problem::new(status, code, error.to_string())
            })?;
            let Asker(connection) = Asker::from_request_parts(parts, app)
                .await
                .unwrap_or_else(|never| match never {});
            let matching = app
                .entrance
                .certificates
                .check(&checked.principal, &connection);
            matching.map_err(|mismatch| {
                Problem::new(StatusCode::FORBIDDEN, mismatch.code(), mismatch.to_string())
            })?;
            return Ok(Self(Actor {
                principal: checked.principal,
                peer,
            }));
        }
        let login = app
            .login(&parts.headers)
            .await?
            .ok_or_else(Problem::unauthenticated)?;
        let shown = parts
            .headers
            .get(CSRF_HEADER)
            .is_some_and(|token| token.as_bytes() == login.csrf.as_bytes());
        if !parts.method.is_safe() && !shown {
            let detail = format!("with a cookie, the header `{CSRF_HEADER}` of the page is needed");
            return Err(Problem::new(StatusCode::FORBIDDEN, "csrf", detail));
        }
        Ok(Self(Actor {
            principal: login.principal,
            peer,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_chosen_language_wins_over_the_browsers() {
        for (cookies, accepted, expected) in [
            ("", "", Language::Ko),
            ("", "en-US,en;q=0.9,ko;q=0.8", Language::En),
            ("", "fr,ko-KR;q=0.8", Language::Ko),
            ("", "fr", Language::Ko),
            ("landside_language=ko", "en", Language::Ko),
            ("a=b; landside_language=en", "ko", Language::En),
            ("landside_language=xx", "en", Language::En),
        ] {
            let headers = headers(&[
                (header::COOKIE, cookies),
                (header::ACCEPT_LANGUAGE, accepted),
            ]);
            assert_eq!(language(&headers), expected, "{cookies} {accepted}");
        }
    }

    #[test]
    fn a_path_survives_a_query() {
        assert_eq!(
            in_query("/alarms?zone=p1&x=가"),
            "/alarms%3Fzone%3Dp1%26x%3D%EA%B0%80"
        );
    }
}
