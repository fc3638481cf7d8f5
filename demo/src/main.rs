//! `landside-demo`: a whole small airport on one machine, until Ctrl-C.

use std::process::ExitCode;

use clap::Parser;
use demo::{LaunchError, Programs, Settings};

/// `EX_USAGE`: what the person gave is wrong, and nothing was started.
const BAD_CONFIGURATION: u8 = 64;

/// Starts a whole small airport in the foreground: server, two agents, simulated equipment that fails now and then.
#[derive(Parser)]
#[command(name = "landside-demo", version, after_help = demo::HELP)]
struct Arguments {}

// One thread: the system ends a demo's children when the thread that started them ends.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            match error {
                LaunchError::Configuration(_) => ExitCode::from(BAD_CONFIGURATION),
                LaunchError::Failed(_) => ExitCode::FAILURE,
            }
        }
    }
}

async fn run() -> Result<(), LaunchError> {
    let settings = Settings::from_environment(|name| std::env::var_os(name))?;
    let this = std::env::current_exe().map_err(anyhow::Error::new)?;
    demo::run(settings, &Programs::beside(&this)?, &say).await
}

#[expect(
    clippy::print_stdout,
    reason = "what a person reads while the demo runs"
)]
fn say(line: &str) {
    println!("{line}");
}

#[expect(
    clippy::print_stderr,
    reason = "the one place that talks to a person about mistakes"
)]
fn complain(text: &str) {
    eprintln!("landside-demo: {text}");
}
