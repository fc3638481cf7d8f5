//! What a device shall do, and what became of it.
//!
//! A command is *delivered* at least once and *written to the wire* at most once. Its deadline is expressed in the
//! receiving agent's own monotonic clock, so that a stalled socket or a wrong wall clock cannot make an old command
//! look fresh.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, CommandId, DeviceId, InstanceId};
use crate::reading::Value;

/// What a command can do to people and property; policy maps it to roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Asks only.
    View,
    /// Part of the day's work.
    Normal,
    /// Interrupts service or needs care.
    Critical,
    /// Must never be hindered: a gate opened for an ambulance.
    Emergency,
}

/// The body of a MESSAGE on `/user/queue/commands`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Which command.
    pub id: CommandId,
    /// Which device.
    pub device: DeviceId,
    /// The name of a command type of the device's profile.
    pub name: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// When a person or program gave it (server's wall clock; for people, never for decisions).
    pub issued_at: DateTime<Utc>,
    /// The instance whose clock the deadline is in; any other one refuses the command as expired.
    pub instance: InstanceId,
    /// Must have begun by this reading of the instance's monotonic clock, in milliseconds.
    pub deadline_monotonic_ms: u64,
}

/// Where a command stands. [`Self::is_final`] tells which states it does not leave by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// A second person must approve.
    AwaitingApproval,
    /// Stored and audited; not on the wire yet.
    Queued,
    /// Written to a live session.
    Sent,
    /// The agent has it in its journal.
    Delivered,
    /// The agent's interlocks passed; it will run.
    Accepted,
    /// Written to the device; not seen to be done yet.
    Executing,
    /// Done, and seen to be done.
    Succeeded,
    /// The device said yes, and was not seen doing it.
    Unverified,
    /// Refused; nothing happened.
    Rejected,
    /// Tried; did not work.
    Failed,
    /// Nobody can say whether it happened.
    Unknown,
    /// Its time was over before it was executed; it never will be.
    Expired,
    /// Taken back before it was sent.
    Cancelled,
}

impl CommandState {
    /// Every state.
    pub const ALL: [Self; 13] = [
        Self::AwaitingApproval,
        Self::Queued,
        Self::Sent,
        Self::Delivered,
        Self::Accepted,
        Self::Executing,
        Self::Succeeded,
        Self::Unverified,
        Self::Rejected,
        Self::Failed,
        Self::Unknown,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The state as it stands on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Accepted => "accepted",
            Self::Executing => "executing",
            Self::Succeeded => "succeeded",
            Self::Unverified => "unverified",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing can change it any more. `unknown` and `unverified` are not final: a late result or a person
    /// ends them.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Rejected | Self::Failed | Self::Expired | Self::Cancelled
        )
    }
}

/// Why a command was refused or did not end well (after the AddCause of IEC 61850-7-2 and the status codes of DNP3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// The device is switched to local operation.
    DeviceInLocal,
    /// It must be selected first.
    NotSelected,
    /// Somebody else has selected it.
    Locked,
    /// The selection timed out.
    SelectExpired,
    /// It is already as commanded.
    AlreadyInState,
    /// A tag forbids it.
    TaggedOut,
    /// An interlock does not hold, or its data is too old to tell.
    Interlock,
    /// The device executes another command.
    Busy,
    /// The device reports a fault that forbids it.
    DeviceFault,
    /// Only one of a group may run.
    OneAtATime,
    /// Whoever gave it may not.
    Forbidden,
    /// A parameter is missing, unknown or out of range.
    BadParameter,
    /// The profile has no such command.
    NotSupported,
    /// The device or its agent cannot be reached.
    CommLost,
    /// Somebody took it back.
    Cancelled,
    /// It ran, and what was read back is something else.
    FeedbackMismatch,
    /// Its deadline had passed.
    DeadlinePassed,
    /// The agent stopped while it was being executed.
    Interrupted,
}

impl ReasonCode {
    /// The code as it stands on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceInLocal => "device_in_local",
            Self::NotSelected => "not_selected",
            Self::Locked => "locked",
            Self::SelectExpired => "select_expired",
            Self::AlreadyInState => "already_in_state",
            Self::TaggedOut => "tagged_out",
            Self::Interlock => "interlock",
            Self::Busy => "busy",
            Self::DeviceFault => "device_fault",
            Self::OneAtATime => "one_at_a_time",
            Self::Forbidden => "forbidden",
            Self::BadParameter => "bad_parameter",
            Self::NotSupported => "not_supported",
            Self::CommLost => "comm_lost",
            Self::Cancelled => "cancelled",
            Self::FeedbackMismatch => "feedback_mismatch",
            Self::DeadlinePassed => "deadline_passed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why, for machines and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For machines.
    pub code: ReasonCode,
    /// What exactly: the interlock's name, the value that was read, the parameter.
    pub detail: String,
}

/// The body of `SEND /app/command-results`: one step in a command's life, as its agent saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// Who reports.
    pub agent: AgentId,
    /// Which command.
    pub command: CommandId,
    /// Which device.
    pub device: DeviceId,
    /// One of delivered, accepted, executing, succeeded, unverified, rejected, failed, unknown, expired.
    pub state: CommandState,
    /// Why, for every state that is not on the way to success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The agent's wall clock.
    pub at: DateTime<Utc>,
}

/// A command as people and programs see it (`/user/queue/command-progress`, the API).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandView {
    /// Which command.
    pub id: CommandId,
    /// Which device.
    pub device: DeviceId,
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub params: BTreeMap<String, Value>,
    /// Where it stands.
    pub state: CommandState,
    /// Why.
    pub reason: Option<Reason>,
    /// Who gave it.
    pub issued_by: String,
    /// When.
    pub issued_at: DateTime<Utc>,
    /// Since when it stands there.
    pub state_at: DateTime<Utc>,
}

/// The body of `SEND /app/devices/{id}/commands` and of `POST /api/v1/devices/{id}/commands`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandRequest {
    /// Made by whoever asks: the same key is the same command, however often it arrives.
    pub key: uuid::Uuid,
    /// The name of a command type of the device's profile.
    pub name: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
}
