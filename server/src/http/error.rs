//! What goes wrong, for programs (RFC 9457 problem documents) and for people (pages). Causes are logged here, once, and
//! never sent.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use super::throttle::retry_after;
use crate::alarm::AcknowledgeError;
use crate::command::CommandError;
use crate::identity::idle_lock::Asleep;
use crate::identity::policy::Denial;
use crate::store::StoreError;

/// A refusal for a program.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// When to ask again.
    wait: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            wait: None,
        }
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "a good token is needed: `Authorization: Bearer …`",
        )
    }

    pub(crate) fn too_many(wait: Duration) -> Self {
        let detail = "too many requests: ask again after the time in Retry-After";
        Self {
            wait: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail)
        }
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", what)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = json!({
            "type": format!("urn:landside:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(wait) = self.wait {
            headers.insert(header::RETRY_AFTER, retry_after(wait));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Logs why the store failed; the answer carries the number under which it stands in the log.
pub(crate) fn log_unavailable(error: &StoreError) -> Uuid {
    let reference = Uuid::new_v4();
    tracing::error!(%error, %reference, "a request could not be answered");
    reference
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let reference = log_unavailable(&error);
        let what = if matches!(error, StoreError::Audit(_)) {
            "the audit cannot be written, so nothing was done"
        } else {
            "the database does not answer"
        };
        let detail = format!("{what}; try again later, or ask for {reference} in the log");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        let code = match denial {
            Denial::NotGranted => "forbidden",
            Denial::SecondFactorNeeded => "second-factor-needed",
        };
        Self::new(StatusCode::FORBIDDEN, code, denial.to_string())
    }
}

impl From<Asleep> for Problem {
    fn from(asleep: Asleep) -> Self {
        match asleep {
            Asleep::Locked => Self::new(StatusCode::FORBIDDEN, "locked", asleep.to_string()),
            Asleep::Store(error) => error.into(),
        }
    }
}

impl From<AcknowledgeError> for Problem {
    fn from(error: AcknowledgeError) -> Self {
        let detail = error.to_string();
        match error {
            AcknowledgeError::NotOpen(_) => Self::not_found(detail),
            AcknowledgeError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            AcknowledgeError::SecondFactorNeeded => Denial::SecondFactorNeeded.into(),
            AcknowledgeError::Superseded(_) => {
                Self::new(StatusCode::CONFLICT, "superseded", detail)
            }
            AcknowledgeError::LongNote => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-parameter", detail)
            }
            AcknowledgeError::TooMany(wait) => Self::too_many(wait),
            AcknowledgeError::Store(error) => error.into(),
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        match error {
            CommandError::NoSuchDevice(_) => Self::not_found(detail),
            CommandError::Unregistered(_) => {
                Self::new(StatusCode::CONFLICT, "unregistered", detail)
            }
            CommandError::NotSupported { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not-supported", detail)
            }
            CommandError::BadParameter(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-parameter", detail)
            }
            CommandError::Forbidden { .. } => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            CommandError::SecondFactorNeeded(_) => {
                Self::new(StatusCode::FORBIDDEN, "second-factor-needed", detail)
            }
            CommandError::TooMany(wait) => Self::too_many(wait),
            CommandError::KeyReused(_) => Self::new(StatusCode::CONFLICT, "key-reused", detail),
            CommandError::Store(error) => error.into(),
        }
    }
}
