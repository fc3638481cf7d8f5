//! `POST /oauth/revoke` (RFC 7009): a client gives back what it has. Live sessions of it end at once.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Deserialize;
use serde_json::json;

use super::client::{self, Client};
use super::{App, bad_request, no_form, refuse, unavailable};
use crate::http::viewer::Peer;
use crate::identity::call_back::CallBack;
use crate::identity::digest::of_secret;
use crate::listener::asker::Asker;
use crate::store::audit::AuditEntry;
use crate::store::{Store, StoreError};

#[derive(Deserialize)]
pub(super) struct RevokeForm {
    token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

pub(super) async fn revoke(
    State(app): State<App>,
    peer: Peer,
    asker: Asker,
    headers: HeaderMap,
    form: Result<Form<RevokeForm>, FormRejection>,
) -> Response {
    let Form(mut form) = match form {
        Ok(form) => form,
        Err(rejection) => return no_form(&rejection),
    };
    let (id, secret) = (form.client_id.take(), form.client_secret.take());
    let client = match client::authenticate(&app, &headers, &asker, id, secret).await {
        Ok(client) => client,
        Err(refusal) => return refusal,
    };
    let Some(token) = form.token else {
        return bad_request("token is missing");
    };
    match take_back(&app, &peer, &client, &token).await {
        Ok(true) => StatusCode::OK.into_response(),
        Ok(false) => refuse(
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            "the token belongs to another client",
        ),
        Err(error) => unavailable(&error),
    }
}

/// Whether the token was this client's, or none that is good: then nothing is left to do.
async fn take_back(
    app: &App,
    Peer(peer): &Peer,
    client: &Client,
    token: &str,
) -> Result<bool, StoreError> {
    let mut back = CallBack::begin(&app.store).await?;
    let (detail, subject) = if let Ok(checked) = app.authenticator.tokens.check(token) {
        if checked.principal.proof.client.as_deref() != Some(client.id()) {
            return Ok(false);
        }
        // What is void already needs no second end, nor another row in the audit.
        let is_good = app.authenticator.admitted(&checked.principal).is_ok();
        let Some(id) = checked.principal.proof.token.filter(|_| is_good) else {
            return Ok(true);
        };
        let subject = checked.principal.subject;
        back.token(id, Some(&subject)).await?;
        (json!({"kind": "token", "key": id}), subject)
    } else if let Some(grant) = Store::grant_of(&mut back.unit, &of_secret(token)).await? {
        if grant.application != client.id() {
            return Ok(false);
        }
        if grant.ended_at.is_some() {
            return Ok(true);
        }
        Store::end_grant(&mut back.unit, grant.id, Utc::now()).await?;
        back.grant(grant.id, &grant.person_name).await?;
        (json!({"kind": "grant", "key": grant.id}), grant.person_name)
    } else {
        return Ok(true);
    };
    let entry = AuditEntry::new(client.id(), peer, "token.revoke", &subject).detail(detail);
    Store::audit(&mut back.unit, entry).await?;
    back.commit(&app.authenticator).await?;
    Ok(true)
}
