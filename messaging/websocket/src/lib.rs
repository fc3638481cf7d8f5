//! One WebSocket (RFC 6455), server side, as messages that are polled: for servers with many connections that are
//! silent most of the time, and with peers that nobody knows yet.
//!
//! [`WebSocketUpgrade`] answers the handshake and hands out the stream; [`Socket`] reads and writes messages on it.
//!
//! - **Small.** An idle connection holds a read buffer of 1 KiB and what is being written, which stays small however
//!   long a message is: long ones go out in fragments.
//! - **Bounded.** Until [`Socket::let_in`], [`Config::stranger_bytes`] bound what is read from the peer: messages, pings
//!   and the framing of both taken together. What the HTTP server has read behind the handshake is part of that. For a
//!   moment a message may be held twice, when it goes from here to who asked for it.
//! - **Polled.** Nothing waits inside, so nothing is lost when a wait is given up.
//! - **Alive.** A silent peer is pinged, and lost when it does not answer; it is never given up unasked.

mod allowance;
mod gate;
mod handshake;
mod liveness;
mod socket;

pub use allowance::Allowance;
pub use handshake::WebSocketUpgrade;
pub use socket::{Close, Config, Message, Socket};
