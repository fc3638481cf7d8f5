//! For whatever watches the server: alive, and ready.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;

use super::App;

const NOT_FOLLOWED: &str =
    "ready, but the policy or access file does not answer: changes in it have no effect\n";

/// Whoever asks wants to know now.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process runs.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Everything that the process needs answers. It goes on serving by the policy and access file of before while their file system
/// hangs, which whoever watches it must know.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    match tokio::time::timeout(PATIENCE, app.store.ping()).await {
        Ok(Ok(())) if app.policy.is_followed() => (StatusCode::OK, "ready\n"),
        Ok(Ok(())) => (StatusCode::OK, NOT_FOLLOWED),
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
