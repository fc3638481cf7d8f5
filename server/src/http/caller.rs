//! Who calls the API: with a token, or from a page with its cookie (and its CSRF token, to change anything). A handler
//! without this extractor cannot see anybody's data.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};

use super::App;
use super::csrf::{CSRF_HEADER, is_of, of_script};
use super::error::Problem;
use super::viewer::{EvenLocked, Peer};
use crate::alarm::Actor;
use crate::identity::idle_lock::{admit, is_proof_locked};
use crate::identity::principal::Principal;
use crate::identity::token::TokenError;
use crate::listener::asker::Asker;
use crate::store::StoreError;

/// Somebody who calls the API. What changes something is refused while their console is locked.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Actor);

impl App {
    /// Whether what an actor came with belongs to a locked console.
    pub(super) async fn is_locked(&self, actor: &Actor) -> Result<bool, StoreError> {
        let proof = &actor.principal.proof;
        is_proof_locked(&self.store, &self.entrance.identity, proof).await
    }

    /// Whose token this is.
    async fn bearer(&self, parts: &mut Parts) -> Result<Option<Principal>, Problem> {
        let Asker(connection) = Asker::from_request_parts(parts, self)
            .await
            .unwrap_or_else(|never| match never {});
        let Some(authorization) = parts.headers.get(header::AUTHORIZATION) else {
            return Ok(None);
        };
        let token = authorization
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let token = token.ok_or_else(Problem::unauthenticated)?;
        let from = connection.address.ip();
        let checked = self.authenticator.authenticate(token, from).await;
        let checked = checked.map_err(|error| {
            let (status, code) = match error {
                TokenError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
                _ => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            };
            Problem::new(status, code, error.to_string())
        })?;
        let matching = self
            .entrance
            .certificates
            .check(&checked.principal, &connection);
        matching.map_err(|mismatch| {
            Problem::new(StatusCode::FORBIDDEN, mismatch.code(), mismatch.to_string())
        })?;
        Ok(Some(checked.principal))
    }
}

impl FromRequestParts<App> for EvenLocked<Caller> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Peer(peer) = Peer::from_request_parts(parts, app)
            .await
            .unwrap_or_else(|never| match never {});
        if let Some(principal) = app.bearer(parts).await? {
            return Ok(Self(Caller(Actor { principal, peer })));
        }
        let login = app
            .login(&parts.headers)
            .await?
            .ok_or_else(Problem::unauthenticated)?;
        if !parts.method.is_safe() && !is_of(&login, of_script(&parts.headers)) {
            let detail = format!("with a cookie, the header `{CSRF_HEADER}` of the page is needed");
            return Err(Problem::new(StatusCode::FORBIDDEN, "csrf", detail));
        }
        Ok(Self(Caller(Actor {
            principal: login.principal,
            peer,
        })))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let EvenLocked(caller) = EvenLocked::<Self>::from_request_parts(parts, app).await?;
        if !parts.method.is_safe() {
            let locked = app.is_locked(&caller.0).await;
            admit(&app.record, locked, &caller.0, parts.uri.path())?;
        }
        Ok(caller)
    }
}
