//! `landside-simulators`: a simulated airport from a file, on real wires, until it is told to stop.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use simulators::{Airport, AirportConfig, Kind};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// `EX_USAGE`: what the person gave is wrong, and nothing was started.
const BAD_CONFIGURATION: u8 = 64;

/// Simulated airport equipment: behaves, fails on cue, and keeps a truth log.
#[derive(Parser)]
#[command(name = "landside-simulators", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the airport in the foreground. Prints `ready` when every device answers.
    Run {
        /// The airport file.
        #[arg(long)]
        airport: PathBuf,
        /// Where site files, ptys, the truth log (truth.jsonl) and the address of the control interface go.
        #[arg(long)]
        data: PathBuf,
    },
    /// Check an airport file and start nothing.
    Check {
        /// The airport file.
        #[arg(long)]
        airport: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (Command::Run { airport, .. } | Command::Check { airport }) = &arguments.command;
    let config = match AirportConfig::read(airport) {
        Ok(config) => config,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match arguments.command {
        Command::Check { airport } => {
            say(&format!("{}: {}", airport.display(), summary(&config)));
            ExitCode::SUCCESS
        }
        Command::Run { data, .. } => match run(config, &data) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        },
    }
}

#[tokio::main]
async fn run(config: AirportConfig, data: &Path) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // Before anything is bound: a signal that comes while starting is not lost.
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let what = summary(&config);
    let mut airport = Airport::start(config, data).await?;
    tracing::info!(control = %airport.control_address(), "{what}");
    say("ready");
    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        failure = airport.failed() => Some(failure),
    };
    airport.shutdown().await.context("writing the truth log")?;
    match failure {
        None => Ok(()),
        Some(failure) => Err(anyhow::Error::msg(failure)),
    }
}

fn summary(config: &AirportConfig) -> String {
    let of = |kind| {
        config
            .devices
            .iter()
            .filter(|device| device.kind == kind)
            .count()
    };
    let steps = config
        .scenario
        .as_ref()
        .map_or(0, |scenario| scenario.steps.len());
    format!(
        "{} gates, {} loops, {} kiosks, {} printers, {} buses in {} zones for {} agents, {steps} faults in the scenario",
        of(Kind::Gate),
        of(Kind::Loop),
        of(Kind::Kiosk),
        of(Kind::Printer),
        config.buses.len(),
        config.zones.len(),
        config.agents.len(),
    )
}

#[expect(
    clippy::print_stdout,
    reason = "what the person, or the launcher, waits for"
)]
fn say(text: &str) {
    println!("{text}");
}

#[expect(
    clippy::print_stderr,
    reason = "the one place that talks to a person about mistakes"
)]
fn complain(text: &str) {
    eprintln!("landside-simulators: {text}");
}
