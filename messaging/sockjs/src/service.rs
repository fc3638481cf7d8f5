//! One service below a prefix: from a request to its answer.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::hash::RandomState;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::OriginalUri;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::answer::{
    JSON, TEXT, answer, method_not_allowed, never_kept, not_found, preflight, readable, set, stick,
};
use crate::asker::Asker;
use crate::config::Config;
use crate::connection::{Bounds, Connection, Opening};
use crate::iframe::{Page, form_answer_policy};
use crate::origin::Origins;
use crate::payload::PayloadError;
use crate::registry::Registry;
use crate::route::{Endpoint, Route, route};
use crate::statistics::{Counters, Refusal, Statistics};
use crate::transport::Transport;

mod receive;
mod send;
mod upgrade;

type Handling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A SockJS service, to be nested below its prefix: `Router::new().nest_service("/echo", service)`. Cheap to clone: all
/// clones are one.
///
/// The addresses of clients are known when the application is served with
/// `into_make_service_with_connect_info::<SocketAddr>()`; without, nothing is bounded by address.
#[derive(Clone)]
pub struct SockJs {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    application: Box<dyn Fn(Connection, Opening) -> Handling + Send + Sync>,
    registry: Arc<Registry>,
    counters: Arc<Counters>,
    handling: TaskTracker,
    iframe: Option<Page>,
    /// For what sessions are bound to.
    key: RandomState,
}

impl SockJs {
    /// A service whose sessions are handled by `application`, each in a task of its own.
    pub fn new<A, F>(config: Config, application: A) -> Self
    where
        A: Fn(Connection, Opening) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let config = config.clamped();
        let iframe = config
            .client_url
            .as_deref()
            .map(|client| Page::new(client, &config.origins));
        Self {
            inner: Arc::new(Inner {
                registry: Arc::new(Registry::new(&config)),
                application: Box::new(move |connection, opening| {
                    Box::pin(application(connection, opening))
                }),
                counters: Arc::default(),
                handling: TaskTracker::new(),
                iframe,
                key: RandomState::new(),
                config,
            }),
        }
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        self.inner.counters.read(self.inner.registry.len())
    }

    /// Waits until the application has handled all sessions: once it ends them, and the HTTP server takes no more requests.
    pub async fn ended(&self) {
        self.inner.handling.close();
        self.inner.handling.wait().await;
    }
}

impl fmt::Debug for SockJs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SockJs")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for SockJs {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Ok(inner.answer(request).await) })
    }
}

/// What `info` tells (SockJS protocol 0.3, "Info test").
#[derive(Serialize)]
struct Info<'a> {
    websocket: bool,
    origins: [&'static str; 1],
    cookie_needed: bool,
    entropy: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<&'a str>,
    /// Where something is not offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    transports: Option<Vec<&'static str>>,
}

