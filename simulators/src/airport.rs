//! A whole simulated airport in one process: its tasks, its files, and the handle that tests hold.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::AgentId;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::behaviour::Pulses;
use crate::bus::BusTask;
use crate::config::{AirportConfig, Bus, BusKind, Scenario};
use crate::control;
use crate::device::{DeviceTask, Unit, Wire, sleep_until};
use crate::directory::{ControlError, DeviceState, Directory, Entry, Restart};
use crate::fault::{Fault, Medium};
use crate::port::{Port, Remembered};
use crate::pty::Pty;
use crate::scenario::{Switch, Timeline};
use crate::site::{self, Address, SerialSettings};
use crate::truth::{Cause, TruthEvent, TruthLine, TruthLog};

/// Tasks only have to notice the token; what takes longer is stuck.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// A running airport. Dropping it stops everything at once, as a kill would; [`Airport::shutdown`] ends it in order.
#[derive(Debug)]
pub struct Airport {
    dir: PathBuf,
    control: SocketAddr,
    directory: Arc<Directory>,
    truth: Arc<TruthLog>,
    tasks: JoinSet<io::Result<()>>,
    shutdown: CancellationToken,
    // Held until the end: two simulators on one directory would take each other's ports and links.
    _lock: File,
}

/// Why an airport did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the directory.
    #[error("other simulators are running with {0}: stop them first, or use another directory")]
    InUse(PathBuf),
    /// A file, port or pty could not be had.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, with its path or device.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Airport {
    /// Binds all devices and the control interface, writes the files under `dir`, and starts the scenario.
    ///
    /// When this returns, every address answers.
    pub async fn start(config: AirportConfig, dir: impl AsRef<Path>) -> Result<Self, StartError> {
        let dir = std::path::absolute(dir.as_ref()).map_err(io_error("find the data directory"))?;
        for folder in [dir.clone(), dir.join("sites"), dir.join("tty")] {
            std::fs::create_dir_all(&folder)
                .map_err(io_error(format!("make the directory {}", folder.display())))?;
        }
        let lock = lock(&dir)?;
        let truth_path = dir.join("truth.jsonl");
        let truth = TruthLog::open(&truth_path)
            .map_err(io_error(format!("open {}", truth_path.display())))?;
        let truth = Arc::new(truth);

        let shutdown = CancellationToken::new();
        truth
            .write(None, TruthEvent::Started)
            .map_err(io_error(format!("write {}", truth_path.display())))?;
        let mut ports = Ports::read(&dir);
        let mut tasks = JoinSet::new();
        let entries = begin(&config, &mut ports, &truth, &mut tasks, &shutdown).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(io_error("open a port for the control interface"))?;
        let control = listener
            .local_addr()
            .map_err(io_error("open a port for the control interface"))?;
        // One restart at a time: whoever asks for a second waits.
        let (restart_sender, restarts) = mpsc::channel(1);
        let directory = Directory {
            entries,
            restarts: config.scenario.as_ref().map(|_| restart_sender),
        };
        let airport = Self {
            dir,
            control,
            directory: Arc::new(directory),
            truth,
            tasks,
            shutdown,
            _lock: lock,
        };
        ports.write()?;
        airport.write_sites(&config)?;
        Ok(airport.run(config.scenario.as_ref(), restarts, listener))
    }

    /// Starts what works on all devices.
    fn run(
        mut self,
        scenario: Option<&Scenario>,
        restarts: mpsc::Receiver<Restart>,
        listener: TcpListener,
    ) -> Self {
        let app = control::router(Arc::clone(&self.directory));
        let stopped = self.shutdown.clone().cancelled_owned();
        let served = axum::serve(listener, app).with_graceful_shutdown(stopped);
        self.tasks.spawn(async move { served.await });
        if let Some(scenario) = scenario {
            let player = Player {
                timeline: Timeline::new(scenario, Instant::now()),
                directory: Arc::clone(&self.directory),
                restarts,
            };
            self.tasks.spawn(player.run(self.shutdown.clone()));
        }
        self
    }

    fn write_sites(&self, config: &AirportConfig) -> Result<(), StartError> {
        let write = |path: PathBuf, text: &str| {
            site::replace_file(&path, text).map_err(io_error(format!("write {}", path.display())))
        };
        for agent in &config.agents {
            let devices = config.devices.iter().map(|device| {
                let entry = &self.directory.entries[device.id.as_str()];
                (&entry.device, &entry.address)
            });
            write(self.site_file(agent), &site::render(agent, devices))?;
        }
        write(
            self.dir.join("control.addr"),
            &format!("{}\n", self.control),
        )
    }

    /// Where a device is reached.
    pub fn address(&self, device: &str) -> Result<&Address, ControlError> {
        Ok(&self.directory.entry(device)?.address)
    }

    /// The site file that was written for `agent`.
    pub fn site_file(&self, agent: &AgentId) -> PathBuf {
        self.dir.join("sites").join(format!("{agent}.toml"))
    }

    /// Where the control interface listens.
    pub fn control_address(&self) -> SocketAddr {
        self.control
    }

    /// Switches a fault on; when this returns, it is in the truth log and on the wire.
    pub async fn set_fault(&self, device: &str, fault: Fault) -> Result<(), ControlError> {
        self.directory.switch(device, fault.as_str(), true).await
    }

    /// Switches a fault off; when this returns, it is in the truth log and on the wire.
    pub async fn clear_fault(&self, device: &str, fault: Fault) -> Result<(), ControlError> {
        self.directory.switch(device, fault.as_str(), false).await
    }

    /// Starts the scenario again from its beginning; what it had switched on is off when this returns.
    pub async fn restart_scenario(&self) -> Result<(), ControlError> {
        self.directory.restart_scenario().await
    }

    /// Counts the answers that left a device: wait on it instead of sleeping.
    pub fn replies(&self, device: &str) -> Result<watch::Receiver<u64>, ControlError> {
        Ok(self.directory.entry(device)?.handle.replies.clone())
    }

    /// Counts the requests that a device has taken from its wire, also those that a silent one drops.
    pub fn requests(&self, device: &str) -> Result<watch::Receiver<u64>, ControlError> {
        Ok(self.directory.entry(device)?.handle.requests.clone())
    }

    /// Counts the coil pulses that a gate took; stays at zero for other kinds.
    pub fn pulses(&self, device: &str) -> Result<watch::Receiver<Pulses>, ControlError> {
        Ok(self.directory.entry(device)?.handle.pulses.clone())
    }

    /// What a device is now.
    pub async fn state(&self, device: &str) -> Result<DeviceState, ControlError> {
        let entry = self.directory.entry(device)?;
        self.directory.state(entry).await
    }

    /// The truth log so far, of this run and of those before in the same directory.
    pub fn truth(&self) -> io::Result<Vec<TruthLine>> {
        self.truth.read()
    }

    /// Counts the lines that this run wrote to the truth log: wait on it for what devices do by themselves.
    pub fn truth_lines(&self) -> watch::Receiver<u64> {
        self.truth.lines()
    }

    /// Waits until a part of the airport fails, and says how; never ends while all is well.
    pub async fn failed(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(Ok(()))) => "a device ended without a reason".to_owned(),
            Some(Ok(Err(error))) => format!("a device failed: {error}"),
            Some(Err(error)) => format!("a device failed: {error}"),
            None => "there is no device".to_owned(),
        }
    }

    /// Ends all devices and writes the last line of the truth log.
    pub async fn shutdown(mut self) -> io::Result<()> {
        self.shutdown.cancel();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_MAX, all_ended).await.is_err() {
            tracing::warn!("some simulators did not end in time and are cut off");
            self.tasks.shutdown().await;
        }
        self.truth.write(None, TruthEvent::Stopped)
    }
}

