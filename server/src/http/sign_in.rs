//! Signing in and out, the chosen language, and the short-lived token of a page's live connection.

use axum::Json;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use contract::{Language, Role};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;
use web_ui::{Notice, SignIn, SignInProblem, Template};

use super::App;
use super::cookie::{LANGUAGE_COOKIE, SetCookie, cookie, device_cookie, login_cookie};
use super::csrf::{CSRF_HEADER, FormToken, is_from_us, is_of, is_reached_elsewhere};
use super::error::{Problem, log_unavailable};
use super::form::{not_recording, own_path};
use super::page::html;
use super::sent::{Nothing, Sent};
use super::throttle::Share;
use super::viewer::{EvenLocked, Peer, Viewer};
use crate::audit::SERVER;
use crate::identity::call_back::CallBack;
use crate::identity::digest::of_secret;
use crate::identity::gate::{Hindrance, Trial};
use crate::identity::name::NAME_CHARS_MAX;
use crate::identity::principal::Principal;
use crate::identity::random::secret;
use crate::store::audit::AuditEntry;
use crate::store::login::{Login, NewLogin};
use crate::store::{Store, StoreError, Unit};
use crate::wire;

/// A login ends this long after it began, whatever happens: a shift of twelve hours, its handover, and whoever comes late to
/// relieve. It does not slide, or a screen that refreshes itself would never end; an idle one is locked long before.
pub(super) const LOGIN_HOURS: i64 = 16;

/// A language once chosen stays for a year.
const LANGUAGE_SECONDS: i64 = 365 * 24 * 3600;

/// A browser is known for as long, counted from its last sign-in.
const DEVICE_SECONDS: i64 = 365 * 24 * 3600;

/// Somebody who is signed in and shows something once more, to do this.
pub(super) fn trial<'a>(viewer: &'a Viewer, action: &'static str) -> Trial<'a> {
    Trial {
        name: &viewer.principal().subject,
        action,
        peer: &viewer.peer,
        device_cookie: viewer.device_cookie.as_deref(),
    }
}

/// Whether this is the password of somebody who is signed in, and wants to do this.
pub(super) async fn right_password(
    app: &App,
    viewer: &Viewer,
    action: &'static str,
    password: String,
) -> Result<(), (StatusCode, Notice)> {
    let stored = app.store.person(&viewer.principal().subject).await;
    let stored = stored.map_err(|error| not_recording(&error))?;
    let stored = stored.and_then(|person| person.password_hash);
    let gate = &app.entrance.gate;
    let right = gate
        .password(&trial(viewer, action), password, stored)
        .await;
    if right.map_err(refusal)? {
        Ok(())
    } else {
        Err((StatusCode::FORBIDDEN, Notice::WrongPassword))
    }
}

fn hindrance_notice(hindrance: &Hindrance) -> Notice {
    match hindrance {
        Hindrance::Locked(_) | Hindrance::Busy => Notice::TryLater,
        Hindrance::Store(error) => {
            log_unavailable(error);
            Notice::NotRecording
        }
    }
}

pub(super) fn refusal(hindrance: Hindrance) -> (StatusCode, Notice) {
    let notice = hindrance_notice(&hindrance);
    let status = match hindrance {
        Hindrance::Locked(_) => StatusCode::TOO_MANY_REQUESTS,
        Hindrance::Busy | Hindrance::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, notice)
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
        Some("ended") => Some(SignInProblem::Ended),
        Some("disabled") => Some(SignInProblem::Disabled),
        Some(_) => Some(SignInProblem::Expired),
        None => None,
    };
    let next = own_path(query.next.as_deref());
    page(&app, &headers, StatusCode::OK, problem, "", next)
}

pub(super) fn page(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    problem: Option<SignInProblem>,
    name: &str,
    next: &str,
) -> Response {
    let (viewing, token) = (app.viewing(headers), FormToken::of(app, headers));
    let page = SignIn {
        viewing,
        problem,
        name,
        next,
        address: app.entrance.public_url.as_str(),
        external: app.external().map(|visitors| {
            let name = &visitors.provider.config().name;
            name.get(viewing.language)
        }),
        csrf: token.value(),
        version: env!("CARGO_PKG_VERSION"),
    };
    token.kept(app, html(status, page.render()))
}

#[derive(Deserialize)]
pub(super) struct SignInForm {
    csrf: Option<String>,
    name: String,
    password: String,
    next: Option<String>,
}

