//! Drivers against peers that misbehave; the whole agent against simulated equipment and a broker.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod agent;
mod binary;
mod commands;
mod escpos;
mod frame;
mod harness;
mod modbus;
mod peer;
mod rtu;
mod tls;
mod wire_faults;
