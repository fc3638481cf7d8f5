//! Requests that wait for frames: polls and streams (SockJS protocol 0.3, `xhr`, `xhr_streaming`, `eventsource`,
//! `htmlfile`, `jsonp`).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::{Inner, opening};
use crate::answer::{EVENTS, HTML, SCRIPT, TEXT, answer, set};
use crate::connection::{Carrier, Connection};
use crate::frame::{self, Callback, Form};
use crate::iframe::html_file_policy;
use crate::polled::{ApplicationSide, Polled, Receiving};
use crate::registry::{Found, Seat};
use crate::session::{Refused, Stay, Terms};
use crate::statistics::Refusal;
use crate::transport::Transport;

const CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");

/// A client that breaks one request off and makes another may be heard in the wrong order, since they come over two
/// connections: before the second is sent away, the first has this long to be seen to be gone.
const OVERTAKEN: Duration = Duration::from_millis(50);

impl Inner {
    pub(super) async fn receive(
        self: Arc<Self>,
        id: &str,
        transport: Transport,
        parts: &Parts,
    ) -> Response {
        let form = match form_of(transport, parts.uri.query()) {
            Ok(form) => form,
            Err(reason) => return answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, reason),
        };
        let stay = match transport {
            Transport::Xhr | Transport::Jsonp => Stay::Poll,
            _ => Stay::Stream,
        };
        let mut attached = self.attach(id, transport, parts, &form, stay);
        if matches!(attached, Err(Denied::Busy)) {
            sleep(OVERTAKEN).await;
            attached = self.attach(id, transport, parts, &form, stay);
        }
        let mut response = match attached {
            Ok(receiving) => respond(receiving, &form, stay, transport).await,
            Err(Denied::Busy) => {
                let refusal = form.wrap(&frame::close(2010, "Another connection still open"));
                let body = match stay {
                    Stay::Poll => Body::from(refusal),
                    Stay::Stream => Body::new(Stream {
                        prelude: Some(form.prelude()),
                        rest: Rest::Refusal(Some(refusal)),
                    }),
                };
                answer(StatusCode::OK, content_type(transport), body)
            }
            Err(Denied::Refused(refusal)) => return self.refuse(refusal),
        };
        match transport {
            Transport::HtmlFile => {
                let policy = html_file_policy(self.origins_of(transport));
                set(&mut response, header::CONTENT_SECURITY_POLICY, policy);
            }
            Transport::Jsonp => {
                set(
                    &mut response,
                    CONTENT_TYPE_OPTIONS,
                    HeaderValue::from_static("nosniff"),
                );
            }
            _ => {}
        }
        response
    }

    /// Finds or begins the session, and makes this request its receiver.
    fn attach(
        self: &Arc<Self>,
        id: &str,
        transport: Transport,
        parts: &Parts,
        form: &Form,
        stay: Stay,
    ) -> Result<Receiving, Denied> {
        let asker = self.asker(parts);
        loop {
            let found = self.registry.find_or_begin(id, &asker, || {
                Polled::new(self.terms(), self.first_body_limit())
            });
            let (session, seat) = match found.map_err(Denied::Refused)? {
                Found::There(session) => (session, None),
                Found::New(session, seat) => (session, Some(seat)),
            };
            let attached = session.attach(form.clone(), stay, asker.via);
            if let Some(seat) = seat {
                let side = ApplicationSide::new(Arc::clone(&session), self.config.disconnect_delay);
                let counters = Arc::clone(&self.counters);
                let bounds = self.bounds(self.config.stranger_bytes);
                let connection = Connection::new(
                    Carrier::Polled(side),
                    transport,
                    asker.peer,
                    bounds,
                    counters,
                );
                let handling = self.handle(connection, opening(parts));
                let life = Life(Some((Arc::clone(&session), seat)));
                tokio::spawn(async move {
                    handling.await;
                    drop(life);
                });
            }
            match attached {
                Ok(receiving) => return Ok(receiving),
                Err(Refused::Busy) => return Err(Denied::Busy),
                // It is forgotten at this very moment: its name is free again.
                Err(Refused::Gone) => self.registry.forget(id, &session),
            }
        }
    }

    /// Who must be let in first cannot make this server hold long bodies before.
    fn first_body_limit(&self) -> usize {
        let most = self.config.message_bytes;
        self.config
            .stranger_bytes
            .map_or(most, |bytes| bytes.min(most))
    }

    fn terms(&self) -> Terms {
        let config = &self.config;
        Terms {
            response_limit: config.response_limit,
            heartbeat: config.heartbeat,
            disconnect_delay: config.disconnect_delay,
            inbox_bytes: config.inbox_bytes,
            repeat_unconfirmed: config.repeat_unconfirmed,
        }
    }
}

/// Why a request does not receive.
enum Denied {
    Busy,
    Refused(Refusal),
}

/// The life of a session: dropped when the application has handled it or has panicked, and the session is remembered for
/// a while after that.
struct Life(Option<(Arc<Polled>, Seat)>);

impl Drop for Life {
    fn drop(&mut self) {
        if let Some((session, seat)) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                session.forgotten().await;
                drop(seat);
            });
        }
    }
}

fn form_of(transport: Transport, query: Option<&str>) -> Result<Form, &'static str> {
    Ok(match transport {
        Transport::HtmlFile => Form::HtmlFile(Callback::of_query(query)?),
        Transport::Jsonp => Form::Jsonp(Callback::of_query(query)?),
        Transport::EventSource => Form::EventSource,
        Transport::Xhr
        | Transport::XhrStreaming
        | Transport::WebSocket
        | Transport::RawWebSocket => Form::Lines,
    })
}

fn content_type(transport: Transport) -> &'static str {
    match transport {
        Transport::EventSource => EVENTS,
        Transport::HtmlFile => HTML,
        _ => SCRIPT,
    }
}

/// A poll is answered when its frame is there, so that its length is known, as HTTP/1.0 wants it.
async fn respond(
    mut receiving: Receiving,
    form: &Form,
    stay: Stay,
    transport: Transport,
) -> Response {
    let body = match stay {
        Stay::Poll => Body::from(receiving.only_frame().await.unwrap_or_default()),
        Stay::Stream => Body::new(Stream {
            prelude: Some(form.prelude()),
            rest: Rest::Frames(receiving),
        }),
    };
    answer(StatusCode::OK, content_type(transport), body)
}

/// The body of a streaming answer: each frame is a chunk of its own.
struct Stream {
    prelude: Option<Bytes>,
    rest: Rest,
}

enum Rest {
    Frames(Receiving),
    /// One frame that says why there are no others.
    Refusal(Option<Bytes>),
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(prelude) = self.prelude.take() {
            return Poll::Ready(Some(Ok(Frame::data(prelude))));
        }
        let frame = match &mut self.rest {
            Rest::Frames(receiving) => ready!(receiving.poll_frame(context)),
            Rest::Refusal(refusal) => refusal.take(),
        };
        Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.rest {
            Rest::Frames(receiving) => receiving.is_over(),
            Rest::Refusal(refusal) => refusal.is_none(),
        }
    }
}