pub(super) async fn enter(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Form(form): Form<SignInForm>,
) -> Response {
    let viewing = app.viewing(&headers);
    let next = own_path(form.next.as_deref());
    if !is_from_us(&app, &headers, form.csrf.as_deref()) {
        let problem = if is_reached_elsewhere(&app.entrance.public_url, &headers) {
            SignInProblem::Elsewhere
        } else {
            SignInProblem::FormExpired
        };
        let status = StatusCode::FORBIDDEN;
        return page(&app, &headers, status, Some(problem), "", next);
    }
    // Nobody's name is longer, and what is written down of a failed attempt should not be either.
    let name: String = wire::clean(&form.name)
        .chars()
        .take(NAME_CHARS_MAX)
        .collect();
    let device = shown_device(&app, &headers);
    let trial = Trial {
        name: &name,
        action: "login.begin",
        peer: &peer,
        device_cookie: device.as_deref(),
    };
    let (status, problem) = match sign_in(&app, &trial, form.password, viewing.now).await {
        Ok(Some(entered)) => return welcome(&app, &headers, &peer, &name, &entered, next).await,
        Ok(None) => (StatusCode::UNAUTHORIZED, SignInProblem::Wrong),
        Err(Hindrance::Locked(until)) => {
            (StatusCode::TOO_MANY_REQUESTS, SignInProblem::Locked(until))
        }
        Err(Hindrance::Busy) => (StatusCode::SERVICE_UNAVAILABLE, SignInProblem::Unavailable),
        Err(Hindrance::Store(error)) => {
            log_unavailable(&error);
            (StatusCode::SERVICE_UNAVAILABLE, SignInProblem::Unavailable)
        }
    };
    let mut response = page(&app, &headers, status, Some(problem), &form.name, next);
    if let SignInProblem::Locked(until) = problem {
        let seconds = (until - viewing.now).num_seconds().max(1);
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A login that was begun.
pub(super) struct Entered {
    pub(super) cookie: String,
    pub(super) awaits_second_factor: bool,
}

impl Entered {
    /// What the audit says of it.
    pub(super) fn outcome(&self) -> &'static str {
        if self.awaits_second_factor {
            "second factor asked"
        } else {
            "done"
        }
    }
}

/// Whether somebody comes in with a second factor only: who has one, and who must have one.
pub(super) async fn needs_second_factor(
    app: &App,
    name: &str,
    roles: &[Role],
) -> Result<bool, StoreError> {
    let has = app.store.has_second_factor(name).await?;
    Ok(has || app.policy.now().asks_at_sign_in(roles))
}

/// What follows the right password: the page that was wanted, or the second factor. The browser's login of before is over,
/// whoever's it is: no one could reach it to end it. Whoever has come in by then is not kept out if it cannot be ended.
pub(super) async fn welcome(
    app: &App,
    headers: &HeaderMap,
    peer: &str,
    name: &str,
    entered: &Entered,
    next: &str,
) -> Response {
    let ended = match app.login(headers).await {
        Ok(Some(before)) => end(app, &before, peer, Some(name)).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "the login that a browser had before could not be ended; it ends at its hour");
    }
    let secure = app.entrance.secure_cookies;
    let answer = if entered.awaits_second_factor {
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        Redirect::to(&format!("/sign-in/second-factor?next={next}"))
    } else {
        Redirect::to(next)
    };
    let seconds = LOGIN_HOURS * 3600;
    let cookie = SetCookie::new(login_cookie(secure), &entered.cookie, seconds);
    let response = cookie.into(app, answer.into_response());
    if entered.awaits_second_factor {
        response
    } else {
        known_browser(app, headers, name, response)
    }
}

/// What the browser shows to be known by.
pub(super) fn shown_device(app: &App, headers: &HeaderMap) -> Option<String> {
    cookie(headers, device_cookie(app.entrance.secure_cookies)).map(str::to_owned)
}

/// From now on this browser is one in which this person has signed in.
pub(super) fn known_browser(
    app: &App,
    headers: &HeaderMap,
    name: &str,
    response: Response,
) -> Response {
    let before = shown_device(app, headers);
    let keys = &app.entrance.gate.keys;
    let value = keys.device_cookie(before.as_deref(), name);
    let cookie = device_cookie(app.entrance.secure_cookies);
    SetCookie::new(cookie, &value, DEVICE_SECONDS).into(app, response)
}

/// A new login, or `None` for a wrong name or password; both are written down.
async fn sign_in(
    app: &App,
    trial: &Trial<'_>,
    password: String,
    now: DateTime<Utc>,
) -> Result<Option<Entered>, Hindrance> {
    let person = app.store.person(trial.name).await?;
    let stored = person
        .as_ref()
        .and_then(|person| person.password_hash.clone());
    let right = app.entrance.gate.password(trial, password, stored).await?;
    match person.filter(|_| right) {
        Some(person) => Ok(begin(app, &person.principal, trial.peer, now).await?),
        None => Ok(None),
    }
}

