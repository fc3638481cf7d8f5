//! `landside-agent`: arguments, log, signals.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use device_agents::{Agent, AgentError, SECRET_VARIABLE};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// sysexits.h EX_USAGE: something that a person wrote is wrong; starting again does not help.
const EXIT_CONFIG: u8 = 64;
/// EX_UNAVAILABLE: something that should be there is not; starting again may help.
const EXIT_UNAVAILABLE: u8 = 69;

/// EX_NOPERM: the server refused the client or its secret; starting again does not help before one of them changes.
const EXIT_REFUSED: u8 = 77;

/// Watches and commands the equipment of one part of the site.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs until SIGINT or SIGTERM. The client secret is in LANDSIDE_AGENT_SECRET.
    Run {
        /// The agent's configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Reads the configuration, the site file and the profiles, and says what is wrong.
    Check {
        /// The agent's configuration file.
        #[arg(long)]
        config: PathBuf,
    },
}

#[expect(clippy::print_stderr, reason = "the one place that talks to a person")]
fn complain(what: &str, code: u8) -> ExitCode {
    eprintln!("landside-agent: {what}");
    ExitCode::from(code)
}

fn secret() -> Option<String> {
    let secret = std::env::var(SECRET_VARIABLE).ok();
    secret.filter(|secret| !secret.is_empty())
}

#[expect(clippy::print_stdout, reason = "the one place that talks to a person")]
fn main() -> ExitCode {
    let action = Arguments::parse().command;
    let (Action::Run { config } | Action::Check { config }) = &action;
    let agent = match Agent::load(config) {
        Ok(agent) => agent,
        Err(error) => return complain(&error.to_string(), EXIT_CONFIG),
    };
    if matches!(action, Action::Check { .. }) {
        println!("{}", agent.summary());
        if secret().is_none() {
            println!(
                "{SECRET_VARIABLE} is not set here: `run` needs the secret of client \"{}\" there",
                agent.id()
            );
        }
        return ExitCode::SUCCESS;
    }
    let Some(secret) = secret() else {
        let what = format!(
            "{SECRET_VARIABLE} is not set: put the secret of client \"{}\" there",
            agent.id()
        );
        return complain(&what, EXIT_CONFIG);
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(agent, secret) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = match failure.downcast_ref() {
                Some(AgentError::Refused(_)) => EXIT_REFUSED,
                Some(AgentError::Open(_) | AgentError::Store(_) | AgentError::Died { .. })
                | None => EXIT_UNAVAILABLE,
            };
            complain(&format!("{failure:#}"), code)
        }
    }
}

fn run(agent: Agent, secret: String) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
        let stop = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.cancel();
        });
        agent.run(secret, shutdown).await?;
        Ok(())
    })
}
