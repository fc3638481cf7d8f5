//! For whatever watches the server: alive, and ready.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;

use crate::store::Store;

/// Whoever asks wants to know now.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process runs.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Everything that the process needs answers.
pub(super) async fn ready(State(store): State<Store>) -> (StatusCode, &'static str) {
    match tokio::time::timeout(PATIENCE, store.ping()).await {
        Ok(Ok(())) => (StatusCode::OK, "ready\n"),
        answer => {
            let error = answer.map_or_else(|late| late.to_string(), |error| format!("{error:?}"));
            tracing::warn!(%error, "not ready: the database does not answer");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "not ready: the database does not answer\n",
            )
        }
    }
}