impl Inner {
    async fn answer(self: Arc<Self>, request: Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        match route(parts.uri.path()).filter(|_| !has_lost_a_slash(&parts)) {
            None => not_found(),
            Some(Route::Greeting) => get_only(&parts.method, || {
                answer(StatusCode::OK, TEXT, "Welcome to SockJS!\n")
            }),
            Some(Route::Iframe) => match &self.iframe {
                Some(page) => get_only(&parts.method, || page.answer(&parts.headers)),
                None => not_found(),
            },
            Some(Route::Info) => self.info(&parts),
            Some(Route::RawWebSocket) => self.of_transport(Transport::RawWebSocket, &parts, || {
                self.upgrade(parts.clone(), Transport::RawWebSocket)
            }),
            Some(Route::Session { id, endpoint }) => {
                let id = id.to_owned();
                let mut response = Arc::clone(&self)
                    .of_session(&id, endpoint, &parts, body)
                    .await;
                if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    stick(&mut response, &parts.headers, &self.config);
                }
                response
            }
        }
    }

    fn info(&self, parts: &Parts) -> Response {
        let transports = self.config.transports.iter();
        let offered: Vec<_> = transports
            .filter(|transport| self.may_come(**transport, parts))
            .collect();
        if offered.is_empty() {
            return self.refuse(Refusal::ForeignOrigin);
        }
        match parts.method {
            Method::GET => {}
            Method::OPTIONS => return preflight(&parts.headers, "OPTIONS, GET"),
            _ => return method_not_allowed("OPTIONS, GET"),
        }
        let offers_all = offered.len() == Transport::ALL.len();
        let info = Info {
            websocket: offered.contains(&&Transport::WebSocket),
            // A word of the protocol that no client reads: who may come is decided for each request.
            origins: ["*:*"],
            cookie_needed: self.config.cookie.is_some(),
            entropy: rand::random(),
            base_url: self.config.base_url.as_deref(),
            transports: (!offers_all)
                .then(|| offered.iter().map(|transport| transport.name()).collect()),
        };
        let body = serde_json::to_string(&info).expect("strings, numbers and truths are JSON");
        let mut response = answer(StatusCode::OK, JSON, body);
        never_kept(&mut response);
        readable(&mut response, &parts.headers);
        response
    }

    /// Answers if the transport is offered, to pages of this origin.
    fn of_transport(
        &self,
        transport: Transport,
        parts: &Parts,
        respond: impl FnOnce() -> Response,
    ) -> Response {
        if !self.config.transports.contains(&transport) {
            return not_found();
        }
        if !self.may_come(transport, parts) {
            return self.refuse(Refusal::ForeignOrigin);
        }
        respond()
    }

    async fn of_session(
        self: Arc<Self>,
        id: &str,
        endpoint: Endpoint,
        parts: &Parts,
        body: Body,
    ) -> Response {
        let offered: Vec<_> = endpoint
            .transports()
            .iter()
            .filter(|transport| self.config.transports.contains(transport))
            .collect();
        if offered.is_empty() {
            return not_found();
        }
        if !offered
            .iter()
            .any(|transport| self.may_come(**transport, parts))
        {
            return self.refuse(Refusal::ForeignOrigin);
        }
        let (method, preflighted) = match endpoint {
            Endpoint::Receive(Transport::Xhr | Transport::XhrStreaming) | Endpoint::XhrSend => {
                (Method::POST, true)
            }
            Endpoint::JsonpSend => (Method::POST, false),
            Endpoint::Receive(_) => (Method::GET, false),
        };
        if preflighted && parts.method == Method::OPTIONS {
            return preflight(&parts.headers, "OPTIONS, POST");
        }
        if parts.method != method {
            return method_not_allowed(match (method == Method::POST, preflighted) {
                (true, true) => "OPTIONS, POST",
                (true, false) => "POST",
                (false, _) => "GET",
            });
        }
        let mut response = match endpoint {
            Endpoint::Receive(transport) if transport.is_websocket() => {
                return self.upgrade(parts.clone(), transport);
            }
            Endpoint::Receive(transport) => Arc::clone(&self).receive(id, transport, parts).await,
            Endpoint::XhrSend | Endpoint::JsonpSend => self.send(id, endpoint, parts, body).await,
        };
        never_kept(&mut response);
        if endpoint == Endpoint::JsonpSend {
            let policy = form_answer_policy(self.origins_of(Transport::Jsonp));
            set(&mut response, header::CONTENT_SECURITY_POLICY, policy);
        }
        let has_cors = match endpoint {
            Endpoint::Receive(transport) => transport.has_cors(),
            Endpoint::XhrSend => true,
            Endpoint::JsonpSend => false,
        };
        if has_cors {
            readable(&mut response, &parts.headers);
        }
        response
    }

    /// The answer to what is refused, which is counted.
    fn refuse(&self, refusal: Refusal) -> Response {
        self.counters.refused(refusal);
        let (status, reason) = match refusal {
            Refusal::TooMany => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many sessions are open here: try again later\n",
            ),
            Refusal::TooManyOfAddress => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many sessions are open from your address: close some, or try again later\n",
            ),
            Refusal::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "pages of this origin may not connect here, unless the server's settings name it\n",
            ),
            // As if there were none.
            Refusal::NotTheOwner => return not_found(),
            Refusal::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too long: send less at once\n",
            ),
            Refusal::Broken => (
                StatusCode::INTERNAL_SERVER_ERROR,
                PayloadError::Broken.as_str(),
            ),
            Refusal::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long to come\n",
            ),
        };
        let mut response = answer(status, TEXT, reason);
        if refusal == Refusal::ForeignOrigin {
            set(
                &mut response,
                header::VARY,
                header::HeaderValue::from_static("Origin"),
            );
        }
        if matches!(refusal, Refusal::TooMany | Refusal::TooManyOfAddress) {
            set(
                &mut response,
                header::RETRY_AFTER,
                header::HeaderValue::from_static("5"),
            );
        }
        response
    }

    /// Whether a request of this origin may use the transport.
    fn may_come(&self, transport: Transport, parts: &Parts) -> bool {
        let origins = self.config.origins_of(transport);
        origins.allow(&parts.uri, &parts.headers)
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            outbox_bytes: self.config.outbox_bytes,
            patience: self.config.patience,
        }
    }

    fn asker(&self, parts: &Parts) -> Asker {
        Asker::new(parts, &self.config, &self.key)
    }

    /// Runs the application for one session.
    fn handle(
        &self,
        connection: Connection,
        opening: Opening,
    ) -> impl Future<Output = ()> + Send + use<> {
        let transport = connection.transport();
        self.counters.opened(transport);
        let open = OpenSession(Arc::clone(&self.counters), transport);
        let handling = (self.application)(connection, opening);
        self.handling.track_future(async move {
            handling.await;
            drop(open);
        })
    }

    /// For pages that may frame what this transport answers.
    fn origins_of(&self, transport: Transport) -> &Origins {
        self.config.origins_of(transport)
    }
}

/// Counts a session as open until it is dropped, even by a panic of the application.
struct OpenSession(Arc<Counters>, Transport);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.closed(self.1);
    }
}

/// Nesting takes a second slash behind the prefix for a part of it: `/echo//info` is no place.
fn has_lost_a_slash(parts: &Parts) -> bool {
    let original = parts.extensions.get::<OriginalUri>();
    original
        .and_then(|uri| uri.0.path().strip_suffix(parts.uri.path()))
        .is_some_and(|prefix| prefix.ends_with('/'))
}

fn opening(parts: &Parts) -> Opening {
    Opening {
        uri: parts.uri.clone(),
        headers: parts.headers.clone(),
        extensions: parts.extensions.clone(),
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn get_only(method: &Method, respond: impl FnOnce() -> Response) -> Response {
    if method == Method::GET {
        respond()
    } else {
        method_not_allowed("GET")
    }
}
