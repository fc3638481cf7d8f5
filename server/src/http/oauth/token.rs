//! `POST /oauth/token`: what somebody brings, and the tokens that they get for it.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::client::{self, Client};
use super::{App, bad_request, no_form, refuse, too_many_tokens, unavailable};
use crate::http::throttle::Share;
use crate::http::viewer::Peer;
use crate::identity::call_back::CallBack;
use crate::identity::digest::of_secret;
use crate::identity::grant::{self, Application, Shown};
use crate::identity::principal::{Holder, Principal, Proof};
use crate::identity::random::secret;
use crate::identity::record::How;
use crate::identity::seconds::second_of;
use crate::listener::asker::Asker;
use crate::store::audit::AuditEntry;
use crate::store::grant::Grant;
use crate::store::{Store, StoreError};

#[derive(Deserialize)]
pub(super) struct TokenForm {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
}

pub(super) async fn token(
    State(app): State<App>,
    peer: Peer,
    asker: Asker,
    headers: HeaderMap,
    form: Result<Form<TokenForm>, FormRejection>,
) -> Response {
    let Form(mut form) = match form {
        Ok(form) => form,
        Err(rejection) => return no_form(&rejection),
    };
    let Some(kind) = form.grant_type.take() else {
        return bad_request("grant_type is missing");
    };
    let known = ["client_credentials", "authorization_code", "refresh_token"];
    if !known.contains(&kind.as_str()) {
        let description =
            "grant_type is client_credentials, authorization_code or refresh_token here";
        return refuse(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            description,
        );
    }
    let (id, secret) = (form.client_id.take(), form.client_secret.take());
    let client = match client::authenticate(&app, &headers, &asker, id, secret).await {
        Ok(client) => client,
        Err(refusal) => return refusal,
    };
    let exchanged = match (kind.as_str(), client) {
        ("client_credentials", Client::Program(program)) => {
            if let Err(wait) = app.throttle.of_principal(Share::Token, &program) {
                return too_many_tokens(wait);
            }
            let issued = app.authenticator.issue(&program);
            let address = asker.0.address.ip();
            app.record.admitted(&program.subject, address, How::Secret);
            let answer = json!({
                "access_token": issued.token,
                "token_type": "Bearer",
                "expires_in": issued.lifetime.as_secs(),
            });
            return Json(answer).into_response();
        }
        ("authorization_code", Client::Application(application)) => {
            exchange_code(&app, &peer, &application, &form).await
        }
        ("refresh_token", Client::Application(application)) => {
            exchange_refresh(&app, &peer, &application, &form).await
        }
        _ => {
            let description = "programs get tokens by client_credentials, applications for people by authorization_code and refresh_token";
            return refuse(StatusCode::BAD_REQUEST, "unauthorized_client", description);
        }
    };
    match exchanged {
        Ok(answer) => answer,
        Err(Refusal::Missing(field)) => bad_request(&format!("{field} is missing")),
        Err(Refusal::Invalid(description)) => {
            refuse(StatusCode::BAD_REQUEST, "invalid_grant", description)
        }
        Err(Refusal::TooMany(wait)) => too_many_tokens(wait),
        Err(Refusal::Store(error)) => unavailable(&error),
    }
}

