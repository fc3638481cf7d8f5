//! Faults raised and cleared (`SEND /app/events` with a receipt).
//!
//! An event is `(agent, epoch, sequence)`: sent until its RECEIPT came, stored once. The same key with other content
//! is never taken for a duplicate.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::alarm::Severity;
use crate::id::{AgentId, DeviceId, Epoch, FaultCode};
use crate::reading::Value;

/// The most events in one frame: with 300 bytes each, it stays below the 64 KiB that every STOMP peer accepts.
pub const MAX_EVENTS_PER_FRAME: usize = 100;

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A rule of the profile found something wrong, for longer than its on-delay.
    FaultRaised {
        /// What.
        fault: FaultCode,
        /// How bad, as the profile sees it.
        severity: Severity,
        /// A value that tells more, for the `{value}` in the fault's text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Value>,
    },
    /// It is no longer wrong, for longer than its off-delay; also said once of each fault by an agent whose outbox is
    /// new, so that nothing stays active that an earlier outbox had raised.
    FaultCleared {
        /// What.
        fault: FaultCode,
    },
}

/// One event of one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one with each event of an epoch, from 1.
    pub sequence: u64,
    /// Which device.
    pub device: DeviceId,
    /// Source time: the agent's wall clock when the delay of the rule was over.
    pub at: DateTime<Utc>,
    /// What happened.
    #[serde(flatten)]
    pub happening: Happening,
}

/// The body of `SEND /app/events`: at most [`MAX_EVENTS_PER_FRAME`] events, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Events {
    /// Who reports.
    pub agent: AgentId,
    /// Which outbox of that agent.
    pub epoch: Epoch,
    /// What happened.
    pub events: Vec<Event>,
}
