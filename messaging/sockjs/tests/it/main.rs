//! The SockJS protocol from outside, on the bytes of the wire: written from the protocol's description, not from the code.
//!
//! The library serves its four test services in the process. With `SOCKJS_SERVER=127.0.0.1:8081` the tests of the
//! protocol itself ask the server at that address instead; those that need a configuration of their own stay here.
//! `laws` and `properties` look inside: what holds for every input.

#![expect(
    clippy::unwrap_used,
    reason = "a test that panics says so, and helpers are tests as well"
)]

mod application;
mod base;
mod bounds;
mod closing;
mod conformance;
mod cookies;
mod cors;
mod escaping;
mod eventsource;
mod hardening;
mod harness;
mod htmlfile;
mod http;
mod iframe;
mod info;
mod jsonp;
mod laws;
mod properties;
mod raw_websocket;
mod session;
mod statistics;
mod strangers;
mod timing;
mod websocket;
mod xhr;
mod xhr_streaming;
