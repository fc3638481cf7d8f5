//! The pages as a whole: what they say, what they must never say, and what they are made of.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up shall fail"
)]

mod administration;
mod escaping;
mod html;
mod live;
mod pages;
mod sample;
mod sources;
