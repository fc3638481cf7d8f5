//! The airport file: zones, agents, devices, and the scenario of faults.
//!
//! Pure but for [`AirportConfig::read`]. What parses is consistent: each reference leads somewhere, each fault fits
//! its device, no two steps of the scenario overlap on one fault.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use contract::{AgentId, DeviceId, LaneId, LineId, Text, ZoneId};
use serde::{Deserialize, Deserializer};

use crate::fault::{Fault, FaultError, Kind, Medium};

mod bus;

use bus::WrittenBus;
pub use bus::{Bus, BusKind, Stand};

/// A scenario's round is at least this long, or its steps would switch faults faster than anybody could see.
const ROUND_MIN: Duration = Duration::from_secs(1);

/// A whole simulated airport, checked.
#[derive(Debug, Clone)]
pub struct AirportConfig {
    /// The parts of the site, in the order of the file.
    pub zones: Vec<Zone>,
    /// Who serves the devices.
    pub agents: Vec<AgentId>,
    /// The buses, each with a device on it, in the order of the file.
    pub buses: Vec<Bus>,
    /// The devices, in the order of the file.
    pub devices: Vec<Device>,
    /// What goes wrong by itself; `None` when nothing does.
    pub scenario: Option<Scenario>,
}

/// A part of the site.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its id.
    pub id: ZoneId,
    /// What people call it.
    pub name: Text,
}

/// One simulated device.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its id, which is its line's id as well unless it stands on a bus.
    pub id: DeviceId,
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub zone: ZoneId,
    /// Its lane, for what stands in one.
    pub lane: Option<LaneId>,
    /// Who serves it: its bus's agent, for what stands on a bus.
    pub agent: AgentId,
    /// Its place on a bus.
    pub stand: Option<Stand>,
    /// What people call it.
    pub name: Text,
}

impl Device {
    /// What it is reached by.
    pub fn medium(&self) -> Medium {
        match self.stand {
            Some(_) => Medium::Bus,
            None => self.kind.own_medium(),
        }
    }

    /// Its Modbus unit id, for what speaks Modbus: 1, where it need not be told from others.
    pub fn unit(&self) -> Option<u8> {
        let alone = self.kind.speaks_modbus().then_some(1);
        self.stand.as_ref().map(|stand| stand.unit).or(alone)
    }

    /// The fault called `name`, if this device can have it.
    ///
    /// # Errors
    /// It cannot.
    pub fn fault(&self, name: &str) -> Result<Fault, FaultError> {
        Fault::parse(name, self.kind, self.medium())
    }
}

/// Faults that come and go by themselves.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The whole list starts again after this time; `None` runs it once.
    pub every: Option<Duration>,
    /// The faults, in the order of the file.
    pub steps: Vec<Step>,
}

/// One fault that comes and goes.
#[derive(Debug, Clone)]
pub struct Step {
    /// When, counted from the start of a round.
    pub at: Duration,
    /// Whose.
    pub device: DeviceId,
    /// What.
    pub fault: Fault,
    /// For how long.
    pub duration: Duration,
}

/// Why an airport file cannot be used: one sentence that names the file, the place and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct ConfigError {
    file: String,
    problem: String,
    #[source]
    source: Option<std::io::Error>,
}

impl AirportConfig {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(error) => Err(ConfigError {
                file,
                problem: format!("cannot be read: {error}"),
                source: Some(error),
            }),
        }
    }

    /// Checks `text`; `file` is what errors call it.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let error = |problem| ConfigError {
            file: file.to_owned(),
            problem,
            source: None,
        };
        let written: Written = toml::from_str(text).map_err(|cause| {
            let message = cause.message().trim().replace('\n', "; ");
            let line = cause.span().map(|span| {
                let before = &text.as_bytes()[..span.start.min(text.len())];
                1 + before.iter().filter(|&&byte| byte == b'\n').count()
            });
            error(match line {
                Some(line) => format!("line {line}: {message}"),
                None => message,
            })
        })?;
        written.check().map_err(error)
    }

    /// The device called `id`.
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.id.as_str() == id)
    }
}

