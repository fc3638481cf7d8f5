//! Values with quality and age (`SEND /app/readings`).
//!
//! Reported by exception: a reading travels when it changed, when a session begins, and for integrity now and then;
//! in between, `polls` says which poll classes were read successfully and when, so that a value that did not change
//! is known to be fresh. A value that could not be read travels too, with the quality that says so.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, DeviceId, InstanceId, PointId};

/// What a point measured: a number, a switch, or a word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// On or off.
    Bool(bool),
    /// A number in the point's unit. Registers of 32 bits are exact.
    Number(f64),
    /// A word: an enumeration's label, a serial number.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(on) => on.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// How far a value can be trusted (after OPC UA Part 8 and the DNP3 flags).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Read and plausible.
    Good,
    /// Read, but out of range or frozen.
    Suspect,
    /// The device answered with an exception or an invalid value.
    Bad,
    /// Read once, too long ago.
    Stale,
    /// The device does not answer.
    CommLost,
    /// Never read.
    Unknown,
}

impl Quality {
    /// Every quality.
    pub const ALL: [Self; 6] = [
        Self::Good,
        Self::Suspect,
        Self::Bad,
        Self::Stale,
        Self::CommLost,
        Self::Unknown,
    ];

    /// The quality as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Suspect => "suspect",
            Self::Bad => "bad",
            Self::Stale => "stale",
            Self::CommLost => "comm_lost",
            Self::Unknown => "unknown",
        }
    }
}

/// One value of one point. There is no value without its quality and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Which point of the device.
    pub point: PointId,
    /// The value; absent when there is none to trust (`bad`, `comm_lost`, `unknown`), or the last one, marked so.
    pub value: Option<Value>,
    /// How far to trust it.
    pub quality: Quality,
    /// Source time: the agent's wall clock at the last byte of the reply that held the value.
    pub at: DateTime<Utc>,
}

/// How often a point is read: each class has its period in the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PollClass {
    /// Movement and safety.
    Fast,
    /// State.
    Normal,
    /// Wear, environment.
    Slow,
    /// Identity: once for each connection.
    Once,
}

/// What is new of one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceReadings {
    /// Which device.
    pub device: DeviceId,
    /// The poll classes read successfully since the last report, with the time of the newest reply: the readings of
    /// such a class that are not repeated here are as they were, and that fresh.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub polls: BTreeMap<PollClass, DateTime<Utc>>,
    /// Readings that changed, in value or in quality.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
}

/// The body of `SEND /app/readings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Readings {
    /// Who reports.
    pub agent: AgentId,
    /// Which process of that agent.
    pub instance: InstanceId,
    /// Rises by one with each report of this instance: an older report never overwrites a newer one.
    pub sequence: u64,
    /// The agent's wall clock when it sent this: what the stamps of polls and readings are compared with.
    pub sent_at: DateTime<Utc>,
    /// The agent's monotonic clock when it sent this, in milliseconds since the instance began: shows how long a report
    /// waited on its way.
    pub monotonic_ms: u64,
    /// What is new.
    pub devices: Vec<DeviceReadings>,
}
