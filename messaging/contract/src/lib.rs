//! What crosses a process boundary in Landside. **Changing anything here changes the wire.**
//!
//! Agents, self-reporting machines, the server, simulators and programs of third parties meet in these types and
//! nowhere else; `tests/wire_format.rs` pins each of them to a golden file that is never edited. Pure: no clock,
//! no sockets, no SQL.
//!
//! | module | what travels | which way |
//! |---|---|---|
//! | [`inventory`] | the devices and profiles an agent serves | agent → server |
//! | [`heartbeat`] | "this agent runs, and this is its clock" | agent → server |
//! | [`event`] | faults raised and cleared, each exactly once | agent → server |
//! | [`reading`] | values with quality and age | agent → server |
//! | [`command`] | what a device shall do, and what became of it | both |
//! | [`alarm`], [`device`] | live state for people and programs | server → all |
//! | [`destination`] | the only place where a destination is built or parsed | both |
//!
//! Bodies are JSON. Receivers ignore members they do not know, so that an older process understands a newer one.

pub mod alarm;
pub mod command;
pub mod destination;
pub mod device;
pub mod event;
pub mod heartbeat;
pub mod id;
pub mod inventory;
pub mod reading;
pub mod role;
pub mod text;

pub use destination::Destination;
pub use id::{
    AgentId, CommandId, DeviceId, Epoch, FaultCode, IdError, InstanceId, LaneId, LineId, PointId,
    ProfileId, ZoneId,
};
pub use reading::{Quality, Value};
pub use role::Role;
pub use text::{Language, Text};
