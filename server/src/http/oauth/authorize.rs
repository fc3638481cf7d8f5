//! `/oauth/authorize`: a person says whether an application may act for them (RFC 6749 section 4.1.1, RFC 7636).
//!
//! Nothing is ever sent to an address before it is known to be the application's: until then, mistakes are told on a page
//! of ours.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use url::Url;
use uuid::Uuid;
use web_ui::{Authorize, ErrorKind, ErrorPage, Template};

use super::App;
use super::token::OPENID;
use crate::alarm::Actor;
use crate::http::error::log_unavailable;
use crate::http::page::html;
use crate::http::sent::{NotSent, Sent};
use crate::http::viewer::Viewer;
use crate::identity::digest::of_secret;
use crate::identity::grant::{Application, CODE_LIFETIME, GRANT_LIFETIME, is_challenge};
use crate::identity::principal::{Principal, Zones};
use crate::identity::random::secret;
use crate::store::audit::AuditEntry;
use crate::store::grant::{Code, NewGrant};
use crate::store::{Store, StoreError};

/// An application's state and nonce are random texts; whatever is longer is not carried through pages and addresses.
const ECHOED_BYTES_MAX: usize = 1024;

#[derive(Deserialize)]
pub(super) struct Asked {
    response_type: Option<String>,
    client_id: Option<String>,
    redirect_uri: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    decision: Option<String>,
}

/// An application that is known, and an address that is its own.
struct Verified {
    application: Application,
    redirect_uri: String,
}

impl Verified {
    async fn of(app: &App, headers: &HeaderMap, asked: &Asked) -> Result<Self, Response> {
        let wrong = || error_page(app, headers, ErrorKind::Application, None);
        let (Some(id), Some(redirect_uri)) = (&asked.client_id, &asked.redirect_uri) else {
            return Err(wrong());
        };
        let known = app.store.application(&crate::wire::clean(id)).await;
        let known = known.map_err(|error| {
            let reference = log_unavailable(&error).to_string();
            error_page(app, headers, ErrorKind::Unavailable, Some(&reference))
        })?;
        let application = known.ok_or_else(wrong)?.application;
        if !application.may_redirect_to(redirect_uri) {
            return Err(wrong());
        }
        Ok(Self {
            application,
            redirect_uri: redirect_uri.clone(),
        })
    }

    /// Back to the application, with `pairs`, its `state`, and who answers (RFC 9207).
    fn back(&self, app: &App, asked: &Asked, pairs: &[(&str, &str)]) -> Response {
        let Ok(mut target) = Url::parse(&self.redirect_uri) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let state = asked.state.as_deref();
        let state = state.filter(|state| state.len() <= ECHOED_BYTES_MAX);
        target
            .query_pairs_mut()
            .extend_pairs(pairs)
            .extend_pairs(state.map(|state| ("state", state)))
            .append_pair("iss", app.authenticator.tokens.issuer());
        Redirect::to(target.as_str()).into_response()
    }

    fn refuse(&self, app: &App, asked: &Asked, error: &str, description: &str) -> Response {
        let pairs = [("error", error), ("error_description", description)];
        self.back(app, asked, &pairs)
    }

    /// Where the answer goes: a host, or the scheme of an application on the same machine. As content security policy
    /// writes it, which knows no IPv6.
    fn destination(&self) -> String {
        let parsed = Url::parse(&self.redirect_uri);
        let origin = parsed.map_or_else(
            |_| String::new(),
            |url| match url.origin() {
                url::Origin::Tuple(..) => url.origin().ascii_serialization(),
                url::Origin::Opaque(_) => format!("{}:", url.scheme()),
            },
        );
        if origin.starts_with("http://[") {
            return "http:".to_owned();
        }
        origin
    }
}

fn error_page(
    app: &App,
    headers: &HeaderMap,
    kind: ErrorKind,
    reference: Option<&str>,
) -> Response {
    let page = ErrorPage {
        viewing: app.viewing(headers),
        kind,
        reference,
        path: "/",
        shell: None,
    };
    let status = StatusCode::from_u16(kind.status()).expect("error pages have statuses of HTTP");
    html(status, page.render())
}

/// What is wrong with what an application asks for: an error code and a sentence for its developer.
fn problem(asked: &Asked) -> Option<(&'static str, &'static str)> {
    if asked.response_type.as_deref() != Some("code") {
        return Some(("unsupported_response_type", "response_type must be code"));
    }
    let challenge = asked.code_challenge.as_deref().unwrap_or_default();
    let method = asked.code_challenge_method.as_deref();
    if method != Some("S256") || !is_challenge(challenge) {
        return Some((
            "invalid_request",
            "code_challenge with code_challenge_method S256 is needed (RFC 7636)",
        ));
    }
    let long = |text: &Option<String>| {
        text.as_ref()
            .is_some_and(|text| text.len() > ECHOED_BYTES_MAX)
    };
    if long(&asked.state) || long(&asked.nonce) {
        return Some(("invalid_request", "state and nonce have 1024 bytes at most"));
    }
    None
}

pub(super) async fn ask(
    State(app): State<App>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
    viewer: Result<Viewer, Response>,
) -> Response {
    let Ok(Query(asked)) = asked else {
        return error_page(&app, &headers, ErrorKind::Application, None);
    };
    let verified = match Verified::of(&app, &headers, &asked).await {
        Ok(verified) => verified,
        Err(page) => return page,
    };
    // Whoever is not signed in is sent nowhere else than to our own page, whatever the application asks for.
    let viewer = match viewer {
        Ok(viewer) => viewer,
        Err(sign_in) => return sign_in,
    };
    if let Some((error, description)) = problem(&asked) {
        return verified.refuse(&app, &asked, error, description);
    }
    match verified.application.narrow(viewer.principal()) {
        Some(narrowed) => question(&app, &viewer, &verified, &asked, &narrowed),
        None => verified.refuse(&app, &asked, "access_denied", NOTHING_LEFT),
    }
}

