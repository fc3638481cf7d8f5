//! The devices and profiles an agent serves (`SEND /app/inventory`, first in each session).
//!
//! Site files and profiles belong to the agent's machine; this is how the server learns of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::alarm::Severity;
use crate::command::Risk;
use crate::id::{
    AgentId, DeviceId, Epoch, FaultCode, InstanceId, LaneId, LineId, PointId, ProfileId, ZoneId,
};
use crate::reading::PollClass;
use crate::text::Text;

/// One device of the site file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Which device.
    pub id: DeviceId,
    /// What people call it.
    pub name: Text,
    /// Where it stands.
    pub zone: ZoneId,
    /// Its lane, for devices that stand in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneId>,
    /// Its type; announced in the same inventory.
    pub profile: ProfileId,
    /// The line it is reached by.
    pub line: LineId,
}

/// What makes a value personal data. The server masks such values wherever they leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Personal {
    /// The number plate of a vehicle.
    NumberPlate,
}

/// A point as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Which point.
    pub id: PointId,
    /// What people call it.
    pub name: Text,
    /// The unit, for example `%`; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// How often it is read.
    pub poll: PollClass,
    /// The period of that class in milliseconds; 0 for `once`.
    pub period_ms: u64,
    /// The plausible range, where the profile knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// Whether this is the point that says what the device is doing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_state: bool,
    /// Words for people, for each label of an enumeration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Text>,
    /// Whether its values are personal data, and which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
}

/// A fault that the profile's rules can find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its code.
    pub code: FaultCode,
    /// How bad.
    pub severity: Severity,
    /// What people read; `{value}` stands for the event's detail.
    pub text: Text,
    /// Whether that detail is personal data, and which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
}

/// A parameter of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name in the command's `params`.
    pub name: String,
    /// What people call it.
    pub text: Text,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The value that is taken when none is given.
    pub default: f64,
    /// The unit; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

/// A command that devices of a profile take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandType {
    /// Its name, for example `open`.
    pub name: String,
    /// What people read on the button.
    pub text: Text,
    /// Who may give it.
    pub risk: Risk,
    /// Whether a person is asked once more.
    #[serde(default)]
    pub confirm: bool,
    /// Time to live: a command that did not begin within this many milliseconds never will.
    pub ttl_ms: u64,
    /// After so many milliseconds of execution without a result, the outcome is unknown.
    pub timeout_ms: u64,
    /// What it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Parameter>,
}

/// A type of device, as far as the server needs to know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Which type.
    pub id: ProfileId,
    /// The version its file states.
    pub version: u32,
    /// SHA-256 of its file, in hexadecimal.
    pub hash: String,
    /// What people call it.
    pub name: Text,
    /// The kind of machine, for example `barrier`: decides the glyph.
    pub class: String,
    /// What it measures.
    pub points: Vec<Point>,
    /// What can be wrong.
    pub faults: Vec<Fault>,
    /// What it can be told.
    pub commands: Vec<CommandType>,
}

/// The body of `SEND /app/inventory`: all of the agent's devices, never a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Who reports.
    pub agent: AgentId,
    /// Which process of that agent.
    pub instance: InstanceId,
    /// Which outbox of that agent.
    pub epoch: Epoch,
    /// The agent's software version.
    pub version: String,
    /// The agent's wall clock when it sent this.
    pub sent_at: DateTime<Utc>,
    /// The agent's monotonic clock when it sent this, in milliseconds since the instance began.
    pub monotonic_ms: u64,
    /// The types of device that the devices below refer to.
    pub profiles: Vec<Profile>,
    /// The devices.
    pub devices: Vec<Device>,
}
