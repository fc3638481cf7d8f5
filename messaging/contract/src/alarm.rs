//! Alarms as people and programs see them (`/topic/alarms`, `/topic/zones/{zone}/alarms`, the API).
//!
//! An alarm is a definition on a device and its occurrences; the words follow ISA-18.2 and OPC UA Part 9.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, FaultCode, LaneId, ZoneId};
use crate::reading::Value;
use crate::text::Text;

/// How bad a fault is in the eyes of its profile (X.733's names).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Out of order, or dangerous.
    Critical,
    /// Much reduced.
    Major,
    /// Somewhat reduced.
    Minor,
    /// Will need attention.
    Warning,
}

/// How soon people must act: 1 first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Priority {
    /// 1.
    Critical = 1,
    /// 2.
    High = 2,
    /// 3.
    Medium = 3,
    /// 4.
    Low = 4,
}

impl Priority {
    /// Every priority, most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// The number that people see.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl From<Severity> for Priority {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Critical,
            Severity::Major => Self::High,
            Severity::Minor => Self::Medium,
            Severity::Warning => Self::Low,
        }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.number()
    }
}

/// A number that is no priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no alarm priority: use 1 (critical), 2 (high), 3 (medium) or 4 (low)")]
pub struct UnknownPriority(pub u8);

impl TryFrom<u8> for Priority {
    type Error = UnknownPriority;
    fn try_from(number: u8) -> Result<Self, UnknownPriority> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.number() == number)
            .ok_or(UnknownPriority(number))
    }
}

/// The states of ISA-18.2 that need no flag; shelved, suppressed and out of service are flags over these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// A: nothing to do.
    Normal,
    /// B: active, and nobody has said "I have seen it".
    Unacknowledged,
    /// C: active, and somebody has.
    Acknowledged,
    /// D: over, and nobody has.
    ReturnedUnacknowledged,
}

impl AlarmState {
    /// The state as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Unacknowledged => "unacknowledged",
            Self::Acknowledged => "acknowledged",
            Self::ReturnedUnacknowledged => "returned_unacknowledged",
        }
    }
}

/// Who said "I have seen it", and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When (server's clock).
    pub at: DateTime<Utc>,
}

/// One alarm with its newest occurrence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmView {
    /// The alarm: stays the same over its occurrences.
    pub id: i64,
    /// Which device.
    pub device: DeviceId,
    /// What people call that device.
    pub device_name: Text,
    /// Where it stands.
    pub zone: ZoneId,
    /// Its lane.
    pub lane: Option<LaneId>,
    /// What is wrong.
    pub code: FaultCode,
    /// What people read, with the occurrence's value in it.
    pub text: Text,
    /// How soon to act.
    pub priority: Priority,
    /// Where it stands.
    pub state: AlarmState,
    /// Which occurrence this is: rises by one with each raise. Whoever acknowledges says which one was seen.
    pub occurrence: i64,
    /// How often it was raised since it was last normal.
    pub count: i32,
    /// When the condition became true (source time).
    pub raised_at: DateTime<Utc>,
    /// When the server stored that.
    pub received_at: DateTime<Utc>,
    /// When the condition became false again (source time).
    pub cleared_at: Option<DateTime<Utc>>,
    /// Who has seen it.
    pub acknowledged: Option<Acknowledgement>,
    /// The value at the raise.
    pub detail: Option<Value>,
}

/// The body of `SEND /app/alarms/{id}/acknowledge` and of its HTTP twin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// The occurrence that was seen: a newer one is not acknowledged along with it.
    pub occurrence: i64,
    /// A word to those who come after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
