//! Every bound of the broker, each with its reason.

use std::net::IpAddr;
use std::time::Duration;

use stomp::ServerConfig;

/// How the broker serves, and what it may hold.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Heart-beats, time-outs and frame limits of each session.
    pub stomp: ServerConfig,
    /// Sessions that are open at once. 4,096: a large airport has some hundred pages and machines. One more is refused
    /// with ERROR `too-many-sessions`, as for each bound on sessions; the message says which.
    pub sessions: usize,
    /// Of [`Self::sessions`], those that only principals with [`crate::Admission::reserved`] get. 512: people cannot
    /// lock out the machines without which nobody sees anything.
    pub sessions_reserved: usize,
    /// Sessions of one subject. 64: a control room's wall under one login, and a program with some connections; a page
    /// that connects again in a loop goes no further.
    pub sessions_per_subject: usize,
    /// Sessions of one IPv4 address or one IPv6 /64, those with [`crate::Admission::reserved`] not counted. 1,024: a
    /// whole building may share an address, and four of them may not take all.
    pub sessions_per_address: usize,
    /// Connections that have not been let in yet. 256: each holds little and not for long ([`Self::unauthenticated_bytes`],
    /// [`ServerConfig::connect_timeout`]). When there is one more, the one goes that has waited longest among those of
    /// the address with the most: strangers who say nothing cannot keep others out.
    pub unauthenticated: usize,
    /// The same of one IPv4 address or one IPv6 /64. 64: all pages of an office that connect again at once. One more
    /// displaces the oldest of its own address.
    pub unauthenticated_per_address: usize,
    /// Bytes that are read from a connection before it is let in, WebSocket's own framing included. 64 KiB: many times
    /// the longest CONNECT. More is answered with ERROR `malformed-message`.
    pub unauthenticated_bytes: usize,
    /// Addresses of reverse proxies: everybody behind one seems to come from there, so no bound for one address counts
    /// for them. None: a broker that is spoken to directly. Not needed when the application finds out the true address
    /// and passes that on as the peer.
    pub proxies: Vec<IpAddr>,
    /// How a silent TCP connection is probed.
    pub keep_alive: KeepAlive,
    /// A WebSocket from which nothing has been heard for so long is pinged, whatever its heart-beats say. 20 s: well below
    /// the minute after which proxies cut off what is idle. Browsers answer for pages in the background as well, whose
    /// own timers they hold up, so the answer counts as a STOMP heart-beat, and so does each part of a message. Zero:
    /// never.
    pub ping_interval: Duration,
    /// A WebSocket from which nothing at all is heard for so long after a ping is lost. 40 s: a phone that changes
    /// networks is back by then.
    pub ping_timeout: Duration,
    /// Messages that wait for one session's socket. Full: the session ends with `slow-consumer`, since a consumer
    /// that silently misses messages shows a wrong picture. 1,024: a flood of alarms in one burst.
    pub queue_messages: usize,
    /// Bytes of topics that wait for one session's socket, with the same policy. 8 MiB: eight of the longest messages.
    pub queue_bytes: usize,
    /// What is urgent: patterns of destinations, as in SUBSCRIBE. The messages of a subscription that can get nothing
    /// else overtake those of the session's other subscriptions. `/user/queue/**` and `/reply-queue/**`: somebody
    /// waits for that.
    pub urgent: Vec<String>,
    /// Before a token ends, its session is told so on `/user/queue/errors`, with `code:token-expiring`. 60 s: time to
    /// fetch a new one, and to try again when that fails. Of a token that has little left when it comes, a fifth of that.
    pub token_warning: Duration,
    /// A socket that takes nothing for so long is dead, whatever its heart-beats say.
    pub write_timeout: Duration,
    /// Messages of one destination that are kept for `x-resume-from`. 256: minutes of a busy one.
    pub replay_messages_per_destination: usize,
    /// Messages of all destinations that are kept; the oldest goes first.
    pub replay_messages: usize,
    /// Bytes of all messages that are kept, and of the names of their destinations; the oldest goes first.
    pub replay_bytes: usize,
    /// Messages that one SUBSCRIBE with `x-resume-from` gets of the past: when there are more, a gap notice and the
    /// newest. 4,096: a page that was away for half a minute; putting the list together holds up publishing for a
    /// millisecond, and no more than some thousand topics are looked at. A subscription that acknowledges gets at most
    /// half of [`stomp::Limits::pending_acks`], or its past alone would end its session.
    pub replay_messages_per_subscribe: usize,
    /// Bytes that one SUBSCRIBE gets of the past or of last values: when there are more, a gap notice and the newest;
    /// one message is never too long. 16 MiB: as many short last values as there may be ([`RetainedLimits::values`]).
    /// They stay in memory until they are written, also when the broker has newer ones by then, and a session has one
    /// such list at a time.
    pub replay_bytes_per_subscribe: usize,
    /// What may be kept as the last value of a topic.
    pub retained: RetainedLimits,
    /// What `/queue/**` may hold.
    pub queues: QueueLimits,
    /// What durable subscriptions to topics may hold.
    pub durables: DurableLimits,
    /// After a session's end, a handler that still works is given so long before it is dropped.
    pub handler_grace: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            stomp: ServerConfig::default(),
            sessions: 4096,
            sessions_reserved: 512,
            sessions_per_subject: 64,
            sessions_per_address: 1024,
            unauthenticated: 256,
            unauthenticated_per_address: 64,
            unauthenticated_bytes: 64 * 1024,
            proxies: Vec::new(),
            keep_alive: KeepAlive::default(),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(40),
            queue_messages: 1024,
            queue_bytes: 8 * 1024 * 1024,
            urgent: vec!["/user/queue/**".to_owned(), "/reply-queue/**".to_owned()],
            token_warning: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            replay_messages_per_destination: 256,
            replay_messages: 65_536,
            replay_bytes: 64 * 1024 * 1024,
            replay_messages_per_subscribe: 4096,
            replay_bytes_per_subscribe: 16 * 1024 * 1024,
            retained: RetainedLimits::default(),
            queues: QueueLimits::default(),
            durables: DurableLimits::default(),
            handler_grace: Duration::from_secs(10),
        }
    }
}

