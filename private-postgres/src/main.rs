//! `landside-postgres`: a throw-away cluster around a command, for tests and for building against a database.
//!
//! `landside-postgres exec --migrations migrations -- cargo test --workspace` makes a cluster in a temporary
//! directory, a database in it, applies the migrations, runs the command with `DATABASE_URL` and ends with the
//! command's exit code. Nothing is left behind, also after Ctrl-C.

mod exec;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Our own failure, apart from whatever the command may end with (`EX_SOFTWARE` of sysexits.h).
const EXIT_FAILED: u8 = 70;

#[derive(Parser)]
#[command(
    name = "landside-postgres",
    about = "Private Postgres clusters of Landside"
)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run a command with DATABASE_URL set to a fresh database in a throw-away cluster
    Exec(exec::Exec),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let Action::Exec(exec) = Arguments::parse().action;
    match exec.run().await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            #[expect(
                clippy::print_stderr,
                reason = "this is where the program talks to the person who started it"
            )]
            {
                eprintln!("landside-postgres: {error:#}");
            }
            ExitCode::from(EXIT_FAILED)
        }
    }
}
