//! A STOMP broker in the process: destinations, subscriptions, acknowledgement, fan-out, queues, transactions,
//! topics that resume and keep last values, durable subscriptions.
//!
//! [`Publisher::new`] makes the broker, and the application publishes through it; a [`Guard`] decides who may do what; a
//! [`Handler`] does what clients ask for with SEND to `/app/**`; [`Broker`] puts these together and serves connections,
//! whatever carries them. The example `embed` shows an application with all of them, `open_broker` a broker for test clients.
//!
//! | destination | SEND by a client | SUBSCRIBE | messages come from |
//! |---|---|---|---|
//! | `/app/**` | to the [`Handler`] | refused | |
//! | `/topic/**` | published, if the guard allows it; `x-retain:true` keeps it as last value | everybody's; `*` is one segment, `**` at the end is any rest | [`Publisher::publish`] |
//! | `/user/queue/**` | refused | the session's own | [`Publisher::send_to_session`], [`Publisher::send_to_user`] |
//! | `/queue/**` | taken in, if the guard allows it and there is room | one of the subscribers gets each message | [`Publisher::send_to_queue`] |
//! | `/queue/dlq/**` | as `/queue/**` | as `/queue/**` | queues that could not deliver: the dead letters of `/queue/a` are in `/queue/dlq/a` |
//! | `/reply-queue/**` | to the session that asked for the answer | refused | whoever was told the name by `reply-to`; [`Publisher::reply`] |
//!
//! # Promises
//! - **Order.** The frames of one session are handled one after the other; the messages of one subscription come in
//!   the order in which they were published.
//! - **RECEIPT** for SEND comes after the handler succeeded (or the message was published), for SUBSCRIBE when the
//!   subscription is live and what it replays was written.
//! - **Resuming.** Each message has a [`Position`]: its `message-id`. `SUBSCRIBE` with `x-resume-from: <position>`
//!   first gets what matches and is newer, then live messages: no gap, no double. A position taken anywhere resumes
//!   any subscription, also one with wildcards. When the past is no longer known, or is more than
//!   [`BrokerConfig::replay_messages_per_subscribe`], a MESSAGE with `x-gap: true` and an empty body comes first: what
//!   is newer than its `message-id` is complete.
//! - **Last values.** SEND with `x-retain:true` (or [`Outgoing::retained`]) makes the message the last value of its
//!   topic and `x-key` (none is a key as well); an empty body forgets it, and so does `expires` when it has passed.
//!   `SUBSCRIBE` with `x-retained:true` first gets the last values that match, in the order in which they were
//!   published, each with its `message-id` and `x-retained:true`, then live messages: each value is in the snapshot or
//!   comes live, never both. With `x-resume-from` as well, what was missed is enough and comes alone, without last
//!   values; when it is no longer known, the gap notice comes first, then the snapshot, then live messages. Every
//!   `message-id` on the way is a position from which one can resume. What there is no room for is refused, see
//!   [`RetainedLimits`]; a snapshot that lacks something the application published has a gap notice in front. Those
//!   who receive live messages see `x-key` and `expires`, and not whether a message is retained. A subscription that
//!   acknowledges must have room for the snapshot in [`stomp::Limits::pending_acks`].
//! - **Durable subscriptions.** `SUBSCRIBE` to topics with `durable-subscription-name:<name>`: from then on the broker
//!   keeps for this subject and name what matches and nobody is there to take, and gives it out in order when a session
//!   of the subject subscribes again with the same name and destination. The guard is asked each time. Terms are those
//!   of queues: `prefetch-count`, acknowledgement, `redelivered`, `expires`; sessions that are attached at once compete
//!   for the messages. Each has its topic's `destination` and the `message-id` with which it was published. UNSUBSCRIBE
//!   and the end of the session only detach; UNSUBSCRIBE with `durable-subscription-name` deletes, unless others are
//!   attached. In bounded memory ([`DurableLimits`], apart from that of queues): for lack of room the oldest that waits
//!   is lost, and so is what came back from too many deliveries; a MESSAGE with `x-gap:true` stands in its place and
//!   wants its ACK like any other. One that was left alone for [`DurableLimits::idle`] is forgotten: whoever comes back
//!   after that, or after a restart, begins anew, and is not told. Neither `x-resume-from` nor `x-retained` goes with
//!   it.
//! - **Transactions.** SEND, ACK and NACK with `transaction` are held by the session, bounded by [`stomp::Limits`], and
//!   happen at COMMIT in order: all of them, with nothing of others in between, or none. The guard is asked when a
//!   SEND comes and again at COMMIT; one denial then means that nothing happens. RECEIPT of a held frame says that it
//!   was checked and is held, RECEIPT of COMMIT that everything happened. DISCONNECT, ERROR and a lost connection
//!   abort. `/app/**` takes no transactions: a handler's effects could not be taken back.
//! - **Slow consumers** slow nobody. What a session's connection does not take yet waits in its outbox, bounded by
//!   [`BrokerConfig::queue_messages`] and [`BrokerConfig::queue_bytes`]; when it is full the session gets ERROR with
//!   `code: slow-consumer` and is closed, since a consumer that silently misses messages shows a wrong picture. SUBSCRIBE
//!   with `x-conflate:true` lets a newer message take the place of a waiting one with the same destination and `x-key`:
//!   for telemetry, of which only the newest counts. Its ids may come out of order, so it cannot resume. [`Statistics`]
//!   counts both. Whoever publishes much lets others run in between, so that readers who keep up are not overrun.
//! - **Urgent** messages overtake: those of subscriptions that can get nothing but what [`BrokerConfig::urgent`] names go
//!   out before the session's others, and before what these are given of the past. The order within a subscription never changes, so each resumes from its own last
//!   message. Heart-beats are due when nothing else is written, and wait for at most one write.
//! - **Rights.** The guard is asked on CONNECT, on each SEND and SUBSCRIBE, and about each message before it goes out:
//!   sending, subscribing and being delivered to are rights of their own ([`Action`]). A message that may not be delivered
//!   is left out and counted, also of the past, of last values and of durable subscriptions, and leaves no gap; one of a
//!   queue goes to another consumer or stays, and the consumer gets nothing of that queue until rights change. What is
//!   sent to the session itself (`/user/queue/**`, answers) and gap notices need no question. A session remembers the
//!   guard's answers until its token is renewed or rights are changed for anybody ([`Publisher::rights_changed`],
//!   [`Publisher::all_rights_changed`], [`Publisher::end_sessions_of`]): then the guard is asked anew whether the
//!   principal may stay ([`Guard::admitted`]), before anything more is done for it or delivered to it; sessions of the
//!   subject that was named are looked at at once, with all their subscriptions, and so is the one whose token was
//!   renewed.
//! - **Tokens** are renewed in place: an `Authorization` header on any frame after CONNECT brings a new one of the same
//!   subject, subscriptions stay, and the frame's RECEIPT says that it counts. A session ends with `token-expired` when its
//!   token does. Before that ([`BrokerConfig::token_warning`]) it is told so once on `/user/queue/errors`, if it has
//!   subscribed there, by a MESSAGE with `code:token-expiring` and `expires-in` (seconds).
//! - **Expiry.** A message with `expires` (milliseconds since 1970, 0 for never) that has passed is not delivered any
//!   more.
//! - **Queues.** Each message goes to one subscription, in turn among those that have room, and waits in the broker as
//!   long as there is none; see [`QueueLimits`] for the bounds. A subscription may have as many messages
//!   unacknowledged as its `prefetch-count` says (0: as many as there may be). With `ack:auto` a message is consumed
//!   when the session writes it; with `client` (an ACK covers all before it) and `client-individual` when ACK comes.
//!   After NACK, UNSUBSCRIBE or the end of the session, what was written and not consumed goes to the front of the
//!   queue in its old order, with the same `message-id` and `redelivered:true`; what was not written yet comes back
//!   as if nothing had been. A message that came back from as many deliveries as [`QueueLimits::deliveries`] goes to
//!   the dead-letter queue, with `x-dead-letter-from` and `x-deliveries`; a full dead-letter queue loses its oldest,
//!   and from there nothing is dead-lettered again. What has expired is dropped, and no dead letter.
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
//! Each has `message` for people and `code` for machines; the connection is closed within a second after it. (The warning
//! `token-expiring` comes as a MESSAGE.) Codes of the broker itself: `forbidden`, `token-expired`, `subject-changed`, `slow-consumer`, `too-many-sessions`,
//! `shutting-down`, `unavailable`, `unsupported-destination`, `bad-destination`, `transactions-unsupported`, `queue-full` (no room for
//! what was sent), `too-many-queues` (SUBSCRIBE), `too-many-reply-queues`, `bad-prefetch-count`, `bad-expires`, `conflate-unsupported`,
//! `retained-full` (no room for one more last value), `bad-key`, `bad-flag`, `durable-mismatch`
//! (the name stands for another destination or subscription), `durable-in-use`, `durable-unsupported`,
//! `too-many-durable-subscriptions`, `bad-durable-name`, those of
//! [`stomp::ProtocolError::code`], `malformed-message` (a WebSocket message or too much before CONNECTED),
//! `connect-timeout`, `heart-beat-lost`, and whatever [`Denied`] says.

pub mod config;
pub mod destination;
pub mod guard;
pub mod handler;
pub mod message;
pub mod publisher;
pub mod tcp;
pub mod websocket;

mod connections;
mod listen;
mod outbox;
mod peer;
mod permits;
mod position;
mod router;
mod server;
mod session;
mod wire;

pub use ::websocket::WebSocketUpgrade;
pub use config::{BrokerConfig, DurableLimits, KeepAlive, QueueLimits, RetainedLimits};
pub use guard::{Action, Admission, Denied, Guard, token_of};
pub use handler::{Handler, RENEWED, Refusal, SessionInfo};
pub use message::Outgoing;
pub use peer::{Certificate, Peer};
pub use permits::TurnedAway;
pub use position::{Position, SessionId, UnknownPosition};
pub use publisher::{Delivery, Publisher, Statistics};
pub use server::Broker;
pub use websocket::SUBPROTOCOLS;
pub use wire::{Transport, WireFrame};
