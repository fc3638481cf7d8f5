//! The servers that are measured: each a process of its own, started for one run and ended after it.

mod rabbitmq;

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::speech::Speech;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Side {
    /// `open_broker`.
    Ours,
    /// A WebSocket broadcast that parses nothing.
    Bare,
    /// RabbitMQ's Web-STOMP, from Debian.
    Rabbitmq,
    /// The STOMP broker of npm.
    StompBrokerJs,
    /// The SockJS server of npm, which is no broker.
    SockjsNode,
}

/// All, in the order in which they are measured.
pub const ALL: [Side; 5] = [
    Side::Ours,
    Side::Bare,
    Side::Rabbitmq,
    Side::StompBrokerJs,
    Side::SockjsNode,
];

impl Side {
    /// How many times as many deliveries ours shall reach.
    #[must_use]
    pub fn fan_out_target(self) -> f64 {
        match self {
            Self::Ours => 1.0,
            Self::Bare => 0.7,
            Self::Rabbitmq => 25.0,
            Self::StompBrokerJs => 5.0,
            // It takes no part.
            Self::SockjsNode => 0.0,
        }
    }

    /// Whether it takes part where messages go from publishers to subscribers.
    #[must_use]
    pub fn is_broker(self) -> bool {
        self != Self::SockjsNode
    }

    /// Whether it is not ours: then it may be missing.
    #[must_use]
    pub fn is_peer(self) -> bool {
        matches!(
            self,
            Self::Rabbitmq | Self::StompBrokerJs | Self::SockjsNode
        )
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Bare => "bare",
            Self::Rabbitmq => "rabbitmq",
            Self::StompBrokerJs => "stomp-broker-js",
            Self::SockjsNode => "sockjs-node",
        })
    }
}

/// A server that runs. It is ended when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where its WebSocket is.
    pub address: SocketAddr,
    /// Path of the WebSocket.
    pub path: &'static str,
    /// How to speak to it.
    pub speech: Speech,
    /// Ended after the server: fields are dropped after their owner.
    _rabbitmq: Option<rabbitmq::Surroundings>,
}

/// Where the peers from npm are, from the root of the repository.
const PEERS: &str = "messaging/bench/peers";

impl Server {
    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where this program and those built with it are.
///
/// # Errors
/// The operating system does not tell.
pub fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding the directory of this program")?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

/// Starts a side's broker.
///
/// # Errors
/// It cannot be started here: what is missing.
pub fn start(side: Side) -> anyhow::Result<Server> {
    let programs = programs()?;
    match side {
        Side::Ours => {
            let mut command = Command::new(programs.join("examples/open_broker"));
            command.args(["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0"]);
            command.args(["--login", "guest", "--passcode", "guest"]);
            command.args(["--max-sessions", "20000"]);
            launch(command, "/ws", Speech::Stomp)
        }
        Side::Bare => {
            let mut command = Command::new(programs.join("bare_broadcast"));
            command.args(["--ws", "127.0.0.1:0"]);
            launch(command, "", Speech::Bare)
        }
        Side::Rabbitmq => rabbitmq::start(),
        Side::StompBrokerJs => {
            let command = node("stomp-broker-js")?;
            launch(command, "/stomp", Speech::StompWithoutReceipts)
        }
        Side::SockjsNode => bail!("{side} is no broker"),
    }
}

/// Starts a side's SockJS server, which echoes at the path that it names.
///
/// # Errors
/// It cannot be started here: what is missing, or it has none.
pub fn start_sockjs(side: Side) -> anyhow::Result<Server> {
    let command = match side {
        Side::Ours => {
            let mut command = Command::new(programs()?.join("examples/protocol_server"));
            command.args(["--listen", "127.0.0.1:0"]);
            command
        }
        Side::SockjsNode => node("sockjs-node")?,
        _ => bail!("{side} has no SockJS server"),
    };
    launch(command, "/echo", Speech::Bare)
}

/// A script of ours that starts a peer from npm.
fn node(script: &str) -> anyhow::Result<Command> {
    if !Path::new(PEERS).join("node_modules/sockjs").exists() {
        bail!("{PEERS}/node_modules is missing: `tools/setup bench` brings it");
    }
    let mut command = Command::new("node");
    command.arg(format!("{PEERS}/{script}.js"));
    Ok(command)
}

/// Starts a program that prints a line with `ws://ADDRESS`, or `listening on ADDRESS`, when it listens.
fn launch(mut command: Command, path: &'static str, speech: Speech) -> anyhow::Result<Server> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {program}: has it been built?"))?;
    let output = child.stdout.take().context("the output is piped")?;
    // Owned by the server from here on, so that it is ended whatever happens.
    let mut server = Server {
        child,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        path,
        speech,
        _rabbitmq: None,
    };
    for line in BufReader::new(output).lines() {
        let line = line.with_context(|| format!("reading what {program} says"))?;
        if let Some(address) = address_in(&line) {
            server.address = address;
            return Ok(server);
        }
    }
    bail!("{program} ended before it said where it listens")
}

/// The address in `… ws://127.0.0.1:1234/ws`, or in `listening on 127.0.0.1:1234`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, url) = line
        .split_once("ws://")
        .or_else(|| line.split_once("listening on "))?;
    url.split('/').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_server_listens_is_read_from_its_output() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!(
            address_in("STOMP over WebSocket  ws://127.0.0.1:80/ws"),
            address
        );
        assert_eq!(
            address_in("bare broadcast        ws://127.0.0.1:80"),
            address
        );
        assert_eq!(address_in("listening on 127.0.0.1:80"), address);
        assert_eq!(address_in("STOMP over TCP        127.0.0.1:80"), None);
    }
}
