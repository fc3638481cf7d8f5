//! The load generator: a process of its own, so that what it costs is not counted as the server's.

use std::net::SocketAddr;
use std::time::Duration;

use bench::clients::Plan;
use bench::ledger::{BODY_BYTES_MIN, PUBLISHERS_MAX};
use bench::load::{self, Pace, Run};
use bench::process::{Watched, raise_descriptor_limit};
use bench::speech::{Door, Speech, TOPIC};
use clap::Parser;

/// Thousands of WebSocket subscribers, and those who send to them. Prints one JSON object.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server.
    #[arg(long)]
    server: SocketAddr,
    /// How to speak to it.
    #[arg(long, value_enum, default_value = "stomp")]
    speech: Speech,
    /// Path of the WebSocket.
    #[arg(long, default_value = "/ws")]
    path: String,
    /// For CONNECT.
    #[arg(long, default_value = "guest")]
    login: String,
    /// For CONNECT.
    #[arg(long, default_value = "guest")]
    passcode: String,
    /// Subscribers that read.
    #[arg(long, default_value_t = 1000)]
    readers: usize,
    /// Subscribers that do not.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Those who send.
    #[arg(long, default_value_t = 64)]
    publishers: usize,
    /// Bytes of a body.
    #[arg(long, default_value_t = 100)]
    body_bytes: usize,
    /// Connections opened in a second.
    #[arg(long, default_value_t = 2000)]
    connects_per_second: u32,
    /// Threads of subscribers.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Milliseconds between two messages of a publisher. Without: the next one when all have the one before.
    #[arg(long)]
    every: Option<u64>,
    /// Milliseconds before anything is counted.
    #[arg(long, default_value_t = 1000)]
    warm_up: u64,
    /// Milliseconds that are counted.
    #[arg(long, default_value_t = 5000)]
    measured: u64,
    /// One more publisher floods the topic of those that do not read.
    #[arg(long)]
    flood: bool,
    /// The server's process id.
    #[arg(long)]
    watch: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let sockets = arguments.readers + arguments.stalled + arguments.publishers;
    let descriptors = raise_descriptor_limit();
    anyhow::ensure!(
        u64::try_from(sockets)? + 64 < descriptors,
        "{sockets} connections need more descriptors than the {descriptors} of this process: raise `ulimit -n`"
    );
    anyhow::ensure!(
        arguments.body_bytes >= BODY_BYTES_MIN,
        "a body has at least {BODY_BYTES_MIN} bytes: publisher and number stand in it"
    );
    anyhow::ensure!(
        (1..=PUBLISHERS_MAX).contains(&arguments.publishers) && arguments.threads > 0,
        "there are 1 to {PUBLISHERS_MAX} publishers, and at least one thread of subscribers"
    );
    let report = load::run(&Run {
        plan: Plan {
            address: arguments.server,
            door: Door {
                speech: arguments.speech,
                path: arguments.path,
                login: arguments.login,
                passcode: arguments.passcode.clone(),
                publisher_passcode: arguments.passcode,
                subscribe_to: TOPIC.to_owned(),
                send_to: TOPIC.to_owned(),
            },
            readers: arguments.readers,
            stalled: arguments.stalled,
            publishers: arguments.publishers,
            body_bytes: arguments.body_bytes,
            connects_per_second: arguments.connects_per_second,
            threads: arguments.threads,
        },
        pace: arguments.every.map_or(Pace::Loop, |milliseconds| {
            Pace::Every(Duration::from_millis(milliseconds))
        }),
        warm_up: Duration::from_millis(arguments.warm_up),
        measured: Duration::from_millis(arguments.measured),
        flood: arguments.flood,
        server: arguments.watch.map(Watched::new),
    })?;
    print(&report)
}

#[expect(clippy::print_stdout, reason = "what the program is for")]
fn print(report: &bench::report::Report) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}
