//! Tests of the protocol from outside: against the specifications' text, by properties, and with both sides joined.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics says so, and helpers are tests as well"
)]

mod codec;
mod conformance;
mod harness;
mod heartbeat;
mod laws;
mod limits;
mod memory;
mod pair;
mod properties;
mod server;
mod transactions;
