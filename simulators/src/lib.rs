//! The airport without the airport: equipment that behaves, fails on cue, and keeps a truth log.
//!
//! ```text
//! airport.toml ─▶ config ─▶ airport ─┬─▶ device (one task per machine) ─▶ wire ─▶ behaviour
//!                                    ├─▶ bus (one task per shared line) ─▶ its devices
//!                                    ├─▶ scenario (faults by the clock)      └──▶ truth
//!                                    └─▶ control (faults by HTTP)
//! ```
//!
//! Equipment stands on real wires: TCP ports on loopback, and ptys for serial lines. Nothing here is shared with
//! the drivers that read it. Tests hold an [`Airport`]:
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let config = simulators::AirportConfig::parse(
//!     r#"
//!     [[zone]]
//!     id = "p1"
//!     name = { ko = "주차장 P1", en = "Car park P1" }
//!     [[agent]]
//!     id = "agent-p1"
//!     [[device]]
//!     id = "gate-1"
//!     kind = "gate"
//!     zone = "p1"
//!     agent = "agent-p1"
//!     name = { ko = "차단기", en = "Gate" }
//!     "#,
//!     "airport.toml",
//! )?;
//! let dir = tempfile::tempdir()?;
//! let airport = simulators::Airport::start(config, dir.path()).await?;
//! airport.set_fault("gate-1", simulators::Fault::Jammed).await?;
//! assert_eq!(airport.truth()?.len(), 2);
//! airport.shutdown().await?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod airport;
mod behaviour;
mod bus;
pub mod config;
mod control;
mod device;
mod directory;
mod fault;
mod port;
mod pty;
mod scenario;
mod site;
pub mod truth;
mod wire;

pub use airport::{Airport, StartError};
pub use behaviour::{Coil, GateState, GateStatus, LoopState, Pulses};
pub use config::{AirportConfig, ConfigError};
pub use directory::{ControlError, DeviceState};
pub use fault::{Fault, FaultError, Kind, Medium};
pub use site::Address;
pub use truth::{Cause, TruthEvent, TruthLine};
