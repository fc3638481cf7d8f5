//! The program itself, among dummy programs: what it says, in which order it stops, how it ends.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

mod launcher;
mod stage;
