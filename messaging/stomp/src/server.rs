//! The server's side of a session: which frame is legal when, versions, subscriptions' ids, receipts, heart-beats.
//! Pure: `now` is passed in.
//!
//! | state | legal from the client | leaves by |
//! |---|---|---|
//! | awaiting CONNECT | CONNECT, STOMP | the event [`ServerEvent::Connect`]; time-out |
//! | authenticating | anything; it waits undecoded | [`ServerSession::accept`], [`ServerSession::reject`] |
//! | open | all but CONNECT, STOMP | DISCONNECT; ERROR; heart-beat lost |
//! | closed | nothing is read any more | |
//!
//! Frames are decoded one by one as [`ServerSession::poll_event`] is called, so an owner that finishes one event
//! before it asks for the next handles the frames of a session in order, and its RECEIPTs come in order.
//!
//! # Transactions
//! SEND, ACK and NACK with `transaction` are held, bounded by [`Limits`]. Their RECEIPT says that they were checked and
//! are held (it would come too late after COMMIT: RECEIPTs come in order); the RECEIPT of COMMIT says that all of them
//! happened. DISCONNECT, ERROR and a lost connection abort what is open. An ACK or NACK counts when COMMIT comes; if
//! its message waits for it no longer then, COMMIT fails as a whole with `unknown-ack`.

mod event;
mod subscriptions;
mod transactions;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use self::event::{ServerEvent, Step};
use self::subscriptions::Subscriptions;
pub use self::subscriptions::{Delivery, SubscriptionKey};
use self::transactions::Transactions;
use crate::codec::{Decoder, HEART_BEAT, encode_alone, error_frame};
use crate::error::{CloseReason, ProtocolError};
use crate::frame::{AckMode, Command, Frame};
use crate::heartbeat::{HeartBeat, HeartBeats};
use crate::limits::Limits;
use crate::version::Version;

/// How a server speaks to its clients.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The `server` header of CONNECTED: `name/version`.
    pub server: String,
    /// The virtual hosts that CONNECT may ask for; empty for any. Upper and lower case are the same in them. A client
    /// that names none is let in: many do not know theirs.
    pub hosts: Vec<String>,
    /// Something is sent at least this often, if the client wishes; zero for no promise.
    pub heart_beat_send: Duration,
    /// Something should be received at least this often; zero for no wish.
    pub heart_beat_receive: Duration,
    /// A client is taken for dead after this many times the agreed interval. Where browsers are among the clients, this
    /// times [`Self::heart_beat_receive`] is more than a minute: whatever a page promised, in the background its timers
    /// fire once a minute.
    pub heart_beat_tolerance: u32,
    /// CONNECT must be complete within this time.
    pub connect_timeout: Duration,
    /// Bounds on what the client can make us hold.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            server: concat!("stomp/", env!("CARGO_PKG_VERSION")).to_owned(),
            hosts: Vec::new(),
            heart_beat_send: Duration::from_secs(10),
            heart_beat_receive: Duration::from_secs(10),
            // 70 s at least, since the agreed interval is never shorter than 10 s: a minute, and a late timer.
            heart_beat_tolerance: 7,
            connect_timeout: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitingConnect { until: Instant },
    Authenticating { peer: HeartBeat },
    Open,
    Closed,
}

/// A server's session over one connection.
#[derive(Debug)]
pub struct ServerSession {
    config: Arc<ServerConfig>,
    state: State,
    version: Version,
    decoder: Decoder,
    heart_beats: HeartBeats,
    /// Answers to frames that were handled, and what the owner pushed: drained after each event, so it holds no more
    /// than one event makes.
    outgoing: VecDeque<Bytes>,
    heart_beat_due: bool,
    closed: Option<CloseReason>,
    subscriptions: Subscriptions,
    transactions: Transactions,
}

impl ServerSession {
    /// A session that waits for CONNECT. Whoever has many sessions gives them the same `Arc`.
    pub fn new(config: impl Into<Arc<ServerConfig>>, now: Instant) -> Self {
        let config = config.into();
        let mut decoder = Decoder::new(config.limits.clone());
        decoder.set_frame_limit(Some(config.limits.frame_bytes_before_connect));
        Self {
            state: State::AwaitingConnect {
                until: now + config.connect_timeout,
            },
            version: Version::V1_0,
            decoder,
            heart_beats: HeartBeats::none(now),
            outgoing: VecDeque::new(),
            heart_beat_due: false,
            closed: None,
            subscriptions: Subscriptions::new(&config.limits),
            transactions: Transactions::new(&config.limits),
            config,
        }
    }

