//! Requests before Engine.IO sees them.
//!
//! Engine.IO keeps the request that opened a session for as long as that lasts, so it gets no more of it than it needs:
//! no headers of a stranger, and no token, which is nowhere else either: not in a log, not in an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use broker::{Broker, Guard, Handler, Peer, WebSocketUpgrade};
use engineioxide::config::EngineIoConfig;
use engineioxide::service::EngineIoService;
use engineioxide::socket::Sid;
use hyper_util::rt::TokioIo;
use sockjs::Origins;
use tokio::time::timeout;
use tower_service::Service;
use url::form_urlencoded;

use super::exchange::{Exchange, Lines, Opening};
use super::line::Line;
use super::packet::Revision;
use super::road::PACKETS;
use super::stream::Watched;
use super::tally;
use crate::listener::asker::Asker;

/// The longest message, and the longest POST, which has several. 256 KiB: what people's clients send is short, and a
/// stranger's WebSocket may hold as much before anybody knows who it is.
const MESSAGE_BYTES: usize = 256 * 1024;

/// Between two pings to a new client, which has as long as [`PING_TIMEOUT`] to answer; old ones ping by themselves, told
/// to do so as often. Below the minute after which proxies cut off what is idle.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// 40 s, as for any WebSocket: a phone that changes networks is back by then.
const PING_TIMEOUT: Duration = Duration::from_secs(40);

/// From polling to a WebSocket. Meanwhile nothing reaches the client.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);

/// For the whole of a POST to come. 20 s: the longest one over a slow phone.
const POST_TIMEOUT: Duration = Duration::from_secs(20);

/// The type of a body whose packets are not text.
const BINARY: &str = "application/octet-stream";

struct Door<G: Guard, H: Handler<G::Principal>> {
    engine: EngineIoService<Exchange<G, H>>,
    lines: Lines,
    origins: Origins,
}

impl<G: Guard, H: Handler<G::Principal>> Clone for Door<G, H> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            lines: self.lines.clone(),
            origins: self.origins.clone(),
        }
    }
}

/// The routes of Socket.IO, for pages of these origins.
pub(crate) fn routes<G, H, S>(broker: Broker<G, H>, origins: Origins) -> Router<S>
where
    G: Guard,
    H: Handler<G::Principal>,
    S: Clone + Send + Sync + 'static,
{
    let config = EngineIoConfig::builder()
        .req_path("/socket.io")
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .upgrade_timeout(UPGRADE_TIMEOUT)
        .max_buffer_size(PACKETS)
        .max_payload(MESSAGE_BYTES as u64)
        .ws_max_message_size(MESSAGE_BYTES)
        .ws_max_frame_size(MESSAGE_BYTES)
        .build();
    let lines = Lines::default();
    let exchange = Arc::new(Exchange {
        broker,
        lines: lines.clone(),
    });
    let door = Door {
        engine: EngineIoService::with_config(exchange, config),
        lines,
        origins,
    };
    let serve = get(serve::<G, H>)
        .post(serve::<G, H>)
        .options(preflight::<G, H>);
    Router::new()
        .route("/socket.io", serve.clone())
        .route("/socket.io/", serve)
        .with_state(door)
}

/// What a request's query says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    revision: Option<Revision>,
    is_websocket: bool,
    is_polling: bool,
    is_jsonp: bool,
    is_base64: bool,
    sid: Option<String>,
    token: Option<String>,
}

impl Query {
    fn read(query: &str) -> Self {
        // The oldest clients do not name their protocol, and it is this.
        let mut read = Self {
            revision: Some(Revision::Old),
            ..Self::default()
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "EIO" => {
                    read.revision = match &*value {
                        "3" => Some(Revision::Old),
                        "4" => Some(Revision::New),
                        _ => None,
                    }
                }
                "transport" => {
                    read.is_websocket = value == "websocket";
                    read.is_polling = value == "polling";
                }
                "sid" => read.sid = Some(value.into_owned()),
                "j" => read.is_jsonp = true,
                "b64" => read.is_base64 = value == "1" || value == "true",
                "token" if !value.is_empty() => read.token = Some(value.into_owned()),
                _ => {}
            }
        }
        read
    }
}

/// An answer as Engine.IO's clients know it.
fn refuse(status: StatusCode, code: u8, message: &str) -> Response {
    let body = serde_json::json!({"code": code, "message": message}).to_string();
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, body).into_response()
}

const UNKNOWN_TRANSPORT: u8 = 0;
const UNKNOWN_SESSION: u8 = 1;
const BAD_REQUEST: u8 = 3;
const FORBIDDEN: u8 = 4;
const UNSUPPORTED_PROTOCOL: u8 = 5;

