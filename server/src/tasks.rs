//! Every task of the server by its name, and the word for all of them to stop.

use std::future::Future;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// The tasks that run; each gives its name when it ends.
#[derive(Debug)]
pub(crate) struct Tasks {
    running: JoinSet<&'static str>,
    shutdown: CancellationToken,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            running: JoinSet::new(),
            shutdown: CancellationToken::new(),
        }
    }

    /// The word to stop, for a task that has to hear it.
    pub(crate) fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// One more.
    pub(crate) fn spawn<T>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) {
        self.running.spawn(async move {
            drop(task.await);
            name
        });
    }

    /// The name of one that ended. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Option<Result<&'static str, JoinError>> {
        self.running.join_next().await
    }

    /// Says the word, and waits until all have ended.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.ended().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the server did not end well");
            }
        }
    }
}
