//! The task that erases number plates whose time is over, where they are stored.
//!
//! Readings are in memory only and go there (`live::state`); events are stored without plates. What is left is what agents
//! said and nobody could read: it is kept whole in quarantine, with whatever stands in it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

/// A plate stays at most this much longer than it may.
const ERASE_EVERY: Duration = Duration::from_secs(3600);

/// Erases what is due, now and every hour, until it is told to stop.
pub(crate) async fn run(store: Store, days: u32, stop: CancellationToken) {
    let mut tick = tokio::time::interval(ERASE_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        match erase(&store, days, Utc::now()).await {
            Ok(0) => {}
            Ok(messages) => tracing::info!(
                messages,
                days,
                "messages in quarantine that may hold number plates were erased: their time is over"
            ),
            Err(error) => {
                tracing::error!(%error, "number plates whose time is over could not be erased; it is tried again in an hour")
            }
        }
    }
}

async fn erase(store: &Store, days: u32, now: DateTime<Utc>) -> Result<u64, StoreError> {
    store
        .erase_quarantined(now - TimeDelta::days(days.into()))
        .await
}
