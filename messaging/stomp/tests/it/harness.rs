//! A server session that accepts and answers everything, spoken to in bytes.

use std::time::{Duration, Instant};

use stomp::{ServerConfig, ServerEvent, ServerSession};

/// What `Server::say` returns when the session is over.
pub(crate) const CLOSED: &str = "(closed)";

pub(crate) struct Server {
    pub(crate) session: ServerSession,
    pub(crate) now: Instant,
    /// Every event but CONNECT and the end, in order.
    pub(crate) events: Vec<ServerEvent>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(ServerConfig {
            server: "test/1".to_owned(),
            heart_beat_send: Duration::ZERO,
            heart_beat_receive: Duration::ZERO,
            ..ServerConfig::default()
        })
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        let now = Instant::now();
        Self {
            session: ServerSession::new(config, now),
            now,
            events: Vec::new(),
        }
    }

    /// A session that has accepted a client of `version`.
    pub(crate) fn connected(version: &str) -> Self {
        let mut server = Self::new();
        let connect = match version {
            "1.0" => "CONNECT\n\n\0".to_owned(),
            _ => format!("CONNECT\naccept-version:{version}\nhost:x\n\n\0"),
        };
        let answer = server.say(connect.as_bytes());
        assert!(
            answer[0].starts_with(&format!("CONNECTED\nversion:{version}\n")),
            "{answer:?}"
        );
        server
    }

    /// Hands over bytes, does what they ask for, and returns what the server writes: one text for each frame, without
    /// its NUL, and [`CLOSED`] at the end of the session.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> Vec<String> {
        self.session.handle_bytes(bytes, self.now);
        let mut closed = false;
        while let Some(event) = self.session.poll_event() {
            match &event {
                ServerEvent::Connect(_) => self.session.accept("session-1", self.now),
                ServerEvent::Closed(_) => closed = true,
                other => {
                    self.session.receipt(other.frame().unwrap());
                    self.events.push(event);
                }
            }
        }
        let mut answers = self.written();
        if closed {
            answers.push(CLOSED.to_owned());
        }
        answers
    }

    pub(crate) fn written(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_transmit(self.now))
            .map(|bytes| {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                text.strip_suffix('\0').map_or(text.clone(), str::to_owned)
            })
            .collect()
    }
}

/// The value of a header in an encoded frame.
pub(crate) fn header<'frame>(frame: &'frame str, name: &str) -> Option<&'frame str> {
    frame
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}
