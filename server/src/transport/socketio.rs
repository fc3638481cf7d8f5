//! Socket.IO at `/socket.io/`, for clients 1 to 4: each socket is a STOMP session, and its events are STOMP's commands.
//! `docs/clients/socket.io.md` tells clients what they may say.
//!
//! ```text
//! HTTP ─▶ door ─▶ Engine.IO ─▶ exchange ─▶ line ─▶ translator ─▶ road ─▶ a STOMP session of the broker
//! ```
//!
//! | module | |
//! |---|---|
//! | `door` | requests, before Engine.IO sees them: who may come, with how much |
//! | `stream` | what goes over a WebSocket, below Engine.IO |
//! | `exchange` | what Engine.IO calls; one session for each socket |
//! | `line` | a socket between Engine.IO, which calls, and the session, which polls |
//! | `translator` | packets of the client to frames for the broker, and back |
//! | `packet`, `wish`, `news` | Socket.IO's packets; events as frames; frames as events |
//! | `road` | a socket as [`broker::Transport`] |
//! | `tally` | what a client has really taken |
//!
//! Engine.IO (polling, WebSocket, the change from one to the other, signs of life, both revisions of the protocol) is
//! the crate `engineioxide`. Socket.IO's own layer of the same project is not used: a socket that the broker is done
//! with must end, and those that never say who they are must count, and there neither can be reached.

mod door;
mod exchange;
mod line;
mod news;
mod packet;
mod road;
mod stream;
mod tally;
mod translator;
mod wish;

pub(crate) use door::routes;

#[cfg(test)]
mod tests;
