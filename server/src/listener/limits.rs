//! How long a client may take, and how many connections there may be: every bound of the HTTP listeners. Pure.

use std::time::Duration;

/// The bytes of a request's head. 64 KiB: a browser adds the cookies of a whole site. More is answered with 431, and so are
/// more than 100 headers, which is hyper's own bound.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;

/// An address with at most so many connections may use the reserve. 16: two browsers.
pub(crate) const MODEST: usize = 16;

/// So much of an answer must be taken within [`Limits::answer`], or what is left of it. 64 KiB: what a connection keeps of it,
/// so that one piece after the other is given back.
pub(crate) const ANSWER_PIECE: usize = 64 * 1024;

/// Bounds that the configuration may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a newcomer may take to say what it wants: for a TLS handshake, the head of an HTTP request, and STOMP's
    /// CONNECT each. 10 s: several round trips over a bad mobile network.
    pub arrival: Duration,
    /// How long the body of a request may take to come. 30 s: longer than SockJS and Socket.IO give those of theirs.
    pub body: Duration,
    /// How long the client may take to take 64 KiB of an answer. 30 s: 2 KiB a second, what a bad mobile network
    /// still carries. It bounds whole answers with their length, and streams by what they have to say.
    pub answer: Duration,
    /// How long a connection may wait for its next request. 75 s: longer than browsers and proxies keep one, so that it is
    /// they who close it.
    pub idle: Duration,
    /// Connections of pages, API, WebSocket and so on at once. 8,192: twice the broker's sessions, since who has a session
    /// has a connection for pages or tokens as well.
    pub connections: usize,
    /// The same of one IPv4 address or one IPv6 /64. 4,096: 2,000 agents behind one address, each with a WebSocket, which
    /// fetch tokens all at once. Proxies that are named are not bounded.
    pub connections_per_address: usize,
    /// Of [`Self::connections`], those that only go to consoles, to this machine, and to addresses that have few, which
    /// nobody behind a proxy has. 512: those who have many cannot keep out an operator who comes now.
    pub connections_reserved: usize,
    /// Of [`Self::connections_reserved`], those that only go to consoles and to this machine. 64: every console of a control
    /// room with two browsers. Addresses with few can be many.
    pub connections_of_consoles: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            arrival: Duration::from_secs(10),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            connections: 8192,
            connections_per_address: 4096,
            connections_reserved: 512,
            connections_of_consoles: 64,
        }
    }
}

impl Limits {
    /// For metrics: a handful of those who collect them.
    pub(crate) fn of_metrics(self) -> Self {
        Self {
            connections: 64,
            connections_per_address: 32,
            connections_reserved: 16,
            connections_of_consoles: 2,
            ..self
        }
    }
}
