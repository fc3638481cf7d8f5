//! For whatever watches the server: alive, and ready.

use axum::extract::State;
use axum::http::StatusCode;

use crate::store::Store;

/// The process runs.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Everything that the process needs answers.
pub(super) async fn ready(State(store): State<Store>) -> (StatusCode, &'static str) {
    match store.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "not ready: the database does not answer\n",
            )
        }
    }
}
