//! The running postmaster: a child of this process, or one that was found and adopted.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::account;
use crate::error::ClusterError;
use crate::pid_file::runs_in;

/// How long sessions and the final checkpoint may take before the postmaster is told to drop everything.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How long dropping everything may take.
const QUIT_PATIENCE: Duration = Duration::from_secs(10);

/// Enough lines to hold a FATAL message with its DETAIL and HINT.
const RECENT_LINES: usize = 12;

/// An adopted postmaster is nobody's child here, so its end has to be looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A postmaster and how to learn of its end. Dropping it asks it to stop, and does not wait.
#[derive(Debug)]
pub(crate) struct Postmaster {
    pub(crate) pid: i32,
    data: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Child {
        ended: watch::Receiver<bool>,
        recent: Arc<Recent>,
    },
    Adopted,
}

/// The last lines that Postgres printed: what to show when it does not start.
#[derive(Debug, Default)]
struct Recent(Mutex<VecDeque<String>>);

impl Postmaster {
    /// Starts a postmaster in a thread of its own.
    ///
    /// The kernel sends the parent-death signal when the *thread* that forked ends, and a runtime's threads
    /// come and go; this one lives exactly as long as its child.
    pub(crate) async fn spawn(mut command: Command, data: &Path) -> Result<Self, ClusterError> {
        // Ctrl-C reaches the whole foreground group: Postgres must outlive whoever still has something to
        // store.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdout(Stdio::null()).stderr(Stdio::piped());

        let recent = Arc::new(Recent::default());
        let (ended_sender, ended) = watch::channel(false);
        let (started_sender, started) = oneshot::channel();
        let lines = Arc::clone(&recent);
        std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => {
                        // Nobody waits for the answer only if the whole start was given up.
                        let _ = started_sender.send(Err(error));
                        return;
                    }
                };
                let reader = child
                    .stderr
                    .take()
                    .map(|stderr| std::thread::spawn(move || follow(stderr, &lines)));
                let _ = started_sender.send(Ok(child.id()));
                let status = child.wait();
                // A killed postmaster's children hold its output open for a while longer; a tidy end leaves
                // nobody.
                if let (Ok(true), Some(reader)) = (
                    status.as_ref().map(|status| status.code().is_some()),
                    reader,
                ) {
                    let _ = reader.join();
                }
                tracing::debug!(?status, "the postmaster ended");
                ended_sender.send_replace(true);
            })
            .map_err(account::missing_setpriv)?;

        let pid = started
            .await
            .expect("the thread answers before it ends")
            .map_err(account::missing_setpriv)?;
        let pid = i32::try_from(pid).expect("Linux keeps process ids below 2^22");
        Ok(Self {
            pid,
            data: data.to_owned(),
            kind: Kind::Child { ended, recent },
        })
    }

    /// Takes over a postmaster that runs in the data directory without a parent that cares.
    pub(crate) fn adopt(pid: i32, data: &Path) -> Self {
        Self {
            pid,
            data: data.to_owned(),
            kind: Kind::Adopted,
        }
    }

    pub(crate) fn adopted(&self) -> bool {
        matches!(self.kind, Kind::Adopted)
    }

    /// Completes when the postmaster has ended. Cancel-safe.
    pub(crate) async fn ended(&self) {
        match &self.kind {
            Kind::Child { ended, .. } => {
                // The sender's thread sends before it ends, and an ended thread means an ended child as well.
                let _ = ended.clone().wait_for(|ended| *ended).await;
            }
            Kind::Adopted => {
                while runs_in(self.pid, &self.data) {
                    sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// The last lines that it printed, in one.
    pub(crate) fn recent_output(&self) -> String {
        match &self.kind {
            Kind::Child { recent, .. } => recent.joined(),
            Kind::Adopted => String::new(),
        }
    }

    /// Ends all sessions and stops (SIGINT, "fast"); after a while without the final checkpoint (SIGQUIT,
    /// "immediate").
    pub(crate) async fn stop(&self) -> Result<(), ClusterError> {
        for (signal, patience) in [(Signal::INT, STOP_PATIENCE), (Signal::QUIT, QUIT_PATIENCE)] {
            self.signal(signal);
            if timeout(patience, self.ended()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(pid = self.pid, ?signal, "Postgres did not stop in time");
        }
        Err(ClusterError::DidNotStop {
            directory: self.data.clone(),
            pid: self.pid,
        })
    }

    /// Sends a signal, unless the process is gone and its id may be another's.
    fn signal(&self, signal: Signal) {
        let gone = match &self.kind {
            Kind::Child { ended, .. } => *ended.borrow(),
            Kind::Adopted => !runs_in(self.pid, &self.data),
        };
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| !gone) else {
            return;
        };
        if let Err(error) = kill_process(pid, signal) {
            // It ended at this very moment.
            tracing::debug!(pid = self.pid, %error, "the postmaster could not be signalled");
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

impl Recent {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == RECENT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn joined(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        lines.join(" / ")
    }
}

/// Passes on what Postgres prints until the last of its processes has closed the pipe.
fn follow(stderr: ChildStderr, recent: &Recent) {
    for line in BufReader::new(stderr).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).into_owned();
        // ERROR and FATAL concern one session, whose client has been told: in a log they only look like more.
        match line.split(':').next().unwrap_or_default() {
            "PANIC" => tracing::error!(target: "postgres", "{line}"),
            "WARNING" => tracing::warn!(target: "postgres", "{line}"),
            _ => tracing::debug!(target: "postgres", "{line}"),
        }
        recent.push(line);
    }
}
