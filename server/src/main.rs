//! `landside-server`: its arguments, and what it says to the person who typed them.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cli::audit::{AuditCommand, EXIT_UNVERIFIED};
use server::config::Config;
use tracing_subscriber::EnvFilter;

mod cli;

/// `EX_USAGE` of sysexits: what was asked for is wrong, and nothing was started.
const EXIT_CONFIGURATION: u8 = 64;

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
        Err(error) => {
            let is_audit = matches!(arguments.command, Command::Audit { .. });
            let code = if is_audit {
                EXIT_UNVERIFIED
            } else {
                EXIT_CONFIGURATION
            };
            return complain(&error.to_string(), code);
        }
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
    match runtime.block_on(cli::run::run(config, path)) {
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
