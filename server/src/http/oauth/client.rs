//! Which program or application asks (RFC 6749 section 2.3).

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use serde_json::json;

use super::{App, bad_request, refuse, refuse_with, unavailable};
use crate::identity::certificates::Mismatch;
use crate::identity::grant::Application;
use crate::identity::principal::Principal;
use crate::identity::record::How;
use crate::identity::tally::OTHERS;
use crate::listener::asker::Asker;
use crate::wire;

/// Who asks, after they have shown it as far as they can.
pub(super) enum Client {
    /// Acts for itself.
    Program(Box<Principal>),
    /// Acts for people.
    Application(Application),
}

impl Client {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Program(principal) => &principal.subject,
            Self::Application(application) => &application.id,
        }
    }
}

/// An id, and a secret unless it is a public client's.
type Credentials = (String, Option<String>);

/// From HTTP Basic (which every server must take, section 2.3.1) or from the form, never both.
fn credentials(
    headers: &HeaderMap,
    id: Option<String>,
    secret: Option<String>,
) -> Result<Option<Credentials>, &'static str> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return Ok(id.map(|id| (id, secret.filter(|secret| !secret.is_empty()))));
    };
    let Some((basic_id, basic_secret)) = authorization.to_str().ok().and_then(basic) else {
        return Err("the header `Authorization` is not `Basic` with client_id and client_secret");
    };
    if secret.is_some() || id.is_some_and(|id| id != basic_id) {
        return Err("the client shows itself twice: by `Authorization`, and in the form");
    }
    Ok(Some((basic_id, Some(basic_secret))))
}

fn basic(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
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

/// Who asks.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    Asker(peer): &Asker,
    id: Option<String>,
    secret: Option<String>,
) -> Result<Client, Response> {
    let (id, secret) = credentials(headers, id, secret)
        .map_err(bad_request)?
        .ok_or_else(|| wrong("client_id is needed, and client_secret if there is one"))?;
    let id = wire::clean(&id).into_owned();
    let store_error = |error| unavailable(&error);
    let (client, stored) = match app.store.application(&id).await.map_err(store_error)? {
        Some(known) => (
            Some(Client::Application(known.application)),
            known.secret_hash,
        ),
        None => match app.store.client(&id).await.map_err(store_error)? {
            Some(known) => (
                Some(Client::Program(Box::new(known.principal))),
                Some(known.secret_hash),
            ),
            None => (None, None),
        },
    };
    match (client, stored, secret) {
        // A public client has nothing to show; what it brings is bound to it by PKCE and by rotation.
        (Some(client), None, None) => Ok(client),
        (Some(_), None, Some(_)) => Err(wrong("this application has no secret: send none")),
        (_, _, None) => Err(wrong("client_secret is needed")),
        (client, stored, Some(secret)) => {
            let known = client.is_some();
            let Ok(right) = app.client_secrets.verify(secret, stored).await else {
                return Err(refuse(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    "too many secrets are being checked; try again in a moment",
                ));
            };
            let client = client.filter(|_| right).ok_or_else(|| {
                // The text of a stranger does not go into the log; a client's id that exists does.
                let name = if known { id.as_str() } else { OTHERS };
                tracing::warn!(client.id = name, "a client showed a wrong id or secret");
                let address = peer.address.ip();
                app.record.failed(name, address, How::Secret, false);
                wrong("no such client, or the wrong secret")
            })?;
            if let Client::Program(program) = &client {
                let matching = app.entrance.certificates.check(program, peer);
                matching.map_err(not_its_certificate)?;
            }
            Ok(client)
        }
    }
}

fn wrong(description: &str) -> Response {
    refuse(StatusCode::UNAUTHORIZED, "invalid_client", description)
}

/// Told apart from a wrong secret by `code`, as on every other road.
fn not_its_certificate(mismatch: Mismatch) -> Response {
    let body = json!({
        "error": "invalid_client",
        "error_description": mismatch.to_string(),
        "code": mismatch.code(),
    });
    refuse_with(StatusCode::UNAUTHORIZED, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        authorization: Option<String>,
        form: (Option<&str>, Option<&str>),
        expected: Result<Option<(&str, Option<&str>)>, ()>,
    ) {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let got = credentials(&headers, owned(form.0), owned(form.1));
        let expected = expected.map(|some| some.map(|(id, secret)| (id.to_owned(), owned(secret))));
        assert_eq!(got.map_err(drop), expected);
    }

    #[test]
    fn credentials_come_by_form_or_by_basic() {
        let none = (None, None);
        check(None, none, Ok(None));
        check(None, (Some("a"), Some("b")), Ok(Some(("a", Some("b")))));
        check(None, (Some("a"), None), Ok(Some(("a", None))));
        check(None, (Some("a"), Some("")), Ok(Some(("a", None))));
        check(None, (None, Some("b")), Ok(None));
        let basic = |text: &str| Some(format!("Basic {}", STANDARD.encode(text)));
        check(basic("a:b:c"), none, Ok(Some(("a", Some("b:c")))));
        check(basic("a:b%20c"), none, Ok(Some(("a", Some("b c")))));
        check(basic("a:b"), (Some("a"), None), Ok(Some(("a", Some("b")))));
        check(basic("a:b"), (Some("x"), None), Err(()));
        check(basic("a:b"), (Some("a"), Some("b")), Err(()));
        check(basic("ab"), (Some("a"), Some("b")), Err(()));
        check(Some("Bearer x".to_owned()), none, Err(()));
    }
}