    /// Takes what the socket read, split anyhow. Poll for events before reading on. Without any bytes it says that the
    /// transport heard from the peer (the answer to a WebSocket's ping, a part of a message): the peer lives.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.heart_beats.received(now);
        self.decoder.push(bytes);
        let limit = self.config.limits.frame_bytes_before_connect;
        let authenticating = matches!(self.state, State::Authenticating { .. });
        if authenticating && self.decoder.buffered() > limit {
            self.fail(ProtocolError::FrameTooLong { limit }, None);
        }
    }

    /// Does what is due: call it when [`Self::deadline`] has come.
    pub fn handle_deadline(&mut self, now: Instant) {
        match self.state {
            State::AwaitingConnect { until } if until <= now => self.close_with(
                CloseReason::TimedOut,
                "connect-timeout",
                "no CONNECT came in time",
            ),
            State::Open if self.heart_beats.is_lost(now) => self.close_with(
                CloseReason::HeartBeatLost,
                "heart-beat-lost",
                "nothing was heard for longer than agreed",
            ),
            State::Closed => {}
            _ => self.heart_beat_due |= self.heart_beats.must_send(now),
        }
    }

    /// The owner does not read now, because it handles a frame or waits for the peer to take something: the silence is
    /// not the peer's.
    pub fn reading_paused(&mut self, now: Instant) {
        self.heart_beats.received(now);
    }

    /// When to call [`Self::handle_deadline`]; changes with each other call.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::AwaitingConnect { until } => Some(until),
            State::Open => self.heart_beats.deadline(),
            State::Authenticating { .. } | State::Closed => None,
        }
    }

    /// One encoded frame, or one LF: write it whole, as one WebSocket message where there are such.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        let bytes = match self.outgoing.pop_front() {
            Some(bytes) => bytes,
            None if self.heart_beat_due => Bytes::from_static(HEART_BEAT),
            None => return None,
        };
        self.heart_beat_due = false;
        self.heart_beats.sent(now);
        Some(bytes)
    }

    /// Decodes and checks frames until one of them needs the owner.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        loop {
            if let Some(reason) = self.closed.take() {
                return Some(ServerEvent::Closed(reason));
            }
            if matches!(self.state, State::Authenticating { .. } | State::Closed) {
                return None;
            }
            let outcome = match self.decoder.decode() {
                Ok(None) => return None,
                Ok(Some(mut frame)) => {
                    if self.is_open() && self.version == Version::V1_0 {
                        frame.headers.trim_padding();
                    }
                    let receipt = receipt_of(&frame).map(str::to_owned);
                    self.handle_frame(frame).map_err(|error| (error, receipt))
                }
                Err(error) => {
                    let receipt = self.decoder.receipt_of_broken_frame().map(str::to_owned);
                    Err((error, receipt))
                }
            };
            match outcome {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err((error, receipt)) => self.fail(error, receipt.as_deref()),
            }
        }
    }

    /// Opens the session: CONNECTED goes out. `session` is its id, unique over all sessions.
    pub fn accept(&mut self, session: &str, now: Instant) {
        let State::Authenticating { peer } = self.state else {
            return;
        };
        let own = HeartBeat {
            send: self.config.heart_beat_send,
            receive: self.config.heart_beat_receive,
        };
        let tolerance = self.config.heart_beat_tolerance;
        self.heart_beats = HeartBeats::negotiate(self.version, own, peer, tolerance, now);
        self.decoder.set_frame_limit(None);
        self.state = State::Open;
        let mut connected = Frame::new(Command::Connected)
            .with_header("version", self.version.as_str())
            .with_header("server", self.config.server.as_str())
            .with_header("session", session);
        if self.version > Version::V1_0 {
            connected.headers.push("heart-beat", own.to_header());
        }
        self.push(&connected);
    }

    /// Refuses CONNECT: ERROR goes out, and the session is over.
    pub fn reject(&mut self, code: &str, message: &str) {
        self.error(code, message, None);
    }

    /// Answers `frame` with RECEIPT when it asked for one: call it when what the frame wanted *has happened*.
    pub fn receipt(&mut self, frame: &Frame) {
        if self.state == State::Closed {
            return;
        }
        if let Some(receipt) = receipt_of(frame) {
            let answer = Frame::new(Command::Receipt).with_header("receipt-id", receipt);
            self.push(&answer);
        }
    }

    /// Ends the session with ERROR. `cause` is the frame that led to it, if one did: its `receipt` is quoted.
    pub fn error(&mut self, code: &str, message: &str, cause: Option<&Frame>) {
        if self.state == State::Closed {
            return;
        }
        let frame = error_frame(code, message, cause.and_then(receipt_of));
        self.push(&frame);
        self.close(CloseReason::Error {
            code: code.to_owned(),
        });
    }

    /// Sends a MESSAGE to a subscription, with the headers `subscription` and `ack` put in front where the version
    /// and the mode want them. Nothing is sent when the subscription is gone. `message` has `destination` and
    /// `message-id`.
    ///
    /// # Errors
    /// [`ProtocolError::TooManyPendingAcks`]: nothing was sent.
    pub fn message(
        &mut self,
        subscription: &SubscriptionKey,
        message: &Frame,
    ) -> Result<(), ProtocolError> {
        if self.state != State::Open {
            return Ok(());
        }
        let message_id = message.header("message-id").unwrap_or_default();
        let Some(ack) = self.subscriptions.deliver(subscription, message_id)? else {
            return Ok(());
        };
        let mut frame = message.clone();
        if let (Some(ack), Version::V1_2) = (ack, self.version) {
            frame.headers.push_front("ack", ack.to_string());
        }
        if let SubscriptionKey::Id(id) = subscription {
            frame.headers.push_front("subscription", id.as_str());
        }
        self.push(&frame);
        Ok(())
    }

    /// The owner has sent what was encoded already, for a fan-out that encodes once for many sessions: whole frames in
    /// this session's [`Self::version`], of subscriptions that acknowledge automatically, after everything that
    /// [`Self::poll_transmit`] gave.
    pub fn sent(&mut self, now: Instant) {
        self.heart_beat_due = false;
        self.heart_beats.sent(now);
    }

    /// The version that both sides speak; 1.0 as long as none is agreed.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether CONNECTED went out and the session is not over.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn handle_frame(&mut self, frame: Frame) -> Result<Option<ServerEvent>, ProtocolError> {
        let command = frame.command;
        let unexpected = |when| Err(ProtocolError::UnexpectedFrame { command, when });
        match command {
            Command::Connected | Command::Message | Command::Receipt | Command::Error => {
                unexpected("from a client")
            }
            Command::Connect | Command::Stomp if self.state == State::Open => unexpected("twice"),
            Command::Connect | Command::Stomp => self.on_connect(frame).map(Some),
            _ if self.state != State::Open => unexpected("before CONNECT"),
            _ => self.on_open(frame),
        }
    }

    fn on_connect(&mut self, mut frame: Frame) -> Result<ServerEvent, ProtocolError> {
        let version = Version::negotiate(frame.header("accept-version"))?;
        if version == Version::V1_0 {
            frame.headers.trim_padding();
        }
        // The decoder could not know yet that a carriage return is malformed.
        if version == Version::V1_2
            && let Some(at) = frame
                .headers
                .iter()
                .position(|(_, value)| value.contains('\r'))
        {
            return Err(ProtocolError::BareCarriageReturn {
                command: frame.command,
                line: at + 2,
            });
        }
        self.check_host(&frame)?;
        let peer = match version {
            Version::V1_0 => HeartBeat::default(),
            Version::V1_1 | Version::V1_2 => HeartBeat::parse(frame.header("heart-beat"))?,
        };
        self.version = version;
        self.decoder.set_version(version);
        self.state = State::Authenticating { peer };
        Ok(ServerEvent::Connect(frame))
    }

    fn check_host(&self, connect: &Frame) -> Result<(), ProtocolError> {
        let hosts = &self.config.hosts;
        match connect.header("host") {
            Some(asked) if !hosts.is_empty() => hosts
                .iter()
                .any(|host| host.eq_ignore_ascii_case(asked))
                .then_some(())
                .ok_or_else(|| ProtocolError::UnknownHost {
                    host: asked.to_owned(),
                }),
            _ => Ok(()),
        }
    }

    fn on_open(&mut self, frame: Frame) -> Result<Option<ServerEvent>, ProtocolError> {
        let command = frame.command;
        match command {
            Command::Send | Command::Ack | Command::Nack => self.on_action(frame).map(Some),
            Command::Subscribe => self.on_subscribe(frame).map(Some),
            Command::Unsubscribe => {
                let subscription = self.subscriptions.remove(&frame, self.version)?;
                Ok(Some(ServerEvent::Unsubscribe {
                    subscription,
                    frame,
                }))
            }
            Command::Begin => {
                self.transactions.begin(&frame)?;
                Ok(Some(ServerEvent::Begin(frame)))
            }
            Command::Commit => {
                let held = self.transactions.end(&frame)?;
                // A failure ends the session, and none of the steps has reached the owner: all or nothing.
                let steps = held
                    .into_iter()
                    .map(|frame| self.step(frame))
                    .collect::<Result<_, _>>()?;
                Ok(Some(ServerEvent::Commit { steps, frame }))
            }
            Command::Abort => {
                self.transactions.end(&frame)?;
                Ok(Some(ServerEvent::Abort(frame)))
            }
            Command::Disconnect => {
                self.receipt(&frame);
                self.close(CloseReason::Disconnected);
                Ok(None)
            }
            Command::Connect
            | Command::Stomp
            | Command::Connected
            | Command::Message
            | Command::Receipt
            | Command::Error => Err(ProtocolError::UnexpectedFrame {
                command,
                when: "in an open session",
            }),
        }
    }

    /// SEND, ACK, NACK: now, or held for their transaction.
    fn on_action(&mut self, frame: Frame) -> Result<ServerEvent, ProtocolError> {
        let command = frame.command;
        match command {
            Command::Send => {
                required(&frame, "destination")?;
            }
            Command::Nack if self.version == Version::V1_0 => {
                let when = "in STOMP 1.0";
                return Err(ProtocolError::UnexpectedFrame { command, when });
            }
            _ => self.subscriptions.check(&frame, self.version)?,
        }
        if let Some(transaction) = frame.header("transaction") {
            self.transactions.hold(transaction, frame.clone())?;
            return Ok(ServerEvent::Hold(frame));
        }
        self.step(frame).map(ServerEvent::from)
    }

    fn step(&mut self, frame: Frame) -> Result<Step, ProtocolError> {
        if frame.command == Command::Send {
            return Ok(Step::Send(frame));
        }
        let deliveries = self.subscriptions.settle(&frame, self.version)?;
        Ok(if frame.command == Command::Ack {
            Step::Ack { deliveries, frame }
        } else {
            Step::Nack { deliveries, frame }
        })
    }

    fn on_subscribe(&mut self, frame: Frame) -> Result<ServerEvent, ProtocolError> {
        let destination = required(&frame, "destination")?.to_owned();
        let ack = match frame.header("ack") {
            None => AckMode::Auto,
            Some(value) => AckMode::parse(value)
                .filter(|mode| self.version > Version::V1_0 || *mode != AckMode::ClientIndividual)
                .ok_or_else(|| ProtocolError::BadAckMode {
                    value: value.to_owned(),
                })?,
        };
        let subscription = if frame.header("id").is_none() && self.version == Version::V1_0 {
            SubscriptionKey::Destination(destination.clone())
        } else {
            SubscriptionKey::Id(required(&frame, "id")?.to_owned())
        };
        self.subscriptions
            .add(subscription.clone(), &destination, ack)?;
        Ok(ServerEvent::Subscribe {
            subscription,
            destination,
            ack,
            frame,
        })
    }

    fn fail(&mut self, error: ProtocolError, receipt: Option<&str>) {
        let mut frame = error_frame(error.code(), &error.to_string(), receipt);
        if matches!(error, ProtocolError::NoCommonVersion { .. }) {
            frame.headers.push("version", Version::SUPPORTED);
        }
        self.push(&frame);
        self.close(error.into());
    }

    fn close_with(&mut self, reason: CloseReason, code: &str, message: &str) {
        self.push(&error_frame(code, message, None));
        self.close(reason);
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.heart_beat_due = false;
        self.transactions.clear();
        self.closed = Some(reason);
    }

    fn push(&mut self, frame: &Frame) {
        self.outgoing.push_back(encode_alone(frame, self.version));
    }
}

/// The receipt that a frame asks for. CONNECT cannot ask for one (STOMP 1.2, Header receipt).
fn receipt_of(frame: &Frame) -> Option<&str> {
    let may_ask = !matches!(frame.command, Command::Connect | Command::Stomp);
    frame.header("receipt").filter(|_| may_ask)
}

fn required<'frame>(
    frame: &'frame Frame,
    header: &'static str,
) -> Result<&'frame str, ProtocolError> {
    frame
        .header(header)
        .filter(|value| !value.is_empty())
        .ok_or(ProtocolError::MissingHeader {
            command: frame.command,
            header,
        })
}
