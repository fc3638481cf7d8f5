//! `landside-server`: arguments, configuration, sockets, database, then run until a signal.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand};
use cli::audit::AuditCommand;
use private_postgres::{Cluster, ClusterConfig};
use server::config::Config;
use server::store::Store;
use server::{Listeners, Server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

mod cli;

/// `EX_USAGE` of sysexits: what was asked for is wrong, and nothing was started.
const EXIT_CONFIGURATION: u8 = 64;

/// Sessions get a word why they end, and handlers finish what they began; whoever takes longer is cut off.
const DRAIN: Duration = Duration::from_secs(15);

#[derive(Parser)]
#[command(
    name = "landside-server",
    version,
    about = "The Landside server: dashboard, API, STOMP broker, alarms, commands"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server until SIGINT or SIGTERM.
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Checks the configuration without starting anything.
    Check {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Looks at the audit.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
}

impl Command {
    fn config(&self) -> &Path {
        match self {
            Self::Run { config } | Self::Check { config } => config,
            Self::Audit { command } => command.config(),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let path = arguments.command.config();
    let config = match Config::load(path, &|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(error) => return complain(&error.to_string(), EXIT_CONFIGURATION),
    };
    if matches!(arguments.command, Command::Check { .. }) {
        say(&format!("{} is good", path.display()));
        return ExitCode::SUCCESS;
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start threads: {error}"), 1),
    };
    if let Command::Audit { command } = &arguments.command {
        let (lines, code) = runtime.block_on(command.run(&config));
        lines.iter().for_each(|line| say(line));
        return code;
    }
    match runtime.block_on(run(config, path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&sentence(&error), 1),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the answer of `check` and `audit` to a person"
)]
fn say(sentence: &str) {
    println!("{sentence}");
}

#[expect(
    clippy::print_stderr,
    reason = "the one place where the server tells a person why it does not run"
)]
fn complain(sentence: &str, code: u8) -> ExitCode {
    eprintln!("landside-server: {sentence}");
    ExitCode::from(code)
}

/// The whole chain of causes, each said once: many of them repeat the next one in their own words.
fn sentence(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .fold(String::new(), |sentence, cause| {
            match (sentence.is_empty(), sentence.contains(&cause)) {
                (true, _) => cause,
                (false, true) => sentence,
                (false, false) => format!("{sentence}: {cause}"),
            }
        })
}

async fn bind(address: SocketAddr, path: &Path, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        anyhow!(
            "cannot listen on {address}: {error}; free it, or change {key} in {}",
            path.display()
        )
    })
}

async fn run(config: Config, path: &Path) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listeners = Listeners {
        http: bind(config.http, path, "http.listen").await?,
        stomp: bind(config.stomp, path, "stomp.listen").await?,
        metrics: bind(config.metrics, path, "metrics.listen").await?,
    };
    let (url, cluster) = database(&config).await?;
    let owner = config.database_owner_url.as_deref().unwrap_or(&url);
    let store = Store::open_with_owner(&url, owner).await.context(match &cluster {
        Some(_) => "cannot use the private database",
        None => "cannot use the database of DATABASE_URL: start it, correct the variable, or unset it for a private cluster",
    })?;
    let mut server = Server::start(config, listeners, store.clone()).await?;
    let outcome = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        () = ended(cluster.as_ref()) => Err(anyhow!("the private Postgres cluster ended; its log tells why")),
        name = server.failed() => Err(anyhow!("{name} ended by itself")),
    };
    tracing::info!("stopping");
    if tokio::time::timeout(DRAIN, server.stop()).await.is_err() {
        tracing::warn!("some connections did not end in time and were cut off");
    }
    store.close().await;
    if let Some(cluster) = cluster {
        cluster
            .stop()
            .await
            .context("cannot stop the private Postgres cluster")?;
    }
    outcome
}

/// The configured database, or a private one.
async fn database(config: &Config) -> anyhow::Result<(String, Option<Cluster>)> {
    if let Some(url) = &config.database_url {
        return Ok((url.clone(), None));
    }
    std::fs::create_dir_all(&config.data).with_context(|| {
        format!(
            "cannot make the data directory {}: name another in `data`",
            config.data.display()
        )
    })?;
    let cluster = Cluster::start(ClusterConfig::new(config.data.join("postgres"))).await?;
    let url = cluster.ensure_database("landside").await?;
    Ok((url, Some(cluster)))
}

async fn ended(cluster: Option<&Cluster>) {
    match cluster {
        Some(cluster) => cluster.ended().await,
        None => std::future::pending().await,
    }
}
