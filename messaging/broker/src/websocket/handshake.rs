//! The HTTP side of a WebSocket (RFC 6455, 4.2): what a request must have, and the answer to it.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use tungstenite::handshake::server::create_response;

/// The sub-protocols to offer, best first. A client that asks for none is served all the same.
pub const SUBPROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

/// A WebSocket handshake, as an extractor of axum: hand it to [`crate::Broker::upgrade_websocket`].
///
/// It is not axum's own, because that fixes the limits on messages for the connection's whole life, and a stranger must
/// not have those of somebody who was let in.
#[derive(Debug)]
pub struct WebSocketUpgrade {
    pub(super) response: Response,
    pub(super) upgrade: OnUpgrade,
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        shake(parts).map_err(|response| *response)
    }
}

/// Checks a request, and prepares the answer; the error is the answer to what is no handshake.
pub(super) fn shake(parts: &mut Parts) -> Result<WebSocketUpgrade, Box<Response>> {
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = parts.version;
    *request.headers_mut() = parts.headers.clone();
    let mut response = create_response(&request)
        .map_err(|error| not_a_handshake(&error.to_string()))?
        .map(|()| Body::empty());
    if let Some(protocol) = subprotocol(&parts.headers) {
        let protocol = HeaderValue::from_static(protocol);
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    match parts.extensions.remove::<OnUpgrade>() {
        Some(upgrade) => Ok(WebSocketUpgrade { response, upgrade }),
        None => Err(not_a_handshake("this connection cannot be upgraded")),
    }
}

/// The best that the client asks for.
fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    let asked: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    SUBPROTOCOLS
        .into_iter()
        .find(|offered| asked.contains(offered))
}

fn not_a_handshake(reason: &str) -> Box<Response> {
    let message = format!("this is no WebSocket handshake of version 13: {reason}\n");
    let mut response = Response::new(Body::from(message));
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    for (name, value) in [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Box::new(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: &[&str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in asked {
            let value = HeaderValue::from_str(value).expect("a header value");
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
        assert_eq!(subprotocol(&headers), expected, "{asked:?}");
    }

    #[test]
    fn the_best_subprotocol_is_chosen() {
        check(&[], None);
        check(&["chat"], None);
        check(&["v10.stomp"], Some("v10.stomp"));
        check(&["v10.stomp, v11.stomp"], Some("v11.stomp"));
        check(&["v10.stomp,v12.stomp"], Some("v12.stomp"));
        check(&["v10.stomp", "chat, v11.stomp"], Some("v11.stomp"));
    }
}