async fn serve<G: Guard, H: Handler<G::Principal>>(
    State(door): State<Door<G, H>>,
    Asker(peer): Asker,
    request: Request,
) -> Response {
    let origin = match door.origin_of(request.uri(), request.headers()) {
        Ok(origin) => origin,
        Err(refusal) => return *refusal,
    };
    let answer = door.serve(peer, request).await;
    let mut answer = answer.unwrap_or_else(|refusal| *refusal);
    if let Some(origin) = origin {
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        // Old clients ask with cookies, whether there are any or not.
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    answer
}

/// Browsers ask before a page of another origin sends bytes.
async fn preflight<G: Guard, H: Handler<G::Principal>>(
    State(door): State<Door<G, H>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match door.origin_of(&uri, &headers) {
        Ok(Some(origin)) => {
            let yes = HeaderValue::from_static;
            let allowed = [
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
                (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes("true")),
                (header::ACCESS_CONTROL_ALLOW_METHODS, yes("GET, POST")),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, yes("content-type")),
                (header::ACCESS_CONTROL_MAX_AGE, yes("7200")),
                (header::VARY, yes("origin")),
            ];
            (StatusCode::NO_CONTENT, allowed).into_response()
        }
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => *refusal,
    }
}

impl<G: Guard, H: Handler<G::Principal>> Door<G, H> {
    /// Of which page the request is, if of any.
    fn origin_of(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, Box<Response>> {
        if !self.origins.allow(uri, headers) {
            let message = "pages of this origin may not connect here, unless `[http] origins` of the server names it";
            return Err(Box::new(refuse(StatusCode::FORBIDDEN, FORBIDDEN, message)));
        }
        Ok(headers.get(header::ORIGIN).cloned())
    }

    async fn serve(self, peer: Peer, request: Request) -> Result<Response, Box<Response>> {
        let (mut parts, body) = request.into_parts();
        let refuse = |status, code, message| Err(Box::new(refuse(status, code, message)));
        let query = Query::read(parts.uri.query().unwrap_or_default());
        let Some(revision) = query.revision else {
            let message = "this server speaks Engine.IO 3 and 4";
            return refuse(StatusCode::BAD_REQUEST, UNSUPPORTED_PROTOCOL, message);
        };
        if query.is_jsonp || !(query.is_polling || query.is_websocket) {
            let message = "the transports are polling, without JSONP, and websocket";
            return refuse(StatusCode::BAD_REQUEST, UNKNOWN_TRANSPORT, message);
        }
        let known = match &query.sid {
            None => None,
            Some(sid) => {
                let known = sid.parse::<Sid>().ok();
                let known = known.and_then(|sid| Some((sid, self.lines.get(sid)?)));
                // A line of the other revision is as good as none, and so is somebody else's.
                let is_own = |line: &Line| {
                    line.revision == revision && line.certificate.as_deref() == peer.name()
                };
                let Some((sid, line)) = known.filter(|(_, line)| is_own(line)) else {
                    return refuse(
                        StatusCode::BAD_REQUEST,
                        UNKNOWN_SESSION,
                        "Session ID unknown",
                    );
                };
                Some((sid, line))
            }
        };
        let uri = bare_uri(revision, &query, known.as_ref().map(|(sid, _)| *sid));
        let certificate = peer.name().map(Arc::from);
        match known {
            _ if query.is_websocket => {
                // Before the line knows of it: what is no handshake leaves it as it was.
                let handshake = WebSocketUpgrade::from_parts(&mut parts)?;
                let line = match known {
                    Some((_, line)) if line.begin_websocket() => line,
                    Some(_) => {
                        let message = "this session has a WebSocket";
                        return refuse(StatusCode::BAD_REQUEST, BAD_REQUEST, message);
                    }
                    None => Arc::new(Line::new(revision, query.token, certificate)),
                };
                Ok(self.websocket(uri, handshake, Opening { line, peer }))
            }
            Some((_, line)) if parts.method == Method::POST => {
                self.post(uri, &parts.headers, body, &line).await
            }
            Some((_, line)) => Ok(self.poll(uri, &line).await),
            None if parts.method == Method::GET => {
                let line = Arc::new(Line::new(revision, query.token, certificate));
                let mut request = Request::new(Body::empty());
                *request.uri_mut() = uri;
                request.extensions_mut().insert(Opening { line, peer });
                Ok(self.ask(request).await)
            }
            None => refuse(
                StatusCode::BAD_REQUEST,
                BAD_REQUEST,
                "a session begins with GET",
            ),
        }
    }

    async fn ask(mut self, request: Request) -> Response {
        let answer = Service::<Request>::call(&mut self.engine, request).await;
        let answer = answer.unwrap_or_else(|never| match never {});
        answer.map(Body::new)
    }

    /// What waits for the client, or what comes next.
    async fn poll(self, uri: Uri, line: &Line) -> Response {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        let (parts, body) = self.ask(request).await.into_parts();
        // Whole already: Engine.IO has put it together.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        if parts.status == StatusCode::OK {
            let binary = HeaderValue::from_static(BINARY);
            let is_binary = parts.headers.get(header::CONTENT_TYPE) == Some(&binary);
            line.client_took(tally::in_payload(line.revision, is_binary, &body));
        }
        Response::from_parts(parts, Body::from(body))
    }

