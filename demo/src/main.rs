//! `landside-demo`: a whole small airport on one machine, until Ctrl-C.

use std::io::{self, Write};
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

// The terminal may have been closed, or the pipe's reader have seen enough: nobody to talk to is no reason to fail.

fn say(line: &str) {
    let _nobody_reads = writeln!(io::stdout(), "{line}");
}

fn complain(text: &str) {
    let _nobody_reads = writeln!(io::stderr(), "landside-demo: {text}");
}
