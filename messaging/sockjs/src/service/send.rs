//! Requests that bring messages (SockJS protocol 0.3, `xhr_send`, `jsonp_send`).

use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::Response;
use tokio::time::timeout;

use super::{Inner, text_of};
use crate::answer::{TEXT, answer, not_found, silent};
use crate::payload::{self, PayloadError};
use crate::polled::NotTaken;
use crate::route::Endpoint;
use crate::statistics::Refusal;

impl Inner {
    pub(super) async fn send(
        &self,
        id: &str,
        endpoint: Endpoint,
        parts: &Parts,
        body: Body,
    ) -> Response {
        // Before the body is read: whoever has no session is not listened to.
        let session = match self.registry.find(id, &self.asker(parts)) {
            Ok(Some(session)) => session,
            Ok(None) => return not_found(),
            Err(refusal) => return self.refuse(refusal),
        };
        let Some(_reading) = session.begin_body() else {
            return self
                .not_taken("too many requests of this session at once: send one at a time\n");
        };
        let most = self.config.message_bytes;
        let of_strangers = self
            .config
            .stranger_bytes
            .filter(|_| session.is_strangers());
        let limit = of_strangers.map_or(most, |bytes| bytes.min(most));
        let body = match timeout(self.config.patience, read(body, limit)).await {
            Ok(Ok(body)) if !session.spend(body.len()) => return self.refuse(Refusal::TooLong),
            Ok(Ok(body)) => body,
            Ok(Err(Unread::TooLong)) => return self.refuse(Refusal::TooLong),
            // Nobody is there to read an answer.
            Ok(Err(Unread::Lost(error))) => {
                tracing::debug!(%error, "a body did not come to its end");
                return silent(StatusCode::BAD_REQUEST);
            }
            Err(_) => return self.refuse(Refusal::TooSlow),
        };
        let messages = match endpoint {
            Endpoint::JsonpSend => {
                payload::of_form(text_of(&parts.headers, &header::CONTENT_TYPE), &body)
            }
            Endpoint::XhrSend | Endpoint::Receive(_) => payload::of_body(&body),
        };
        let messages = match messages {
            Ok(messages) => messages,
            Err(error) => return self.not_read(error),
        };
        drop(body);
        match session.receive(messages, self.config.patience).await {
            Ok(()) if endpoint == Endpoint::JsonpSend => answer(StatusCode::OK, TEXT, "ok"),
            Ok(()) => answer(StatusCode::NO_CONTENT, TEXT, Body::empty()),
            Err(NotTaken::Gone) => not_found(),
            Err(NotTaken::Busy) => self.not_taken(
                "another request of this session is being taken in: send one at a time\n",
            ),
            Err(NotTaken::NoRoom) => {
                self.not_taken("what was sent before is not handled yet: try again later\n")
            }
        }
    }

    fn not_read(&self, error: PayloadError) -> Response {
        match error {
            PayloadError::Broken => self.refuse(Refusal::Broken),
            PayloadError::TooMany => self.refuse(Refusal::TooLong),
            PayloadError::Missing => {
                self.counters.refused(Refusal::Broken);
                answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.as_str())
            }
        }
    }

    fn not_taken(&self, reason: &'static str) -> Response {
        self.counters.refused(Refusal::TooSlow);
        answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, reason)
    }
}

/// Why a body was not read.
enum Unread {
    TooLong,
    Lost(axum::Error),
}

/// Reads a body of at most `limit` bytes. One that is announced to be longer is not read at all.
async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, Unread> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |bytes| bytes > limit) {
        return Err(Unread::TooLong);
    }
    let mut read = Vec::new();
    let next =
        |body: &mut Body, context: &mut std::task::Context<'_>| Pin::new(body).poll_frame(context);
    while let Some(frame) = std::future::poll_fn(|context| next(&mut body, context)).await {
        let Ok(data) = frame.map_err(Unread::Lost)?.into_data() else {
            continue;
        };
        if read.len() + data.len() > limit {
            return Err(Unread::TooLong);
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}
