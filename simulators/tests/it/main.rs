//! The airport from outside: raw sockets, raw ptys, plain HTTP. No driver of ours takes part.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

mod binary;
mod bus;
mod control;
mod harness;
mod restart;
mod scenario;
mod wires;
