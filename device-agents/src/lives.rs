//! Tasks that begin again when they die: one of them must not take the others with it, nor vanish unnoticed.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::sleep;
use tracing::error;

use crate::backoff::Backoff;

/// Between the lives of a task.
const RESPAWN_FIRST: Duration = Duration::from_secs(1);
const RESPAWN_MAX: Duration = Duration::from_secs(60);

/// Tasks made from what `C` says.
pub(crate) struct Lives<C, T> {
    tasks: JoinSet<T>,
    contexts: BTreeMap<Id, (C, Backoff)>,
}

impl<C, T> Lives<C, T>
where
    C: Clone + Send + 'static,
    T: Send + 'static,
{
    /// Starts one task for each context.
    pub(crate) fn start<F>(contexts: Vec<C>, life: fn(C) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut lives = Self {
            tasks: JoinSet::new(),
            contexts: BTreeMap::new(),
        };
        for context in contexts {
            let backoff = Backoff::new(RESPAWN_FIRST, RESPAWN_MAX);
            lives.begin(context, backoff, Duration::ZERO, life);
        }
        lives
    }

    fn begin<F>(&mut self, context: C, backoff: Backoff, pause: Duration, life: fn(C) -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let next = context.clone();
        let task = self.tasks.spawn(async move {
            sleep(pause).await;
            life(next).await
        });
        self.contexts.insert(task.id(), (context, backoff));
    }

    /// The result of the next task that ends by itself; one that panics begins again instead. `None`: all have ended.
    /// Cancel safe.
    pub(crate) async fn next_end<F>(&mut self, life: fn(C) -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        loop {
            match self.tasks.join_next_with_id().await? {
                Ok((id, result)) => {
                    self.contexts.remove(&id);
                    return Some(result);
                }
                Err(died) => {
                    let Some((context, mut backoff)) = self.contexts.remove(&died.id()) else {
                        continue;
                    };
                    let pause = backoff.next_pause();
                    error!(error = %died, ?pause, "a task died and begins again");
                    self.begin(context, backoff, pause, life);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    async fn panics_twice((name, lives): (&'static str, Arc<AtomicU32>)) -> &'static str {
        let life = lives.fetch_add(1, Ordering::SeqCst);
        assert!(name != "weak" || life >= 2, "life {life} ends badly");
        name
    }

    #[tokio::test]
    async fn a_task_that_dies_begins_again_and_the_others_do_not_notice() {
        tokio::time::pause(); // Pauses between lives pass at once.
        let counts: Vec<Arc<AtomicU32>> = (0..2).map(|_| Arc::default()).collect();
        let contexts = vec![
            ("weak", Arc::clone(&counts[0])),
            ("strong", Arc::clone(&counts[1])),
        ];
        let mut lives = Lives::start(contexts, panics_twice);
        let mut ended = vec![];
        while let Some(name) = lives.next_end(panics_twice).await {
            ended.push(name);
        }
        assert_eq!(ended, ["strong", "weak"]);
        assert_eq!(counts[0].load(Ordering::SeqCst), 3);
        assert_eq!(counts[1].load(Ordering::SeqCst), 1);
    }
}
