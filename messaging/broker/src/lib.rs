//! A STOMP broker in the process: destinations, subscriptions, acknowledgement, fan-out, queues, transactions,
//! resumable topics.
//!
//! The application publishes through [`Publisher`]; a [`Guard`] decides who may do what; a [`Handler`] does what
//! clients ask for with SEND to `/app/**`; [`Broker`] serves connections, whatever carries them.
//!
//! | destination | SEND by a client | SUBSCRIBE | messages come from |
//! |---|---|---|---|
//! | `/app/**` | to the [`Handler`] | refused | |
//! | `/topic/**` | published, if the guard allows it | everybody's; `*` is one segment, `**` at the end is any rest | [`Publisher::publish`] |
//! | `/user/queue/**` | refused | the session's own | [`Publisher::send_to_session`], [`Publisher::send_to_user`] |
//! | `/queue/**` | taken in, if the guard allows it and there is room | one of the subscribers gets each message | [`Publisher::send_to_queue`] |
//! | `/reply-queue/**` | to the session that asked for the answer | refused | whoever was told the name by `reply-to` |
//! | `/queue/dlq/**` | the same | the same | queues that could not deliver: the dead letters of `/queue/a` are in `/queue/dlq/a` |
//!
//! # Promises
//! - **Order.** The frames of one session are handled one after the other; the messages of one subscription come in
//!   the order in which they were published.
//! - **RECEIPT** for SEND comes after the handler succeeded (or the message was published), for SUBSCRIBE when the
//!   subscription is live and what it replays was written.
//! - **Resuming.** Each message has a [`Position`]: its `message-id`. `SUBSCRIBE` with `x-resume-from: <position>`
//!   first gets what matches and is newer, then live messages: no gap, no double. A position taken anywhere resumes
//!   any subscription, also one with wildcards. When the past is no longer known, a MESSAGE with `x-gap: true` and an
//!   empty body comes first.
//! - **Transactions.** SEND, ACK and NACK with `transaction` are held by the session, bounded by [`stomp::Limits`], and
//!   happen at COMMIT in order: all of them, with nothing of others in between, or none. The guard is asked when a
//!   SEND comes and again at COMMIT; one denial then means that nothing happens. RECEIPT of a held frame says that it
//!   was checked and is held, RECEIPT of COMMIT that everything happened. DISCONNECT, ERROR and a lost connection
//!   abort. `/app/**` takes no transactions: a handler's effects could not be taken back.
//! - **Slow consumers** do not slow others: a session whose queue is full gets ERROR with `code: slow-consumer` and is
//!   closed.
//! - **Queues.** Each message goes to one subscription, in turn among those that have room, and waits in the broker as
//!   long as there is none; see [`QueueLimits`] for the bounds. A subscription may have as many messages
//!   unacknowledged as its `prefetch-count` says (0: as many as there may be). With `ack:auto` a message is consumed
//!   when the session writes it; with `client` (an ACK covers all before it) and `client-individual` when ACK comes.
//!   After NACK, UNSUBSCRIBE or the end of the session, what was written and not consumed goes to the front of the
//!   queue in its old order, with the same `message-id` and `redelivered:true`; what was not written yet comes back
//!   as if nothing had been. A message that came back from as many deliveries as [`QueueLimits::deliveries`] goes to
//!   the dead-letter queue, with `x-dead-letter-from` and `x-deliveries`; a full dead-letter queue loses its oldest,
//!   and from there nothing is dead-lettered again. `expires` (milliseconds since 1970, 0 for never) of SEND: the
//!   message is not given out any more; it is dropped, and no dead letter.
//! - **Replies.** A SEND with `reply-to:/temp-queue/x` opens a reply queue of the session for as long as the session
//!   lives; others see a `reply-to` of the form `/reply-queue/…` that cannot be guessed. What is sent there reaches the
//!   session as a MESSAGE with `subscription:/temp-queue/x`, without SUBSCRIBE and acknowledged by itself. The guard is
//!   asked about SUBSCRIBE to `/temp-queue/x` and about SEND to `/reply-queue/…`. An answer to a session that is over
//!   is dropped.
//! - **Order in queues.** The messages of one sender to one queue are given out in the order in which they were sent,
//!   as long as nothing comes back.
//! - **Coming in.** Who is not let in yet keeps nobody out: when there are too many such connections, the oldest of the
//!   address with the most goes. Sessions are bounded in all, for each subject and each address, and some are reserved for
//!   principals that the guard marks; see [`BrokerConfig`] for the bounds and [`TurnedAway`] for their counts.
//! - **Signs of life.** A silent WebSocket is pinged, and any byte from it counts as a heart-beat; a silent TCP
//!   connection is probed by the system.
//! - **Nothing survives a restart**; a position of another incarnation is answered with the gap notice.
//!
//! # ERROR frames
//! Each has `message` for people and `code` for machines; the connection is closed within a second after it. Codes of
//! the broker itself: `forbidden`, `token-expired`, `subject-changed`, `slow-consumer`, `too-many-sessions`,
//! `shutting-down`, `unavailable`, `unsupported-destination`, `bad-destination`, `transactions-unsupported`, `queue-full` (no room for
//! what was sent), `too-many-queues` (SUBSCRIBE), `too-many-reply-queues`, `bad-prefetch-count`, `bad-expires`, those of
//! [`stomp::ProtocolError::code`], and whatever [`Denied`] says.

pub mod config;
pub mod destination;
pub mod guard;
pub mod handler;
pub mod message;
pub mod publisher;
pub mod tcp;
pub mod websocket;

mod allowance;
mod listen;
mod permits;
mod position;
mod router;
mod server;
mod session;
mod wire;

pub use config::{BrokerConfig, KeepAlive, QueueLimits};
pub use guard::{Action, Admission, Denied, Guard, token_of};
pub use handler::{Handler, Refusal, SessionInfo};
pub use message::Outgoing;
pub use permits::TurnedAway;
pub use position::{Position, SessionId, UnknownPosition};
pub use publisher::{Delivery, Publisher, Statistics};
pub use server::Broker;
pub use websocket::{SUBPROTOCOLS, WebSocketUpgrade};
