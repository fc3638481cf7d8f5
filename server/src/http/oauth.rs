//! Tokens for programs and agents: the `client_credentials` grant of RFC 6749 section 4.4, and the public keys.

use axum::Json;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::error::log_unavailable;
use super::throttle::too_many_tokens;
use crate::wire;

#[derive(Deserialize)]
pub(super) struct TokenForm {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// RFC 6749 section 5.2.
fn refuse(status: StatusCode, error: &str, description: &str) -> Response {
    let mut response = (
        status,
        Json(json!({"error": error, "error_description": description})),
    )
        .into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"landside\""),
        );
    }
    response
}

/// The client's name and secret, from HTTP Basic (which every server must take, section 2.3.1) or from the form.
fn credentials(headers: &HeaderMap, form: TokenForm) -> Option<(String, String)> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return form.client_id.zip(form.client_secret);
    };
    let (scheme, encoded) = authorization.to_str().ok()?.split_once(' ')?;
    let decoded = STANDARD
        .decode(encoded.trim())
        .ok()
        .filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let plain = |text: &str| {
        url::form_urlencoded::parse(format!("x={text}").as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    plain(id).zip(plain(secret))
}

pub(super) async fn token(
    State(app): State<App>,
    headers: HeaderMap,
    Form(form): Form<TokenForm>,
) -> Response {
    match form.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(_) => {
            let description = "only client_credentials is served here";
            return refuse(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                description,
            );
        }
        None => {
            return refuse(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "grant_type is missing",
            );
        }
    }
    let Some((id, secret)) = credentials(&headers, form) else {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "client_id and client_secret are needed",
        );
    };
    let client = match app.store.client(&wire::clean(&id)).await {
        Ok(client) => client,
        Err(error) => {
            log_unavailable(&error);
            let description = "the database does not answer; try again later";
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                description,
            );
        }
    };
    let stored = client.as_ref().map(|client| client.secret_hash.clone());
    let known = client.is_some();
    let Ok(right) = app.client_secrets.verify(secret, stored).await else {
        let description = "too many secrets are being checked; try again in a moment";
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            description,
        );
    };
    let Some(client) = client.filter(|_| right) else {
        // The text of a stranger does not go into the log; a client's id that exists does.
        tracing::warn!(
            client.id = if known { id.as_str() } else { "unknown" },
            "a client showed a wrong id or secret"
        );
        return refuse(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "no such client, or the wrong secret",
        );
    };
    if let Err(wait) = app.throttle.token_of(&client.principal.subject) {
        return too_many_tokens(wait);
    }
    let issued = app.authenticator.issue(&client.principal);
    Json(json!({"access_token": issued.token, "token_type": "Bearer", "expires_in": issued.lifetime.as_secs()}))
        .into_response()
}

pub(super) async fn jwks(State(app): State<App>) -> Json<Value> {
    Json(app.authenticator.tokens.jwks().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(id: Option<&str>, secret: Option<&str>) -> TokenForm {
        TokenForm {
            grant_type: None,
            client_id: id.map(str::to_owned),
            client_secret: secret.map(str::to_owned),
        }
    }

    #[track_caller]
    fn check(authorization: Option<String>, form: TokenForm, expected: Option<(&str, &str)>) {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let expected = expected.map(|(id, secret)| (id.to_owned(), secret.to_owned()));
        assert_eq!(credentials(&headers, form), expected);
    }

    #[test]
    fn credentials_come_by_form_or_by_basic() {
        check(None, form(Some("a"), Some("b")), Some(("a", "b")));
        check(None, form(Some("a"), None), None);
        let basic = |text: &str| Some(format!("Basic {}", STANDARD.encode(text)));
        check(basic("a:b:c"), form(None, None), Some(("a", "b:c")));
        check(basic("a:b%20c"), form(None, None), Some(("a", "b c")));
        check(basic("ab"), form(Some("a"), Some("b")), None);
        check(
            Some("Bearer x".to_owned()),
            form(Some("a"), Some("b")),
            None,
        );
    }
}
