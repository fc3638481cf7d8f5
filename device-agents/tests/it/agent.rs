//! The whole agent: simulated equipment on real wires on one side, a broker on the other.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use contract::Quality;
use contract::alarm::Severity;
use contract::event::{Event, Happening};
use contract::heartbeat::LineState;
use device_agents::Agent;
use simulators::{Airport, AirportConfig, Coil, Fault};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{TestServer, eventually, profiles_dir};

const AIRPORT: &str = r#"
[[zone]]
id = "p1"
name = { ko = "주차장 P1", en = "Car park P1" }
[[agent]]
id = "agent-p1"
[[device]]
id = "gate-1"
kind = "gate"
zone = "p1"
agent = "agent-p1"
name = { ko = "차단기 1", en = "Gate 1" }
[[device]]
id = "kiosk-1"
kind = "kiosk"
zone = "p1"
agent = "agent-p1"
name = { ko = "정산기 1", en = "Kiosk 1" }
[[device]]
id = "printer-1"
kind = "printer"
zone = "p1"
agent = "agent-p1"
name = { ko = "프린터 1", en = "Printer 1" }
"#;

pub(crate) struct World {
    directory: tempfile::TempDir,
    profiles: PathBuf,
    pub(crate) airport: Airport,
    pub(crate) server: TestServer,
    agent: Option<RunningAgent>,
}

