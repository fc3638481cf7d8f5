//! Signing in at an external identity provider: there, and back. What comes back is a login like any other.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use web_ui::SignInProblem;

use super::App;
use super::error::log_unavailable;
use super::form::own_path;
use super::sign_in;
use super::viewer::{Peer, cookie};
use crate::identity::external::Visitors;
use crate::identity::provider::{Failure, PENDING_KEPT, Returned, Returning, Stranger, Visitor};
use crate::store::audit::AuditEntry;
use crate::store::external::Known;
use crate::store::{Store, StoreError};

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
    match visitors.provider.begin(next).await {
        Ok(begun) => with_cookie(
            &app,
            &begun.cookie,
            PENDING_KEPT.as_secs(),
            Redirect::to(&begun.location).into_response(),
        ),
        Err(failure) => refuse(&app, &headers, &failure, next),
    }
}

pub(super) async fn finish(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Query(returning): Query<Returning>,
) -> Response {
    let Some(visitors) = app.external() else {
        return Redirect::to("/sign-in").into_response();
    };
    let finished = visitors
        .provider
        .finish(returning, cookie(&headers, COOKIE))
        .await;
    let answer = match finished {
        Ok(returned) => enter(&app, visitors, &returned, &peer, &headers).await,
        Err(failure) => {
            write_down(&app, visitors, &peer, &failure).await;
            refuse(&app, &headers, &failure, "/")
        }
    };
    with_cookie(&app, "", 0, answer)
}

/// Begins the login of somebody whom the provider vouches for, or says why they do not get in.
async fn enter(
    app: &App,
    visitors: &Visitors,
    returned: &Returned,
    peer: &str,
    headers: &HeaderMap,
) -> Response {
    let now = app.viewing(headers).now;
    let next = own_path(Some(&returned.next));
    let problem = match begin_login(app, visitors, &returned.visitor, peer, now).await {
        Ok(Entry::Login(name, entered)) => {
            return sign_in::welcome(app, headers, &name, &entered, next);
        }
        Ok(Entry::Refused(problem)) => problem,
        Err(error) => {
            log_unavailable(&error);
            return page(
                app,
                headers,
                StatusCode::SERVICE_UNAVAILABLE,
                SignInProblem::Unavailable,
                next,
            );
        }
    };
    page(app, headers, StatusCode::FORBIDDEN, problem, next)
}

enum Entry {
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
) -> Result<Entry, StoreError> {
    // A program has tokens, and nothing to do on pages.
    let Some(role) = visitor.role() else {
        let issuer = &visitors.provider.config().issuer;
        let detail = json!({"issuer": issuer, "sub": visitor.sub});
        let outcome = "a program has nothing to do on pages";
        app.entrance
            .gate
            .failed_elsewhere(peer, detail, outcome)
            .await?;
        return Ok(Entry::Refused(SignInProblem::ProviderNoRole));
    };
    let mut unit = app.store.begin().await?;
    let mut login = None;
    let known = visitors.settle(&mut unit, visitor, peer).await?;
    let (name, outcome, entry) = match known {
        Known::Person(name) => {
            Store::refresh_external_person(&mut unit, &visitors.describe(visitor)).await?;
            let awaits_second_factor = visitor.second_factor_at.is_none()
                && sign_in::needs_second_factor(app, &name, &[role]).await?;
            let (id, cookie) =
                sign_in::write_login(&mut unit, &name, peer, now, awaits_second_factor).await?;
            let at = visitor
                .second_factor_at
                .and_then(|second| i64::try_from(second).ok());
            if let Some(at) = at.and_then(|second| DateTime::from_timestamp(second, 0)) {
                Store::vouch_for_login(&mut unit, id, at.min(now)).await?;
            }
            login = Some(id);
            let entered = sign_in::Entered {
                cookie,
                awaits_second_factor,
            };
            (name.clone(), entered.outcome(), Entry::Login(name, entered))
        }
        Known::Disabled(name) => (
            name,
            "disabled",
            Entry::Refused(SignInProblem::ProviderDisabled),
        ),
        Known::NameTaken => {
            let taken = Entry::Refused(SignInProblem::ProviderNameTaken);
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
    Store::audit(&mut unit, row).await?;
    unit.commit().await?;
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
    page(app, headers, status, problem, next)
}

fn page(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    problem: SignInProblem,
    next: &str,
) -> Response {
    sign_in::page(app, app.viewing(headers), status, Some(problem), "", next)
}

/// Lax: the browser comes back from another site.
fn with_cookie(app: &App, value: &str, seconds: u64, mut answer: Response) -> Response {
    let secure = if app.entrance.secure_cookies {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!(
        "{COOKIE}={value}; Path=/sign-in/external; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    );
    let cookie = HeaderValue::from_str(&cookie).expect("the cookie is base64url");
    answer.headers_mut().append(header::SET_COOKIE, cookie);
    answer
}
