//! The load generator for SockJS servers: a process of its own, so that what it costs is not counted as the server's.

use std::net::SocketAddr;
use std::time::Duration;

use bench::process::{Watched, raise_descriptor_limit};
use bench::sockjs::echo::{MESSAGE_BYTES_MIN, SESSIONS_MAX};
use bench::sockjs::{idle, polling};
use clap::{Parser, Subcommand};

/// Thousands of SockJS sessions of an echo service. Prints one JSON object.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server.
    #[arg(long)]
    server: SocketAddr,
    /// Where its echo service is mounted.
    #[arg(long, default_value = "/echo")]
    path: String,
    /// The server's process id.
    #[arg(long)]
    watch: Option<u32>,
    /// How many sessions.
    #[arg(long, default_value_t = 1000)]
    sessions: u32,
    /// Sessions opened in a second.
    #[arg(long, default_value_t = 1000)]
    opens_per_second: u32,
    /// Bytes of a message.
    #[arg(long, default_value_t = 100)]
    message_bytes: usize,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// WebSockets that do nothing; then each carries one message.
    Idle {
        /// How messages stand in them.
        #[arg(long, value_enum)]
        framing: idle::Framing,
    },
    /// Sessions that poll and post.
    Poll {
        /// Milliseconds between two messages of a session.
        #[arg(long, default_value_t = 1000)]
        every: u64,
        /// Milliseconds before anything is counted.
        #[arg(long, default_value_t = 3000)]
        warm_up: u64,
        /// Milliseconds that are counted.
        #[arg(long, default_value_t = 5000)]
        measured: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let sockets = match arguments.what {
        What::Idle { .. } => arguments.sessions,
        What::Poll { .. } => arguments.sessions.saturating_mul(2),
    };
    let descriptors = raise_descriptor_limit();
    anyhow::ensure!(
        u64::from(sockets) + 64 < descriptors,
        "{sockets} connections need more descriptors than the {descriptors} of this process: raise `ulimit -n`"
    );
    anyhow::ensure!(
        (1..=SESSIONS_MAX).contains(&arguments.sessions) && arguments.opens_per_second > 0,
        "there are 1 to {SESSIONS_MAX} sessions, and some are opened in a second"
    );
    anyhow::ensure!(
        arguments.message_bytes >= MESSAGE_BYTES_MIN,
        "a message has at least {MESSAGE_BYTES_MIN} bytes: session and number stand in it"
    );
    let server = arguments.watch.map(Watched::new);
    let report = match arguments.what {
        What::Idle { framing } => idle::run(&idle::Plan {
            address: arguments.server,
            path: arguments.path,
            framing,
            sessions: arguments.sessions,
            opens_per_second: arguments.opens_per_second,
            message_bytes: arguments.message_bytes,
            server,
        }),
        What::Poll {
            every,
            warm_up,
            measured,
        } => polling::run(&polling::Plan {
            address: arguments.server,
            path: arguments.path,
            sessions: arguments.sessions,
            opens_per_second: arguments.opens_per_second,
            message_bytes: arguments.message_bytes,
            every: Duration::from_millis(every.max(1)),
            warm_up: Duration::from_millis(warm_up),
            measured: Duration::from_millis(measured),
            server,
        }),
    }?;
    print(&report)
}

#[expect(clippy::print_stdout, reason = "what the program is for")]
fn print(report: &bench::report::Report) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}
