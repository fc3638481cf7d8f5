//! The order of things: check, write the files, start each part when the one before answers, say where to look, wait.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use simulators::AirportConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::error::LaunchError;
use crate::family::{Death, Family, Part, Start};
use crate::files::{self, CLIENT, Layout, PEOPLE};
use crate::place::{Place, check_addresses};
use crate::readiness::{self, Probe};
use crate::secrets::Secrets;
use crate::settings::{PASSWORD, Settings};

/// The name of the demo's password in the file of secrets.
const DEMO_PASSWORD: &str = "demo-password";

/// A part that has to come up, and how long that may take.
struct Wait {
    what: &'static str,
    most: Duration,
}

const SIMULATORS_UP: Wait = Wait {
    what: "the simulators",
    most: Duration::from_secs(30),
};
/// The first start makes a database cluster, on a machine that may be busy with a build.
const SERVER_UP: Wait = Wait {
    what: "the server",
    most: Duration::from_secs(180),
};
const DEVICES_UP: Wait = Wait {
    what: "the devices",
    most: Duration::from_secs(90),
};

/// The programs that a demo consists of.
#[derive(Debug)]
pub struct Programs {
    simulators: PathBuf,
    server: PathBuf,
    agent: PathBuf,
}

impl Programs {
    /// The programs that stand beside `program`.
    ///
    /// # Errors
    /// One sentence that names what is missing.
    pub fn beside(program: &Path) -> Result<Self, LaunchError> {
        let find = |name: &str| {
            let path = program.with_file_name(name);
            if path.is_file() {
                Ok(path)
            } else {
                Err(LaunchError::configuration(format!(
                    "{} is missing: build all programs (cargo build --workspace --bins)",
                    path.display()
                )))
            }
        };
        Ok(Self {
            simulators: find("landside-simulators")?,
            server: find("landside-server")?,
            agent: find("landside-agent")?,
        })
    }
}

/// Why the programs are stopped.
enum End {
    /// Somebody wants it.
    Asked,
    /// The server said why it cannot start, before anything else was started.
    Refused(String),
    /// A program died.
    Died(Death),
    /// A file could not be written, or a program not be started.
    Failed(anyhow::Error),
    /// A part did not come up in time.
    Late(String),
}

impl End {
    /// Adds what was still missing to a wait that was in vain.
    fn explained(self, missing: &str) -> Self {
        match self {
            Self::Late(sentence) if !missing.is_empty() => {
                Self::Late(format!("{sentence} ({missing})"))
            }
            end => end,
        }
    }

    /// The end of a server on which nothing else depends yet.
    fn of_first(self) -> Self {
        match self {
            Self::Died(death) => match death.sentence() {
                Some(sentence) => Self::Refused(sentence),
                None => Self::Died(death),
            },
            end => end,
        }
    }
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Runs the demo until somebody stops it. `tell` gets each line that a person should read.
///
/// Must run on the main thread, in a runtime of that one thread: the system ends children with the thread that started them.
///
/// # Errors
/// [`LaunchError`]; whatever it is, no program is left running.
pub async fn run(
    settings: Settings,
    programs: &Programs,
    tell: &dyn Fn(&str),
) -> Result<(), LaunchError> {
    // First of all: a Ctrl-C at any later moment stops in order.
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let airport = AirportConfig::parse(files::AIRPORT, "airport.toml")
        .context("the demo's airport is damaged")?;
    let data = std::path::absolute(&settings.data)
        .with_context(|| format!("cannot find {}", settings.data.display()))?;
    let place = Place::take(&data)?;
    let programs_lock = tokio::select! {
        lock = place.wait_for_predecessors(tell) => lock?,
        () = signals.next() => return Ok(()),
    };
    check_addresses(&settings.listens())?;
    let demo = Demo::prepare(settings, programs, airport, Layout::new(data))?;
    let mut family = Family::new(programs_lock);
    let Err(end) = demo.start(&mut family, &mut signals, tell).await;
    match &end {
        End::Asked => tell("stopping (Ctrl-C again stops at once)"),
        End::Refused(_) => {}
        End::Died(_) | End::Failed(_) | End::Late(_) => {
            tell("a part of the demo failed, stopping the others");
        }
    }
    family.stop(signals.next()).await;
    match end {
        End::Asked => Ok(()),
        End::Refused(sentence) => Err(LaunchError::configuration(sentence)),
        End::Died(death) => Err(anyhow!("{death}").into()),
        End::Failed(error) => Err(error.into()),
        End::Late(sentence) => Err(anyhow!(sentence).into()),
    }
}

/// All that is known before anything is started.
struct Demo<'a> {
    settings: Settings,
    programs: &'a Programs,
    airport: AirportConfig,
    layout: Layout,
    secrets: Secrets,
    password: String,
}

