//! A SockJS server: messages both ways between a program and any browser, by WebSocket where it is there and by plain
//! HTTP requests where it is not. For axum, and whatever else speaks `tower` with `axum::body::Body`.
//!
//! ```
//! use sockjs::{Config, Connection, Opening, SockJs};
//!
//! async fn echo(mut connection: Connection, opening: Opening) {
//!     drop(opening); // It holds the request's buffer; say who asks from it, and let it go.
//!     while let Some(message) = connection.recv().await {
//!         if connection.send(&message).await.is_err() {
//!             return;
//!         }
//!     }
//! }
//!
//! let echo = SockJs::new(Config::default(), echo);
//! let app: axum::Router = axum::Router::new().nest_service("/echo", echo);
//! ```
//!
//! Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, or nothing is bounded by address. In the page:
//! `new SockJS("/echo")`, from npm's `sockjs-client`; pages of other origins only when [`Config::origins`] names them. The
//! example `protocol_server` runs the services that public conformance suites want; `CONFORMANCE.md` says which rule of
//! the protocol is kept where.
//!
//! # What is promised
//! - **Order.** Messages of one session come in the order in which they were sent, both ways.
//! - **A close is told.** What was said before [`Connection::close`] still goes out, then code and reason.
//! - **A request that breaks off while it waits ends the session** (`1002`), since nobody knows what of its answer arrived.
//!   Whether a complete answer arrived, only the client knows. Protocols that must not lose anything number their
//!   messages. [`Config::repeat_unconfirmed`] keeps the last poll's messages for those that bear repetition.
//! - **Back-pressure.** [`Connection::send`] waits when the client takes too little; a client whose messages the
//!   application does not take waits with its next request.
//! - **Bounds.** Bodies, messages, what waits, sessions of all and of one address: see [`Config`]. Who is over one is
//!   told which, and nobody else notices.
//!
//! # What is not
//! - A session stays at the server where it began: behind a balancer use [`Config::cookie`] or [`Config::base_url`].
//! - A cookie does not say who asks: any site's page can make a browser send it. [`Config::origins`] keeps other sites'
//!   pages out; let clients say who they are in their first message, and see [`Connection::let_in`].
//! - The WebSocket drafts before RFC 6455 are refused.

mod answer;
mod asker;
mod config;
mod connection;
#[doc(hidden)]
pub mod frame;
mod iframe;
mod origin;
#[doc(hidden)]
pub mod payload;
mod polled;
mod registry;
#[doc(hidden)]
pub mod route;
mod service;
#[doc(hidden)]
pub mod session;
mod socket;
mod statistics;
mod transport;

pub use asker::cookie;
pub use config::{Config, StickyCookie};
pub use connection::{Closed, Connection, Incoming, Opening};
pub use origin::Origins;
pub use service::SockJs;
pub use statistics::{Statistics, TransportStatistics};
pub use transport::Transport;
