//! Every fault of the wire at once, each on a line of its own: what the agent says of whoever has it, and of its
//! neighbours.
//!
//! Whatever comes over the wire, a value of good quality is the device's. Not here are the faults in which the device
//! itself says what is not so (`frozen`, `torn_counter`, and those of its own kind): no driver can see them.

use std::collections::BTreeMap;

use contract::{Quality, Value};
use simulators::{Fault, Kind, Medium};

use crate::agent::World;
use crate::harness::{Told, profiles_dir};

/// What the agent says of a device with a fault of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Its values: the wrong part of what comes is skipped, or is not there in what is polled.
    Good,
    /// What was last read, as old as it is: the device asks for patience.
    Kept,
    /// That it refuses.
    Bad,
    /// That there is no contact.
    Lost,
    /// One of these, as it comes.
    Any,
}

/// The table. `None`: what the device does itself, and no fault of its wire.
fn said(fault: Fault, medium: Medium) -> Option<Said> {
    let on_bus = medium == Medium::Bus;
    Some(match fault {
        Fault::Silent
        | Fault::Reboot
        | Fault::Disconnected
        | Fault::Reset
        | Fault::LateReply
        | Fault::Truncated
        | Fault::WrongCrc
        | Fault::WrongUnit
        | Fault::WrongTransaction
        | Fault::WrongLength
        | Fault::Exception10
        | Fault::Exception11 => Said::Lost,
        Fault::Exception1
        | Fault::Exception2
        | Fault::Exception3
        | Fault::Exception4
        | Fault::Exception8 => Said::Bad,
        Fault::Exception5 | Fault::Exception6 => Said::Kept,
        Fault::SlowBytes | Fault::WrongEcho | Fault::OneConnection => Said::Good,
        Fault::NoiseBefore | Fault::NoiseAfter | Fault::Duplicate if on_bus => Said::Good,
        // Modbus TCP has nothing by which to find its place again: the connection goes, and comes.
        Fault::NoiseBefore | Fault::NoiseAfter | Fault::Duplicate => Said::Any,
        // Refuses some blocks, and gives others.
        Fault::MaxRegs => Said::Any,
        Fault::Frozen
        | Fault::TornCounter
        | Fault::Error
        | Fault::Jammed
        | Fault::Uncalibrated
        | Fault::Stuck
        | Fault::LoopOpen
        | Fault::LoopShort
        | Fault::StuckOn => return None,
        Fault::PaperLow
        | Fault::PaperOut
        | Fault::CardDown
        | Fault::CashFull
        | Fault::CoverOpen
        | Fault::PaperNearEnd
        | Fault::PaperEnd
        | Fault::CutterError
        | Fault::Offline => unreachable!("no Modbus device has it"),
    })
}

/// A device with a fault to come.
struct Case {
    device: String,
    fault: Fault,
    said: Said,
}

impl Case {
    fn is_said(&self, told: &Told, newest: &Newest<'_>) -> bool {
        let wanted = match self.said {
            Said::Good | Said::Kept => Quality::Good,
            Said::Bad => Quality::Bad,
            Said::Lost => Quality::CommLost,
            Said::Any => return true,
        };
        let is_wanted = newest.get(&(self.device.as_str(), "state")) == Some(&wanted);
        is_wanted && (losses(told, &self.device) > 0) == (self.said == Said::Lost)
    }
}

const HEAD: &str = r#"
[[zone]]
id = "p1"
name = { ko = "주차장 P1", en = "Car park P1" }
[[agent]]
id = "agent-p1"
"#;

fn device(id: &str, kind: Kind, place: &str) -> String {
    format!(
        "[[device]]\nid = \"{id}\"\nkind = \"{kind}\"\nzone = \"p1\"\n{place}\nname = {{ ko = \"{id}\", en = \"{id}\" }}\n"
    )
}

/// A bus for each fault: a gate and a loop that are well, and a loop between them that will not be.
fn buses(kind: &str) -> (String, Vec<Case>) {
    let mut airport = HEAD.to_owned();
    let mut cases = Vec::new();
    let faults = Fault::of(Kind::Loop, Medium::Bus);
    for (fault, said) in faults.filter_map(|fault| Some((fault, said(fault, Medium::Bus)?))) {
        let n = cases.len();
        airport += &format!(
            "[[bus]]\nid = \"bus-{n}\"\nagent = \"agent-p1\"\nkind = \"{kind}\"\nbaud = 38400\nturn_round = \"4ms\"\n"
        );
        let place = |unit| format!("bus = \"bus-{n}\"\nunit = {unit}");
        airport += &device(&format!("gate-{n}"), Kind::Gate, &place(1));
        airport += &device(&format!("sick-{n}"), Kind::Loop, &place(2));
        airport += &device(&format!("loop-{n}"), Kind::Loop, &place(3));
        cases.push(Case {
            device: format!("sick-{n}"),
            fault,
            said,
        });
    }
    (airport, cases)
}

