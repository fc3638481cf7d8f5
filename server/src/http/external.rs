//! Signing in at an external identity provider: there, and back. What comes back is a login like any other.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;
use web_ui::{Notice, SignInProblem};

use super::App;
use super::cookie::{SetCookie, cookie};
use super::error::log_unavailable;
use super::form::{answer, not_recording, own_path};
use super::viewer::{EvenLocked, Peer, Viewer};
use super::{idle, sign_in};
use crate::identity::call_back::CallBack;
use crate::identity::external::Visitors;
use crate::identity::provider::{
    Begun, Failure, PENDING_KEPT, Purpose, Returned, Returning, Stranger, Visitor,
};
use crate::store::audit::AuditEntry;
use crate::store::external::Known;
use crate::store::{Store, StoreError, Unit};

/// Binds a sign-in to the browser that began it: whoever makes another's browser come back with their own code fails.
const COOKIE: &str = "landside_external";

#[derive(Deserialize)]
pub(super) struct BeginQuery {
    next: Option<String>,
}

pub(super) async fn begin(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<BeginQuery>,
) -> Response {
    let next = own_path(query.next.as_deref());
    let Some(visitors) = app.external() else {
        return Redirect::to("/sign-in").into_response();
    };
    match visitors.provider.begin(next, Purpose::SignIn).await {
        Ok(begun) => away(&app, &begun),
        Err(failure) => refuse(&app, &headers, &failure, next),
    }
}

/// Somebody of the provider's shows, at a locked console or before something that takes it, that they are there: by signing
/// in over there once more.
pub(super) async fn prove(
    State(app): State<App>,
    EvenLocked(viewer): EvenLocked<Viewer>,
    Query(query): Query<BeginQuery>,
) -> Response {
    let next = own_path(query.next.as_deref());
    let Some(visitors) = app.external().filter(|_| viewer.login.is_external) else {
        return Redirect::to(next).into_response();
    };
    let purpose = Purpose::Prove(viewer.login.id);
    match visitors.provider.begin(next, purpose).await {
        Ok(begun) => away(&app, &begun),
        Err(failure) => not_proved(&viewer, next, &failure),
    }
}

/// To the provider, and by which cookie the browser is known when it comes back.
fn away(app: &App, begun: &Begun) -> Response {
    let location = Redirect::to(&begun.location).into_response();
    let seconds = i64::try_from(PENDING_KEPT.as_secs()).unwrap_or(i64::MAX);
    with_cookie(app, &begun.cookie, seconds, location)
}

fn with_cookie(app: &App, value: &str, seconds: i64, answer: Response) -> Response {
    let cookie = SetCookie {
        path: "/sign-in/external",
        ..SetCookie::new(COOKIE, value, seconds)
    };
    cookie.into(app, answer)
}

pub(super) async fn finish(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Query(returning): Query<Returning>,
    viewer: Result<EvenLocked<Viewer>, Response>,
) -> Response {
    let Some(visitors) = app.external() else {
        return Redirect::to("/sign-in").into_response();
    };
    let pending = match visitors.provider.take(&returning, cookie(&headers, COOKIE)) {
        Ok(pending) => pending,
        Err(failure) => {
            write_down(&app, visitors, &peer, &failure).await;
            return with_cookie(&app, "", 0, refuse(&app, &headers, &failure, "/"));
        }
    };
    let returned = visitors.provider.finish(returning, &pending).await;
    let next = own_path(Some(&pending.next));
    let answer = match (pending.purpose, returned, viewer) {
        (Purpose::SignIn, Ok(returned), _) => {
            enter(&app, visitors, &returned, &peer, &headers, next).await
        }
        (Purpose::SignIn, Err(failure), _) => {
            write_down(&app, visitors, &peer, &failure).await;
            if let Failure::Stranger(sub, Stranger::Roleless | Stranger::Zoneless) = &failure {
                let shut_out = visitors.shut_out(&app.authenticator, sub, &peer).await;
                if let Err(error) = shut_out {
                    log_unavailable(&error);
                }
            }
            refuse(&app, &headers, &failure, "/")
        }
        (Purpose::Prove(login), Ok(returned), Ok(EvenLocked(viewer))) => {
            proved(&app, visitors, &viewer, (login, &returned), next).await
        }
        (Purpose::Prove(_), Err(failure), Ok(EvenLocked(viewer))) => {
            not_proved(&viewer, next, &failure)
        }
        // The login ended meanwhile.
        (Purpose::Prove(_), _, Err(sign_in)) => sign_in,
    };
    with_cookie(&app, "", 0, answer)
}