/// Bounds on last values. A SEND that would go over one is refused with ERROR `retained-full`; what the application
/// publishes is then published and not retained, counted in [`crate::Statistics::retained_refused`], and told to
/// whoever asks for a snapshot that should have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedLimits {
    /// Last values of all topics. 16,384: several for each of some thousand machines; a snapshot of everything is a
    /// list that is made in a few milliseconds.
    pub values: usize,
    /// Bytes of all last values, and of the names of their topics. 64 MiB, as for what is kept to be resumed.
    pub bytes: usize,
    /// Last values of one topic, each with a key of its own. 4,096: clients name keys, and one topic must not take
    /// what all need.
    pub keys_per_destination: usize,
}

impl Default for RetainedLimits {
    fn default() -> Self {
        Self {
            values: 16_384,
            bytes: 64 * 1024 * 1024,
            keys_per_destination: 4096,
        }
    }
}

impl BrokerConfig {
    /// Takes bodies of up to `bytes`, and raises (never lowers) each bound that must hold some of the longest messages.
    #[must_use]
    pub fn with_body_bytes(mut self, bytes: usize) -> Self {
        let raise = |bound: &mut usize, messages: usize| {
            *bound = (*bound).max(bytes.saturating_mul(messages));
        };
        let limits = &mut self.stomp.limits;
        limits.body_bytes = bytes;
        raise(&mut limits.transaction_bytes, 2);
        raise(&mut self.queue_bytes, 2);
        raise(&mut self.replay_bytes, 4);
        raise(&mut self.replay_bytes_per_subscribe, 2);
        raise(&mut self.queues.bytes_per_queue, 4);
        raise(&mut self.queues.bytes, 16);
        raise(&mut self.retained.bytes, 4);
        raise(&mut self.durables.bytes_each, 1);
        raise(&mut self.durables.bytes, 4);
        self
    }
}

/// TCP keep-alive: how a peer that vanished without a word is noticed when there is nothing to send and no heart-beats
/// were agreed on. With the defaults a dead connection ends after two minutes, and so does one whose peer takes nothing
/// of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe. 60 s: the systems' two hours are no help to anybody.
    pub idle: Duration,
    /// Between probes. 15 s.
    pub interval: Duration,
    /// Unanswered probes until the connection is lost. 4.
    pub probes: u32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            interval: Duration::from_secs(15),
            probes: 4,
        }
    }
}

