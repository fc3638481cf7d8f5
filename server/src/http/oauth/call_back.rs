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
use crate::http::throttle::Share;
use crate::identity::call_back::CallBack;
use crate::identity::policy::{Denial, Permission};
use crate::store::Store;
use crate::store::audit::AuditEntry;
use crate::store::grant::GrantLine;

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
    /// Everything that a person, program or application holds now, and what applications hold for them.
    Subject(String),
    /// One token, by its `jti`.
    Token(Uuid),
    /// A login or a family of refresh tokens, by its `sid`.
    Grant(Uuid),
}

impl What {
    fn key(&self) -> String {
        match self {
            Self::Subject(name) => name.clone(),
            Self::Token(id) | Self::Grant(id) => id.to_string(),
        }
    }
}

pub(in crate::http) async fn call_back(
    State(app): State<App>,
    Caller(actor): Caller,
    Body(what): Body<What>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let taken = app.throttle.of_principal(Share::Act, &actor.principal);
    taken.map_err(Problem::too_many)?;
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
        let allowed = app.demand(&actor, Permission::TokenRevoke, &what.key());
        allowed.map_err(|denial| match denial {
            Denial::NotGranted => {
                let detail = "what is not your own is called back by whoever has the right `token.revoke` in every zone";
                Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
            }
            Denial::SecondFactorNeeded => denial.into(),
        })?;
    }
    let mut back = CallBack::begin(&app.store).await?;
    let (answer, holder) = match what {
        What::Subject(name) => {
            if !back.subject(&name).await? {
                let detail = "no person, program or application is called so";
                return Err(Problem::not_found(detail));
            }
            Store::end_logins(&mut back.unit, &name).await?;
            (json!({"kind": "subject", "key": name}), Some(name))
        }
        What::Token(id) => {
            back.token(id, None).await?;
            (json!({"kind": "token", "key": id}), None)
        }
        What::Grant(id) => {
            let holder = app.store.holder_of(id).await?;
            let holder = holder.ok_or_else(|| Problem::not_found(format!("no grant is {id}")))?;
            Store::end_login(&mut back.unit, &holder, id).await?;
            Store::end_grant(&mut back.unit, id, Utc::now()).await?;
            back.grant(id, &holder).await?;
            (json!({"kind": "grant", "key": id}), Some(holder))
        }
    };
    let subject = holder.as_deref().unwrap_or("a token");
    let entry = AuditEntry::by(&actor, "token.call-back", subject).detail(answer.clone());
    Store::audit(&mut back.unit, entry).await?;
    back.commit(&app.authenticator).await?;
    Ok((StatusCode::CREATED, Json(answer)))
}
