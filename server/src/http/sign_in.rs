//! Signing in and out, the chosen language, and the short-lived token of a page's live connection.

use axum::Json;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use contract::Language;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;
use web_ui::{SignIn, SignInProblem, Template, Viewing};

use super::App;
use super::error::{Problem, log_unavailable};
use super::form::own_path;
use super::page::html;
use super::viewer::{CSRF_HEADER, LANGUAGE_COOKIE, LOGIN_COOKIE, Peer, Viewer, cookie_hash};
use crate::identity::password::{Busy, random};
use crate::identity::standing::Revocation;
use crate::store::audit::AuditEntry;
use crate::store::identity::NewLogin;
use crate::store::{Store, StoreError, Unit};
use crate::wire;

/// A shift of twelve hours without signing in twice.
const LOGIN_HOURS: i64 = 12;

/// A language once chosen stays for a year.
const LANGUAGE_SECONDS: u32 = 365 * 24 * 3600;

/// Nobody's name is longer, and what is written down of a failed attempt should not be either.
const NAME_CHARS_MAX: usize = 64;

/// Why nobody can sign in now.
enum Hindrance {
    Busy,
    Store(StoreError),
}

impl From<StoreError> for Hindrance {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[derive(Deserialize)]
pub(super) struct SignInQuery {
    next: Option<String>,
    ended: Option<String>,
}

pub(super) async fn show(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<SignInQuery>,
) -> Response {
    let problem = match query.ended.as_deref() {
        Some("signed-out") => Some(SignInProblem::SignedOut),
        Some(_) => Some(SignInProblem::Ended),
        None => None,
    };
    page(
        &app,
        app.viewing(&headers),
        StatusCode::OK,
        problem,
        "",
        own_path(query.next.as_deref()),
    )
}

pub(super) fn page(
    app: &App,
    viewing: Viewing,
    status: StatusCode,
    problem: Option<SignInProblem>,
    name: &str,
    next: &str,
) -> Response {
    let page = SignIn {
        viewing,
        problem,
        name,
        next,
        external: app.external().map(|visitors| {
            let name = &visitors.provider.config().name;
            name.get(viewing.language)
        }),
        csrf: None,
        version: env!("CARGO_PKG_VERSION"),
    };
    html(status, page.render())
}

#[derive(Deserialize)]
pub(super) struct SignInForm {
    name: String,
    password: String,
    next: Option<String>,
}

/// A browser says where a form comes from; one of another site is refused, so that nobody is signed in as somebody else.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok())
    else {
        return true;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    origin
        .split_once("://")
        .is_some_and(|(_, origin)| origin == host)
}

pub(super) async fn enter(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Form(form): Form<SignInForm>,
) -> Response {
    let viewing = app.viewing(&headers);
    let next = own_path(form.next.as_deref());
    if !is_same_origin(&headers) {
        return page(
            &app,
            viewing,
            StatusCode::FORBIDDEN,
            Some(SignInProblem::Ended),
            "",
            next,
        );
    }
    let name: String = wire::clean(&form.name)
        .chars()
        .take(NAME_CHARS_MAX)
        .collect();
    match sign_in(&app, &name, form.password, &peer, viewing.now).await {
        Ok(Some(cookie)) => with_login(&app, &cookie, Redirect::to(next)),
        Ok(None) => page(
            &app,
            viewing,
            StatusCode::UNAUTHORIZED,
            Some(SignInProblem::Wrong),
            &form.name,
            next,
        ),
        Err(hindrance) => {
            if let Hindrance::Store(error) = hindrance {
                log_unavailable(&error);
            }
            page(
                &app,
                viewing,
                StatusCode::SERVICE_UNAVAILABLE,
                Some(SignInProblem::Unavailable),
                &form.name,
                next,
            )
        }
    }
}

/// The cookie of a new login, or `None` for a wrong name or password; both are written down.
async fn sign_in(
    app: &App,
    name: &str,
    password: String,
    peer: &str,
    now: DateTime<Utc>,
) -> Result<Option<String>, Hindrance> {
    let person = app.store.person(name).await?;
    let stored = person
        .as_ref()
        .and_then(|person| person.password_hash.clone());
    let right = app
        .people_passwords
        .verify(password, stored)
        .await
        .map_err(|Busy| Hindrance::Busy)?;
    let entry = AuditEntry::new(name, peer, "login.begin", name);
    let Some(person) = person.filter(|_| right) else {
        app.store
            .audit_alone(entry.outcome("wrong name or password"))
            .await?;
        return Ok(None);
    };
    let mut unit = app.store.begin().await?;
    let (id, cookie) = begin(&mut unit, &person.principal.subject, peer, now).await?;
    Store::audit(&mut unit, entry.login(id)).await?;
    unit.commit().await.map_err(StoreError::from)?;
    Ok(Some(cookie))
}

/// A new login of somebody who has shown who they are: its id, and the value of its cookie.
pub(super) async fn begin(
    unit: &mut Unit<'_>,
    person: &str,
    peer: &str,
    now: DateTime<Utc>,
) -> Result<(Uuid, String), StoreError> {
    let (id, cookie) = (Uuid::new_v4(), URL_SAFE_NO_PAD.encode(random::<32>()));
    let login = NewLogin {
        id,
        cookie_hash: &cookie_hash(&cookie),
        person,
        csrf: &URL_SAFE_NO_PAD.encode(random::<32>()),
        peer,
        expires_at: now + TimeDelta::hours(LOGIN_HOURS),
    };
    Store::begin_login(unit, login).await?;
    Ok((id, cookie))
}

/// An answer that gives the browser the cookie of a login.
pub(super) fn with_login(app: &App, cookie: &str, answer: Redirect) -> Response {
    with_cookie(app, LOGIN_COOKIE, cookie, LOGIN_HOURS * 3600, answer)
}

fn with_cookie(app: &App, name: &str, value: &str, seconds: i64, answer: Redirect) -> Response {
    let secure = if app.secure_cookies { "; Secure" } else { "" };
    let cookie =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut response = answer.into_response();
    let cookie =
        HeaderValue::from_str(&cookie).expect("our cookies are base64url and language tags");
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

#[derive(Deserialize)]
pub(super) struct CsrfForm {
    csrf: String,
}

pub(super) async fn leave(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<CsrfForm>,
) -> Response {
    if form.csrf != viewer.login.csrf {
        return Redirect::to("/").into_response();
    }
    let subject = &viewer.principal().subject;
    let (tokens, now) = (Revocation::Grant(viewer.login.id), viewer.viewing.now);
    let ended = async {
        let mut unit = app.store.begin().await?;
        Store::end_login(&mut unit, viewer.login.id).await?;
        Store::put_revocation(&mut unit, &tokens, now).await?;
        let actor = viewer.actor();
        let entry = AuditEntry::by(&actor, "login.end", subject);
        Store::audit(&mut unit, entry).await?;
        unit.commit().await.map_err(StoreError::from)
    };
    match ended.await {
        Ok(()) => {
            app.authenticator.call_back(&tokens, subject, now);
            let next = Redirect::to("/sign-in?ended=signed-out");
            with_cookie(&app, LOGIN_COOKIE, "", 0, next)
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

#[derive(Deserialize)]
pub(super) struct LanguageForm {
    lang: Language,
    next: Option<String>,
}

/// Changes nothing but how this browser sees the pages, so it needs no login.
pub(super) async fn language(State(app): State<App>, Form(form): Form<LanguageForm>) -> Response {
    let next = Redirect::to(own_path(form.next.as_deref()));
    with_cookie(
        &app,
        LANGUAGE_COOKIE,
        form.lang.tag(),
        LANGUAGE_SECONDS.into(),
        next,
    )
}

/// The token with which a page's script connects. It is good for minutes and kept in memory only.
pub(super) async fn token(State(app): State<App>, viewer: Viewer) -> Response {
    if viewer.script_csrf.as_deref() != Some(&viewer.login.csrf) {
        let detail = format!("the header `{CSRF_HEADER}` of the page is needed");
        return Problem::new(StatusCode::FORBIDDEN, "csrf", detail).into_response();
    }
    let issued = app.authenticator.issue(viewer.principal());
    Json(json!({"access_token": issued.token, "token_type": "Bearer", "expires_in": issued.lifetime.as_secs()}))
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_sites_are_told_apart() {
        for (origin, host, same) in [
            (None, "a:1", true),
            (Some("http://a:1"), "a:1", true),
            (Some("https://a:1"), "a:1", true),
            (Some("http://b:1"), "a:1", false),
            (Some("null"), "a:1", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_same_origin(&headers), same, "{origin:?}");
        }
    }
}
