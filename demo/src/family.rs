//! The programs of a demo as child processes: started so that they cannot outlive it, watched, stopped in order.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::select_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// Secrets and steering that a child gets only when it is meant to.
const PRIVATE_VARIABLES: [&str; 3] = [
    "LANDSIDE_DEMO_PASSWORD",
    "LANDSIDE_AGENT_SECRET",
    // The demo has its own private database; whatever this names for other purposes must stay untouched.
    "DATABASE_URL",
];

/// How much of a log is shown when its program died.
const LAST_LINES: usize = 12;

/// The parts of a demo, in the order in which they are stopped: whoever talks to another stops first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Agent,
    Simulators,
    Server,
}

impl Part {
    const STOP_ORDER: [Self; 3] = [Self::Agent, Self::Simulators, Self::Server];

    /// How long a part may take to end by itself: the server lets sessions end, then stops its database.
    fn patience(self) -> Duration {
        match self {
            Self::Agent | Self::Simulators => Duration::from_secs(10),
            Self::Server => Duration::from_secs(40),
        }
    }
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) part: Part,
    /// What people, and the log file, call it.
    pub(crate) name: &'a str,
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) log: PathBuf,
}

/// A running program.
#[derive(Debug)]
struct Member {
    part: Part,
    name: String,
    /// The program's file name.
    program: String,
    pid: Pid,
    log: PathBuf,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// A program that ended, which none should.
#[derive(Debug)]
pub(crate) struct Death {
    name: String,
    program: String,
    status: ExitStatus,
    last_lines: Vec<String>,
    log: PathBuf,
}

impl Death {
    /// What the program itself told a person, if that was the last it said: why it does not run.
    pub(crate) fn sentence(&self) -> Option<String> {
        let prefix = format!("{}: ", self.program);
        let begin = self
            .last_lines
            .iter()
            .rposition(|line| line.starts_with(&prefix))?;
        let told = self.last_lines[begin..].join("\n");
        Some(told[prefix.len()..].to_owned())
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended ({}). ", self.name, self.status)?;
        if self.last_lines.is_empty() {
            write!(f, "It wrote nothing.")?;
        } else {
            write!(f, "Its last lines:\n  {}", self.last_lines.join("\n  "))?;
        }
        write!(f, "\nIts log: {}", self.log.display())
    }
}

/// All programs of a demo.
#[derive(Debug)]
pub(crate) struct Family {
    members: Vec<Member>,
    common: File,
}

impl Family {
    /// Nobody yet. `common` is an empty file that each program has open, as its standard input: whoever holds a lock
    /// on it shares the lock with them.
    pub(crate) fn new(common: File) -> Self {
        Self {
            members: Vec::new(),
            common,
        }
    }

    /// Starts a program. Its output goes to its log; an earlier log is kept as `.old`.
    ///
    /// Must be called on the main thread: the death signal is sent when the *thread* that started a child ends.
    pub(crate) fn start(&mut self, start: Start<'_>) -> anyhow::Result<()> {
        let log = open_log(&start.log)
            .with_context(|| format!("cannot write the log {}", start.log.display()))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(start.program)
            .args(&start.arguments)
            .stdin(self.common.try_clone()?)
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own: Ctrl-C reaches the demo only, which then stops its children in order.
            .process_group(0)
            .kill_on_drop(true);
        for variable in PRIVATE_VARIABLES {
            command.env_remove(variable);
        }
        command.envs(start.environment);
        let child = command.spawn().map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                anyhow::anyhow!("setpriv is missing: install the package util-linux")
            } else {
                anyhow::Error::new(error).context(format!("cannot start {}", start.name))
            }
        })?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .context("a child without a process id")?;
        let (sender, exit) = watch::channel(None);
        tokio::spawn(reap(child, sender));
        self.members.push(Member {
            part: start.part,
            name: start.name.to_owned(),
            program: start
                .program
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            pid,
            log: start.log,
            exit,
        });
        Ok(())
    }

    /// Waits until a program ends, which none should.
    pub(crate) async fn death(&self) -> Death {
        if self.members.is_empty() {
            return std::future::pending().await;
        }
        let ends = self.members.iter().map(|member| Box::pin(member.ended()));
        let (status, n, _others) = select_all(ends).await;
        let member = &self.members[n];
        Death {
            name: member.name.clone(),
            program: member.program.clone(),
            status,
            last_lines: last_lines(&member.log).unwrap_or_default(),
            log: member.log.clone(),
        }
    }

    /// Ends all programs, part by part; those that do not end in time, or all when `hurry` ends first, are killed.
    pub(crate) async fn stop(&self, hurry: impl Future<Output = ()>) {
        let in_order = async {
            for part in Part::STOP_ORDER {
                self.stop_part(part).await;
            }
        };
        tokio::select! {
            () = in_order => {}
            () = hurry => {
                for member in &self.members {
                    member.signal(Signal::KILL);
                }
                for member in &self.members {
                    member.ended().await;
                }
            }
        }
    }

    async fn stop_part(&self, part: Part) {
        let members: Vec<_> = self
            .members
            .iter()
            .filter(|member| member.part == part)
            .collect();
        for member in &members {
            member.signal(Signal::TERM);
        }
        let all_ended = async {
            for member in &members {
                member.ended().await;
            }
        };
        if timeout(part.patience(), all_ended).await.is_err() {
            for member in members {
                member.signal(Signal::KILL);
                member.ended().await;
            }
        }
    }
}

impl Member {
    async fn ended(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let status = exit
            .wait_for(Option::is_some)
            .await
            .expect("the reaper sends before it ends");
        status.expect("waited for")
    }

    /// Sends `signal` unless the process has been reaped: then its id may belong to somebody else.
    fn signal(&self, signal: Signal) {
        if self.exit.borrow().is_none() {
            // It may be a zombie by now, which is as good as ended.
            let _zombie = kill_process(self.pid, signal);
        }
    }
}

/// Waits for a child's end and tells it.
async fn reap(mut child: Child, exit: watch::Sender<Option<ExitStatus>>) {
    // Waiting fails only for a child that somebody else reaped, which has ended as well.
    let status = child.wait().await.unwrap_or_default();
    exit.send_replace(Some(status));
}

fn open_log(path: &Path) -> io::Result<File> {
    let mut old = path.as_os_str().to_owned();
    old.push(OsStr::new(".old"));
    match std::fs::rename(path, old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create(path)
}

/// The end of a log.
fn last_lines(path: &Path) -> io::Result<Vec<String>> {
    let mut last = VecDeque::with_capacity(LAST_LINES + 1);
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        last.push_back(String::from_utf8_lossy(&line?).into_owned());
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    }
    Ok(last.into())
}

#[cfg(test)]
mod tests;
