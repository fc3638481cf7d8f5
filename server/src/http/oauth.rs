//! The token service (RFC 6749): what programs, applications and their people get tokens with.

use axum::Json;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::App;
use super::error::log_unavailable;
use super::openapi;
use super::throttle::too_many_tokens;
use crate::store::StoreError;

mod authorize;
pub(super) mod call_back;
mod client;
mod cross_origin;
mod metadata;
mod revoke;
mod token;

/// Its routes.
pub(super) fn routes(app: &App) -> Router<App> {
    // Pages of other origins that may connect here may also get a token here. They bring no cookie, and could use none.
    let programs = Router::new()
        .route("/oauth/token", post(token::token))
        .route("/oauth/revoke", post(revoke::revoke))
        .route("/.well-known/jwks.json", get(metadata::key_set))
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata::document),
        )
        .route("/.well-known/openid-configuration", get(metadata::document))
        // Before the layer: a browser asks by OPTIONS.
        .method_not_allowed_fallback(openapi::no_such_method)
        .layer(from_fn_with_state(app.clone(), cross_origin::answer));
    Router::new()
        .route(
            "/oauth/authorize",
            get(authorize::ask).post(authorize::answer),
        )
        .merge(programs)
}

/// RFC 6749 section 5.2.
fn refuse(status: StatusCode, error: &str, description: &str) -> Response {
    refuse_with(
        status,
        json!({"error": error, "error_description": description}),
    )
}

fn refuse_with(status: StatusCode, body: serde_json::Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"landside\""),
        );
    }
    response
}

/// What came is no form, or none that is read to its end.
fn no_form(rejection: &FormRejection) -> Response {
    let description = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => "the form is too long",
        _ => "send a form (application/x-www-form-urlencoded), each field once",
    };
    let status = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    refuse(status, "invalid_request", description)
}

fn bad_request(description: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "invalid_request", description)
}

fn unavailable(error: &StoreError) -> Response {
    log_unavailable(error);
    refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "the database does not answer; try again later",
    )
}
