//! How a service is offered, and what bounds it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::origin::Origins;
use crate::transport::Transport;

/// Settings of one service. Each bound has a default that holds on the open internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bytes of frames that a streaming answer brings before it ends and the client asks anew. 128 KiB, as with other
    /// servers: browsers of the time kept the whole answer in memory. It also bounds what one poll brings, except that
    /// it brings at least one message.
    pub response_limit: usize,
    /// A receiver that got nothing for so long gets a heart-beat. 25 s: below the 30 s and more after which proxies cut
    /// what is silent. WebSockets are pinged instead, see [`Self::ping_interval`].
    pub heartbeat: Duration,
    /// A session whose client is away for so long is over, and a session that is over is remembered for so long, so that
    /// its client is told. 5 s, as with other servers.
    pub disconnect_delay: Duration,
    /// A WebSocket that says nothing for so long is pinged. 25 s.
    pub ping_interval: Duration,
    /// It is lost when it says nothing for so long after that. 10 s.
    pub ping_timeout: Duration,
    /// Bytes of one request's body, and of one WebSocket message. 256 KiB. A longer body is answered with 413, a longer
    /// message ends the connection; nothing of it is taken in.
    pub message_bytes: usize,
    /// Bytes that a client may send until [`crate::Connection::let_in`], in one body and in all: who must say first who
    /// they are. `None`, the default: everybody is let in at once.
    pub stranger_bytes: Option<usize>,
    /// Bytes of messages that wait for the application, 32 for each message added. 256 KiB, which one body may exceed.
    /// When they are reached, the next body waits for [`Self::patience`] and is then answered with 503.
    pub inbox_bytes: usize,
    /// Bytes that may wait for the client before [`crate::Connection::send`] waits as well. 64 KiB: half of what one
    /// answer brings. One message may exceed it.
    pub outbox_bytes: usize,
    /// How long a body may take to come, and to be taken by the application. 15 s: whoever is slower holds memory that
    /// others need.
    pub patience: Duration,
    /// Sessions of all clients. 10,000. One more is answered with 503.
    pub sessions: usize,
    /// Sessions of one IPv4 address or one IPv6 /64. 1,024: a whole building may share an address. One more is answered
    /// with 429. Addresses of [`Self::trusted_proxies`] are not bounded.
    pub sessions_per_address: usize,
    /// Reverse proxies whose `X-Forwarded-For` is believed. None.
    pub trusted_proxies: Vec<IpAddr>,
    /// A session belongs to the value of this cookie, if there is one when it begins: requests with another value, or
    /// without, are answered as if there were no such session. Name the cookie of the sign-in. None.
    pub owner_cookie: Option<String>,
    /// A session belongs to the address from which it began. Off: telephones change theirs while they move, and behind
    /// a proxy that is not in [`Self::trusted_proxies`] all have the same.
    pub bind_to_address: bool,
    /// What is offered. Everything.
    pub transports: BTreeSet<Transport>,
    /// Sub-protocols that a raw WebSocket may ask for, best first. None: a browser that asks for one gives up.
    pub subprotocols: Vec<&'static str>,
    /// From which pages. Only those of the same origin.
    pub origins: Origins,
    /// Other origins for some transports. A page that [`Self::origins`] lets in may use every transport by the page for
    /// hidden frames, whose requests come from this server's own origin.
    pub origins_of: BTreeMap<Transport, Origins>,
    /// A cookie on every URL of sessions, by which balancers keep a client at one node. None.
    pub cookie: Option<StickyCookie>,
    /// Where this server serves `sockjs-client`, as an absolute path or URL: what the page for hidden frames loads. It
    /// must be the very file that the site's own pages load. `None`: there is no such page.
    pub client_url: Option<String>,
    /// The URL that clients shall use from now on, such as that of this node behind a balancer; told by `info`. None.
    pub base_url: Option<String>,
    /// A poll's messages are kept until the next poll, and brought once more when that comes over another connection; and
    /// a poll that breaks off ends nothing. Off: messages may come twice, which the application's protocol must bear, and
    /// behind a proxy the connection is the proxy's own and says little.
    pub repeat_unconfirmed: bool,
}

/// A cookie for balancers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyCookie {
    /// Usually `JSESSIONID`.
    pub name: String,
    /// What clients get that have none; whatever they have is kept.
    pub value: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            response_limit: 128 * 1024,
            heartbeat: Duration::from_secs(25),
            disconnect_delay: Duration::from_secs(5),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(10),
            message_bytes: 256 * 1024,
            stranger_bytes: None,
            inbox_bytes: 256 * 1024,
            outbox_bytes: 64 * 1024,
            patience: Duration::from_secs(15),
            sessions: 10_000,
            sessions_per_address: 1024,
            trusted_proxies: Vec::new(),
            owner_cookie: None,
            bind_to_address: false,
            transports: Transport::ALL.into(),
            subprotocols: Vec::new(),
            origins: Origins::SAME,
            origins_of: BTreeMap::new(),
            cookie: None,
            client_url: None,
            base_url: None,
            repeat_unconfirmed: false,
        }
    }
}

impl Config {
    /// Does not offer `transport`.
    #[must_use]
    pub fn without(mut self, transport: Transport) -> Self {
        self.transports.remove(&transport);
        self
    }

    /// From where pages may use `transport`.
    pub(crate) fn origins_of(&self, transport: Transport) -> &Origins {
        self.origins_of.get(&transport).unwrap_or(&self.origins)
    }
}
