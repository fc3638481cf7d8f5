//! The second factor: asked on the way in and with critical commands, connected by a picture, confirmed by a code.

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use qrcode::{Color, QrCode};
use serde::Deserialize;
use serde_json::json;
use web_ui::{Enrolment, Notice, SecondFactorPage, SecondFactorStep, Template, Viewing};

use super::App;
use super::error::{Problem, log_unavailable};
use super::form::{answer, is_ours, not_recording, own_path};
use super::idle::entry;
use super::page::html;
use super::sign_in::{hindrance_notice, known_browser, refusal, trial, trial_of};
use super::viewer::{Peer, Viewer};
use crate::identity::policy::{Permission, Policy};
use crate::identity::random::random;
use crate::identity::seconds::second_of;
use crate::identity::totp;
use crate::store::audit::AuditEntry;
use crate::store::login::Login;
use crate::store::{Store, StoreError};

/// Whether this viewer must show a code with a critical command now.
pub(super) fn is_asked(policy: &Policy, viewer: &Viewer) -> bool {
    let now = second_of(viewer.viewing.now);
    policy.needs_second_factor(viewer.principal(), Permission::CommandCritical, now)
}

/// Takes a code that came with a form: from now on it counts for the login.
pub(super) async fn show(
    app: &App,
    viewer: &Viewer,
    code: Option<&str>,
) -> Result<(), (StatusCode, Notice)> {
    let name = &viewer.principal().subject;
    let known = app.store.second_factor(name).await;
    if !known
        .map_err(|error| not_recording(&error))?
        .is_some_and(|known| known.confirmed)
    {
        return Err((StatusCode::FORBIDDEN, Notice::NoSecondFactor));
    }
    let gate = &app.entrance.gate;
    let right = gate.code(&trial(viewer), code.unwrap_or_default()).await;
    if !right.map_err(refusal)? {
        return Err((StatusCode::FORBIDDEN, Notice::CodeWrong));
    }
    let shown = async {
        let mut unit = app.store.begin().await?;
        Store::second_factor_shown(&mut unit, viewer.login.id).await?;
        let entry = entry(viewer, "login.second_factor", name, json!({}));
        Store::audit(&mut unit, entry).await?;
        unit.commit().await.map_err(StoreError::from)
    };
    shown.await.map_err(|error| not_recording(&error))
}

#[derive(Deserialize)]
pub(super) struct NextQuery {
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CodeForm {
    csrf: Option<String>,
    code: String,
    next: Option<String>,
}

const ON_THE_WAY_IN: &str = "/sign-in/second-factor";
const OF_THE_ACCOUNT: &str = "/account/second-factor";

/// The page, as far as its login has come: it asks, or offers an app to connect.
async fn page(
    app: &App,
    viewing: Viewing,
    login: &Login,
    action: &'static str,
    next: &str,
    notice: Option<Notice>,
) -> Response {
    let name = &login.principal.subject;
    let secret = match offered(app, name).await {
        Ok(secret) => secret,
        Err(error) => return Problem::from(error).into_response(),
    };
    let picture = secret.as_deref().map(|secret| {
        let (path, width) = picture(&totp::uri(secret, name));
        (path, width, totp::base32(secret))
    });
    let step = match &picture {
        None => SecondFactorStep::Ask,
        Some((path, width, secret)) => SecondFactorStep::Enrol(Enrolment {
            path,
            width: *width,
            secret,
        }),
    };
    let status = if notice.is_some() {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::OK
    };
    let page = SecondFactorPage {
        viewing,
        step,
        notice,
        action,
        next,
        csrf: &login.csrf,
    };
    html(status, page.render())
}

/// The secret that somebody is to put into an app; `None` when they have.
async fn offered(app: &App, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let keys = &app.entrance.gate.keys;
    if app.store.second_factor(name).await?.is_none() {
        let sealed = keys.seal(name, &random::<{ totp::SECRET_BYTES }>());
        app.store.offer_second_factor(name, &sealed).await?;
    }
    let stored = app.store.second_factor(name).await?;
    Ok(stored
        .filter(|stored| !stored.confirmed)
        .and_then(|stored| {
            let secret = keys.unseal(name, &stored.sealed_secret);
            secret
                .inspect_err(|error| tracing::error!(%error, "a second factor cannot be offered"))
                .ok()
        }))
}

/// The dark squares of a QR code as a path, and the width with the margin that the standard asks for.
fn picture(text: &str) -> (String, usize) {
    const MARGIN: usize = 4;
    let Ok(code) = QrCode::new(text) else {
        return (String::new(), 1);
    };
    let width = code.width();
    let mut path = String::new();
    for (place, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let (x, y) = (place % width + MARGIN, place / width + MARGIN);
            path.push_str(&format!("M{x} {y}h1v1h-1z"));
        }
    }
    (path, width + 2 * MARGIN)
}

