//! One's own account: open logins, password, second factor.

use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;
use web_ui::{AccountPage, ErrorKind, LoginRow, Notice, SecondFactorState, Template};

use super::App;
use super::error::log_unavailable;
use super::form::{answer, is_ours, not_recording};
use super::idle::entry;
use super::invitation::password_problem;
use super::page::{PageQuery, Scene, error_page, html};
use super::sign_in::{refusal, trial};
use super::viewer::Viewer;
use crate::identity::call_back::CallBack;
use crate::store::login::OpenLogin;
use crate::store::{Store, StoreError};

const PAGE: Option<&str> = Some("/account");

/// What the page shows beside the frame.
struct Own {
    logins: Vec<OpenLogin>,
    from_file: bool,
    second_factor: SecondFactorState,
}

async fn read(app: &App, name: &str) -> Result<Own, StoreError> {
    let known = app.store.second_factor(name).await?;
    let second_factor = if known.is_some_and(|known| known.confirmed) {
        SecondFactorState::On(app.store.recovery_codes_left(name).await?)
    } else {
        SecondFactorState::Off
    };
    Ok(Own {
        logins: app.store.open_logins(name).await?,
        from_file: app.store.is_from_file(name).await?,
        second_factor,
    })
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<PageQuery>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let own = match read(&app, &viewer.principal().subject).await {
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
    let newest = scene.newest();
    let page = AccountPage {
        shell: scene.shell(&app, &viewer, &newest, query.notice()),
        name: &viewer.principal().subject,
        zones: &viewer.principal().zones.to_words().join(" "),
        logins: &logins,
        may_change_password: !own.from_file,
        second_factor: own.second_factor,
    };
    html(StatusCode::OK, page.render())
}

/// Whether something is done at all: a form of this login, which is not locked. One's own logins can be ended always.
pub(super) fn refused(viewer: &Viewer, csrf: Option<&str>, even_locked: bool) -> Option<Notice> {
    if !is_ours(viewer, csrf) {
        return Some(Notice::FormExpired);
    }
    (viewer.is_locked && !even_locked).then_some(Notice::Locked)
}

#[derive(Deserialize)]
pub(super) struct CsrfForm {
    csrf: Option<String>,
}

pub(super) async fn end_login(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<Uuid>,
    Form(form): Form<CsrfForm>,
) -> Response {
    if let Some(notice) = refused(&viewer, form.csrf.as_deref(), true) {
        return answer(&viewer, PAGE, StatusCode::FORBIDDEN, &notice);
    }
    let name = &viewer.principal().subject;
    let ended = async {
        let mut back = CallBack::begin(&app.store).await?;
        if Store::end_login(&mut back.unit, name, id).await? {
            back.grant(id, name).await?;
        }
        let detail = json!({"login": id});
        let entry = entry(&viewer, "login.end", name, detail);
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await
    };
    told(&viewer, ended.await, Notice::LoginsEnded)
}

pub(super) async fn end_others(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<CsrfForm>,
) -> Response {
    if let Some(notice) = refused(&viewer, form.csrf.as_deref(), true) {
        return answer(&viewer, PAGE, StatusCode::FORBIDDEN, &notice);
    }
    let name = &viewer.principal().subject;
    let ended = async {
        let mut back = CallBack::begin(&app.store).await?;
        let ended = back.other_logins(name, viewer.login.id).await?;
        let detail = json!({"logins": ended});
        let entry = entry(&viewer, "login.end", name, detail);
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await
    };
    told(&viewer, ended.await, Notice::LoginsEnded)
}

/// Says what became of the form.
fn told(viewer: &Viewer, ended: Result<(), StoreError>, done: Notice) -> Response {
    let (status, notice) = match ended {
        Ok(()) => (StatusCode::OK, done),
        Err(error) => not_recording(&error),
    };
    answer(viewer, PAGE, status, &notice)
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    csrf: Option<String>,
    old: String,
    new: String,
    again: String,
}

pub(super) async fn change_password(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<PasswordForm>,
) -> Response {
    if let Some(notice) = refused(&viewer, form.csrf.as_deref(), false) {
        return answer(&viewer, PAGE, StatusCode::FORBIDDEN, &notice);
    }
    let hash = match new_hash(&app, &viewer, form).await {
        Ok(hash) => hash,
        Err((status, notice)) => return answer(&viewer, PAGE, status, &notice),
    };
    let name = &viewer.principal().subject;
    let changed = async {
        let mut back = CallBack::begin(&app.store).await?;
        Store::set_password(&mut back.unit, name, &hash).await?;
        let ended = back.other_logins(name, viewer.login.id).await?;
        let detail = json!({"ended": ended});
        let entry = entry(&viewer, "person.password", name, detail);
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await
    };
    told(&viewer, changed.await, Notice::PasswordChanged)
}

/// The hash of a new password, when the old one was right and the new one may be chosen.
async fn new_hash(
    app: &App,
    viewer: &Viewer,
    form: PasswordForm,
) -> Result<String, (StatusCode, Notice)> {
    let name = &viewer.principal().subject;
    let from_file = app.store.is_from_file(name).await;
    if from_file.map_err(|error| not_recording(&error))? {
        // It would be undone when the server starts again.
        return Err((StatusCode::CONFLICT, Notice::KeptByFile));
    }
    if let Some(notice) = password_problem(&form.new, &form.again, name) {
        return Err((StatusCode::UNPROCESSABLE_ENTITY, notice));
    }
    let stored = app.store.person(name).await;
    let stored = stored.map_err(|error| not_recording(&error))?;
    let stored = stored.and_then(|person| person.password_hash);
    let gate = &app.entrance.gate;
    let right = gate.password(&trial(viewer), form.old, stored).await;
    if !right.map_err(refusal)? {
        return Err((StatusCode::FORBIDDEN, Notice::WrongPassword));
    }
    let hash = gate.hash(form.new).await;
    hash.or(Err((StatusCode::SERVICE_UNAVAILABLE, Notice::TryLater)))
}
