//! A console at which nobody does anything: its login sees everything and does nothing, until its person shows the
//! password again. Emergency commands are taken all the same (IEC 62443-3-3, SR 1.1 and SR 2.5).
//!
//! A person acts by sending a form, by following a link, or by using mouse or keyboard, which the page tells. What a page
//! fetches by itself does not count.

use axum::Json;
use axum::extract::{Form, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;
use web_ui::{Lock, Notice};

use super::App;
use super::error::{Problem, log_unavailable};
use super::form::{answer, is_ours, not_recording};
use super::sign_in::{refusal, trial};
use super::viewer::Viewer;
use crate::config::IdentityConfig;
use crate::identity::principal::Proof;
use crate::store::audit::AuditEntry;
use crate::store::login::Login;
use crate::store::{Store, StoreError};

/// A login that is used without end is written down as seen this often only.
const SEEN_EVERY: TimeDelta = TimeDelta::seconds(60);

/// The last moment in which somebody must have done something.
fn not_before(config: &IdentityConfig, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let idle = TimeDelta::from_std(config.idle_lock?).ok()?;
    now.checked_sub_signed(idle)
}

/// Whether a login is locked.
pub(super) fn is_locked(config: &IdentityConfig, login: &Login, now: DateTime<Utc>) -> bool {
    not_before(config, now).is_some_and(|limit| login.last_active_at < limit)
}

/// What a page is told of it.
pub(super) fn lock(app: &App, viewer: &Viewer) -> Lock {
    let limit = not_before(&app.entrance.identity, viewer.viewing.now);
    Lock {
        // One more, so that who asks when the time is over is told that it is.
        idle_seconds: limit.map_or(0, |limit| {
            (viewer.login.last_active_at - limit).num_seconds().max(0) + 1
        }),
        is_locked: viewer.is_locked,
    }
}

/// Whether a login that tokens come from is locked: for what comes over STOMP.
pub(crate) async fn is_proof_locked(
    store: &Store,
    config: &IdentityConfig,
    proof: &Proof,
) -> Result<bool, StoreError> {
    let (Some(grant), None, Some(limit)) =
        (proof.grant, &proof.client, not_before(config, Utc::now()))
    else {
        return Ok(false);
    };
    Ok(store
        .last_active(grant)
        .await?
        .is_some_and(|active| active < limit))
}

/// A request came: what it says of the person is kept. Nothing is refused because that could not be written.
pub(super) async fn note(app: &App, viewer: &Viewer, parts: &Parts) {
    let by_person = match parts.method {
        // Browsers say so of links that somebody followed, and not of pages that load themselves again.
        Method::GET => parts.headers.contains_key("sec-fetch-user"),
        _ => !viewer.path.starts_with("/login/"),
    };
    let (login, now) = (&viewer.login, viewer.viewing.now);
    let noted = if by_person && !viewer.is_locked {
        let limit = not_before(&app.entrance.identity, now).unwrap_or(DateTime::UNIX_EPOCH);
        app.store.use_login(login.id, limit).await
    } else if now - login.last_seen_at > SEEN_EVERY {
        app.store.see_login(login.id, &viewer.peer).await
    } else {
        Ok(())
    };
    if let Err(error) = noted {
        log_unavailable(&error);
    }
}

#[derive(Deserialize)]
pub(super) struct ActiveForm {
    active: String,
}

/// What the page's script says and asks: whether somebody is there, and whether the login is locked.
pub(super) async fn active(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<ActiveForm>,
) -> Response {
    if !is_ours(&viewer, None) {
        return Problem::new(StatusCode::FORBIDDEN, "csrf", "a page's script says this")
            .into_response();
    }
    let mut viewer = viewer;
    if form.active == "yes" && !viewer.is_locked {
        let now = viewer.viewing.now;
        let limit = not_before(&app.entrance.identity, now).unwrap_or(DateTime::UNIX_EPOCH);
        if let Err(error) = app.store.use_login(viewer.login.id, limit).await {
            return Problem::from(error).into_response();
        }
        viewer.login.last_active_at = now;
    }
    let lock = lock(&app, &viewer);
    Json(json!({"locked": lock.is_locked, "left": lock.idle_seconds})).into_response()
}

#[derive(Deserialize)]
pub(super) struct UnlockForm {
    csrf: Option<String>,
    password: String,
    next: Option<String>,
}

pub(super) async fn unlock(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<UnlockForm>,
) -> Response {
    let next = form.next.as_deref();
    if !is_ours(&viewer, form.csrf.as_deref()) {
        return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::FormExpired);
    }
    let (status, notice) = match check(&app, &viewer, form.password).await {
        Ok(()) => (StatusCode::OK, Notice::Unlocked),
        Err(refused) => refused,
    };
    answer(&viewer, next, status, &notice)
}

async fn check(app: &App, viewer: &Viewer, password: String) -> Result<(), (StatusCode, Notice)> {
    let name = &viewer.principal().subject;
    let stored = app.store.person(name).await;
    let stored = stored.map_err(|error| not_recording(&error))?;
    let stored = stored.and_then(|person| person.password_hash);
    let right = app
        .entrance
        .gate
        .password(&trial(viewer), password, stored)
        .await
        .map_err(refusal)?;
    if !right {
        return Err((StatusCode::FORBIDDEN, Notice::WrongPassword));
    }
    let unlocked = async {
        let mut unit = app.store.begin().await?;
        Store::unlock_login(&mut unit, viewer.login.id).await?;
        let entry = entry(viewer, "login.unlock", name, json!({}));
        Store::audit(&mut unit, entry).await?;
        unit.commit().await.map_err(StoreError::from)
    };
    unlocked.await.map_err(|error| not_recording(&error))
}

/// What somebody did, for the audit.
pub(super) fn entry<'a>(
    viewer: &'a Viewer,
    action: &'static str,
    subject: &'a str,
    detail: serde_json::Value,
) -> AuditEntry<'a> {
    AuditEntry::new(&viewer.principal().subject, &viewer.peer, action, subject)
        .login(viewer.login.id)
        .detail(detail)
}

/// An emergency command from a locked console is written down as what it is; that this fails hinders nobody.
pub(super) async fn write_emergency_down(app: &App, viewer: &Viewer, device: &str, name: &str) {
    let detail = json!({"name": name, "login": viewer.login.id});
    let entry = entry(viewer, "login.emergency_while_locked", device, detail);
    if let Err(error) = app.store.audit_alone(entry).await {
        log_unavailable(&error);
    }
}