/// Whether a code is right; for a factor that was only offered, it is confirmed then, and these are its recovery codes.
async fn take(
    app: &App,
    login: &Login,
    peer: &str,
    device: Option<&str>,
    code: &str,
) -> Result<Vec<String>, (StatusCode, Notice)> {
    let name = &login.principal.subject;
    let confirmed = app.store.second_factor(name).await;
    let confirmed = confirmed
        .map_err(|error| not_recording(&error))?
        .is_some_and(|known| known.confirmed);
    let trial = trial_of(name, peer, device);
    let right = app.entrance.gate.code(&trial, code).await;
    if !right.map_err(refusal)? {
        return Err((StatusCode::FORBIDDEN, Notice::CodeWrong));
    }
    let codes = if confirmed { Vec::new() } else { new_codes() };
    let action = if confirmed {
        "login.second_factor"
    } else {
        "person.second_factor"
    };
    let stored = async {
        let mut unit = app.store.begin().await?;
        if !confirmed {
            Store::confirm_second_factor(&mut unit, name, &hashes(&codes)).await?;
        }
        Store::second_factor_shown(&mut unit, login.id).await?;
        let entry = AuditEntry::new(name, peer, action, name);
        Store::audit(&mut unit, entry).await?;
        unit.commit().await.map_err(StoreError::from)
    };
    stored.await.map_err(|error| not_recording(&error))?;
    Ok(codes)
}

fn new_codes() -> Vec<String> {
    (0..totp::RECOVERY_CODES)
        .map(|_| totp::recovery_code(random()))
        .collect()
}

fn hashes(codes: &[String]) -> Vec<Vec<u8>> {
    codes
        .iter()
        .filter_map(|code| totp::recovery_hash(code))
        .collect()
}

fn keep(viewing: Viewing, codes: &[String], next: &str) -> Response {
    let page = SecondFactorPage {
        viewing,
        step: SecondFactorStep::Keep(codes),
        notice: None,
        action: OF_THE_ACCOUNT,
        next,
        csrf: "",
    };
    html(StatusCode::OK, page.render())
}

pub(super) async fn ask(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<NextQuery>,
) -> Response {
    let (viewing, next) = (app.viewing(&headers), own_path(query.next.as_deref()));
    match app.awaiting_login(&headers).await {
        Ok(Some(login)) => page(&app, viewing, &login, ON_THE_WAY_IN, next, None).await,
        Ok(None) => Redirect::to("/sign-in").into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

pub(super) async fn enter(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Form(form): Form<CodeForm>,
) -> Response {
    let (viewing, next) = (app.viewing(&headers), own_path(form.next.as_deref()));
    let login = match app.awaiting_login(&headers).await {
        Ok(Some(login)) => login,
        Ok(None) => return Redirect::to("/sign-in?ended=yes").into_response(),
        Err(error) => return Problem::from(error).into_response(),
    };
    if form.csrf.as_deref() != Some(&login.csrf) {
        let notice = Some(Notice::FormExpired);
        return page(&app, viewing, &login, ON_THE_WAY_IN, next, notice).await;
    }
    let device = super::sign_in::shown_device(&app, &headers);
    match take(&app, &login, &peer, device.as_deref(), &form.code).await {
        Err((_, notice)) => page(&app, viewing, &login, ON_THE_WAY_IN, next, Some(notice)).await,
        Ok(codes) => {
            let response = if codes.is_empty() {
                Redirect::to(next).into_response()
            } else {
                keep(viewing, &codes, next)
            };
            known_browser(&app, &headers, &login.principal.subject, response)
        }
    }
}

pub(super) async fn begin(State(app): State<App>, viewer: Viewer) -> Response {
    match app.store.second_factor(&viewer.principal().subject).await {
        Ok(Some(known)) if known.confirmed => Redirect::to("/account").into_response(),
        Ok(_) => {
            let (viewing, login) = (viewer.viewing, &viewer.login);
            page(&app, viewing, login, OF_THE_ACCOUNT, "/account", None).await
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

pub(super) async fn confirm(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<CodeForm>,
) -> Response {
    let device = viewer.device_cookie.as_deref();
    let refused = if !is_ours(&viewer, form.csrf.as_deref()) {
        Notice::FormExpired
    } else if viewer.is_locked {
        Notice::Locked
    } else {
        match take(&app, &viewer.login, &viewer.peer, device, &form.code).await {
            Ok(codes) if codes.is_empty() => return Redirect::to("/account").into_response(),
            Ok(codes) => return keep(viewer.viewing, &codes, "/account"),
            Err((_, notice)) => notice,
        }
    };
    let (viewing, login) = (viewer.viewing, &viewer.login);
    page(
        &app,
        viewing,
        login,
        OF_THE_ACCOUNT,
        "/account",
        Some(refused),
    )
    .await
}

/// New recovery codes, for a code of the app.
pub(super) async fn renew(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<CodeForm>,
) -> Response {
    let next = Some("/account");
    if !is_ours(&viewer, form.csrf.as_deref()) {
        return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::FormExpired);
    }
    if viewer.is_locked {
        return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::Locked);
    }
    let name = &viewer.principal().subject;
    match app.entrance.gate.code(&trial(&viewer), &form.code).await {
        Ok(true) => {}
        Ok(false) => return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::CodeWrong),
        Err(hindrance) => {
            let (status, notice) = (StatusCode::TOO_MANY_REQUESTS, hindrance_notice(&hindrance));
            return answer(&viewer, next, status, &notice);
        }
    }
    let codes = new_codes();
    let stored = async {
        let mut unit = app.store.begin().await?;
        Store::confirm_second_factor(&mut unit, name, &hashes(&codes)).await?;
        let entry = entry(&viewer, "person.recovery_codes", name, json!({}));
        Store::audit(&mut unit, entry).await?;
        unit.commit().await.map_err(StoreError::from)
    };
    match stored.await {
        Ok(()) => keep(viewer.viewing, &codes, "/account"),
        Err(error) => {
            log_unavailable(&error);
            let (status, notice) = (StatusCode::SERVICE_UNAVAILABLE, Notice::NotRecording);
            answer(&viewer, next, status, &notice)
        }
    }
}
