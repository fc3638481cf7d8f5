//! Any bytes to a decoder before a version is agreed.

#![no_main]

#[path = "../../stomp/tests/it/laws/decoding.rs"]
mod decoding;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| decoding::check(None, bytes));
