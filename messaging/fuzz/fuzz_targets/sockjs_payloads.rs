//! Any bytes as what a client of SockJS sends, and as what is said to it.

#![no_main]

#[path = "../../sockjs/tests/it/laws/payloads.rs"]
mod payloads;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| payloads::check(bytes));
