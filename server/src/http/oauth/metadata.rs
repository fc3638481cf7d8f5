//! What this server does as a token service (RFC 8414, OpenID Connect Discovery 1.0), and its public keys (RFC 7517).

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;

use super::App;
use crate::identity::keys::KEY_SET_CACHED;

/// What seldom changes.
fn cached(document: serde_json::Value) -> impl IntoResponse {
    let cache = format!("public, max-age={}", KEY_SET_CACHED.as_secs());
    ([(header::CACHE_CONTROL, cache)], Json(document))
}

pub(super) async fn key_set(State(app): State<App>) -> impl IntoResponse {
    cached(app.authenticator.tokens.key_set())
}

pub(super) async fn document(State(app): State<App>) -> impl IntoResponse {
    let issuer = app.authenticator.tokens.issuer();
    let client_authentication = json!(["client_secret_basic", "client_secret_post", "none"]);
    cached(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "scopes_supported": ["openid"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": client_authentication,
        "revocation_endpoint_auth_methods_supported": client_authentication,
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "name", "roles", "zones"],
        "ui_locales_supported": ["ko", "en"],
    }))
}