fn not_proved(viewer: &Viewer, next: &str, failure: &Failure) -> Response {
    tracing::warn!(%failure, "somebody did not show at the identity provider that they are there");
    answer(
        viewer,
        Some(next),
        StatusCode::FORBIDDEN,
        &Notice::NotProved,
    )
}

/// The same person, in the same login, who signed in since they went: then it is locked no longer.
async fn proved(
    app: &App,
    visitors: &Visitors,
    viewer: &Viewer,
    (login, returned): (Uuid, &Returned),
    next: &str,
) -> Response {
    let issuer = &visitors.provider.config().issuer;
    let sub = &returned.visitor.sub;
    let stored = async {
        let mut unit = app.store.begin().await?;
        let known = Store::external_person(&mut unit, issuer, sub).await?;
        let name = &viewer.principal().subject;
        let is_same = matches!(&known, Some(Known::Person(known)) if known.subject == *name);
        if !is_same || viewer.login.id != login || !returned.is_fresh {
            return Ok(false);
        }
        vouch(&mut unit, login, &returned.visitor, viewer.viewing.now).await?;
        let detail = json!({"issuer": issuer, "sub": sub});
        idle::unlocked(unit, viewer, detail).await?;
        Ok::<_, StoreError>(true)
    };
    let (status, notice) = match stored.await {
        Ok(true) => (StatusCode::OK, Notice::Unlocked),
        Ok(false) => (StatusCode::FORBIDDEN, Notice::NotProved),
        Err(error) => not_recording(&error),
    };
    answer(viewer, Some(next), status, &notice)
}

/// What the provider says of a second factor counts for the login.
async fn vouch(
    unit: &mut Unit<'_>,
    login: Uuid,
    visitor: &Visitor,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let at = visitor
        .second_factor_at
        .and_then(|second| i64::try_from(second).ok())
        .and_then(|second| DateTime::from_timestamp(second, 0));
    match at {
        Some(at) => Store::vouch_for_login(unit, login, at.min(now)).await,
        None => Ok(()),
    }
}

/// Begins the login of somebody whom the provider vouches for, or says why they do not get in.
async fn enter(
    app: &App,
    visitors: &Visitors,
    returned: &Returned,
    peer: &str,
    headers: &HeaderMap,
    next: &str,
) -> Response {
    let now = app.viewing(headers).now;
    let problem = match begin_login(app, visitors, &returned.visitor, peer, now).await {
        Ok(Arrived::Login(name, entered)) => {
            return sign_in::welcome(app, headers, peer, &name, &entered, next).await;
        }
        Ok(Arrived::Refused(problem)) => problem,
        Err(error) => {
            log_unavailable(&error);
            let problem = Some(SignInProblem::Unavailable);
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return sign_in::page(app, headers, status, problem, "", next);
        }
    };
    sign_in::page(app, headers, StatusCode::FORBIDDEN, Some(problem), "", next)
}

enum Arrived {
    /// Whose login was begun.
    Login(String, sign_in::Entered),
    Refused(SignInProblem),
}

