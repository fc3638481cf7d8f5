//! The real programs as processes that a test can kill: server and agent against simulated equipment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use simulators::{Airport, AirportConfig};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::database::Database;
use crate::harness::{CONFIG, PASSWORD, access, policy};

/// A zone with two devices of each kind, all served by one agent.
const AIRPORT: &str = r#"
[[zone]]
id = "p1"
name = { ko = "주차장 P1", en = "Car park P1" }
[[agent]]
id = "agent-1"
"#;

/// Delays and periods of the shipped profiles are for people; here the same rules run faster.
const FASTER: [(&str, &str); 5] = [
    ("on_delay = ", "on_delay = \"200ms\""),
    ("off_delay = ", "off_delay = \"200ms\""),
    ("fast = ", "fast = \"100ms\""),
    ("normal = ", "normal = \"150ms\""),
    ("slow = ", "slow = \"200ms\""),
];

/// Simulated equipment in this process; server and agent as processes of their own.
pub(crate) struct Chain {
    pub(crate) airport: Airport,
    pub(crate) database: Database,
    directory: TempDir,
    server: Option<Child>,
    agent: Option<Child>,
}

/// A program that stands beside the server's.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_landside-server")).with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bins` first",
        path.display()
    );
    path
}

/// A port that was free a moment ago, and stays the server's over its restarts.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Chain {
    pub(crate) async fn start() -> Self {
        Self::start_with("http", "", "", &[]).await
    }

    /// By this scheme, with more for the configurations of server and agent, and with files beside them.
    pub(crate) async fn start_with(
        scheme: &str,
        server: &str,
        agent: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut airport = AIRPORT.to_owned();
        for device in [
            "gate-1",
            "gate-2",
            "kiosk-1",
            "kiosk-2",
            "printer-1",
            "printer-2",
        ] {
            let kind = device.split('-').next().unwrap();
            airport += &format!(
                "[[device]]\nid = \"{device}\"\nkind = \"{kind}\"\nzone = \"p1\"\nagent = \"agent-1\"\nname = {{ ko = \"{device}\", en = \"{device}\" }}\n"
            );
        }
        std::fs::write(root.join("airport.toml"), airport).unwrap();
        let config = AirportConfig::read(&root.join("airport.toml")).unwrap();
        let airport = Airport::start(config, root.join("simulators"))
            .await
            .unwrap();

        write_profiles(&root.join("profiles"));
        let (http, stomp, metrics) = (free_address(), free_address(), free_address());
        let listen = format!(
            "[http]\nlisten = \"{http}\"\n[stomp]\nlisten = \"{stomp}\"\n[metrics]\nlisten = \"{metrics}\"\n"
        );
        std::fs::write(
            root.join("server.toml"),
            format!("{CONFIG}{listen}{server}"),
        )
        .unwrap();
        std::fs::write(root.join("access.toml"), access()).unwrap();
        for (name, text) in files {
            std::fs::write(root.join(name), text).unwrap();
        }
        std::fs::write(root.join("policy.toml"), policy()).unwrap();
        let site = airport.site_file(&"agent-1".parse().unwrap());
        let agent = format!(
            "id = \"agent-1\"\ndata = \"agent\"\nsite = \"{}\"\nprofiles = \"profiles\"\n[server]\nurl = \"{scheme}://{http}\"\n{agent}",
            site.display()
        );
        std::fs::write(root.join("agent.toml"), agent).unwrap();
        let mut chain = Self {
            airport,
            database: Database::create().await,
            directory,
            server: None,
            agent: None,
        };
        chain.start_server();
        chain.start_agent();
        chain
    }

    fn spawn(&self, name: &str, config: &str) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(name))
            .unwrap();
        Command::new(program(name))
            .args(["run", "--config"])
            .arg(self.directory.path().join(config))
            .env("DATABASE_URL", self.database.url())
            .env("SECRET", PASSWORD)
            .env("LANDSIDE_AGENT_SECRET", PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Puts a file in the place of one that is beside the configurations.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    pub(crate) fn start_server(&mut self) {
        self.server = Some(self.spawn("landside-server", "server.toml"));
    }

    pub(crate) fn start_agent(&mut self) {
        self.agent = Some(self.spawn("landside-agent", "agent.toml"));
    }

    /// SIGKILL: no word to anybody, nothing tidied up.
    pub(crate) async fn kill_server(&mut self) {
        self.server
            .take()
            .expect("the server runs")
            .kill()
            .await
            .unwrap();
    }

    /// SIGKILL.
    pub(crate) async fn kill_agent(&mut self) {
        self.agent
            .take()
            .expect("the agent runs")
            .kill()
            .await
            .unwrap();
    }

    /// Waits until a device was asked `more` times from now on.
    pub(crate) async fn polls(&self, device: &str, more: u64) {
        let mut requests = self.airport.requests(device).unwrap();
        let goal = *requests.borrow() + more;
        let reached = tokio::time::timeout(
            crate::harness::PATIENCE,
            requests.wait_for(|count| *count >= goal),
        )
        .await;
        assert!(reached.is_ok(), "{device} was not polled: {}", self.logs());
    }

    /// What the programs said, for a test that failed.
    pub(crate) fn logs(&self) -> String {
        ["landside-server", "landside-agent"]
            .map(|name| {
                format!(
                    "\n--- {name}\n{}",
                    std::fs::read_to_string(self.log(name)).unwrap_or_default()
                )
            })
            .concat()
    }

    pub(crate) async fn stop(mut self) {
        self.kill_agent().await;
        self.kill_server().await;
        self.airport.shutdown().await.unwrap();
        self.database.drop().await;
    }
}

fn write_profiles(directory: &Path) {
    std::fs::create_dir(directory).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../device-agents/profiles");
    for entry in std::fs::read_dir(shipped).unwrap() {
        let path = entry.unwrap().path();
        let faster: String = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| {
                FASTER
                    .iter()
                    .find(|(key, _)| line.starts_with(key))
                    .map_or(line, |(_, faster)| faster)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        std::fs::write(directory.join(path.file_name().unwrap()), faster).unwrap();
    }
}
