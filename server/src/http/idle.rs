//! What pages say and are told of a console at which nobody does anything, and how it is unlocked.
//!
//! A person acts by sending a form, by following a link, or by using mouse or keyboard, which the page tells. What a page
//! fetches by itself does not count.

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta};
use serde::Deserialize;
use serde_json::json;
use web_ui::{Lock, Notice};

use super::App;
use super::error::{Problem, log_unavailable};
use super::form::not_recording;
use super::sent::Sent;
use super::sign_in::right_password;
use super::viewer::{EvenLocked, Viewer};
use crate::identity::idle_lock::not_before;
use crate::store::audit::AuditEntry;
use crate::store::{Store, StoreError, Unit};

/// A login that is used without end is written down as seen this often only.
const SEEN_EVERY: TimeDelta = TimeDelta::seconds(60);

/// What a page is told of it.
pub(super) fn lock<'a>(app: &'a App, viewer: &Viewer) -> Lock<'a> {
    let limit = not_before(&app.entrance.identity, viewer.viewing.now);
    Lock {
        // One more, so that who asks when the time is over is told that it is.
        idle_seconds: limit.map_or(0, |limit| {
            (viewer.login.last_active_at - limit).num_seconds().max(0) + 1
        }),
        is_locked: viewer.is_locked,
        provider: app
            .external()
            .filter(|_| viewer.login.is_external)
            .map(|visitors| visitors.provider.config().name.get(viewer.viewing.language)),
    }
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
    EvenLocked(mut sent): EvenLocked<Sent<ActiveForm>>,
) -> Response {
    let viewer = &mut sent.viewer;
    if sent.fields.active == "yes" && !viewer.is_locked {
        let now = viewer.viewing.now;
        let limit = not_before(&app.entrance.identity, now).unwrap_or(DateTime::UNIX_EPOCH);
        if let Err(error) = app.store.use_login(viewer.login.id, limit).await {
            return Problem::from(error).into_response();
        }
        viewer.login.last_active_at = now;
    }
    let lock = lock(&app, viewer);
    Json(json!({"locked": lock.is_locked, "left": lock.idle_seconds})).into_response()
}

#[derive(Deserialize)]
pub(super) struct UnlockForm {
    password: String,
}

pub(super) async fn unlock(
    State(app): State<App>,
    EvenLocked(mut sent): EvenLocked<Sent<UnlockForm>>,
) -> Response {
    let password = std::mem::take(&mut sent.fields.password);
    let (status, notice) = match check(&app, &sent.viewer, password).await {
        Ok(()) => (StatusCode::OK, Notice::Unlocked),
        Err(refused) => refused,
    };
    sent.answer(status, &notice)
}

async fn check(app: &App, viewer: &Viewer, password: String) -> Result<(), (StatusCode, Notice)> {
    if viewer.login.is_external {
        // There is no password that could be wrong.
        return Err((StatusCode::FORBIDDEN, Notice::SignInAtProvider));
    }
    right_password(app, viewer, "login.unlock", password).await?;
    let stored = async { unlocked(app.store.begin().await?, viewer, json!({})).await };
    stored.await.map_err(|error| not_recording(&error))
}

/// Completes a unit: the person of a login showed who they are.
pub(super) async fn unlocked(
    mut unit: Unit<'_>,
    viewer: &Viewer,
    detail: serde_json::Value,
) -> Result<(), StoreError> {
    let name = &viewer.principal().subject;
    Store::unlock_login(&mut unit, viewer.login.id).await?;
    Store::audit(&mut unit, entry(viewer, "login.unlock", name, detail)).await?;
    unit.commit().await.map_err(StoreError::from)
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
