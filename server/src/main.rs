//! `landside-server`: its arguments, and what it says to the person who typed them.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use cli::audit::{AuditCommand, EXIT_UNVERIFIED};
use cli::policy::Question;
use server::config::Config;
use tracing_subscriber::EnvFilter;

mod cli;

use cli::keys::KeysCommand;

/// `EX_USAGE` of sysexits: what was asked for is wrong, and nothing was started.
const EXIT_CONFIGURATION: u8 = 64;

/// Everything has ended by then, or was cut off. What a hanging file system keeps must not keep the process.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// What the log tells unless `RUST_LOG` says otherwise. That a migration finds something done already is no news.
const TOLD: &str = "info,sqlx::postgres::notice=warn";

/// Of a command beside the server, whose answer is what somebody waits for: what went wrong.
const TOLD_BESIDE: &str = "warn";

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
    /// Lets people in.
    People {
        #[command(subcommand)]
        command: cli::people::PeopleCommand,
    },
    /// Checks the configuration, and the access and policy file that it names, without starting anything.
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
    /// The keys that sign tokens; a running server follows within seconds.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Who may do what.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Explains who may do what, and which rule says so. Ends with 0 if it is allowed, 1 if it is denied, 64 if a file is
    /// wrong.
    Check(Question),
}

impl Command {
    fn config(&self) -> &Path {
        match self {
            Self::Run { config } | Self::Check { config } => config,
            Self::Audit { command } => command.config(),
            Self::Keys { command } => command.config(),
            Self::People { command } => command.config(),
            Self::Policy {
                command: PolicyCommand::Check(question),
            } => &question.config,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Policy {
        command: PolicyCommand::Check(question),
    } = &arguments.command
    {
        return explain(question);
    }
    let path = arguments.command.config();
    let environment = |name: &str| std::env::var(name).ok();
    let is_beside = !matches!(
        arguments.command,
        Command::Run { .. } | Command::Check { .. }
    );
    let loaded = if is_beside {
        Config::load_for_command(path, &environment)
    } else {
        Config::load(path, &environment)
    };
    let config = match loaded {
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
    let told = match arguments.command {
        Command::Run { .. } => TOLD,
        _ => TOLD_BESIDE,
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(told)))
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
    if matches!(arguments.command, Command::Check { .. }) {
        let missing = config.policy.missing_words();
        return match runtime.block_on(cli::check::check(config, path)) {
            Ok(remarks) => {
                say(&format!("{} is good\n{missing}", path.display()));
                remarks.iter().for_each(|remark| add(remark));
                ExitCode::SUCCESS
            }
            Err(wrong) => complain(&wrong, EXIT_CONFIGURATION),
        };
    }
    if let Command::Audit { command } = &arguments.command {
        let (lines, code) = runtime.block_on(command.run(&config));
        lines.iter().for_each(|line| say(line));
        return code;
    }
    let outcome = match &arguments.command {
        Command::People { command } => runtime.block_on(command.run(&config)).map(|told| {
            told.remarks.iter().for_each(|remark| add(remark));
            say(&told.answer);
        }),
        Command::Keys { command } => runtime
            .block_on(command.run(&config))
            .map(|sentence| say(&sentence)),
        _ => runtime.block_on(cli::run::run(config, path)),
    };
    runtime.shutdown_timeout(LEFT_OVER);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&sentence(&error), 1),
    }
}

fn explain(question: &Question) -> ExitCode {
    let answer = Config::load(&question.config, &cli::policy::no_secrets)
        .map_err(|error| error.to_string())
        .and_then(|config| cli::policy::answer(&config, question));
    match answer {
        Ok(answer) => {
            say(&answer.text);
            ExitCode::from(u8::from(!answer.allowed))
        }
        Err(wrong) => complain(&wrong, EXIT_CONFIGURATION),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the answer of `check`, `people`, `audit` and `policy` to a person"
)]
fn say(text: &str) {
    println!("{}", text.trim_end());
}

/// Beside the answer, which a script may want alone.
#[expect(
    clippy::print_stderr,
    reason = "what a person should know of the answer of `people` and `check`"
)]
fn add(remark: &str) {
    eprintln!("{remark}");
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
