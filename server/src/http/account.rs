//! One's own account: open logins, password, second factor.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;
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
use crate::identity::standing::Revocation;
use crate::store::grant::GrantLine;
use crate::store::login::OpenLogin;
use crate::store::people::KeptBy;
use crate::store::{Store, StoreError, Unit};

/// What the page shows beside the frame.
struct Own {
    logins: Vec<OpenLogin>,
    grants: Vec<GrantLine>,
    kept_by: KeptBy,
    second_factor: SecondFactorState,
}

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
        let mut unit = app.store.begin().await?;
        let ended = Store::end_login(&mut unit, name, id).await?;
        let ended: Vec<Uuid> = ended.then_some(id).into_iter().collect();
        store_end(
            unit,
            &sent.viewer,
            &ended,
            ("login.end", json!({"login": id})),
        )
        .await?;
        Ok(ended)
    };
    told(&app, &sent, ended.await, Notice::LoginsEnded)
}

pub(super) async fn end_others(
    State(app): State<App>,
    EvenLocked(sent): EvenLocked<Sent<Nothing>>,
) -> Response {
    let (name, this) = (&sent.viewer.principal().subject, sent.viewer.login.id);
    let ended = async {
        let mut unit = app.store.begin().await?;
        let ended = Store::end_other_logins(&mut unit, name, this).await?;
        let detail = json!({"logins": ended.len()});
        store_end(unit, &sent.viewer, &ended, ("login.end", detail)).await?;
        Ok(ended)
    };
    told(&app, &sent, ended.await, Notice::LoginsEnded)
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
            return Ok(Vec::new());
        }
        let mut unit = app.store.begin().await?;
        Store::end_grant(&mut unit, id, now).await?;
        store_end(
            unit,
            &sent.viewer,
            &[id],
            ("grant.end", json!({"grant": id})),
        )
        .await?;
        Ok(vec![id])
    };
    told(&app, &sent, ended.await, Notice::GrantEnded)
}

/// Completes a unit that ends logins or grants: what came from them is void, and it is written down.
async fn store_end(
    mut unit: Unit<'_>,
    viewer: &Viewer,
    ended: &[Uuid],
    (action, detail): (&'static str, serde_json::Value),
) -> Result<(), StoreError> {
    for login in ended {
        Store::put_revocation(&mut unit, &Revocation::Grant(*login), Utc::now()).await?;
    }
    let name = &viewer.principal().subject;
    Store::audit(&mut unit, entry(viewer, action, name, detail)).await?;
    unit.commit().await.map_err(StoreError::from)
}

/// Lets the ends of logins take effect, and says what became of the form.
fn told<F>(
    app: &App,
    sent: &Sent<F>,
    ended: Result<Vec<Uuid>, StoreError>,
    done: Notice,
) -> Response {
    let (status, notice) = match ended {
        Ok(ended) => {
            let subject = &sent.viewer.principal().subject;
            for login in ended {
                let what = Revocation::Grant(login);
                app.authenticator.call_back(&what, subject, Utc::now());
            }
            (StatusCode::OK, done)
        }
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
        let mut unit = app.store.begin().await?;
        Store::set_password(&mut unit, name, &hash).await?;
        let ended = Store::end_other_logins(&mut unit, name, this).await?;
        let detail = json!({"ended": ended.len()});
        store_end(unit, &sent.viewer, &ended, ("person.password", detail)).await?;
        Ok(ended)
    };
    told(&app, &sent, changed.await, Notice::PasswordChanged)
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
    right_password(app, viewer, form.old.clone()).await?;
    let hash = app.entrance.gate.hash(form.new.clone()).await;
    hash.or(Err((StatusCode::SERVICE_UNAVAILABLE, Notice::TryLater)))
}