const NOTHING_LEFT: &str = "this person has no role or zone that the application may use";

fn question(
    app: &App,
    viewer: &Viewer,
    verified: &Verified,
    asked: &Asked,
    narrowed: &Principal,
) -> Response {
    let site = app.site();
    let zones = match &narrowed.zones {
        Zones::All => None,
        Zones::Some(ids) => {
            let named = site.zones().iter().filter(|zone| ids.contains(&zone.id));
            Some(named.map(|zone| &zone.name).collect())
        }
    };
    let fields: Vec<(&'static str, &str)> = [
        ("response_type", &asked.response_type),
        ("client_id", &asked.client_id),
        ("redirect_uri", &asked.redirect_uri),
        ("scope", &asked.scope),
        ("state", &asked.state),
        ("nonce", &asked.nonce),
        ("code_challenge", &asked.code_challenge),
        ("code_challenge_method", &asked.code_challenge_method),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    .collect();
    let destination = verified.destination();
    let page = Authorize {
        viewing: viewer.viewing,
        application: &verified.application.name,
        full_name: &narrowed.full_name,
        user_name: &narrowed.subject,
        roles: &narrowed.roles,
        zones,
        destination: &destination,
        csrf: &viewer.login.csrf,
        fields: &fields,
    };
    let mut response = html(StatusCode::OK, page.render());
    // Browsers hold a form to its policy even where its answer leads on to: the application's address is named, and this
    // page, of all pages, must not be framed.
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {destination}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

pub(super) async fn answer(
    State(app): State<App>,
    headers: HeaderMap,
    sent: Result<Sent<Asked>, NotSent>,
) -> Response {
    let sent = match sent {
        Ok(sent) => sent,
        Err(NotSent::Answered(response)) => return *response,
        // A page elsewhere cannot say yes for somebody, nor can whoever passes a console that was left alone.
        Err(NotSent::Refused(_, StatusCode::FORBIDDEN, _)) => {
            return error_page(&app, &headers, ErrorKind::Forbidden, None);
        }
        Err(NotSent::Refused(..)) => {
            return error_page(&app, &headers, ErrorKind::Application, None);
        }
    };
    let (viewer, asked) = (sent.viewer, sent.fields);
    let verified = match Verified::of(&app, &headers, &asked).await {
        Ok(verified) => verified,
        Err(page) => return page,
    };
    if let Some((error, description)) = problem(&asked) {
        return verified.refuse(&app, &asked, error, description);
    }
    let narrowed = verified.application.narrow(viewer.principal());
    let allowed = match (asked.decision.as_deref(), narrowed) {
        (Some("approve"), Some(_)) => allow(&app, &viewer, &verified, &asked).await.map(Some),
        (Some("approve"), None) => {
            return verified.refuse(&app, &asked, "access_denied", NOTHING_LEFT);
        }
        _ => deny(&app, &viewer, &verified).await.map(|()| None),
    };
    match allowed {
        Ok(Some(code)) => verified.back(&app, &asked, &[("code", &code)]),
        Ok(None) => verified.refuse(&app, &asked, "access_denied", "the person said no"),
        Err(error) => {
            log_unavailable(&error);
            let description = "the database does not answer; try again later";
            verified.refuse(&app, &asked, "temporarily_unavailable", description)
        }
    }
}

/// The code of a new grant.
async fn allow(
    app: &App,
    viewer: &Viewer,
    verified: &Verified,
    asked: &Asked,
) -> Result<String, StoreError> {
    let (now, code, id) = (Utc::now(), secret(), Uuid::new_v4());
    let person = viewer.principal();
    let is_openid = asked.scope.as_ref().is_some_and(|scope| {
        let mut words = scope.split(' ');
        words.any(|word| word == OPENID)
    });
    let second_factor_at = person.proof.second_factor_at;
    let grant = NewGrant {
        id,
        application: &verified.application.id,
        person: &person.subject,
        scope: if is_openid { OPENID } else { "" },
        second_factor_at: second_factor_at
            .and_then(|at| i64::try_from(at).ok())
            .and_then(|at| DateTime::from_timestamp(at, 0)),
        peer: &viewer.peer,
        now,
        expires_at: now + GRANT_LIFETIME,
        idle_until: now + CODE_LIFETIME,
    };
    let stored = Code {
        login: viewer.login.id,
        redirect_uri: verified.redirect_uri.clone(),
        challenge: asked.code_challenge.clone().unwrap_or_default(),
        nonce: asked.nonce.clone(),
        expires_at: now + CODE_LIFETIME,
        used_at: None,
        login_lasts: true,
    };
    let mut unit = app.store.begin().await?;
    Store::begin_grant(&mut unit, grant).await?;
    Store::put_code(&mut unit, &of_secret(&code), id, &stored).await?;
    Store::audit(
        &mut unit,
        entry(&viewer.actor(), verified, "grant.begin", Some(id)),
    )
    .await?;
    unit.commit().await.map_err(StoreError::from)?;
    Ok(code)
}

async fn deny(app: &App, viewer: &Viewer, verified: &Verified) -> Result<(), StoreError> {
    app.store
        .audit_alone(entry(&viewer.actor(), verified, "grant.deny", None))
        .await
}

fn entry<'a>(
    actor: &'a Actor,
    verified: &'a Verified,
    action: &'static str,
    grant: Option<Uuid>,
) -> AuditEntry<'a> {
    AuditEntry::by(actor, action, &verified.application.id).detail(json!({"grant": grant}))
}
