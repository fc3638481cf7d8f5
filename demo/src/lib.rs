//! A whole small airport on one machine, in the foreground: simulated equipment, server, agents.
//!
//! ```text
//! environment ─▶ settings ─▶ files (written into the data directory)
//!                               │
//!                            launch ─▶ family ─▶ landside-simulators, landside-server, landside-agent (twice)
//!                               └────▶ readiness (waits until each part answers)
//! ```
//!
//! The programs stand beside this one. None outlives it, however it ends: each is started through `setpriv
//! --pdeathsig TERM`.

mod error;
mod family;
mod files;
mod launch;
mod place;
mod readiness;
mod secrets;
mod settings;

pub use error::LaunchError;
pub use launch::{Programs, run};
pub use settings::{HELP, Settings};