/// Begins a login of somebody whose password was right. It waits for the second factor of those who have one or need one.
/// `None`: something was taken from them since they were looked up, perhaps this password.
pub(super) async fn begin(
    app: &App,
    person: &Principal,
    peer: &str,
    now: DateTime<Utc>,
) -> Result<Option<Entered>, StoreError> {
    let name = &person.subject;
    let awaits_second_factor = needs_second_factor(app, name, &person.roles).await?;
    let mut unit = app.store.begin().await?;
    let begun = Begun {
        person: name,
        generation: person.proof.as_of.generation(),
        peer,
        now,
        awaits_second_factor,
    };
    let Some((id, cookie)) = write_login(&mut unit, begun).await? else {
        return Ok(None);
    };
    let entry = AuditEntry::new(name, peer, "login.begin", name).login(id);
    let entered = Entered {
        cookie,
        awaits_second_factor,
    };
    Store::audit(&mut unit, entry.outcome(entered.outcome())).await?;
    unit.commit().await?;
    Ok(Some(entered))
}

/// A login that begins now.
pub(super) struct Begun<'a> {
    pub(super) person: &'a str,
    /// Of their rights, as they were when they showed who they are.
    pub(super) generation: i64,
    pub(super) peer: &'a str,
    pub(super) now: DateTime<Utc>,
    pub(super) awaits_second_factor: bool,
}

/// A new login of somebody who has shown who they are: its id, and the value of its cookie. `None`: something was taken
/// from them meanwhile.
pub(super) async fn write_login(
    unit: &mut Unit<'_>,
    begun: Begun<'_>,
) -> Result<Option<(Uuid, String)>, StoreError> {
    let (id, cookie) = (Uuid::new_v4(), secret());
    let login = NewLogin {
        id,
        cookie_hash: &of_secret(&cookie),
        person: begun.person,
        csrf: &secret(),
        peer: begun.peer,
        expires_at: begun.now + TimeDelta::hours(LOGIN_HOURS),
        awaits_second_factor: begun.awaits_second_factor,
        generation: begun.generation,
    };
    let has_begun = Store::begin_login(unit, login).await?;
    Ok(has_begun.then_some((id, cookie)))
}

/// Ends a login with all that came from it; its row names it. Of one that somebody else's replaced its own person did nothing:
/// the row is the server's, and says who came.
async fn end(
    app: &App,
    login: &Login,
    peer: &str,
    replaced_by: Option<&str>,
) -> Result<(), StoreError> {
    let subject = &login.principal.subject;
    let mut back = CallBack::begin(&app.store).await?;
    if !Store::end_login(&mut back.unit, subject, login.id).await? {
        return Ok(());
    }
    back.grant(login.id, subject).await?;
    let actor = replaced_by.map_or(subject.as_str(), |_| SERVER);
    let entry = AuditEntry::new(actor, peer, "login.end", subject).login(login.id);
    let entry = match replaced_by {
        Some(name) => entry.detail(json!({"replaced_by": name})),
        None => entry,
    };
    Store::audit(&mut back.unit, entry).await?;
    back.commit(&app.authenticator).await
}

pub(super) async fn leave(
    State(app): State<App>,
    EvenLocked(sent): EvenLocked<Sent<Nothing>>,
) -> Response {
    let viewer = &sent.viewer;
    match end(&app, &viewer.login, &viewer.peer, None).await {
        Ok(()) => {
            let next = Redirect::to("/sign-in?ended=signed-out").into_response();
            let cookie = login_cookie(app.entrance.secure_cookies);
            SetCookie::new(cookie, "", 0).into(&app, next)
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
    let cookie = SetCookie::new(LANGUAGE_COOKIE, form.lang.tag(), LANGUAGE_SECONDS);
    cookie.into(&app, next.into_response())
}

/// The token with which a page's script connects. It is good for minutes and kept in memory only.
pub(super) async fn token(
    State(app): State<App>,
    EvenLocked(viewer): EvenLocked<Viewer>,
) -> Response {
    if !is_of(&viewer.login, viewer.script_csrf.as_deref()) {
        let detail = format!("the header `{CSRF_HEADER}` of the page is needed");
        return Problem::new(StatusCode::FORBIDDEN, "csrf", detail).into_response();
    }
    if let Err(wait) = app.throttle.of_principal(Share::Token, viewer.principal()) {
        return Problem::too_many(wait).into_response();
    }
    let issued = app.authenticator.issue(viewer.principal());
    Json(json!({"access_token": issued.token, "token_type": "Bearer", "expires_in": issued.lifetime.as_secs()}))
        .into_response()
}
