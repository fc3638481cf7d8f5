//! Heart-beats: what two peers agree on, and when to send or to give up (STOMP 1.2, Heart-beating). Pure: `now` is
//! passed in.

use std::time::{Duration, Instant};

use crate::error::ProtocolError;
use crate::version::Version;

/// The `heart-beat` header of one side: what it can send and what it would like to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeartBeat {
    /// Guaranteed: something is sent at least this often. Zero: nothing is promised.
    pub send: Duration,
    /// Wished for: something to be received at least this often. Zero: no wish.
    pub receive: Duration,
}

impl HeartBeat {
    /// Reads the header; a missing one is `0,0`. Blanks around the numbers are an error, as is everything else that
    /// is not two unsigned numbers of milliseconds.
    ///
    /// # Errors
    /// [`ProtocolError::BadHeartBeat`].
    pub fn parse(header: Option<&str>) -> Result<Self, ProtocolError> {
        let Some(text) = header else {
            return Ok(Self::default());
        };
        let milliseconds = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u32>().ok()).flatten()
        };
        text.split_once(',')
            .and_then(|(send, receive)| {
                Some(Self {
                    send: Duration::from_millis(milliseconds(send)?.into()),
                    receive: Duration::from_millis(milliseconds(receive)?.into()),
                })
            })
            .ok_or_else(|| ProtocolError::BadHeartBeat {
                value: text.to_owned(),
            })
    }

    /// The header's value.
    pub fn to_header(self) -> String {
        format!("{},{}", self.send.as_millis(), self.receive.as_millis())
    }
}

/// Both directions of an open session, seen from one side.
#[derive(Debug, Clone)]
pub struct HeartBeats {
    /// Send something at least this often.
    send_every: Option<Duration>,
    /// The peer is dead after so long without a byte.
    receive_within: Option<Duration>,
    last_sent: Instant,
    last_received: Instant,
}

impl HeartBeats {
    /// No heart-beats either way: before the peers agree, and for 1.0, which has none.
    pub fn none(now: Instant) -> Self {
        Self {
            send_every: None,
            receive_within: None,
            last_sent: now,
            last_received: now,
        }
    }

    /// What `version`, `own` and `peer` agree on. The peer is given `tolerance` times the agreed interval, since a
    /// beat can be late without the peer being dead.
    pub fn negotiate(
        version: Version,
        own: HeartBeat,
        peer: HeartBeat,
        tolerance: u32,
        now: Instant,
    ) -> Self {
        if version == Version::V1_0 {
            return Self::none(now);
        }
        let agree = |promised: Duration, wished: Duration| {
            (!promised.is_zero() && !wished.is_zero()).then(|| promised.max(wished))
        };
        Self {
            send_every: agree(own.send, peer.receive),
            receive_within: agree(peer.send, own.receive)
                .map(|interval| interval.saturating_mul(tolerance.max(1))),
            last_sent: now,
            last_received: now,
        }
    }

    /// How often something is sent; `None` for never on its own account.
    pub fn send_interval(&self) -> Option<Duration> {
        self.send_every
    }

    /// How long the peer may be silent; `None` for as long as it likes.
    pub fn receive_within(&self) -> Option<Duration> {
        self.receive_within
    }

    /// Something was sent: a frame or a beat.
    pub fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// Something was received: any byte counts.
    pub fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// Whether a beat must be sent by now.
    pub fn must_send(&self, now: Instant) -> bool {
        self.send_at().is_some_and(|at| at <= now)
    }

    /// Whether the peer was silent for too long.
    pub fn is_lost(&self, now: Instant) -> bool {
        self.lost_at().is_some_and(|at| at <= now)
    }

    /// The next moment at which [`Self::must_send`] or [`Self::is_lost`] can change.
    pub fn deadline(&self) -> Option<Instant> {
        [self.send_at(), self.lost_at()].into_iter().flatten().min()
    }

    /// A quarter of the interval early: a timer that fires late must not break the promise.
    fn send_at(&self) -> Option<Instant> {
        self.send_every
            .map(|interval| self.last_sent + interval * 3 / 4)
    }

    fn lost_at(&self) -> Option<Instant> {
        self.receive_within
            .map(|interval| self.last_received + interval)
    }
}
