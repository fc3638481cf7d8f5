//! Tests of the broker over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics says so, and helpers are tests as well"
)]

mod client;
mod connections;
mod door;
mod durable;
mod handling;
mod harness;
mod liveness;
mod manual;
mod open_broker;
mod queues;
mod replies;
mod resuming;
mod retained;
mod rights;
mod securing;
mod subscriptions;
mod tokens;
mod transactions;
mod waiting;
