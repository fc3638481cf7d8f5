//! Who asks: extractors. A handler without one cannot see anybody's data.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Utc;
use contract::Language;
use web_ui::{ErrorKind, ErrorPage, Notice, Template, Viewing};

use super::App;
use super::cookie::{LANGUAGE_COOKIE, cookie, device_cookie, login_cookie};
use super::csrf::of_script;
use super::error::{Problem, log_unavailable};
use super::form::answer;
use super::idle;
use super::page::html;
use crate::alarm::Actor;
use crate::identity::digest::of_secret;
use crate::identity::idle_lock::{Asleep, admit, is_locked};
use crate::identity::principal::Principal;
use crate::listener::asker::Asker;
use crate::store::StoreError;
use crate::store::login::Login;

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

impl App {
    pub(super) fn viewing(&self, headers: &HeaderMap) -> Viewing {
        Viewing {
            language: language(headers),
            offset: self.offset,
            now: Utc::now(),
        }
    }

    pub(super) async fn login(&self, headers: &HeaderMap) -> Result<Option<Login>, StoreError> {
        match cookie(headers, login_cookie(self.entrance.secure_cookies)) {
            Some(cookie) => self.store.login(&of_secret(cookie)).await,
            None => Ok(None),
        }
    }

    /// To sign in, and from there to `path`. Whoever shows the cookie of a login that is no more is told why.
    async fn to_sign_in(&self, headers: &HeaderMap, path: &str) -> Response {
        let cookie = cookie(headers, login_cookie(self.entrance.secure_cookies));
        let end = match cookie {
            Some(cookie) => self.store.end_of_login(&of_secret(cookie)).await,
            None => Ok(None),
        };
        // That a reason is missing keeps nobody from signing in.
        let end = end.unwrap_or_else(|error| {
            log_unavailable(&error);
            None
        });
        let ended = end.map(|end| format!("ended={end}"));
        let next = (path != "/").then(|| format!("next={}", in_query(path)));
        let query: Vec<String> = next.into_iter().chain(ended).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        Redirect::to(&format!("/sign-in{mark}{}", query.join("&"))).into_response()
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

/// Somebody who is signed in, whatever is asked. Everybody else is sent to sign in. Of a request that changes something it
/// is refused while the login is locked: a form is read by [`super::sent::Sent`], which looks at its token as well.
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

/// What works at a locked console as well: whoever takes it out says so by that.
#[derive(Debug, Clone)]
pub(super) struct EvenLocked<T>(pub(super) T);

/// What a locked console does not give, though nothing is changed by it.
#[derive(Debug, Clone)]
pub(super) struct Awake(pub(super) Viewer);

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

    /// The page from which a request like this one comes, if nothing else says it.
    pub(super) fn page(&self) -> &str {
        page_of(&self.path)
    }

    /// Whether a locked console may not do this; it is written down.
    pub(super) fn admit(&self, app: &App) -> Result<(), Asleep> {
        let path = self.path.split('?').next().unwrap_or_default();
        admit(&app.record, Ok(self.is_locked), &self.actor(), path)
    }

    fn refuse_locked(&self) -> Response {
        let page = Some(self.page());
        answer(self, page, StatusCode::FORBIDDEN, &Notice::Locked)
    }

    async fn read(parts: &Parts, app: &App, peer: String) -> Result<Self, Response> {
        let viewing = app.viewing(&parts.headers);
        let path = parts
            .uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string);
        let script_csrf = of_script(&parts.headers).map(str::to_owned);
        match app.login(&parts.headers).await {
            Ok(Some(login)) => {
                let device = device_cookie(app.entrance.secure_cookies);
                let viewer = Self {
                    is_locked: is_locked(&app.entrance.identity, &login, viewing.now),
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
            Ok(None) => Err(app.to_sign_in(&parts.headers, &path).await),
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

impl FromRequestParts<App> for EvenLocked<Viewer> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let Peer(peer) = Peer::from_request_parts(parts, app)
            .await
            .unwrap_or_else(|never| match never {});
        Viewer::read(parts, app, peer).await.map(Self)
    }
}

impl FromRequestParts<App> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let EvenLocked(viewer) = EvenLocked::<Self>::from_request_parts(parts, app).await?;
        if !parts.method.is_safe() && viewer.admit(app).is_err() {
            return Err(viewer.refuse_locked());
        }
        Ok(viewer)
    }
}

impl FromRequestParts<App> for Awake {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let EvenLocked(viewer) = EvenLocked::<Viewer>::from_request_parts(parts, app).await?;
        if viewer.admit(app).is_err() {
            return Err(viewer.refuse_locked());
        }
        Ok(Self(viewer))
    }
}

/// The page of a path: a form of `/people/invite` stands on `/people`.
pub(super) fn page_of(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    let path = path.strip_suffix(".csv").unwrap_or(path);
    let segments = match path.split('/').nth(1).unwrap_or_default() {
        "devices" => 2,
        "account" | "people" | "alarms" | "audit" => 1,
        _ => return "/",
    };
    let end = path.match_indices('/').nth(segments).map(|(at, _)| at);
    path.get(..end.unwrap_or(path.len())).unwrap_or("/")
}

/// A path as one value of a query (RFC 3986 section 2.1).
pub(super) fn in_query(path: &str) -> String {
    path.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
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
    fn a_form_stands_on_a_page() {
        for (path, page) in [
            ("/people/invite", "/people"),
            ("/people?notice=x", "/people"),
            ("/account/logins/7/end", "/account"),
            ("/devices/gate-1/points/plate/reveal", "/devices/gate-1"),
            ("/alarms/7/acknowledge", "/alarms"),
            ("/audit.csv?actor=ada", "/audit"),
            ("/login/unlock", "/"),
            ("/", "/"),
            ("", "/"),
        ] {
            assert_eq!(page_of(path), page, "{path}");
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
