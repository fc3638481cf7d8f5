//! A RabbitMQ of our own: a directory, a node name and ports that nobody else has, and only Web-STOMP on it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::Server;
use crate::speech::Speech;

/// Where Debian's package has the program that does not change the user. The one in the PATH does.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// It takes some seconds to start; more on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(90);

/// How often is looked whether it listens.
const TICK: Duration = Duration::from_millis(100);

/// What has to be ended and removed beside RabbitMQ itself.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// Erlang's port mapper; without one of ours RabbitMQ would start one that stays.
    port_mapper: Child,
    /// Data, configuration, logs. Removed when it is dropped.
    _directory: TempDir,
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone then.
        let _ = self.port_mapper.kill();
        let _ = self.port_mapper.wait();
    }
}

pub(super) fn start() -> anyhow::Result<Server> {
    if !Path::new(PROGRAM).exists() {
        bail!("{PROGRAM} is missing: `tools/setup bench` installs it");
    }
    let directory = TempDir::with_prefix("landside-bench-rabbitmq-")?;
    let at = |name: &str| directory.path().join(name);
    let [web, distribution, mapper] = free_ports()?;
    fs::write(at("enabled_plugins"), "[rabbitmq_web_stomp].\n")?;
    fs::write(
        at("rabbitmq.conf"),
        format!(
            "listeners.tcp = none\nstomp.listeners.tcp = none\nweb_stomp.tcp.ip = 127.0.0.1\n\
             web_stomp.tcp.port = {web}\nlog.console = false\nlog.file.level = warning\n"
        ),
    )?;
    let port_mapper = Command::new("epmd")
        .args(["-port", &mapper.to_string(), "-address", "127.0.0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting epmd, which comes with Erlang")?;
    let surroundings = Surroundings {
        port_mapper,
        _directory: directory,
    };
    let directory = surroundings._directory.path();
    let child = Command::new(PROGRAM)
        .env("HOME", directory)
        .env("ERL_EPMD_PORT", mapper.to_string())
        .env("RABBITMQ_NODENAME", format!("bench{web}@localhost"))
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"))
        .env("RABBITMQ_CONF_ENV_FILE", directory.join("none"))
        .env(
            "RABBITMQ_ENABLED_PLUGINS_FILE",
            directory.join("enabled_plugins"),
        )
        .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
        .env("RABBITMQ_LOG_BASE", directory.join("log"))
        .env("RABBITMQ_PID_FILE", directory.join("pid"))
        // Then the script becomes the server, instead of being its parent: its process id is the one to look at.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {PROGRAM}"))?;
    let mut server = Server {
        child,
        address: SocketAddr::from(([127, 0, 0, 1], web)),
        path: "/ws",
        speech: Speech::Stomp,
        _rabbitmq: Some(surroundings),
    };
    let began = Instant::now();
    while TcpStream::connect(server.address).is_err() {
        if !server.is_alive() {
            bail!("RabbitMQ ended while it was starting");
        }
        if began.elapsed() > START_PATIENCE {
            bail!(
                "RabbitMQ did not listen within {} s",
                START_PATIENCE.as_secs()
            );
        }
        thread::park_timeout(TICK);
    }
    Ok(server)
}

/// Ports that are free now: RabbitMQ cannot be told to take any.
fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    let mut ports = [0; COUNT];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
