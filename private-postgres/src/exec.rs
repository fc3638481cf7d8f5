//! The sub-command `exec`.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use private_postgres::{Cluster, ClusterConfig};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// The database that `DATABASE_URL` names.
const DATABASE: &str = "landside";

/// How long the command may take to end once it was told to.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// What to run, and in which kind of cluster.
#[derive(clap::Args)]
pub(crate) struct Exec {
    /// Apply the migrations of this directory first
    #[arg(long, value_name = "DIR")]
    migrations: Option<PathBuf>,

    /// Write to disk as in production (fsync); slower
    #[arg(long)]
    durable: bool,

    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Exec {
    /// Runs the command; its exit code, or 128 and the number of the signal that ended it.
    pub(crate) async fn run(self) -> anyhow::Result<u8> {
        let mut signals = Signals::listen()?;
        // Postgres as another user has to enter it; the socket inside is private.
        let directory = tempfile::Builder::new()
            .prefix("landside-postgres-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .context("making a temporary directory")?;
        let mut config = ClusterConfig::new(directory.path().join("cluster"));
        config.durable = self.durable;
        let cluster = Cluster::start(config).await?;

        // From here on the cluster is taken down whatever happens.
        let outcome = tokio::select! {
            outcome = self.run_in(&cluster) => outcome,
            signal = signals.next() => Ok(Running::Interrupted(signal)),
        };
        let outcome = match outcome {
            Ok(Running::Interrupted(signal)) => Ok(code_of_signal(signal.as_raw())),
            Ok(Running::Child(child)) => wait(child, &mut signals).await.map(code_of),
            Err(error) => Err(error),
        };
        cluster.destroy().await?;
        outcome
    }

    async fn run_in(&self, cluster: &Cluster) -> anyhow::Result<Running> {
        let url = cluster.ensure_database(DATABASE).await?;
        if let Some(directory) = &self.migrations {
            migrate(&url, directory).await?;
        }
        let [program, arguments @ ..] = self.command.as_slice() else {
            unreachable!("clap requires a command");
        };
        let child = Command::new(program)
            .args(arguments)
            .env("DATABASE_URL", url)
            .spawn()
            .with_context(|| format!("running `{}`", program.display()))?;
        Ok(Running::Child(child))
    }
}

/// How far it came.
enum Running {
    Child(Child),
    Interrupted(Signal),
}

async fn migrate(url: &str, directory: &Path) -> anyhow::Result<()> {
    let migrator = Migrator::new(directory)
        .await
        .with_context(|| format!("reading the migrations in {}", directory.display()))?;
    let pool = PgPool::connect(url)
        .await
        .context("connecting to the new database")?;
    migrator
        .run(&pool)
        .await
        .with_context(|| format!("applying the migrations in {}", directory.display()))?;
    pool.close().await;
    Ok(())
}

/// Waits for the command, which gets our signals and then has a while to end.
async fn wait(mut child: Child, signals: &mut Signals) -> anyhow::Result<ExitStatus> {
    let mut kill_at: Option<Instant> = None;
    loop {
        tokio::select! {
            status = child.wait() => return status.context("waiting for the command"),
            signal = signals.next() => {
                // A terminal's Ctrl-C has reached the command already: it is of our process group.
                let told = signal == Signal::INT && std::io::stdin().is_terminal();
                if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).filter(|_| !told) {
                    kill_process(pid, signal).context("passing on a signal")?;
                }
                kill_at.get_or_insert_with(|| Instant::now() + END_PATIENCE);
            }
            () = at(kill_at) => child.start_kill().context("ending the command")?,
        }
        if kill_at.is_some_and(|at| at <= Instant::now()) {
            kill_at = None;
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => code_of_signal(signal),
        (None, None) => u8::MAX,
    }
}

/// As shells do it.
fn code_of_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// What asks this program to end.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Cancel-safe.
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}
