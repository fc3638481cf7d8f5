//! What the tests speak with: HTTP and WebSocket by hand, a server to ask, and what many answers have in common.

mod headers;
mod receiver;
mod services;
mod site;
mod socket;
mod wire;

pub(crate) use headers::{
    allows, cached_for_a_year, ends_without_content, no_cookie, not_cached, preflight,
};
pub(crate) use receiver::{Frames, Receiver, messages};
pub(crate) use services::{Seen, Watched, echo, echo_with, four_services, limited, open};
pub(crate) use site::{Site, session};
pub(crate) use socket::{ACCEPT, Heard, Socket, handshake};
pub(crate) use wire::{Answer, Head, PATIENCE, Request, Stream, Wire, get, options, post};