    async fn post(
        self,
        uri: Uri,
        headers: &HeaderMap,
        body: Body,
        line: &Arc<Line>,
    ) -> Result<Response, Box<Response>> {
        let refuse = |status, message| Err(Box::new(refuse(status, BAD_REQUEST, message)));
        let Some(_posting) = line.begin_post() else {
            let message = "one POST of a session at a time";
            return refuse(StatusCode::BAD_REQUEST, message);
        };
        if line.is_stranger() {
            let length = headers.get(header::CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            let Some(length) = length else {
                let message = "say the length of what you send";
                return refuse(StatusCode::LENGTH_REQUIRED, message);
            };
            if let Err(too_much) = line.client_sends(length) {
                line.client_ended();
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, &too_much.to_string());
            }
        }
        // Whole, since Engine.IO would look at all that has come again with each piece.
        let body = match timeout(POST_TIMEOUT, to_bytes(body, MESSAGE_BYTES)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a POST of Socket.IO was not read");
                line.client_ended();
                let message = "the POST is too long, or did not come to its end";
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, message);
            }
            Err(_late) => {
                line.client_ended();
                return refuse(StatusCode::REQUEST_TIMEOUT, "the POST did not come in time");
            }
        };
        let kind = headers.get(header::CONTENT_TYPE);
        let is_text = kind != Some(&HeaderValue::from_static(BINARY));
        if line.revision == Revision::Old && is_text && !tally::is_text_payload(&body) {
            line.client_ended();
            return refuse(
                StatusCode::BAD_REQUEST,
                "these are no packets of Engine.IO 3",
            );
        }
        let mut request = Request::new(Body::from(body));
        *request.uri_mut() = uri;
        *request.method_mut() = Method::POST;
        if let Some(kind) = kind {
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, kind.clone());
        }
        Ok(self.ask(request).await)
    }

    fn websocket(mut self, uri: Uri, handshake: WebSocketUpgrade, opening: Opening) -> Response {
        let (answer, upgrade) = handshake.accept();
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        let line = Arc::clone(&opening.line);
        request.extensions_mut().insert(opening);
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let stream = Watched::new(TokioIo::new(upgraded), line);
                    let begun = Service::call(&mut self.engine, (stream, request)).await;
                    if begun.is_err() {
                        tracing::error!("Engine.IO did not take a request that the door had made");
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a handshake was not finished");
                    line.client_ended();
                }
            }
        });
        answer
    }
}

/// The request's address with nothing in it but what Engine.IO needs.
fn bare_uri(revision: Revision, query: &Query, sid: Option<Sid>) -> Uri {
    let protocol = match revision {
        Revision::Old => 3,
        Revision::New => 4,
    };
    let transport = if query.is_websocket {
        "websocket"
    } else {
        "polling"
    };
    let base64 = if query.is_base64 { "&b64=1" } else { "" };
    let sid = sid.map_or_else(String::new, |sid| format!("&sid={sid}"));
    format!("/socket.io/?EIO={protocol}&transport={transport}{base64}{sid}")
        .parse()
        .expect("digits, letters, hyphens and underscores make an address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: &str) {
        let read = Query::read(query);
        let revision = read.revision.unwrap_or(Revision::Old);
        let uri = bare_uri(revision, &read, None);
        assert_eq!(
            uri.to_string(),
            format!("/socket.io/?{expected}"),
            "{query}"
        );
    }

    #[test]
    fn engine_io_sees_what_it_needs() {
        check("EIO=4&transport=polling&t=abc", "EIO=4&transport=polling");
        check(
            "token=secret&EIO=3&transport=websocket&b64=1",
            "EIO=3&transport=websocket&b64=1",
        );
        check("transport=polling&sid=ignored", "EIO=3&transport=polling");
        assert_eq!(Query::read("EIO=5").revision, None);
        assert_eq!(Query::read("token=a%2Bb").token.as_deref(), Some("a+b"));
        assert_eq!(Query::read("token=").token, None);
        assert!(Query::read("j=0").is_jsonp);
    }
}
