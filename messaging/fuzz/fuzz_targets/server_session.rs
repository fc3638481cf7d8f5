//! Any bytes to a server session while time passes and its owner acts, as `sessions.rs` reads them from the input.

#![no_main]

#[path = "../../stomp/tests/it/laws/sessions.rs"]
mod sessions;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| sessions::check(script));