/// A gate with a TCP port of its own for each fault, and one that will be well.
fn gates() -> (String, Vec<Case>) {
    let place = "agent = \"agent-p1\"";
    let mut airport = HEAD.to_owned() + &device("gate-well", Kind::Gate, place);
    let mut cases = Vec::new();
    let faults = Fault::of(Kind::Gate, Medium::Tcp);
    for (fault, said) in faults.filter_map(|fault| Some((fault, said(fault, Medium::Tcp)?))) {
        let id = format!("sick-{}", cases.len());
        airport += &device(&id, Kind::Gate, place);
        cases.push(Case {
            device: id,
            fault,
            said,
        });
    }
    (airport, cases)
}

/// The shipped profiles, polled faster and given up on for shorter, so that minutes become seconds.
fn fast_profiles(directory: &std::path::Path) -> std::path::PathBuf {
    let target = directory.join("profiles");
    std::fs::create_dir(&target).unwrap();
    for entry in std::fs::read_dir(profiles_dir()).unwrap() {
        let entry = entry.unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let text = text
            .replace(
                "first = \"2s\", max = \"10s\"",
                "first = \"1s\", max = \"1s\"",
            )
            .replace("slow = \"10s\"", "slow = \"1s\"")
            .replace("normal = \"2s\"", "normal = \"500ms\"");
        std::fs::write(target.join(entry.file_name()), text).unwrap();
    }
    target
}

/// What the devices really are: by gate its operations, by loop its address and the least and the most of its counter.
struct Truth {
    operations: BTreeMap<String, f64>,
    loops: BTreeMap<String, (f64, f64, f64)>,
}

impl Truth {
    async fn of(world: &World, devices: &[String]) -> Self {
        let mut truth = Self {
            operations: BTreeMap::new(),
            loops: BTreeMap::new(),
        };
        for id in devices {
            let state = world.airport.state(id).await.unwrap();
            if let Some(gate) = state.gate {
                truth
                    .operations
                    .insert(id.clone(), f64::from(gate.operations));
            }
            if let Some(detector) = state.detector {
                let now = f64::from(detector.vehicles);
                let unit = f64::from(state.unit.unwrap());
                truth.loops.insert(id.clone(), (unit, now, now));
            }
        }
        truth
    }

    /// The points that the test waits for: each of another block.
    fn watched(&self, device: &str) -> [&'static str; 2] {
        if self.operations.contains_key(device) {
            ["state", "operations"]
        } else {
            ["state", "vehicles"]
        }
    }

    /// Counters have gone on since.
    fn widen(&mut self, later: &Self) {
        for (id, (_, _, most)) in &mut self.loops {
            let (_, now, _) = later.loops[id];
            *most = most.max(now);
        }
    }

    /// A counter begins anew when its power comes back.
    fn begins_anew(&mut self, device: &str) {
        if let Some((_, least, _)) = self.loops.get_mut(device) {
            *least = 0.0;
        }
    }

    fn allows(&self, device: &str, point: &str, value: &Value) -> bool {
        let text = |allowed: &[&str]| matches!(value, Value::Text(text) if allowed.contains(&text.as_str()));
        let number = |least: f64, most: f64| matches!(value, Value::Number(number) if (least..=most).contains(number));
        if let Some(&operations) = self.operations.get(device) {
            return match point {
                "state" => text(&["closed"]),
                "position" | "flags" | "last_error" => number(0.0, 0.0),
                "operations" => number(operations, operations),
                "inputs" => number(2.0, 2.0),
                "firmware" => number(1.0, 1.0),
                "operations.partial" => number(0.0, 1_000.0),
                "board_temp" => number(-5.0, 31.0),
                other => panic!("what is {other}?"),
            };
        }
        let (unit, least, most) = self.loops[device];
        match point {
            "state" => text(&["free", "occupied"]),
            "flags" => [0.0, 258.0].iter().any(|&flags| number(flags, flags)),
            "vehicles" => number(least, most),
            "relay.1" => matches!(value, Value::Bool(_)),
            "relay.2" => *value == Value::Bool(false),
            "module" => number(34.0, 34.0),
            "node" => number(unit, unit),
            other => panic!("what is {other}?"),
        }
    }
}

