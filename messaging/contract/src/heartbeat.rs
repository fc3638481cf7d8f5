//! "This agent runs, and this is its clock" (`SEND /app/heartbeats`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, InstanceId, LineId};

/// How often an agent sends one, in milliseconds.
pub const HEARTBEAT_PERIOD_MS: u64 = 10_000;

/// After so many missed heart-beats, the agent and its devices are unknown.
pub const HEARTBEATS_MISSED_MAX: u32 = 3;

/// Whether a line carries anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// Open, and something on it answered lately.
    Up,
    /// Cannot be opened, or nothing on it answers.
    Down,
}

/// One line's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineHealth {
    /// Which line.
    pub line: LineId,
    /// Whether it carries anything.
    pub state: LineState,
}

/// The body of `SEND /app/heartbeats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who reports.
    pub agent: AgentId,
    /// Which process of that agent.
    pub instance: InstanceId,
    /// The agent's wall clock when it sent this.
    pub sent_at: DateTime<Utc>,
    /// The agent's monotonic clock when it sent this, in milliseconds since the instance began: the clock in which
    /// the deadline of a command is expressed.
    pub monotonic_ms: u64,
    /// Events that wait in the outbox for their RECEIPT.
    pub outbox_events: u64,
    /// Every line of the agent.
    pub lines: Vec<LineHealth>,
}
