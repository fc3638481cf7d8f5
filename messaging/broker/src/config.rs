//! Every bound of the broker, each with its reason.

use std::time::Duration;

use stomp::ServerConfig;

/// How the broker serves, and what it may hold.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Heart-beats, time-outs and frame limits of each session.
    pub stomp: ServerConfig,
    /// Sessions that are open at once. 4,096: a large airport has some hundred pages and machines.
    pub sessions: usize,
    /// Connections that have not authenticated yet. 256: strangers cannot take what sessions need, and a restart's
    /// thundering herd waits in the listener's backlog.
    pub unauthenticated: usize,
    /// Messages that wait for one session's socket. Full: the session ends with `slow-consumer`, since a consumer
    /// that silently misses messages shows a wrong picture. 1,024: a flood of alarms in one burst.
    pub queue_messages: usize,
    /// Bytes that wait for one session's socket, with the same policy. 8 MiB: eight of the longest messages.
    pub queue_bytes: usize,
    /// A socket that takes nothing for so long is dead, whatever its heart-beats say.
    pub write_timeout: Duration,
    /// Messages of one destination that are kept for `x-resume-from`. 256: minutes of a busy one.
    pub replay_messages_per_destination: usize,
    /// Messages of all destinations that are kept; the oldest goes first.
    pub replay_messages: usize,
    /// Bytes of all messages that are kept; the oldest goes first.
    pub replay_bytes: usize,
    /// After a session's end, a handler that still works is given so long before it is dropped.
    pub handler_grace: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            stomp: ServerConfig::default(),
            sessions: 4096,
            unauthenticated: 256,
            queue_messages: 1024,
            queue_bytes: 8 * 1024 * 1024,
            write_timeout: Duration::from_secs(10),
            replay_messages_per_destination: 256,
            replay_messages: 65_536,
            replay_bytes: 64 * 1024 * 1024,
            handler_grace: Duration::from_secs(10),
        }
    }
}