/// Each reading of good quality that was ever told is the device's.
fn nothing_wrong_is_good(told: &Told, truth: &Truth) {
    for news in told.readings.iter().flat_map(|report| &report.devices) {
        for reading in news
            .readings
            .iter()
            .filter(|reading| reading.quality == Quality::Good)
        {
            let (device, point) = (news.device.as_str(), reading.point.as_str());
            let value = reading.value.as_ref().unwrap();
            assert!(
                truth.allows(device, point, value),
                "{device} {point}: {value:?}"
            );
        }
    }
}

/// The newest quality of each point of each device.
type Newest<'a> = BTreeMap<(&'a str, &'a str), Quality>;

fn newest(told: &Told) -> Newest<'_> {
    let news = told.readings.iter().flat_map(|report| &report.devices);
    let readings = news.flat_map(|news| news.readings.iter().map(move |reading| (news, reading)));
    readings
        .map(|(news, reading)| {
            (
                (news.device.as_str(), reading.point.as_str()),
                reading.quality,
            )
        })
        .collect()
}

fn all_good(told: &Told, truth: &Truth, devices: &[String]) -> Option<()> {
    let newest = newest(told);
    let good = |device: &String| {
        let is_good = |point| newest.get(&(device.as_str(), point)) == Some(&Quality::Good);
        truth.watched(device).into_iter().all(is_good)
    };
    devices.iter().all(good).then_some(())
}

/// Contacts that were lost, by device.
fn losses(told: &Told, device: &str) -> usize {
    let faults = told.faults(device);
    faults.iter().filter(|fault| *fault == "+COMM").count()
}

async fn check((airport, cases): (String, Vec<Case>)) {
    let directory = tempfile::tempdir().unwrap();
    let profiles = fast_profiles(directory.path());
    let mut world = World::start_in(directory, &airport, profiles).await;
    let parsed = simulators::AirportConfig::parse(&airport, "airport.toml").unwrap();
    let devices: Vec<String> = parsed
        .devices
        .iter()
        .map(|device| device.id.to_string())
        .collect();
    let mut truth = Truth::of(&world, &devices).await;
    world
        .server
        .until("all good", |told| all_good(told, &truth, &devices))
        .await;

    for case in &cases {
        world
            .airport
            .set_fault(&case.device, case.fault)
            .await
            .unwrap();
    }
    // As many requests as it takes to give a device up, and some more; nobody asks what refuses connections.
    let connected = cases
        .iter()
        .filter(|case| case.fault != Fault::Disconnected);
    let asked: Vec<_> = connected
        .map(|case| {
            let requests = world.airport.requests(&case.device).unwrap();
            let enough = *requests.borrow() + 5;
            (requests, enough)
        })
        .collect();
    for (mut requests, enough) in asked {
        let count = requests.wait_for(|&requests| requests >= enough).await;
        count.unwrap();
    }
    world
        .server
        .until("each says what the table says", |told| {
            let newest = newest(told);
            let all = cases.iter().all(|case| case.is_said(told, &newest));
            all.then_some(())
        })
        .await;
    for case in &cases {
        world
            .airport
            .clear_fault(&case.device, case.fault)
            .await
            .unwrap();
    }
    world
        .server
        .until("all good again", |told| all_good(told, &truth, &devices))
        .await;

    let told = world.server.told.borrow().clone();
    for case in cases.iter().filter(|case| case.fault == Fault::Reboot) {
        truth.begins_anew(&case.device);
    }
    truth.widen(&Truth::of(&world, &devices).await);
    nothing_wrong_is_good(&told, &truth);
    for neighbour in devices
        .iter()
        .filter(|id| cases.iter().all(|case| case.device != **id))
    {
        assert_eq!(losses(&told, neighbour), 0, "{neighbour}");
    }
    world.stop_agent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_serial_bus_no_fault_of_one_unit_is_a_wrong_value_or_anothers_loss() {
    check(buses("pty")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_gateway_no_fault_of_one_unit_is_a_wrong_value_or_anothers_loss() {
    check(buses("tcp")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_modbus_tcp_no_fault_of_the_wire_is_a_wrong_value() {
    check(gates()).await;
}
