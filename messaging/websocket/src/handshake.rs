//! The HTTP side of a WebSocket (RFC 6455, 4.2): what a request must have, and the answer to it.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use tungstenite::handshake::server::create_response;

/// A WebSocket handshake, as an extractor of axum; what is none is answered with 426.
///
/// It is not axum's own, because that fixes the limits on messages for the connection's whole life, and a stranger must
/// not have those of somebody who was let in.
#[derive(Debug)]
pub struct WebSocketUpgrade {
    response: Response,
    upgrade: OnUpgrade,
    /// Sub-protocols that the client would speak.
    asked: Vec<String>,
}

impl WebSocketUpgrade {
    /// Checks a request. For servers that do without axum's extractors.
    ///
    /// # Errors
    /// The answer to what is no handshake.
    pub fn from_parts(parts: &mut Parts) -> Result<Self, Box<Response>> {
        let mut request = Request::new(());
        *request.method_mut() = parts.method.clone();
        *request.version_mut() = parts.version;
        *request.headers_mut() = parts.headers.clone();
        let response = create_response(&request)
            .map_err(|error| not_a_handshake(&error.to_string()))?
            .map(|()| Body::empty());
        let upgrade = parts
            .extensions
            .remove::<OnUpgrade>()
            .ok_or_else(|| not_a_handshake("this connection cannot be upgraded"))?;
        Ok(Self {
            response,
            upgrade,
            asked: asked(&parts.headers),
        })
    }

    /// Chooses the first of `offered`, best first, that the client asks for. A client that asks for none of them is
    /// served all the same.
    #[must_use]
    pub fn offer(mut self, offered: &[&'static str]) -> Self {
        if let Some(chosen) = chosen(&self.asked, offered) {
            let chosen = HeaderValue::from_static(chosen);
            self.response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
        }
        self
    }

    /// The answer to the handshake, and the stream that comes once it is written.
    pub fn accept(self) -> (Response, OnUpgrade) {
        (self.response, self.upgrade)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        Self::from_parts(parts).map_err(|response| *response)
    }
}

fn asked(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_owned()))
        .collect()
}

fn chosen(asked: &[String], offered: &[&'static str]) -> Option<&'static str> {
    offered
        .iter()
        .copied()
        .find(|offered| asked.iter().any(|asked| asked == offered))
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
        let offered = ["v12.stomp", "v11.stomp", "v10.stomp"];
        assert_eq!(
            chosen(&super::asked(&headers), &offered),
            expected,
            "{asked:?}"
        );
    }

    #[test]
    fn the_best_that_is_offered_is_chosen() {
        check(&[], None);
        check(&["chat"], None);
        check(&["v10.stomp"], Some("v10.stomp"));
        check(&["v10.stomp, v11.stomp"], Some("v11.stomp"));
        check(&["v10.stomp,v12.stomp"], Some("v12.stomp"));
        check(&["v10.stomp", "chat, v11.stomp"], Some("v11.stomp"));
    }
}
