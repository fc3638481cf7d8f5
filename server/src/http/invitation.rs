//! The page behind a link that was given to somebody: they choose a password and are in.

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Deserialize;
use web_ui::{InvitationPage, Invited, Notice, Template};

use super::App;
use super::csrf::{FormToken, is_from_us};
use super::error::{Problem, log_unavailable};
use super::page::html;
use super::sign_in::{begin, welcome};
use super::viewer::Peer;
use crate::identity::digest::of_secret;
use crate::identity::invitation;
use crate::identity::password_rule::{Weakness, weakness};
use crate::store::audit::AuditEntry;
use crate::store::people::Invitation;
use crate::store::{Store, StoreError};

fn page(
    app: &App,
    headers: &HeaderMap,
    token: &str,
    invited: Option<&Invitation>,
    notice: Option<Notice>,
) -> Response {
    let status = match (invited, &notice) {
        (None, _) => StatusCode::NOT_FOUND,
        (Some(_), Some(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        (Some(_), None) => StatusCode::OK,
    };
    let (path, form) = (invitation::path(token), FormToken::of(app, headers));
    let page = InvitationPage {
        viewing: app.viewing(headers),
        person: invited.map(|invited| Invited {
            name: &invited.person,
            role: invited.role,
        }),
        notice,
        path: &path,
        csrf: form.value(),
    };
    form.kept(app, html(status, page.render()))
}

pub(super) async fn show(
    State(app): State<App>,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Response {
    match app.store.invitation(&of_secret(&token)).await {
        Ok(invited) => page(&app, &headers, &token, invited.as_ref(), None),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// What is wrong with a new password that was typed twice.
pub(super) fn password_problem(new: &str, again: &str, name: &str) -> Option<Notice> {
    if new != again {
        return Some(Notice::PasswordsDiffer);
    }
    weakness(new, name).map(|weakness| match weakness {
        Weakness::Short | Weakness::Long => Notice::PasswordShort,
        Weakness::Guessable => Notice::PasswordGuessable,
    })
}

#[derive(Deserialize)]
pub(super) struct FirstPassword {
    csrf: Option<String>,
    new: String,
    again: String,
}

pub(super) async fn accept(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Path(token): Path<String>,
    Form(form): Form<FirstPassword>,
) -> Response {
    let hash = of_secret(&token);
    let invited = match app.store.invitation(&hash).await {
        Ok(Some(invited)) => invited,
        Ok(None) => return page(&app, &headers, &token, None, None),
        Err(error) => return Problem::from(error).into_response(),
    };
    let problem = if is_from_us(&app, &headers, form.csrf.as_deref()) {
        password_problem(&form.new, &form.again, &invited.person)
    } else {
        Some(Notice::FormExpired)
    };
    if problem.is_some() {
        return page(&app, &headers, &token, Some(&invited), problem);
    }
    let Ok(password) = app.entrance.gate.hash(form.new).await else {
        return page(
            &app,
            &headers,
            &token,
            Some(&invited),
            Some(Notice::TryLater),
        );
    };
    match use_up(&app, &peer, &hash, &invited.person, &password).await {
        Ok(true) => {}
        Ok(false) => return page(&app, &headers, &token, None, None),
        Err(error) => {
            log_unavailable(&error);
            return page(
                &app,
                &headers,
                &token,
                Some(&invited),
                Some(Notice::NotRecording),
            );
        }
    }
    let entered = match app.store.person(&invited.person).await {
        Ok(Some(person)) => begin(&app, &person.principal, &peer, Utc::now()).await,
        Ok(None) => return page(&app, &headers, &token, None, None),
        Err(error) => Err(error),
    };
    match entered {
        Ok(Some(entered)) => welcome(&app, &headers, &peer, &invited.person, &entered, "/").await,
        Ok(None) => page(&app, &headers, &token, None, None),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Sets the password of a link, once: whether it was still good.
async fn use_up(
    app: &App,
    peer: &str,
    token_hash: &[u8],
    name: &str,
    password: &str,
) -> Result<bool, StoreError> {
    let mut unit = app.store.begin().await?;
    if !Store::use_invitation(&mut unit, token_hash).await? {
        return Ok(false);
    }
    Store::set_password(&mut unit, name, password).await?;
    let entry = AuditEntry::new(name, peer, "invitation.accept", name);
    Store::audit(&mut unit, entry).await?;
    unit.commit().await?;
    Ok(true)
}