impl<'a> Demo<'a> {
    fn prepare(
        settings: Settings,
        programs: &'a Programs,
        airport: AirportConfig,
        layout: Layout,
    ) -> anyhow::Result<Self> {
        let mut names = vec![DEMO_PASSWORD];
        names.extend(airport.agents.iter().map(contract::AgentId::as_str));
        let secrets = Secrets::load(&layout.file("secrets.toml"), &names)?;
        for (path, text) in files::all(&layout, &settings, &airport) {
            write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let logs = layout.logs();
        std::fs::create_dir_all(&logs)
            .with_context(|| format!("cannot make {}", logs.display()))?;
        let password = settings
            .password
            .clone()
            .unwrap_or_else(|| secrets.of(DEMO_PASSWORD).to_owned());
        Ok(Self {
            settings,
            programs,
            airport,
            layout,
            secrets,
            password,
        })
    }

    /// Starts everything and waits for the end.
    async fn start(
        &self,
        family: &mut Family,
        signals: &mut Signals,
        tell: &dyn Fn(&str),
    ) -> Result<Infallible, End> {
        let probe = Probe::new(self.settings.http.address)?;
        // First, since it depends on most that can be missing or wrong on a machine: then nothing else runs yet.
        tell(if self.has_database() {
            "server …"
        } else {
            "server … (the first start makes a database)"
        });
        self.start_server(family)?;
        self.within(&SERVER_UP, family, signals, probe.server())
            .await
            .map_err(End::of_first)?;

        tell("simulated equipment …");
        self.start_simulators(family)?;
        let log = self.layout.log("simulators");
        let ready = readiness::line_ready(&log);
        self.within(&SIMULATORS_UP, family, signals, ready).await?;

        tell("agents …");
        for agent in &self.airport.agents {
            self.start_agent(family, agent)?;
        }
        let expected: BTreeSet<String> = self
            .airport
            .devices
            .iter()
            .map(|device| device.id.to_string())
            .collect();
        let missing = Cell::default();
        let known = probe.devices(&expected, &self.password, tell, &missing);
        self.within(&DEVICES_UP, family, signals, known)
            .await
            .map_err(|end| end.explained(&missing.take()))?;

        readiness::restart_scenario(&self.layout.airport_data().join("control.addr")).await?;
        tell(&self.welcome());
        tokio::select! {
            death = family.death() => Err(End::Died(death)),
            () = signals.next() => Err(End::Asked),
        }
    }

    /// Whether a start before this one made the server's database.
    fn has_database(&self) -> bool {
        let postgres = self.layout.file("server").join("postgres");
        // In its place, or elsewhere, which then is written down.
        ["data", "LOCATION"]
            .iter()
            .any(|name| postgres.join(name).exists())
    }

    /// Waits for `ready`, unless its time is up, a program dies, or somebody asks for the end.
    async fn within(
        &self,
        wait: &Wait,
        family: &Family,
        signals: &mut Signals,
        ready: impl Future<Output = ()>,
    ) -> Result<(), End> {
        tokio::select! {
            death = family.death() => Err(End::Died(death)),
            () = signals.next() => Err(End::Asked),
            outcome = timeout(wait.most, ready) => outcome.map_err(|_elapsed| End::Late(format!(
                "{} did not come up within {} s; the logs in {} may say why",
                wait.what,
                wait.most.as_secs(),
                self.layout.logs().display()
            ))),
        }
    }

    fn start_simulators(&self, family: &mut Family) -> anyhow::Result<()> {
        family.start(Start {
            part: Part::Simulators,
            name: "simulators",
            program: &self.programs.simulators,
            arguments: vec![
                "run".into(),
                "--airport".into(),
                self.layout.file("airport.toml").into(),
                "--data".into(),
                self.layout.airport_data().into(),
            ],
            environment: Vec::new(),
            log: self.layout.log("simulators"),
        })
    }

    fn start_server(&self, family: &mut Family) -> anyhow::Result<()> {
        let mut environment = vec![(PASSWORD.to_owned(), self.password.clone())];
        environment.extend(self.airport.agents.iter().map(|agent| {
            let secret = self.secrets.of(agent.as_str()).to_owned();
            (files::agent_variable(agent), secret)
        }));
        family.start(Start {
            part: Part::Server,
            name: "server",
            program: &self.programs.server,
            arguments: vec![
                "run".into(),
                "--config".into(),
                self.layout.file("server.toml").into(),
            ],
            environment,
            log: self.layout.log("server"),
        })
    }

    fn start_agent(&self, family: &mut Family, agent: &contract::AgentId) -> anyhow::Result<()> {
        let secret = self.secrets.of(agent.as_str()).to_owned();
        family.start(Start {
            part: Part::Agent,
            name: agent.as_str(),
            program: &self.programs.agent,
            arguments: vec![
                "run".into(),
                "--config".into(),
                self.layout.agent_file(agent).into(),
            ],
            environment: vec![("LANDSIDE_AGENT_SECRET".to_owned(), secret)],
            log: self.layout.log(agent.as_str()),
        })
    }

    /// What a person needs to know, once everything runs.
    fn welcome(&self) -> String {
        let people: Vec<_> = PEOPLE.iter().map(|role| role.as_str()).collect();
        let [http, stomp, metrics] = self.settings.listens().map(|listen| listen.address);
        format!(
            "\n\
             Landside is running:  http://{http}\n\
             \n\
             \x20 logins    {}\n\
             \x20 password  {} (of each login)\n\
             \x20 client    {CLIENT}, its secret is the same password; tokens at http://{http}/oauth/token\n\
             \x20 STOMP     {stomp}, and ws://{http}/ws\n\
             \x20 metrics   http://{metrics}/metrics\n\
             \x20 logs      {}\n\
             \n\
             The first fault comes in about 20 seconds.\n\
             Ctrl-C stops everything. Starting again goes on from the same data.",
            people.join(", "),
            self.password,
            self.layout.logs().display(),
        )
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

/// The signals that ask a demo to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    // The terminal was closed.
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
