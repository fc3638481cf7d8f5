//! One's own account: open logins, password, second factor.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;
use web_ui::{
    AccountPage, ErrorKind, GrantRow, LoginRow, Notice, PasswordState, SecondFactorState, Template,
};

use super::App;
use super::error::log_unavailable;
use super::form::not_recording;
use super::idle::entry;
use super::invitation::password_problem;
use super::page::{PageQuery, Scene, error_page, html};
use super::second_factor::RECENT;
use super::sent::{Nothing, Sent};
use super::sign_in::right_password;
use super::viewer::{EvenLocked, Viewer};
use crate::identity::call_back::CallBack;
use crate::store::grant::GrantLine;
use crate::store::login::OpenLogin;
use crate::store::people::KeptBy;
use crate::store::{Store, StoreError};

/// What the page shows beside the frame.
struct Own {
    logins: Vec<OpenLogin>,
    grants: Vec<GrantLine>,
    kept_by: KeptBy,
    second_factor: SecondFactorState,
    failures: i64,
}

/// For so long failed sign-ins are told to whoever they were tried as.
const TOLD: TimeDelta = TimeDelta::days(7);

async fn read(app: &App, viewer: &Viewer) -> Result<Own, StoreError> {
    let (name, now) = (&viewer.principal().subject, viewer.viewing.now);
    let second_factor = if app.store.has_second_factor(name).await? {
        SecondFactorState::On(app.store.recovery_codes_left(name).await?)
    } else if !viewer.login.is_external {
        SecondFactorState::OffWithPassword
    } else if now - viewer.login.proved_at < RECENT {
        SecondFactorState::Off
    } else {
        SecondFactorState::OffAtProvider
    };
    Ok(Own {
        logins: app.store.open_logins(name).await?,
        grants: app.store.grants(name, now).await?,
        kept_by: app.store.kept_by(name).await?.unwrap_or(KeptBy::Us),
        second_factor,
        failures: app.store.failures(name, now - TOLD).await?,
    })
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<PageQuery>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let own = match read(&app, &viewer).await {
        Ok(own) => own,
        Err(error) => {
            let reference = log_unavailable(&error).to_string();
            let kind = ErrorKind::Unavailable;
            return error_page(&app, &scene, &viewer, kind, Some(&reference));
        }
    };
    let logins: Vec<LoginRow<'_>> = own
        .logins
        .iter()
        .map(|login| LoginRow {
            id: login.id,
            peer: &login.peer,
            begun_at: login.begun_at,
            last_seen_at: login.last_seen_at,
            expires_at: login.expires_at,
            is_this: login.id == viewer.login.id,
        })
        .collect();
    let grants: Vec<GrantRow<'_>> = own
        .grants
        .iter()
        .map(|grant| GrantRow {
            id: grant.id,
            application: &grant.application,
            peer: &grant.peer,
            begun_at: grant.created_at,
            used_at: grant.used_at,
            expires_at: grant.expires_at,
        })
        .collect();
    let newest = scene.newest();
    let page = AccountPage {
        shell: scene.shell(&app, &viewer, &newest, query.notice()),
        name: &viewer.principal().subject,
        zones: &viewer.principal().zones.to_words().join(" "),
        logins: &logins,
        grants: &grants,
        password: match own.kept_by {
            KeptBy::Us => PasswordState::Ours,
            KeptBy::File => PasswordState::OfFile,
            KeptBy::Provider => PasswordState::OfProvider,
        },
        second_factor: own.second_factor,
        failures: own.failures,
    };
    html(StatusCode::OK, page.render())
}

pub(super) async fn end_login(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    EvenLocked(sent): EvenLocked<Sent<Nothing>>,
) -> Response {
    let name = &sent.viewer.principal().subject;
    let ended = async {
        let mut back = CallBack::begin(&app.store).await?;
        if Store::end_login(&mut back.unit, name, id).await? {
            back.grant(id, name).await?;
        }
        let entry = entry(&sent.viewer, "login.end", name, json!({"login": id}));
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await
    };
    told(&sent, ended.await, Notice::LoginsEnded)
}

pub(super) async fn end_others(
    State(app): State<App>,
    EvenLocked(sent): EvenLocked<Sent<Nothing>>,
) -> Response {
    let (name, this) = (&sent.viewer.principal().subject, sent.viewer.login.id);
    let ended = async {
        let mut back = CallBack::begin(&app.store).await?;
        let ended = back.other_logins(name, this).await?;
        let entry = entry(&sent.viewer, "login.end", name, json!({"logins": ended}));
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await
    };
    told(&sent, ended.await, Notice::LoginsEnded)
}

/// Ends what an application may do for this person.
pub(super) async fn end_grant(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    EvenLocked(sent): EvenLocked<Sent<Nothing>>,
) -> Response {
    let (name, now) = (&sent.viewer.principal().subject, sent.viewer.viewing.now);
    let ended = async {
        let is_own = app.store.holder_of(id).await?.as_ref() == Some(name);
        if !is_own {
            return Ok(());
        }
        let mut back = CallBack::begin(&app.store).await?;
        Store::end_grant(&mut back.unit, id, now).await?;
        back.grant(id, name).await?;
        let entry = entry(&sent.viewer, "grant.end", name, json!({"grant": id}));
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await
    };
    told(&sent, ended.await, Notice::GrantEnded)
}

/// Says what became of the form.
fn told<F>(sent: &Sent<F>, ended: Result<(), StoreError>, done: Notice) -> Response {
    let (status, notice) = match ended {
        Ok(()) => (StatusCode::OK, done),
        Err(error) => not_recording(&error),
    };
    sent.answer(status, &notice)
}

#[derive(Deserialize)]
pub(super) struct PasswordChange {
    old: String,
    new: String,
    again: String,
}

pub(super) async fn change_password(
    State(app): State<App>,
    sent: Sent<PasswordChange>,
) -> Response {
    let hash = match new_hash(&app, &sent.viewer, &sent.fields).await {
        Ok(hash) => hash,
        Err((status, notice)) => return sent.answer(status, &notice),
    };
    let (name, this) = (&sent.viewer.principal().subject, sent.viewer.login.id);
    let changed = async {
        let mut back = CallBack::begin(&app.store).await?;
        Store::set_password(&mut back.unit, name, &hash).await?;
        let ended = back.other_logins(name, this).await?;
        let entry = entry(
            &sent.viewer,
            "person.password",
            name,
            json!({"ended": ended}),
        );
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await
    };
    told(&sent, changed.await, Notice::PasswordChanged)
}

/// The hash of a new password, when the old one was right and the new one may be chosen.
async fn new_hash(
    app: &App,
    viewer: &Viewer,
    form: &PasswordChange,
) -> Result<String, (StatusCode, Notice)> {
    let name = &viewer.principal().subject;
    let kept_by = app.store.kept_by(name).await;
    match kept_by.map_err(|error| not_recording(&error))? {
        // It would be undone when the server starts again.
        Some(KeptBy::File) => return Err((StatusCode::CONFLICT, Notice::KeptByFile)),
        Some(KeptBy::Provider) => return Err((StatusCode::CONFLICT, Notice::KeptByProvider)),
        Some(KeptBy::Us) | None => {}
    }
    if let Some(notice) = password_problem(&form.new, &form.again, name) {
        return Err((StatusCode::UNPROCESSABLE_ENTITY, notice));
    }
    right_password(app, viewer, "person.password", form.old.clone()).await?;
    let hash = app.entrance.gate.hash(form.new.clone()).await;
    hash.or(Err((StatusCode::SERVICE_UNAVAILABLE, Notice::TryLater)))
}
