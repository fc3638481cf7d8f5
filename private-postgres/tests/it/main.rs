//! Private clusters of a real Postgres: their life, what they survive, and what they say when they cannot run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod exec;
mod harness;
mod refusals;
