//! `POST /api/v1/revocations`: an administrator calls back what somebody holds; and `GET /api/v1/grants`: what one's own
//! applications hold.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::App;
use crate::alarm::Actor;
use crate::http::api::{Body, List};
use crate::http::caller::Caller;
use crate::http::error::Problem;
use crate::identity::policy::{Denial, Permission, Place};
use crate::identity::standing::Revocation;
use crate::store::audit::AuditEntry;
use crate::store::grant::GrantLine;
use crate::store::{Store, StoreError};

/// What the caller lets applications do.
pub(in crate::http) async fn grants(
    State(app): State<App>,
    Caller(actor): Caller,
) -> Result<Json<List<GrantLine>>, Problem> {
    let Actor { principal, .. } = &actor;
    let mut lines = app.store.grants(&principal.subject, Utc::now()).await?;
    // An application sees what it was given itself.
    let proof = &principal.proof;
    lines.retain(|line| proof.client.is_none() || proof.grant == Some(line.id));
    Ok(List::whole(lines))
}

/// Exactly one of these.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum What {
    /// Everything that a person or program holds now, and what applications hold for them.
    Subject(String),
    /// One token, by its `jti`.
    Token(Uuid),
    /// A login or a family of refresh tokens, by its `sid`.
    Grant(Uuid),
}

/// Names of people and programs are no longer.
const SUBJECT_CHARS_MAX: usize = 128;

pub(in crate::http) async fn call_back(
    State(app): State<App>,
    Caller(actor): Caller,
    Body(what): Body<What>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let proof = &actor.principal.proof;
    // What somebody let an application do is also theirs to end, by their own hand; an application ends what it was given.
    let is_own = match &what {
        What::Grant(id) if proof.client.is_some() => proof.grant == Some(*id),
        What::Grant(id) => {
            let holder = app.store.holder_of(*id).await?;
            holder.is_some_and(|holder| holder == actor.principal.subject)
        }
        What::Subject(_) | What::Token(_) => false,
    };
    if !is_own {
        let allowed = app.allow(&actor.principal, Permission::TokenRevoke, Place::Anywhere);
        allowed.map_err(|denial| match denial {
            Denial::NotGranted => {
                let detail = "what is not your own is called back by whoever has the right `token.revoke` in every zone";
                Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
            }
            Denial::SecondFactorNeeded => denial.into(),
        })?;
    }
    let now = Utc::now();
    let mut unit = app.store.begin().await?;
    let (revocation, holder) = match what {
        What::Subject(subject) if subject.chars().count() > SUBJECT_CHARS_MAX => {
            return Err(Problem::not_found("nobody has such a long name"));
        }
        What::Subject(subject) => {
            Store::end_logins(&mut unit, &subject).await?;
            (Revocation::Subject(subject.clone()), Some(subject))
        }
        What::Token(id) => (Revocation::Token(id), None),
        What::Grant(id) => {
            let holder = app.store.holder_of(id).await?;
            let holder = holder.ok_or_else(|| Problem::not_found(format!("no grant is {id}")))?;
            Store::end_login(&mut unit, &holder, id).await?;
            Store::end_grant(&mut unit, id, now).await?;
            (Revocation::Grant(id), Some(holder))
        }
    };
    Store::put_revocation(&mut unit, &revocation, now).await?;
    let subject = holder.as_deref().unwrap_or("a token");
    let entry = AuditEntry::by(&actor, "token.call-back", subject)
        .detail(json!({"kind": revocation.kind(), "key": revocation.key()}));
    Store::audit(&mut unit, entry).await?;
    unit.commit().await.map_err(StoreError::from)?;
    match &holder {
        Some(subject) => app.authenticator.call_back(&revocation, subject, now),
        None => app.authenticator.call_back_of_anybody(&revocation, now),
    }
    let answer = json!({"kind": revocation.kind(), "key": revocation.key()});
    Ok((StatusCode::CREATED, Json(answer)))
}