/// A bus whose devices are being made.
struct NewBus<'a> {
    bus: &'a Bus,
    wire: Wire,
    address: Address,
    units: BTreeMap<u8, Unit>,
}

impl<'a> NewBus<'a> {
    async fn open(bus: &'a Bus, ports: &mut Ports) -> Result<Self, StartError> {
        let id = bus.id.as_str();
        let (wire, address) = match bus.kind {
            BusKind::Pty => {
                let (wire, path) = ports.serial(id)?;
                let serial = SerialSettings::of_bus(bus.baud);
                (wire, Address::RtuSerial { path, serial })
            }
            BusKind::Tcp => {
                let (wire, address) = ports.tcp(id).await?;
                let baud = bus.baud;
                (wire, Address::RtuTcp { address, baud })
            }
        };
        Ok(Self {
            bus,
            wire,
            address,
            units: BTreeMap::new(),
        })
    }
}

/// Opens every line and starts every device and bus.
async fn begin(
    config: &AirportConfig,
    ports: &mut Ports,
    truth: &Arc<TruthLog>,
    tasks: &mut JoinSet<io::Result<()>>,
    shutdown: &CancellationToken,
) -> Result<BTreeMap<String, Entry>, StartError> {
    let mut buses = BTreeMap::new();
    for bus in &config.buses {
        buses.insert(bus.id.as_str(), NewBus::open(bus, ports).await?);
    }
    let mut entries = BTreeMap::new();
    for device in &config.devices {
        let id = device.id.as_str();
        let stand = device.stand.as_ref();
        let bus = stand.and_then(|stand| buses.get_mut(stand.bus.as_str()));
        let (wire, address) = match (&bus, device.kind.own_medium()) {
            (Some(bus), _) => (None, bus.address.clone()),
            (None, Medium::Serial) => {
                let (wire, path) = ports.serial(id)?;
                (Some(wire), Address::Serial { path })
            }
            (None, Medium::Tcp | Medium::Bus) => {
                let (wire, address) = ports.tcp(id).await?;
                (Some(wire), Address::Tcp { address })
            }
        };
        let (task, handle, unit) = DeviceTask::new(device, wire, Arc::clone(truth));
        if let (Some(bus), Some(stand)) = (bus, stand) {
            bus.units.insert(stand.unit, unit);
        }
        tasks.spawn(task.run(shutdown.clone()));
        let entry = Entry {
            device: device.clone(),
            address,
            handle,
        };
        entries.insert(device.id.to_string(), entry);
    }
    for new in buses.into_values() {
        let task = BusTask::new(new.bus, new.wire, new.units);
        tasks.spawn(task.run(shutdown.clone()));
    }
    Ok(entries)
}