/// Why nothing is given.
enum Refusal {
    Missing(&'static str),
    Invalid(&'static str),
    /// What was shown stays as good as it was.
    TooMany(Duration),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The same whatever is wrong: whoever guesses learns nothing.
const BAD_CODE: &str = "the code is not good (any more) for this application, redirect_uri and code_verifier; sign in again";
const BAD_REFRESH: &str = "the refresh token is not good (any more); sign in again";

async fn exchange_code(
    app: &App,
    peer: &Peer,
    application: &Application,
    form: &TokenForm,
) -> Result<Response, Refusal> {
    let code = form.code.as_deref().ok_or(Refusal::Missing("code"))?;
    let redirect_uri = form.redirect_uri.as_deref();
    let redirect_uri = redirect_uri.ok_or(Refusal::Missing("redirect_uri"))?;
    let verifier = form.code_verifier.as_deref();
    let verifier = verifier.ok_or(Refusal::Missing("code_verifier"))?;
    let (hash, now) = (of_secret(code), Utc::now());
    let mut back = CallBack::begin(&app.store).await?;
    let bad = || Refusal::Invalid(BAD_CODE);
    let grant = Store::grant_of(&mut back.unit, &hash).await?;
    let grant = grant.ok_or_else(bad)?;
    let stored = Store::code(&mut back.unit, &hash).await?.ok_or_else(bad)?;
    if stored.used_at.is_some() {
        // RFC 6749 section 4.1.2: whoever came first may have stolen it.
        return end_family(app, back, &grant, peer, "grant.code-replay", BAD_CODE).await;
    }
    // A code is good for one attempt: whoever stole it cannot try verifiers.
    Store::use_code(&mut back.unit, &hash, now).await?;
    let right = grant.application == application.id
        && stored.redirect_uri == redirect_uri
        && stored.expires_at > now
        && stored.login_lasts
        && grant::proves(verifier, &stored.challenge);
    let who = holder(&grant, application, now).filter(|_| right);
    let Some(who) = who else {
        Store::end_grant(&mut back.unit, grant.id, now).await?;
        back.grant(grant.id, &grant.person_name).await?;
        let entry = entry(&grant, peer, "grant.code", "refused");
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await?;
        return Err(bad());
    };
    take_share(app, &who)?;
    let refresh = secret();
    Store::put_refresh(&mut back.unit, grant.id, &of_secret(&refresh), now).await?;
    let entry = entry(&grant, peer, "grant.code", "done");
    Store::audit(&mut back.unit, entry).await?;
    back.commit(&app.authenticator).await?;
    let is_openid = grant.scope.split(' ').any(|word| word == OPENID);
    let id_token = is_openid.then(|| {
        let tokens = &app.authenticator.tokens;
        tokens.id_token(&who, &application.id, stored.nonce.as_deref())
    });
    Ok(given(app, &who, &grant, &refresh, id_token))
}

/// The one scope that means something here: an ID token as well.
pub(super) const OPENID: &str = "openid";

async fn exchange_refresh(
    app: &App,
    peer: &Peer,
    application: &Application,
    form: &TokenForm,
) -> Result<Response, Refusal> {
    let shown = form.refresh_token.as_deref();
    let shown = shown.ok_or(Refusal::Missing("refresh_token"))?;
    let (hash, now) = (of_secret(shown), Utc::now());
    let mut back = CallBack::begin(&app.store).await?;
    let bad = || Refusal::Invalid(BAD_REFRESH);
    let grant = Store::grant_of(&mut back.unit, &hash).await?;
    let grant = grant.ok_or_else(bad)?;
    let stored = Store::refresh(&mut back.unit, &hash).await?;
    let stored = stored.ok_or_else(bad)?;
    // Another client's token in these hands was stolen somewhere; and what has ended needs no second end.
    if grant.ended_at.is_some() {
        return Err(bad());
    }
    let judged = grant::judge(stored.used_at, stored.successor_used, now);
    if judged == Shown::Replayed || grant.application != application.id {
        return end_family(app, back, &grant, peer, "grant.replay", BAD_REFRESH).await;
    }
    let who = holder(&grant, application, now).ok_or_else(bad)?;
    take_share(app, &who)?;
    let next = secret();
    let next_hash = of_secret(&next);
    Store::put_refresh(&mut back.unit, grant.id, &next_hash, now).await?;
    Store::replace_refresh(&mut back.unit, &hash, &next_hash, now).await?;
    back.commit(&app.authenticator).await?;
    Ok(given(app, &who, &grant, &next, None))
}

/// Called before anything is stored: the code or refresh token is not used up.
fn take_share(app: &App, who: &Principal) -> Result<(), Refusal> {
    let taken = app.throttle.of_principal(Share::Token, who);
    taken.map_err(Refusal::TooMany)
}

/// Who gets the tokens of a grant, unless it is over.
fn holder(grant: &Grant, application: &Application, now: DateTime<Utc>) -> Option<Principal> {
    let lasts = grant.ended_at.is_none() && grant.expires_at > now && grant.idle_until > now;
    let person = grant.person.as_ref().filter(|_| lasts)?;
    let narrowed = application.narrow(person)?;
    Some(Principal {
        proof: Proof {
            grant: Some(grant.id),
            client: Some(application.id.clone()),
            holder: Holder::Application(application.generation),
            second_factor_at: grant.second_factor_at.map(second_of),
            ..narrowed.proof
        },
        ..narrowed
    })
}

/// What was copied is worth nothing any more, to whoever has it, from now on.
async fn end_family(
    app: &App,
    mut back: CallBack,
    grant: &Grant,
    peer: &Peer,
    action: &'static str,
    description: &'static str,
) -> Result<Response, Refusal> {
    Store::end_grant(&mut back.unit, grant.id, Utc::now()).await?;
    back.grant(grant.id, &grant.person_name).await?;
    let entry = entry(grant, peer, action, "ended");
    Store::audit(&mut back.unit, entry).await?;
    back.commit(&app.authenticator).await?;
    tracing::warn!(
        subject = grant.person_name,
        application = grant.application,
        action,
        "a code or refresh token was used twice: everything that came from it has ended"
    );
    Err(Refusal::Invalid(description))
}

fn entry<'a>(
    grant: &'a Grant,
    Peer(peer): &'a Peer,
    action: &'static str,
    outcome: &'a str,
) -> AuditEntry<'a> {
    AuditEntry::new(&grant.person_name, peer, action, &grant.application)
        .detail(json!({"grant": grant.id}))
        .outcome(outcome)
}

fn given(
    app: &App,
    who: &Principal,
    grant: &Grant,
    refresh: &str,
    id_token: Option<String>,
) -> Response {
    let issued = app.authenticator.issue(who);
    let mut answer = json!({
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.lifetime.as_secs(),
        "refresh_token": refresh,
        "scope": grant.scope,
    });
    if let Some(id_token) = id_token {
        answer["id_token"] = id_token.into();
    }
    Json(answer).into_response()
}
