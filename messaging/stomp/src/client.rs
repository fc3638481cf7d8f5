//! The client's side of a session: CONNECT, subscriptions, receipts, heart-beats. Pure: `now` is passed in.
//!
//! Call order: see the crate's documentation. What is sent before the session is open waits for CONNECTED, since how
//! it is written depends on the version.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::codec::{Decoder, HEART_BEAT, encode_alone};
use crate::error::{CloseReason, ProtocolError};
use crate::frame::{AckMode, Command, Frame};
use crate::heartbeat::{HeartBeat, HeartBeats};
use crate::limits::Limits;
use crate::version::Version;

/// How a client connects.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The `host` header: the virtual host, for servers that have several.
    pub host: String,
    /// The `Authorization` header of CONNECT, for example `Bearer …`.
    pub authorization: Option<String>,
    /// The `login` header.
    pub login: Option<String>,
    /// The `passcode` header.
    pub passcode: Option<String>,
    /// The versions that are offered; must not be empty.
    pub versions: Vec<Version>,
    /// Something is sent at least this often; zero for no promise.
    pub heart_beat_send: Duration,
    /// Something should be received at least this often; zero for no wish.
    pub heart_beat_receive: Duration,
    /// The server is taken for dead after this many times the agreed interval.
    pub heart_beat_tolerance: u32,
    /// CONNECTED must come within this time, as must the RECEIPT of DISCONNECT.
    pub connect_timeout: Duration,
    /// Bounds on what the server can make us hold.
    pub limits: Limits,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            authorization: None,
            login: None,
            passcode: None,
            versions: Version::ALL.to_vec(),
            heart_beat_send: Duration::from_secs(10),
            heart_beat_receive: Duration::from_secs(10),
            // One beat may be lost in a stall of the network; two in a row are not.
            heart_beat_tolerance: 2,
            connect_timeout: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }
}

/// Ties a RECEIPT (or an ERROR) to the frame that asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptId(u64);

impl ReceiptId {
    /// Which frame a RECEIPT or ERROR answers, by its `receipt-id` header.
    pub fn of(frame: &Frame) -> Option<Self> {
        parse_id(frame.header("receipt-id")?, "r-").map(Self)
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r-{}", self.0)
    }
}

/// Ties a MESSAGE to its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(u64);

impl SubscriptionId {
    /// Which subscription a MESSAGE belongs to, by its `subscription` header.
    pub fn of(frame: &Frame) -> Option<Self> {
        parse_id(frame.header("subscription")?, "s-").map(Self)
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s-{}", self.0)
    }
}

fn parse_id(text: &str, prefix: &str) -> Option<u64> {
    text.strip_prefix(prefix)?.parse().ok()
}

/// What a client learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The session is open.
    Connected {
        /// The version that both sides speak from here on.
        version: Version,
        /// The `server` header.
        server: Option<String>,
        /// The `session` header.
        session: Option<String>,
    },
    /// A MESSAGE; [`SubscriptionId::of`] tells whose.
    Message(Frame),
    /// The server has processed the frame that asked for this receipt.
    Receipt(ReceiptId),
    /// An ERROR; [`ReceiptId::of`] tells whether it answers a frame. [`ClientEvent::Closed`] follows.
    Error(Frame),
    /// The session is over: close the socket. No event follows.
    Closed(CloseReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// CONNECT is out, CONNECTED is not in.
    Connecting {
        until: Instant,
    },
    Open,
    /// DISCONNECT is out, its RECEIPT is not in.
    Disconnecting {
        receipt: ReceiptId,
        until: Instant,
    },
    Closed,
}

/// A client's session over one connection. A new connection needs a new session.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    state: State,
    version: Version,
    decoder: Decoder,
    heart_beats: HeartBeats,
    /// Frames that wait to be written: what the caller has asked for, so as long as the caller lets it become.
    outgoing: VecDeque<Frame>,
    heart_beat_due: bool,
    events: VecDeque<ClientEvent>,
    next_id: u64,
    receipts: BTreeSet<ReceiptId>,
    subscriptions: BTreeMap<SubscriptionId, String>,
}

impl ClientSession {
    /// A session whose CONNECT waits in [`Self::poll_transmit`].
    pub fn new(config: ClientConfig, now: Instant) -> Self {
        Self {
            state: State::Connecting {
                until: now + config.connect_timeout,
            },
            version: Version::V1_0,
            decoder: Decoder::new(config.limits.clone()),
            heart_beats: HeartBeats::none(now),
            outgoing: VecDeque::from([connect_frame(&config)]),
            heart_beat_due: false,
            events: VecDeque::new(),
            next_id: 1,
            receipts: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            config,
        }
    }

