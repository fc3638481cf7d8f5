//! Measures the broker against its peers, and against a bare broadcast that parses nothing.
//!
//! Three programs: `load` plays thousands of clients, `bare_broadcast` is what one could reach at best, and `bench` starts
//! each side in turn, runs `load` against it and prints the ratios. This library is what they share, and what is worth a
//! test: [`wire`] and [`ledger`] decide whether each subscriber got each message once, in order and byte for byte.

pub mod bytes;
pub mod clients;
pub mod ledger;
pub mod load;
pub mod process;
pub mod publisher;
pub mod report;
pub mod scenarios;
pub mod sides;
pub mod sockjs;
pub mod speech;
pub mod table;
pub mod wire;