/// Executes a scenario.
struct Player {
    timeline: Timeline,
    directory: Arc<Directory>,
    restarts: mpsc::Receiver<Restart>,
}

impl Player {
    async fn run(mut self, shutdown: CancellationToken) -> io::Result<()> {
        loop {
            let deadline = self.timeline.deadline();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = sleep_until(deadline) => {
                    while let Some(switch) = self.timeline.handle_deadline(Instant::now()) {
                        self.execute(switch).await;
                    }
                }
                Some(done) = self.restarts.recv() => {
                    for switch in self.timeline.restart(Instant::now()) {
                        self.execute(switch).await;
                    }
                    // Whoever asked may have gone away meanwhile.
                    let _unwanted = done.send(());
                }
            }
        }
    }

    async fn execute(&self, switch: Switch) {
        let entry = &self.directory.entries[switch.device.as_str()];
        // `None` while shutting down; a device that fails is noticed by whoever holds the airport.
        let _changed = entry
            .handle
            .switch(switch.fault, switch.on, Cause::Scenario)
            .await;
    }
}

/// Hands out lines under one directory and remembers their ports for the next run.
struct Ports {
    dir: PathBuf,
    remembered: Remembered,
    used: BTreeMap<String, u16>,
}

impl Ports {
    fn read(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            remembered: Remembered::read(&dir.join("ports.json")),
            used: BTreeMap::new(),
        }
    }

    fn serial(&self, id: &str) -> Result<(Wire, PathBuf), StartError> {
        let path = self.dir.join("tty").join(id);
        let pty = Pty::open(path.clone()).map_err(io_error(format!("make a pty for {id:?}")))?;
        Ok((Wire::Serial(pty), path))
    }

    async fn tcp(&mut self, id: &str) -> Result<(Wire, SocketAddr), StartError> {
        let (listener, address) = self
            .remembered
            .listen(id)
            .await
            .map_err(io_error(format!("open a port for {id:?}")))?;
        self.used.insert(id.to_owned(), address.port());
        Ok((Wire::Tcp(Port::Listening(listener)), address))
    }

    fn write(&self) -> Result<(), StartError> {
        let path = self.dir.join("ports.json");
        let text = serde_json::to_string_pretty(&self.used).expect("texts and numbers");
        site::replace_file(&path, &text).map_err(io_error(format!("write {}", path.display())))
    }
}

fn lock(dir: &Path) -> Result<File, StartError> {
    let path = dir.join("simulators.lock");
    let file = File::create(&path).map_err(io_error(format!("make {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse(dir.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(StartError::Io {
            what: format!("lock {}", path.display()),
            source,
        }),
    }
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    let what = what.into();
    move |source| StartError::Io { what, source }
}
