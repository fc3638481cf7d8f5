//! The control interface: HTTP on a loopback port, for tests and demos that run beside the simulators.
//!
//! | request | answer |
//! |---|---|
//! | `GET /devices` | 200, `{"items": [..]}`: what each device is |
//! | `POST /devices/{id}/faults/{fault}` | 204: the fault is on, and in the truth log |
//! | `DELETE /devices/{id}/faults/{fault}` | 204: the fault is off, and in the truth log |
//! | `POST /scenario/restart` | 204: the scenario begins again, and what it had switched on is off |
//!
//! What does not exist is a 404 with `{"error": sentence}`. There is no authentication: nothing but simulated
//! equipment can be reached from here.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::directory::{ControlError, Directory};

/// All routes.
pub(crate) fn router(directory: Arc<Directory>) -> Router {
    Router::new()
        .route("/devices", get(devices))
        .route("/devices/{id}/faults/{fault}", post(set).delete(clear))
        .route("/scenario/restart", post(restart_scenario))
        .with_state(directory)
}

async fn devices(State(directory): State<Arc<Directory>>) -> Result<Response, ControlError> {
    Ok(Json(json!({ "items": directory.states().await? })).into_response())
}

async fn set(
    State(directory): State<Arc<Directory>>,
    Path((id, fault)): Path<(String, String)>,
) -> Result<StatusCode, ControlError> {
    directory.switch(&id, &fault, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(
    State(directory): State<Arc<Directory>>,
    Path((id, fault)): Path<(String, String)>,
) -> Result<StatusCode, ControlError> {
    directory.switch(&id, &fault, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn restart_scenario(
    State(directory): State<Arc<Directory>>,
) -> Result<StatusCode, ControlError> {
    directory.restart_scenario().await?;
    Ok(StatusCode::NO_CONTENT)
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::UnknownDevice(_) | Self::UnknownFault { .. } | Self::NoScenario => {
                StatusCode::NOT_FOUND
            }
            Self::Ended(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}
