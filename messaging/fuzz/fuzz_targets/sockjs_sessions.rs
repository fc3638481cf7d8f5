//! Polls, streams, messages, breaks, closes and time, as `sessions.rs` reads them from the input, to a session of SockJS.

#![no_main]

#[path = "../../sockjs/tests/it/laws/payloads.rs"]
#[expect(dead_code, reason = "of this one, only how a client unwraps frames")]
mod payloads;
#[path = "../../sockjs/tests/it/laws/sessions.rs"]
mod sessions;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| sessions::check(script));
