//! Live state of devices as people and programs see it (`/topic/devices/{id}`, `/topic/overview`, the API).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::alarm::Priority;
use crate::id::{AgentId, DeviceId, LaneId, PointId, ProfileId, ZoneId};
use crate::reading::{Quality, Value};
use crate::text::Text;

/// How a device is, as far as anybody can know. Six distinct answers, never merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Answers, and nothing is wrong.
    Ok,
    /// Answers, and something is wrong.
    Faulty,
    /// Silent: nobody knows.
    Unknown,
    /// Taken out of service by a person.
    OutOfService,
    /// Switched off on purpose.
    OffOnPurpose,
    /// Announced by an agent, and approved by nobody yet.
    Unregistered,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 6] = [
        Self::Ok,
        Self::Faulty,
        Self::Unknown,
        Self::OutOfService,
        Self::OffOnPurpose,
        Self::Unregistered,
    ];

    /// The condition as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Faulty => "faulty",
            Self::Unknown => "unknown",
            Self::OutOfService => "out_of_service",
            Self::OffOnPurpose => "off_on_purpose",
            Self::Unregistered => "unregistered",
        }
    }
}

/// One point's newest reading, as the server can vouch for it now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointView {
    /// Which point.
    pub point: PointId,
    /// The newest value; read `quality` before you show it.
    pub value: Option<Value>,
    /// How far to trust it now: the server turns `good` into `stale` or `comm_lost` when it no longer is.
    pub quality: Quality,
    /// When the source last confirmed it.
    pub at: Option<DateTime<Utc>>,
}

/// One device, live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Which device.
    pub id: DeviceId,
    /// What people call it.
    pub name: Text,
    /// Where it stands.
    pub zone: ZoneId,
    /// Its lane.
    pub lane: Option<LaneId>,
    /// Its type.
    pub profile: ProfileId,
    /// The kind of machine.
    pub class: String,
    /// Who serves it.
    pub agent: AgentId,
    /// How it is.
    pub condition: Condition,
    /// Since when.
    pub condition_since: DateTime<Utc>,
    /// The most urgent active alarm.
    pub highest_alarm: Option<Priority>,
    /// Active alarms.
    pub active_alarms: u32,
    /// Active or returned alarms that nobody acknowledged.
    pub unacknowledged_alarms: u32,
    /// When the server last heard anything of it.
    pub last_heard_at: Option<DateTime<Utc>>,
    /// Its points, in the order of its profile.
    pub points: Vec<PointView>,
}

/// One zone of the overview (`/topic/overview`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneView {
    /// Which zone.
    pub id: ZoneId,
    /// What people call it.
    pub name: Text,
    /// Devices in it.
    pub devices: u32,
    /// Of these, silent.
    pub unknown: u32,
    /// Of these, faulty.
    pub faulty: u32,
    /// The most urgent active alarm.
    pub highest_alarm: Option<Priority>,
    /// Active alarms.
    pub active_alarms: u32,
    /// Active or returned alarms that nobody acknowledged.
    pub unacknowledged_alarms: u32,
}