/// The person, their login and its audit row are one transaction; a refusal is written down as well.
async fn begin_login(
    app: &App,
    visitors: &Visitors,
    visitor: &Visitor,
    peer: &str,
    now: DateTime<Utc>,
) -> Result<Arrived, StoreError> {
    // A program has tokens, and nothing to do on pages.
    let Some(role) = visitor.role() else {
        let issuer = &visitors.provider.config().issuer;
        let detail = json!({"issuer": issuer, "sub": visitor.sub});
        let outcome = "a program has nothing to do on pages";
        app.entrance
            .gate
            .failed_elsewhere(peer, detail, outcome)
            .await?;
        return Ok(Arrived::Refused(SignInProblem::ProviderNoRole));
    };
    let mut back = CallBack::begin(&app.store).await?;
    let mut login = None;
    let known = visitors.settle(&mut back.unit, visitor, peer).await?;
    let (name, outcome, entry) = match known {
        Known::Person(person) => {
            let generation = visitors
                .take_away(&mut back, visitor, &person, peer)
                .await?;
            let name = person.subject;
            let awaits_second_factor = visitor.second_factor_at.is_none()
                && sign_in::needs_second_factor(app, &name, &[role]).await?;
            let begun = sign_in::Begun {
                person: &name,
                generation,
                peer,
                now,
                awaits_second_factor,
            };
            let Some((id, cookie)) = sign_in::write_login(&mut back.unit, begun).await? else {
                // Something was taken from them at this moment: what the provider said may be of before.
                return Ok(Arrived::Refused(SignInProblem::ProviderAgain));
            };
            Store::refresh_external_person(&mut back.unit, &visitors.describe(visitor)).await?;
            vouch(&mut back.unit, id, visitor, now).await?;
            login = Some(id);
            let entered = sign_in::Entered {
                cookie,
                awaits_second_factor,
            };
            (
                name.clone(),
                entered.outcome(),
                Arrived::Login(name, entered),
            )
        }
        Known::Disabled(name) => (
            name,
            "disabled",
            Arrived::Refused(SignInProblem::ProviderDisabled),
        ),
        Known::NameTaken => {
            let taken = Arrived::Refused(SignInProblem::ProviderNameTaken);
            (visitor.name.clone(), "the name is taken", taken)
        }
    };
    let issuer = &visitors.provider.config().issuer;
    let row = AuditEntry::new(&name, peer, "login.begin", &name)
        .detail(json!({"issuer": issuer, "sub": visitor.sub}))
        .outcome(outcome);
    let row = match login {
        Some(id) => row.login(id),
        None => row,
    };
    Store::audit(&mut back.unit, row).await?;
    back.commit(&app.authenticator).await?;
    Ok(entry)
}

/// What somebody brought back from the provider and was not let in with. Whoever brings nothing tried nothing, and is only in
/// the log.
async fn write_down(app: &App, visitors: &Visitors, peer: &str, failure: &Failure) {
    let issuer = &visitors.provider.config().issuer;
    let detail = match failure {
        Failure::Away(_) | Failure::NotUnderWay => return,
        Failure::Refused | Failure::Unbelievable(_) => json!({"issuer": issuer}),
        Failure::Stranger(sub, _) => json!({"issuer": issuer, "sub": sub}),
    };
    let outcome = failure.to_string();
    if let Err(error) = app
        .entrance
        .gate
        .failed_elsewhere(peer, detail, &outcome)
        .await
    {
        tracing::error!(%error, "a failed sign-in at the identity provider could not be written down");
    }
}

fn refuse(app: &App, headers: &HeaderMap, failure: &Failure, next: &str) -> Response {
    // Anybody can make it fail: what is wrong with the provider is told where it was asked.
    tracing::info!(%failure, "a sign-in at the identity provider failed");
    let (status, problem) = match failure {
        Failure::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, SignInProblem::ProviderAway),
        Failure::NotUnderWay => (StatusCode::FORBIDDEN, SignInProblem::ProviderAgain),
        Failure::Refused => (StatusCode::FORBIDDEN, SignInProblem::ProviderRefused),
        Failure::Unbelievable(_) => (StatusCode::FORBIDDEN, SignInProblem::ProviderUnbelievable),
        Failure::Stranger(_, Stranger::Roleless | Stranger::Zoneless) => {
            (StatusCode::FORBIDDEN, SignInProblem::ProviderNoRole)
        }
        Failure::Stranger(_, Stranger::Nameless) => {
            (StatusCode::FORBIDDEN, SignInProblem::ProviderNameTaken)
        }
    };
    sign_in::page(app, headers, status, Some(problem), "", next)
}
