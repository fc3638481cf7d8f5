//! Measures broker and SockJS server against their peers, and the broker against a bare broadcast that parses nothing.
//!
//! `load` plays thousands of subscribers, `load_sockjs` thousands of SockJS sessions, `bare_broadcast` is what one could
//! reach at best, and `bench` starts each side in turn, runs a load against it and prints the ratios. `bytes` counts what
//! one value costs on the wire. This library is what they share, and what is worth a test: [`wire`], [`ledger`] and
//! [`sockjs::echo`] decide whether each message came once, in order and byte for byte.

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
