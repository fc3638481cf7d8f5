//! Any bytes to a decoder by the rules of 1.2.

#![no_main]

#[path = "../../stomp/tests/it/laws/decoding.rs"]
mod decoding;

use libfuzzer_sys::fuzz_target;
use stomp::Version;

fuzz_target!(|bytes: &[u8]| decoding::check(Some(Version::V1_2), bytes));
