//! A server of its own with one device, whose position changes when it is told to.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::counted::Counted;
use super::roads::{self, Road, Socket};
use crate::sides::programs;

/// A cluster is made first, on a machine that may be busy.
const START_PATIENCE: Duration = Duration::from_secs(120);

const SECRET: &str = "a secret of the benchmark";

/// The device that everybody watches.
pub const DEVICE: &str = "gate-p1-in-1";

const INSTANCE: &str = "0193b3a0-0000-4000-8000-000000000001";

/// The server, and the agent that speaks for the device.
#[derive(Debug)]
pub struct Site {
    child: Child,
    /// Where everything but STOMP over TCP is served.
    pub address: SocketAddr,
    /// Of a program that may see the device.
    pub token: String,
    agent: Option<Socket>,
    readings: u32,
    begun: Instant,
    _directory: TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // So that it stops its database; it may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Site {
    /// Starts everything, and lets the agent announce the device.
    ///
    /// # Errors
    /// The server does not start, or does not know the agent.
    pub fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        // Postgres runs as another user where this one is root.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
        let mut addresses = Vec::new();
        for listener in listeners {
            // All are held at once, so that they differ.
            let listener = listener?;
            addresses.push((listener.local_addr()?, listener));
        }
        let addresses: Vec<SocketAddr> = addresses.into_iter().map(|(one, _)| one).collect();
        let config = directory.path().join("server.toml");
        fs::write(&config, config_file(&addresses))?;
        fs::write(directory.path().join("access.toml"), access_file())?;
        let log = fs::File::create(directory.path().join("log"))?;
        let child = Command::new(programs()?.join("landside-server"))
            .args(["run", "--config"])
            .arg(&config)
            .env("SECRET", SECRET)
            // Whatever it names must stay untouched.
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting landside-server: has it been built?")?;
        let mut site = Self {
            child,
            address: addresses[0],
            token: String::new(),
            agent: None,
            readings: 0,
            begun: Instant::now(),
            _directory: directory,
        };
        site.wait_until_ready()?;
        site.token = site.token_of("program")?;
        site.join()?;
        Ok(site)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let ends = Instant::now() + START_PATIENCE;
        loop {
            let ready = Counted::open(self.address).and_then(|mut wire| {
                wire.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
                wire.answer()
            });
            if matches!(ready, Ok((200, _))) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("landside-server ended with {status}");
            }
            ensure!(
                Instant::now() < ends,
                "landside-server is not ready in time"
            );
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    fn token_of(&self, client: &str) -> anyhow::Result<String> {
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret={}",
            SECRET.replace(' ', "+")
        );
        let mut wire = Counted::open(self.address)?;
        let request = format!(
            "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        );
        wire.write(request.as_bytes())?;
        let (status, body) = wire.answer()?;
        ensure!(status == 200, "no token for {client}: {status} {body}");
        let body: Value = serde_json::from_str(&body)?;
        let token = body["access_token"].as_str();
        Ok(token.context("a token is a string")?.to_owned())
    }

    /// The agent connects, and announces the device.
    fn join(&mut self) -> anyhow::Result<()> {
        let mut agent = Socket::open(self.address, "/ws", Some("v12.stomp"))?;
        agent.say(&roads::connect(&self.token_of("agent")?))?;
        roads::until(&mut agent, "CONNECTED")?;
        self.agent = Some(agent);
        let point = |id: &str, unit: &str, is_state: bool| {
            json!({
                "id": id, "name": {"ko": id, "en": id}, "unit": unit, "poll": "fast", "period_ms": 250,
                "is_state": is_state,
            })
        };
        let profile = json!({
            "id": "gate.came.crp", "version": 1, "hash": "bench", "name": {"ko": "차단기", "en": "Barrier gate"},
            "class": "barrier", "faults": [], "commands": [],
            "points": [point("state", "", true), point("position", "%", false), point("board_temp", "°C", false)],
        });
        self.report(
            "/app/inventory",
            &json!({
                "agent": "agent", "instance": INSTANCE, "epoch": "0193b3a0-0000-4000-8000-000000000002",
                "version": "0", "sent_at": now(), "monotonic_ms": self.monotonic_ms(), "profiles": [profile],
                "devices": [{
                    "id": DEVICE, "name": {"ko": "P1 입구 1 차단기", "en": "P1 entry 1 gate"}, "zone": "p1",
                    "lane": "in-1", "profile": "gate.came.crp", "line": DEVICE,
                }],
            }),
        )
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sends, and waits for the RECEIPT.
    fn report(&mut self, destination: &str, body: &Value) -> anyhow::Result<()> {
        let agent = self.agent.as_mut().context("the agent is connected")?;
        let body = body.to_string();
        agent.say(&format!(
            "SEND\ndestination:{destination}\ncontent-type:application/json\nreceipt:r\n\n{body}\0"
        ))?;
        let said = agent.next()?;
        ensure!(said.starts_with("RECEIPT"), "{destination}: {said}");
        Ok(())
    }

    /// The device's position changes. By the text that is returned the value is known, wherever it goes.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn change(&mut self) -> anyhow::Result<String> {
        self.readings += 1;
        let (position, at) = (f64::from(self.readings) + 1000.25, now());
        let reading = |point: &str, value: Value| json!({"point": point, "value": value, "quality": "good", "at": at});
        let report = json!({
            "agent": "agent", "instance": INSTANCE, "sequence": self.readings, "sent_at": at,
            "monotonic_ms": self.monotonic_ms(),
            "devices": [{"device": DEVICE, "polls": {"fast": at}, "readings": [
                reading("state", json!("opening")), reading("position", json!(position)),
                reading("board_temp", json!(21.5)),
            ]}],
        });
        self.report("/app/readings", &report)?;
        Ok(position.to_string())
    }
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn config_file(addresses: &[SocketAddr]) -> String {
    format!(
        "data = \"data\"\n[http]\nlisten = \"{}\"\n[stomp]\nlisten = \"{}\"\n[metrics]\nlisten = \"{}\"\n\
         [[zone]]\nid = \"p1\"\nname = {{ ko = \"주차장 P1\", en = \"Car park P1\" }}\n\
         [inventory]\napprove = [\"agent\"]\n[access]\nfile = \"access.toml\"\n",
        addresses[0], addresses[1], addresses[2]
    )
}

fn access_file() -> String {
    let client = |id: &str, roles: &str| {
        format!(
            "[[client]]\nid = \"{id}\"\nroles = [{roles}]\nzones = [\"*\"]\nsecret_env = \"SECRET\"\n"
        )
    };
    client("agent", "\"agent\"") + &client("program", "\"program\", \"operator\"")
}
