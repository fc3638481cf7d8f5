//! Any bytes as path and query of a request to a SockJS service.

#![no_main]

#[path = "../../sockjs/tests/it/laws/urls.rs"]
mod urls;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| urls::check(bytes));