/// The file as it is written, before anything is checked against anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, rename = "zone")]
    zones: Vec<Zone>,
    #[serde(default, rename = "agent")]
    agents: Vec<WrittenAgent>,
    #[serde(default, rename = "bus")]
    buses: Vec<WrittenBus>,
    #[serde(default, rename = "device")]
    devices: Vec<WrittenDevice>,
    scenario: Option<WrittenScenario>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDevice {
    id: DeviceId,
    kind: Kind,
    zone: ZoneId,
    lane: Option<LaneId>,
    /// Of what does not stand on a bus.
    agent: Option<AgentId>,
    /// Of what does, with `unit`.
    bus: Option<LineId>,
    unit: Option<u8>,
    name: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAgent {
    id: AgentId,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenScenario {
    #[serde(default, deserialize_with = "optional_duration")]
    every: Option<Duration>,
    #[serde(default, rename = "step")]
    steps: Vec<WrittenStep>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    #[serde(deserialize_with = "duration")]
    at: Duration,
    device: DeviceId,
    fault: String,
    #[serde(rename = "for", deserialize_with = "duration")]
    duration: Duration,
}

impl Written {
    fn check(self) -> Result<AirportConfig, String> {
        let zones = unique("zone", self.zones.iter().map(|zone| zone.id.as_str()))?;
        let agents = unique("agent", self.agents.iter().map(|agent| agent.id.as_str()))?;
        let devices = self.devices.iter().map(|device| device.id.as_str());
        unique("device", devices.clone())?;
        // One name for each line of a site file, whether one device has it or several.
        let buses = self.buses.iter().map(|bus| bus.id.as_str());
        unique("bus", buses.clone())?;
        unique("device]] or [[bus", devices.chain(buses))?;
        if self.devices.is_empty() {
            return Err("there is no [[device]]: an airport needs at least one".to_owned());
        }
        let buses: Vec<Bus> = self
            .buses
            .into_iter()
            .map(WrittenBus::check)
            .collect::<Result<_, _>>()?;
        for bus in &buses {
            let place = format!("[[bus]] {:?}", bus.id.as_str());
            declared(&place, "agent", bus.agent.as_str(), &agents)?;
        }
        let devices: Vec<Device> = self
            .devices
            .into_iter()
            .map(|device| device.check(&buses))
            .collect::<Result<_, _>>()?;
        for device in &devices {
            let place = format!("[[device]] {:?}", device.id.as_str());
            declared(&place, "zone", device.zone.as_str(), &zones)?;
            declared(&place, "agent", device.agent.as_str(), &agents)?;
        }
        bus::check_units(&buses, &devices)?;
        let scenario = self
            .scenario
            .map(|scenario| scenario.check(&devices))
            .transpose()?;
        Ok(AirportConfig {
            zones: self.zones,
            agents: self.agents.into_iter().map(|agent| agent.id).collect(),
            buses,
            devices,
            scenario,
        })
    }
}

impl WrittenDevice {
    fn check(self, buses: &[Bus]) -> Result<Device, String> {
        let (agent, stand) = match (self.agent, self.bus, self.unit) {
            (Some(agent), None, None) => (agent, None),
            (None, Some(bus), Some(unit)) => {
                let stand = Stand { bus, unit };
                let agent = stand.check(self.kind, buses);
                let agent =
                    agent.map_err(|error| format!("[[device]] {:?}: {error}", self.id.as_str()))?;
                (agent, Some(stand))
            }
            _ => {
                return Err(format!(
                    "[[device]] {:?}: write `agent`, or `bus` and `unit` for what stands on a bus, whose agent it has",
                    self.id.as_str()
                ));
            }
        };
        Ok(Device {
            id: self.id,
            kind: self.kind,
            zone: self.zone,
            lane: self.lane,
            agent,
            stand,
            name: self.name,
        })
    }
}

impl WrittenScenario {
    fn check(self, devices: &[Device]) -> Result<Scenario, String> {
        if let Some(every) = self.every.filter(|&every| every < ROUND_MIN) {
            return Err(format!(
                "[scenario] every: {every:?} is too short, a round takes at least {ROUND_MIN:?}"
            ));
        }
        let mut steps: Vec<Step> = Vec::with_capacity(self.steps.len());
        for (n, step) in self.steps.into_iter().enumerate() {
            let place = format!("[[scenario.step]] number {}", n + 1);
            let device = devices
                .iter()
                .find(|device| device.id == step.device)
                .ok_or_else(|| format!("{place}: there is no device {:?}", step.device.as_str()))?;
            let fault = device
                .fault(&step.fault)
                .map_err(|error| format!("{place}: {error}"))?;
            if step.duration.is_zero() {
                return Err(format!("{place}: `for` is zero, a fault has to last"));
            }
            let end = step.at + step.duration;
            if let Some(every) = self.every.filter(|&every| end > every) {
                return Err(format!(
                    "{place}: ends {end:?} after the start of a round, and a round takes {every:?}"
                ));
            }
            let step = Step {
                at: step.at,
                device: step.device,
                fault,
                duration: step.duration,
            };
            if let Some(other) = steps.iter().position(|other| overlap(other, &step)) {
                return Err(format!(
                    "{place}: {} of {} is already on then, by number {}",
                    step.fault,
                    step.device,
                    other + 1
                ));
            }
            steps.push(step);
        }
        Ok(Scenario {
            every: self.every,
            steps,
        })
    }
}

fn overlap(one: &Step, other: &Step) -> bool {
    one.device == other.device
        && one.fault == other.fault
        && one.at < other.at + other.duration
        && other.at < one.at + one.duration
}

fn unique<'a>(what: &str, ids: impl Iterator<Item = &'a str>) -> Result<BTreeSet<&'a str>, String> {
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(format!(
                "[[{what}]] {id:?} is there twice; ids are used once"
            ));
        }
    }
    Ok(seen)
}

fn declared(place: &str, what: &str, id: &str, declared: &BTreeSet<&str>) -> Result<(), String> {
    if declared.contains(id) {
        return Ok(());
    }
    let declared: Vec<_> = declared.iter().copied().collect();
    Err(format!(
        "{place}: there is no [[{what}]] {id:?}; there are: {}",
        declared.join(", ")
    ))
}

/// A duration such as `250ms`, `20s`, `5m` or `1h`.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    // Days at most: far from where adding two durations, or one to a clock, could overflow.
    const LONGEST_MS: u64 = 30 * 24 * 3_600_000;
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (ms <= LONGEST_MS).then(|| Duration::from_millis(ms))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "{text:?} is no duration: write a whole number with ms, s, m or h, such as \"20s\", 30 days at most"
        ))
    })
}

fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