    /// Takes what the socket read, split anyhow. Poll for events before reading on.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if self.state == State::Closed || bytes.is_empty() {
            return;
        }
        self.heart_beats.received(now);
        self.decoder.push(bytes);
        while self.state != State::Closed {
            match self.decoder.decode() {
                Ok(Some(frame)) => self.handle_frame(frame, now),
                Ok(None) => return,
                Err(error) => self.close(error.into()),
            }
        }
    }

    /// Does what is due: call it when [`Self::deadline`] has come.
    pub fn handle_deadline(&mut self, now: Instant) {
        match self.state {
            State::Connecting { until } | State::Disconnecting { until, .. } if until <= now => {
                self.close(CloseReason::TimedOut);
            }
            State::Closed => {}
            _ if self.heart_beats.is_lost(now) => self.close(CloseReason::HeartBeatLost),
            _ => self.heart_beat_due |= self.heart_beats.must_send(now),
        }
    }

    /// When to call [`Self::handle_deadline`]; changes with each other call.
    pub fn deadline(&self) -> Option<Instant> {
        let until = match self.state {
            State::Connecting { until } | State::Disconnecting { until, .. } => Some(until),
            State::Open => None,
            State::Closed => return None,
        };
        [until, self.heart_beats.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// One encoded frame, or one LF: write it whole, as one WebSocket message where there are such.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        let ready = match self.state {
            // Only CONNECT may go out before CONNECTED is in.
            State::Connecting { .. } => self
                .outgoing
                .front()
                .is_some_and(|frame| frame.command == Command::Connect),
            State::Open | State::Disconnecting { .. } => true,
            State::Closed => false,
        };
        let frame = if ready {
            self.outgoing.pop_front()
        } else {
            None
        };
        let bytes = match frame {
            Some(frame) => encode_alone(&frame, self.version),
            None if self.heart_beat_due => Bytes::from_static(HEART_BEAT),
            None => return None,
        };
        self.heart_beat_due = false;
        self.heart_beats.sent(now);
        Some(bytes)
    }

    /// The next event in order.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Sends a message without asking whether it was processed.
    pub fn send(
        &mut self,
        destination: &str,
        content_type: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) {
        let frame = send_frame(destination, content_type, body, headers);
        self.outgoing.push_back(frame);
    }

    /// Sends a message; [`ClientEvent::Receipt`] tells that it was processed.
    pub fn send_with_receipt(
        &mut self,
        destination: &str,
        content_type: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> ReceiptId {
        let frame = send_frame(destination, content_type, body, headers);
        self.push_with_receipt(frame)
    }

    /// Subscribes. Nothing is missed after the subscription's RECEIPT: put a `receipt` of your own into `headers`, or
    /// use [`Self::subscribe_with_receipt`].
    pub fn subscribe(
        &mut self,
        destination: &str,
        ack: AckMode,
        headers: &[(&str, &str)],
    ) -> SubscriptionId {
        let (id, frame) = self.subscribe_frame(destination, ack, headers);
        self.outgoing.push_back(frame);
        id
    }

    /// Subscribes; [`ClientEvent::Receipt`] tells that the subscription is live.
    pub fn subscribe_with_receipt(
        &mut self,
        destination: &str,
        ack: AckMode,
        headers: &[(&str, &str)],
    ) -> (SubscriptionId, ReceiptId) {
        let (id, frame) = self.subscribe_frame(destination, ack, headers);
        (id, self.push_with_receipt(frame))
    }

    /// Ends a subscription. Messages that are on their way still come.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) {
        if self.subscriptions.remove(&subscription).is_some() {
            self.outgoing.push_back(
                Frame::new(Command::Unsubscribe).with_header("id", subscription.to_string()),
            );
        }
    }

    /// The destination that a subscription was made with.
    pub fn destination_of(&self, subscription: SubscriptionId) -> Option<&str> {
        self.subscriptions.get(&subscription).map(String::as_str)
    }

    /// What [`Self::ack`] and [`Self::nack`] want to know of a MESSAGE; `None` when it has no id.
    pub fn ack_id(&self, message: &Frame) -> Option<String> {
        match self.version {
            Version::V1_2 => message.header("ack").map(str::to_owned),
            Version::V1_1 => {
                let subscription = message.header("subscription")?;
                Some(format!("{subscription} {}", message.header("message-id")?))
            }
            Version::V1_0 => message.header("message-id").map(str::to_owned),
        }
    }

    /// Says that a message was consumed. `id` is what [`Self::ack_id`] says; in 1.2 the MESSAGE's `ack` header.
    pub fn ack(&mut self, id: &str) {
        self.push_ack(Command::Ack, id);
    }

    /// Says that a message was not consumed. 1.0 has no NACK: nothing is sent there.
    pub fn nack(&mut self, id: &str) {
        if self.version > Version::V1_0 {
            self.push_ack(Command::Nack, id);
        }
    }

    /// Sends any other frame as it is, for example one that renews a token.
    pub fn send_frame(&mut self, frame: Frame) {
        self.outgoing.push_back(frame);
    }

    /// Says good-bye: everything sent before is processed when [`CloseReason::Disconnected`] comes.
    pub fn disconnect(&mut self, now: Instant) {
        if self.state == State::Open {
            let receipt = self.push_with_receipt(Frame::new(Command::Disconnect));
            self.state = State::Disconnecting {
                receipt,
                until: now + self.config.connect_timeout,
            };
        }
    }

    /// Whether CONNECTED is in and the session is not over.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Disconnecting { .. })
    }

    /// Frames that wait to be written: a caller that sends faster than the socket takes watches this.
    pub fn outgoing_frames(&self) -> usize {
        self.outgoing.len()
    }

    fn handle_frame(&mut self, frame: Frame, now: Instant) {
        match (frame.command, self.state) {
            (Command::Connected, State::Connecting { .. }) => {
                if let Err(error) = self.open(&frame, now) {
                    self.close(error.into());
                }
            }
            (Command::Error, _) => {
                let code = frame.header("code").unwrap_or_default().to_owned();
                self.events.push_back(ClientEvent::Error(frame));
                self.close(CloseReason::Error { code });
            }
            (Command::Message, State::Open | State::Disconnecting { .. }) => {
                self.events.push_back(ClientEvent::Message(frame));
            }
            (Command::Receipt, State::Open | State::Disconnecting { .. }) => {
                self.handle_receipt(&frame);
            }
            (command, state) => {
                let when = match state {
                    State::Connecting { .. } => "before CONNECTED",
                    _ => "from a server in an open session",
                };
                self.close(ProtocolError::UnexpectedFrame { command, when }.into());
            }
        }
    }

    fn open(&mut self, connected: &Frame, now: Instant) -> Result<(), ProtocolError> {
        let offered = connected.header("version").unwrap_or("1.0");
        let version = Version::parse(offered)
            .filter(|version| self.config.versions.contains(version))
            .ok_or_else(|| ProtocolError::NoCommonVersion {
                offered: offered.to_owned(),
            })?;
        let peer = HeartBeat::parse(connected.header("heart-beat"))?;
        let tolerance = self.config.heart_beat_tolerance;
        self.heart_beats =
            HeartBeats::negotiate(version, own_beat(&self.config), peer, tolerance, now);
        self.version = version;
        self.decoder.set_version(version);
        self.state = State::Open;
        self.events.push_back(ClientEvent::Connected {
            version,
            server: connected.header("server").map(str::to_owned),
            session: connected.header("session").map(str::to_owned),
        });
        Ok(())
    }

    fn handle_receipt(&mut self, frame: &Frame) {
        // A receipt that nobody here asked for came with a header of the caller's; it says nothing to us.
        let Some(id) = ReceiptId::of(frame).filter(|id| self.receipts.remove(id)) else {
            return;
        };
        self.events.push_back(ClientEvent::Receipt(id));
        if matches!(self.state, State::Disconnecting { receipt, .. } if receipt == id) {
            self.close(CloseReason::Disconnected);
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.outgoing.clear();
        self.heart_beat_due = false;
        self.events.push_back(ClientEvent::Closed(reason));
    }

    fn subscribe_frame(
        &mut self,
        destination: &str,
        ack: AckMode,
        headers: &[(&str, &str)],
    ) -> (SubscriptionId, Frame) {
        let id = SubscriptionId(self.take_id());
        self.subscriptions.insert(id, destination.to_owned());
        let mut frame = Frame::new(Command::Subscribe)
            .with_header("id", id.to_string())
            .with_header("destination", destination)
            .with_header("ack", ack.as_str());
        for (name, value) in headers {
            frame.headers.push(*name, *value);
        }
        (id, frame)
    }

    fn push_with_receipt(&mut self, frame: Frame) -> ReceiptId {
        let id = ReceiptId(self.take_id());
        self.receipts.insert(id);
        self.outgoing
            .push_back(frame.with_header("receipt", id.to_string()));
        id
    }

    fn push_ack(&mut self, command: Command, id: &str) {
        let frame = Frame::new(command);
        let frame = match (self.version, id.split_once(' ')) {
            (Version::V1_2, _) => frame.with_header("id", id),
            (Version::V1_1, Some((subscription, message))) => frame
                .with_header("subscription", subscription)
                .with_header("message-id", message),
            (Version::V1_0 | Version::V1_1, _) => frame.with_header("message-id", id),
        };
        self.outgoing.push_back(frame);
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

fn own_beat(config: &ClientConfig) -> HeartBeat {
    HeartBeat {
        send: config.heart_beat_send,
        receive: config.heart_beat_receive,
    }
}

fn connect_frame(config: &ClientConfig) -> Frame {
    let versions: Vec<&str> = config
        .versions
        .iter()
        .map(|version| version.as_str())
        .collect();
    let mut frame = Frame::new(Command::Connect)
        .with_header("accept-version", versions.join(","))
        .with_header("host", config.host.as_str())
        .with_header("heart-beat", own_beat(config).to_header());
    for (name, value) in [
        ("login", &config.login),
        ("passcode", &config.passcode),
        ("Authorization", &config.authorization),
    ] {
        if let Some(value) = value {
            frame.headers.push(name, value.as_str());
        }
    }
    frame
}

fn send_frame(
    destination: &str,
    content_type: &str,
    body: Bytes,
    headers: &[(&str, &str)],
) -> Frame {
    let mut frame = Frame::new(Command::Send)
        .with_header("destination", destination)
        .with_header("content-type", content_type)
        .with_body(body);
    for (name, value) in headers {
        frame.headers.push(*name, *value);
    }
    frame
}