/// Bounds on `/queue/**`. A SEND that would go over one is refused with ERROR `queue-full`: whoever sends knows best
/// whether to wait or to drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLimits {
    /// Queues that have messages or consumers. 1,024: clients name them, so there must be a bound. SUBSCRIBE to one more
    /// is refused with ERROR `too-many-queues`.
    pub queues: usize,
    /// Messages of one queue, those that consumers have not acknowledged included. 4,096: a minute of a busy one.
    pub messages_per_queue: usize,
    /// Bytes of the messages of one queue. 16 MiB: sixteen of the longest messages. One that is alone may be longer.
    pub bytes_per_queue: usize,
    /// Bytes of the messages of all queues. 64 MiB, as for what is kept to be resumed.
    pub bytes: usize,
    /// Messages that a subscription may have unacknowledged when it does not say `prefetch-count`. 32: enough to hide
    /// the way there and back, few enough that others get their share.
    pub prefetch: usize,
    /// The most that `prefetch-count` gets; who asks for more, or for 0, gets this. 512: two such subscriptions stay
    /// within [`stomp::Limits::pending_acks`] of their session.
    pub prefetch_max: usize,
    /// Messages on their way to one subscription that its session has not taken yet. 3: the session always finds a
    /// next one, and all of [`stomp::Limits::subscriptions`] stay within [`BrokerConfig::queue_messages`].
    pub untaken_messages: usize,
    /// Their bytes; one message goes out however long it is. 64 KiB: two full writes. They stay accounted to their
    /// queue and do not count for [`BrokerConfig::queue_bytes`].
    pub untaken_bytes: usize,
    /// How often a message is given to a consumer and comes back before it is dead. 5: more is no accident.
    pub deliveries: u32,
    /// Reply queues of one session. 16: a program needs one, or one for each kind of question. One more is refused
    /// with ERROR `too-many-reply-queues`.
    pub reply_queues: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            queues: 1024,
            messages_per_queue: 4096,
            bytes_per_queue: 16 * 1024 * 1024,
            bytes: 64 * 1024 * 1024,
            prefetch: 32,
            prefetch_max: 512,
            untaken_messages: 3,
            untaken_bytes: 64 * 1024,
            deliveries: 5,
            reply_queues: 16,
        }
    }
}

/// Bounds on durable subscriptions to topics. For lack of room the oldest message that waits is dropped, or the new one
/// when none waits: a publisher must not stand still because somebody is away. It is counted in
/// [`crate::Statistics::durable_dropped`], and a gap notice takes its place. What [`QueueLimits`] says of consumers
/// (prefetch, deliveries, bytes on their way) holds here as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableLimits {
    /// Durable subscriptions of all subjects. 1,024: clients name them, so there must be a bound, and each that
    /// matches makes publishing longer. SUBSCRIBE that would make one more is refused with ERROR
    /// `too-many-durable-subscriptions`.
    pub subscriptions: usize,
    /// Durable subscriptions of one subject, with the same refusal. 16: a program needs one, or one for each kind of
    /// message; nobody may take what all need.
    pub per_subject: usize,
    /// Messages of one, those that were not acknowledged included. 4,096: an hour of one a second, with some to spare.
    pub messages_each: usize,
    /// Bytes of the messages of one. 4 MiB: with [`Self::per_subject`], no subject takes more than half of
    /// [`Self::bytes`]. A message that is alone may be longer.
    pub bytes_each: usize,
    /// Bytes of the messages of all. 128 MiB: thirty-two that are full.
    pub bytes: usize,
    /// One that nobody is attached to is forgotten after so long, by the wall clock. 24 hours: whoever is away for
    /// longer has missed too much for these bounds and reads the state anew, and one that nobody comes back to must
    /// not hold what others need.
    pub idle: Duration,
}

impl Default for DurableLimits {
    fn default() -> Self {
        Self {
            subscriptions: 1024,
            per_subject: 16,
            messages_each: 4096,
            bytes_each: 4 * 1024 * 1024,
            bytes: 128 * 1024 * 1024,
            idle: Duration::from_secs(24 * 60 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_fit_every_bound_and_short_ones_lower_none() {
        let usual = BrokerConfig::default();
        let short = BrokerConfig::default().with_body_bytes(1024);
        assert_eq!(short.stomp.limits.body_bytes, 1024);
        assert_eq!(short.queue_bytes, usual.queue_bytes);
        assert_eq!(short.queues, usual.queues);

        let bytes = 17 * 1024 * 1024;
        let long = BrokerConfig::default().with_body_bytes(bytes);
        let limits = &long.stomp.limits;
        let bounds = [
            limits.body_bytes,
            limits.transaction_bytes,
            long.queue_bytes,
            long.replay_bytes,
            long.replay_bytes_per_subscribe,
            long.queues.bytes_per_queue,
            long.queues.bytes,
        ];
        assert!(bounds.iter().all(|bound| *bound >= bytes), "{bounds:?}");
    }
}
