//! STOMP 1.0, 1.1 and 1.2 without sockets or clocks: frames, codec, client and server sessions.
//!
//! Nothing here waits or reads a clock: bytes and `Instant`s go in, bytes and events come out; whoever owns the socket decides when.
//!
//! | layer | what it does |
//! |---|---|
//! | [`frame`], [`version`] | the values: [`Frame`], [`Command`], [`Headers`], [`Version`] |
//! | [`codec`] | bytes ↔ frames: [`Decoder`] and [`encode`], bounded by [`Limits`] |
//! | [`heartbeat`] | negotiation and deadlines |
//! | [`client`], [`server`] | [`ClientSession`] and [`ServerSession`]: what may come when, receipts, subscriptions, transactions |
//!
//! [`conformance`] has the rules of the specifications and the tests that show each.
//!
//! A session is driven the same way on both sides:
//!
//! 1. `handle_bytes` what the socket read, split anyhow; `handle_deadline` when `deadline` has come;
//! 2. `poll_event` until there is none, and act on each;
//! 3. `poll_transmit` until there is none, and write each.
//!
//! ```
//! use std::time::Instant;
//! use stomp::{ClientConfig, ClientEvent, ClientSession};
//!
//! let now = Instant::now();
//! let mut session = ClientSession::new(ClientConfig::default(), now);
//! let connect = session.poll_transmit(now).expect("CONNECT is the first frame");
//! assert!(connect.starts_with(b"CONNECT\naccept-version:1.0,1.1,1.2\n"));
//!
//! session.handle_bytes(b"CONNECTED\nversion:1.2\n\n\0", now);
//! assert!(matches!(session.poll_event(), Some(ClientEvent::Connected { .. })));
//! ```

pub mod client;
pub mod codec;
pub mod conformance;
pub mod error;
pub mod frame;
pub mod heartbeat;
pub mod limits;
pub mod server;
pub mod version;

pub use client::{ClientConfig, ClientEvent, ClientSession, ReceiptId, SubscriptionId};
pub use codec::{Decoder, encode, encode_head};
pub use error::{CloseReason, ProtocolError};
pub use frame::{AckMode, Command, Frame, Headers};
pub use limits::Limits;
pub use server::{ServerConfig, ServerEvent, ServerSession};
pub use version::Version;
