//! Files are read apart from the tasks that follow them. A file system that hangs, as a network's may, keeps one thread for each
//! file and no task: whoever follows a file knows soon that it says nothing, and hears what it says when it speaks again.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::observability::show_hanging;

/// A busy disk answers in milliseconds, and a stop waits for this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at one file, or at some that belong together, one after the other.
#[derive(Debug)]
pub(crate) struct Apart<T> {
    /// What it is called in the metric.
    what: &'static str,
    patience: Duration,
    /// A look that has not come back: as long as it has not, there is no other.
    under_way: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Apart<T> {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            patience: PATIENCE,
            under_way: None,
        }
    }

    /// Whether the last look has not come back.
    pub(crate) fn hangs(&self) -> bool {
        self.under_way.is_some()
    }

    /// What a look finds; if one hangs, what that finds.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] while it hangs.
    pub(crate) async fn look(
        &mut self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (mut reading, patience) = match self.under_way.take() {
            Some(reading) => (reading, Duration::ZERO),
            None => (tokio::task::spawn_blocking(read), self.patience),
        };
        let Ok(found) = timeout(patience, &mut reading).await else {
            self.under_way = Some(reading);
            show_hanging(self.what, true);
            let wrong =
                "its file system does not answer; what changes in it has no effect until it does";
            return Err(io::Error::new(ErrorKind::TimedOut, wrong));
        };
        show_hanging(self.what, false);
        found.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_hangs_is_told_takes_one_thread_and_speaks_again() {
        let (answer, answers) = mpsc::channel();
        let mut apart = Apart {
            patience: Duration::from_millis(20),
            ..Apart::new("a test")
        };
        let late = apart.look(move || answers.recv().unwrap()).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let second = || unreachable!("the first has not come back");
        for _ in 0..3 {
            let late = apart.look(second).await;
            assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(apart.hangs());
        }
        answer.send("what it said").unwrap();
        while apart.hangs() {
            if let Ok(found) = apart.look(second).await {
                assert_eq!(found, "what it said");
            }
        }
        apart.patience = PATIENCE;
        assert_eq!(apart.look(|| "now").await.unwrap(), "now");
    }
}