struct RunningAgent {
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl RunningAgent {
    fn start(agent: Agent) -> Self {
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            agent.run("secret".to_owned(), stop).await.unwrap();
        });
        Self { task, shutdown }
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_new_data| {}).await
    }

    /// With a data directory that `prepare` makes something of.
    async fn start_with(prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(&directory.path().join("data"));
        Self::start_in(directory, AIRPORT, profiles_dir()).await
    }

    /// With other equipment, and profiles for it.
    pub(crate) async fn start_in(
        directory: tempfile::TempDir,
        airport: &str,
        profiles: PathBuf,
    ) -> Self {
        let config = AirportConfig::parse(airport, "airport.toml").unwrap();
        let airport = Airport::start(config, directory.path().join("airport"))
            .await
            .unwrap();
        let mut world = Self {
            directory,
            profiles,
            airport,
            server: TestServer::start().await,
            agent: None,
        };
        world.start_agent();
        world
    }

    pub(crate) fn start_agent(&mut self) {
        let site = self.airport.site_file(&"agent-p1".parse().unwrap());
        let config = format!(
            "id = \"agent-p1\"\ndata = \"data\"\nsite = {site:?}\nprofiles = {:?}\n[server]\nurl = \"http://{}\"\n",
            self.profiles, self.server.address
        );
        let path = self.directory.path().join("agent.toml");
        std::fs::write(&path, config).unwrap();
        self.agent = Some(RunningAgent::start(Agent::load(&path).unwrap()));
    }

    pub(crate) async fn stop_agent(&mut self) {
        let agent = self.agent.take().unwrap();
        agent.shutdown.cancel();
        agent.task.await.unwrap();
    }

    /// As a kill would, as far as one process can: its tasks end wherever they are.
    pub(crate) async fn kill_agent(&mut self) {
        let agent = self.agent.take().unwrap();
        agent.task.abort();
        assert!(agent.task.await.unwrap_err().is_cancelled());
        let data = self.directory.path().join("data");
        eventually("the data directory is free", || {
            device_agents::store::Store::open(&data).ok()
        })
        .await;
    }

    /// Every device was read, and the server knows.
    pub(crate) async fn all_is_well(&self) {
        self.server
            .until("good readings of all devices", |told| {
                let good = |device, point| {
                    told.reading(device, point)
                        .is_some_and(|reading| reading.quality == Quality::Good)
                };
                (good("gate-1", "state")
                    && good("kiosk-1", "uptime")
                    && good("printer-1", "paper")
                    && told.faults("gate-1").len() == 4
                    && told.faults("kiosk-1").len() == 5
                    && told.faults("printer-1").len() == 6)
                    .then_some(())
            })
            .await;
    }

    pub(crate) fn opens(&self) -> u32 {
        self.airport
            .pulses("gate-1")
            .unwrap()
            .borrow()
            .of(Coil::Open)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_learns_who_this_is_and_how_everything_stands() {
    let mut world = World::start().await;
    world.all_is_well().await;
    let told = world.server.told.borrow().clone();
    assert_eq!(told.order[0], "/app/inventory");
    assert_eq!(told.order[1], "/app/heartbeats");
    assert_eq!(told.inventories[0].devices.len(), 3);
    assert_eq!(told.inventories[0].profiles.len(), 3);
    assert_eq!(told.heartbeats[0].lines.len(), 3);
    let sequences: Vec<u64> = told.events.iter().map(|event| event.sequence).collect();
    let expected: Vec<u64> = (1..=15).collect();
    assert_eq!(sequences, expected, "each fault's first state, once");
    assert!(
        told.faults("gate-1")
            .iter()
            .all(|fault| fault.starts_with('-'))
    );
    let reports: Vec<u64> = told.readings.iter().map(|report| report.sequence).collect();
    assert!(reports.is_sorted_by(|a, b| a < b));
    let unit = told.reading("gate-1", "board_temp");
    assert!(unit.is_some());
    // Later heart-beats say that the lines are up: a new session brings one at once.
    world.server.hang_up();
    world
        .server
        .until("lines are up", |told| {
            let last = told.heartbeats.last()?;
            last.lines
                .iter()
                .all(|line| line.state == LineState::Up)
                .then_some(())
        })
        .await;
    world.stop_agent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_is_told_when_it_comes_and_when_it_goes() {
    let world = World::start().await;
    world.all_is_well().await;
    world
        .airport
        .set_fault("gate-1", Fault::Error)
        .await
        .unwrap();
    world
        .airport
        .set_fault("printer-1", Fault::CoverOpen)
        .await
        .unwrap();
    world
        .server
        .until("both are raised", |told| {
            let raised = |device, fault: &str| told.faults(device).iter().any(|told| told == fault);
            (raised("gate-1", "+BAR-ERR") && raised("printer-1", "+PRN-COVER")).then_some(())
        })
        .await;
    world
        .airport
        .clear_fault("gate-1", Fault::Error)
        .await
        .unwrap();
    world
        .server
        .until("it is cleared", |told| {
            (told.faults("gate-1").last()? == "-BAR-ERR").then_some(())
        })
        .await;
    assert_eq!(
        world.server.told.borrow().faults("gate-1")[4..],
        ["+BAR-ERR", "-BAR-ERR"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_contact_lost_and_never_a_value() {
    let world = World::start().await;
    world.all_is_well().await;
    for device in ["gate-1", "kiosk-1", "printer-1"] {
        world
            .airport
            .set_fault(device, Fault::Silent)
            .await
            .unwrap();
    }
    for (device, point) in [
        ("gate-1", "state"),
        ("kiosk-1", "printer.paper"),
        ("printer-1", "paper"),
    ] {
        world
            .server
            .until("contact lost", |told| {
                let lost = told.faults(device).last()? == "+COMM";
                let marked = told.reading(device, point)?.quality == Quality::CommLost;
                (lost && marked).then_some(())
            })
            .await;
        world
            .airport
            .clear_fault(device, Fault::Silent)
            .await
            .unwrap();
        world
            .server
            .until("contact again", |told| {
                let back = told.faults(device).last()? == "-COMM";
                let good = told.reading(device, point)?.quality == Quality::Good;
                (back && good).then_some(())
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_raises_nothing_twice_and_clears_what_went_away_meanwhile() {
    let mut world = World::start().await;
    world.all_is_well().await;
    world
        .airport
        .set_fault("gate-1", Fault::Error)
        .await
        .unwrap();
    world
        .airport
        .set_fault("printer-1", Fault::CoverOpen)
        .await
        .unwrap();
    world
        .server
        .until("both are raised", |told| {
            let raised = |device, fault: &str| told.faults(device).iter().any(|told| told == fault);
            (raised("gate-1", "+BAR-ERR") && raised("printer-1", "+PRN-COVER")).then_some(())
        })
        .await;
    world.kill_agent().await;
    world
        .airport
        .clear_fault("printer-1", Fault::CoverOpen)
        .await
        .unwrap();
    world.start_agent();
    world
        .server
        .until("the cover is closed", |told| {
            told.faults("printer-1")
                .contains(&"-PRN-COVER".to_owned())
                .then_some(())?;
            (told.faults("printer-1").last()? == "-PRN-COVER"
                || told.faults("printer-1").last()? == "-PRN-OFFLINE")
                .then_some(())
        })
        .await;
    let told = world.server.told.borrow().clone();
    let raises = |device: &str, fault: &str| {
        told.faults(device)
            .iter()
            .filter(|told| *told == fault)
            .count()
    };
    assert_eq!(raises("gate-1", "+BAR-ERR"), 1);
    assert_eq!(raises("printer-1", "+PRN-COVER"), 1);
    assert_eq!(told.inventories.len(), 2);
    assert_eq!(told.inventories[0].epoch, told.inventories[1].epoch);
    assert_ne!(told.inventories[0].instance, told.inventories[1].instance);
}

/// An outbox that is full, with a fault of a device that the site file no longer has.
fn full_outbox(data: &Path) {
    drop(device_agents::store::Store::open(data).unwrap());
    let event = Event {
        sequence: 1,
        device: "gate-old".parse().unwrap(),
        at: chrono::DateTime::UNIX_EPOCH,
        happening: Happening::FaultRaised {
            fault: "BAR-ERR".parse().unwrap(),
            severity: Severity::Major,
            detail: None,
        },
    };
    let file = rusqlite::Connection::open(data.join("agent.db")).unwrap();
    let body = serde_json::to_string(&event).unwrap();
    file.execute("INSERT INTO event (sequence, body) VALUES (1, ?1)", [body])
        .unwrap();
    // Fullness is told by the distance of the two ends.
    file.execute("UPDATE outbox SET next_sequence = 1000000", [])
        .unwrap();
    file.execute("INSERT INTO fault VALUES ('gate-old', 'BAR-ERR', 1)", [])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_a_full_outbox_starts_and_clears_old_faults_when_there_is_room() {
    let world = World::start_with(full_outbox).await;
    world
        .server
        .until("the old fault is cleared", |told| {
            (told.faults("gate-old") == ["+BAR-ERR", "-BAR-ERR"]).then_some(())
        })
        .await;
    world.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_the_server_cannot_store_is_told_later_and_each_thing_once() {
    let world = World::start().await;
    world.all_is_well().await;
    *world.server.unavailable.lock().unwrap() = true;
    world
        .airport
        .set_fault("gate-1", Fault::Error)
        .await
        .unwrap();
    let connects = std::sync::Arc::clone(&world.server.connects);
    eventually("it connects again", || {
        (connects.lock().unwrap().len() >= 3).then_some(())
    })
    .await;
    *world.server.unavailable.lock().unwrap() = false;
    world
        .server
        .until("the fault is told", |told| {
            told.faults("gate-1")
                .contains(&"+BAR-ERR".to_owned())
                .then_some(())
        })
        .await;
    let told = world.server.told.borrow().clone();
    let sequences: Vec<u64> = told.events.iter().map(|event| event.sequence).collect();
    let expected: Vec<u64> = (1..=16).collect();
    assert_eq!(sequences, expected);
    let tokens = connects.lock().unwrap().clone();
    let mut different = tokens.clone();
    different.dedup();
    assert_eq!(tokens, different, "each session has a token of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_known_once_asks_again_when_it_is_refused() {
    let world = World::start().await;
    world.all_is_well().await;
    world.server.refusals.store(2, Ordering::SeqCst);
    world.server.hang_up();
    world
        .server
        .until("another session", |told| {
            (told.inventories.len() == 2).then_some(())
        })
        .await;
    assert_eq!(world.server.refusals.load(Ordering::SeqCst), 0);
}
