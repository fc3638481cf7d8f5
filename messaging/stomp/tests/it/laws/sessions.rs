//! What holds for every server session, whatever its client sends, whenever time passes, and whatever its owner does.
//! Driven by proptest in this crate's tests and by the fuzzer in `messaging/fuzz`.
//!
//! A script is what the client sends. An octet 0xFF, which no header can have, ends a piece of it; the octet after that
//! says what the owner does meanwhile (see [`Run::act`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp::server::{Delivery, Step, SubscriptionKey};
use stomp::{
    AckMode, CloseReason, Command, Decoder, Frame, Limits, ServerConfig, ServerEvent,
    ServerSession, Version,
};

/// Ends a piece of the client's bytes.
pub(crate) const ACT: u8 = 0xff;

/// Panics when `script` breaks a law of sessions.
pub(crate) fn check(script: &[u8]) {
    let whole = play(script, |piece| vec![piece]);
    assert_eq!(play(script, |piece| piece.chunks(1).collect()), whole);
    assert_eq!(play(script, |piece| piece.chunks(7).collect()), whole);
}

/// Limits that short scripts reach.
fn tight() -> Limits {
    Limits {
        line_bytes: 80,
        head_bytes: 240,
        headers: 8,
        body_bytes: 64,
        subscriptions: 3,
        subscription_id_bytes: 30,
        pending_acks: 4,
        transactions: 2,
        transaction_frames: 3,
        transaction_bytes: 2048,
        frame_bytes_before_connect: 250,
    }
}

/// What the peer and the owner saw.
#[derive(Debug, PartialEq)]
struct Transcript {
    events: Vec<ServerEvent>,
    written: Vec<Bytes>,
}

fn play(script: &[u8], split: impl Fn(&[u8]) -> Vec<&[u8]>) -> Transcript {
    let mut run = Run::new();
    for (number, part) in script.split(|byte| *byte == ACT).enumerate() {
        let piece = match part.split_first() {
            Some((act, rest)) if number > 0 => {
                run.act(*act);
                rest
            }
            _ => part,
        };
        for bytes in split(piece) {
            run.session.handle_bytes(bytes, run.now);
            run.serve();
        }
    }
    run.transcript
}

struct Run {
    session: ServerSession,
    limits: Limits,
    now: Instant,
    /// The owner's answer to CONNECT.
    accepts: bool,
    /// What the events told of subscriptions: how they are acknowledged, and how many messages wait for that.
    subscriptions: BTreeMap<SubscriptionKey, (AckMode, usize)>,
    transactions: BTreeSet<String>,
    messages: usize,
    /// The last message that the peer got.
    message_got: usize,
    /// Receipts that are owed, oldest first.
    owed: VecDeque<String>,
    /// Commands of what was written.
    said: Vec<Command>,
    ended: Option<CloseReason>,
    transcript: Transcript,
}

impl Run {
    fn new() -> Self {
        let config = ServerConfig {
            limits: tight(),
            hosts: vec!["a".to_owned()],
            heart_beat_send: Duration::from_secs(1),
            heart_beat_receive: Duration::from_secs(1),
            ..ServerConfig::default()
        };
        let now = Instant::now();
        Self {
            limits: config.limits.clone(),
            session: ServerSession::new(config, now),
            now,
            accepts: true,
            subscriptions: BTreeMap::new(),
            transactions: BTreeSet::new(),
            messages: 0,
            message_got: 0,
            owed: VecDeque::new(),
            said: Vec::new(),
            ended: None,
            transcript: Transcript {
                events: Vec::new(),
                written: Vec::new(),
            },
        }
    }

    fn act(&mut self, act: u8) {
        match act {
            b'd' => self.wait_for_deadline(),
            b'm' => self.send_to_all(),
            b'e' => {
                // A beat may be due just then.
                self.now += Duration::from_secs(1);
                self.session.handle_deadline(self.now);
                self.session.error("refused", "for\nno:reason", None);
            }
            b'n' => self.accepts = false,
            b'r' => self.session.reading_paused(self.now),
            b'p' => self.session.sent(self.now),
            seconds => {
                self.now += Duration::from_secs(seconds.into());
                self.session.handle_deadline(self.now);
            }
        }
        self.serve();
    }

    /// A deadline that was handled is over.
    fn wait_for_deadline(&mut self) {
        let Some(deadline) = self.session.deadline() else {
            return;
        };
        self.now = self.now.max(deadline);
        self.session.handle_deadline(self.now);
        self.serve();
        assert!(self.session.deadline().is_none_or(|next| next > self.now));
    }

    fn send_to_all(&mut self) {
        for (key, (mode, _)) in self.subscriptions.clone() {
            self.messages += 1;
            let message = Frame::new(Command::Message)
                .with_header("destination", "/a\nb")
                .with_header("message-id", self.messages.to_string())
                .with_body("x");
            let sent = self.session.message(&key, &message);
            let pending: usize = self.subscriptions.values().map(|(_, waits)| waits).sum();
            let full = mode != AckMode::Auto && pending == self.limits.pending_acks;
            assert_eq!(sent.is_err(), full && self.session.is_open());
            if mode != AckMode::Auto && !full {
                self.waits_of(&key, |waits| waits + 1);
            }
        }
    }

    fn waits_of(&mut self, key: &SubscriptionKey, change: impl Fn(usize) -> usize) {
        let (_, waits) = self
            .subscriptions
            .get_mut(key)
            .expect("it was not unsubscribed");
        *waits = change(*waits);
    }

    fn settle(&mut self, deliveries: &[Delivery]) {
        assert!(!deliveries.is_empty());
        for delivery in deliveries {
            self.waits_of(&delivery.subscription, |waits| waits - 1);
        }
    }

    fn end_transaction(&mut self, frame: &Frame) {
        let id = frame.header("transaction").expect("it was checked");
        assert!(self.transactions.remove(id));
    }

    /// Does what the client asks for, and reads what the server writes.
    fn serve(&mut self) {
        self.collect();
        while let Some(event) = self.session.poll_event() {
            assert_eq!(self.ended, None, "an event after the end: {event:?}");
            self.on_event(&event);
            if let Some(frame) = event.frame() {
                self.owe(frame);
                self.session.receipt(frame);
            }
            self.transcript.events.push(event);
            self.collect();
        }
        assert_eq!(self.ended.is_some(), self.session.is_closed());
        if let Some(reason) = &self.ended {
            let told =
                *reason == CloseReason::Disconnected || self.said.ends_with(&[Command::Error]);
            assert!(told, "{reason}");
            assert_eq!(self.owed.len(), 0, "receipts that never came");
            assert_eq!(self.session.deadline(), None);
            self.session.error("again", "after the end", None);
            self.session.sent(self.now);
            self.session.handle_deadline(self.now);
            assert_eq!(self.session.poll_transmit(self.now), None);
        }
    }

    fn collect(&mut self) {
        while let Some(bytes) = self.session.poll_transmit(self.now) {
            assert_ne!(
                self.said.last(),
                Some(&Command::Error),
                "nothing follows ERROR"
            );
            if *bytes != *b"\n" {
                let frame = read_one(self.session.version(), &bytes);
                self.on_written(&frame);
                self.said.push(frame.command);
            }
            self.transcript.written.push(bytes);
        }
    }

    fn on_written(&mut self, frame: &Frame) {
        let may: &[&str] = match frame.command {
            Command::Connected => {
                assert!(self.said.is_empty(), "CONNECTED comes first");
                &["version", "server", "session", "heart-beat"]
            }
            Command::Message => {
                if let Some(id) = frame.header("message-id") {
                    let before = self.message_got;
                    self.message_got = id.parse().expect("it was a number");
                    assert!(self.message_got > before, "messages come in order");
                }
                &["subscription", "ack", "destination", "message-id"]
            }
            Command::Receipt => {
                self.on_receipt(frame.header("receipt-id").expect("a RECEIPT has it"));
                &["receipt-id"]
            }
            Command::Error => {
                let says = |name| frame.header(name).is_some_and(|value| !value.is_empty());
                assert!(says("message") && says("code"), "{frame:?}");
                &["message", "code", "receipt-id", "version"]
            }
            command => panic!("a server never says {command}"),
        };
        let mut names = BTreeSet::new();
        for (name, _) in frame.headers.iter() {
            assert!(may.contains(&name) && names.insert(name), "{frame:?}");
        }
    }

    /// Receipts come in order, and once. That of DISCONNECT is the session's own, and its last word.
    fn on_receipt(&mut self, id: &str) {
        match self.owed.pop_front() {
            // 1.0 cannot say a carriage return.
            Some(owed) if self.session.version() == Version::V1_0 => {
                assert_eq!(id, owed.replace('\r', " "));
            }
            Some(owed) => assert_eq!(id, owed),
            None => assert_eq!(self.ended, Some(CloseReason::Disconnected)),
        }
    }

    fn owe(&mut self, frame: &Frame) {
        let may_ask = !matches!(frame.command, Command::Connect | Command::Stomp);
        if let Some(receipt) = frame.header("receipt").filter(|_| may_ask) {
            self.owed.push_back(receipt.to_owned());
        }
    }

    fn on_event(&mut self, event: &ServerEvent) {
        match event {
            ServerEvent::Connect(_) if self.accepts => self.session.accept("1\n2", self.now),
            ServerEvent::Connect(_) => self.session.reject("refused", "by test"),
            ServerEvent::Subscribe {
                subscription, ack, ..
            } => {
                let before = self.subscriptions.insert(subscription.clone(), (*ack, 0));
                assert_eq!(before, None);
                assert!(self.subscriptions.len() <= self.limits.subscriptions);
            }
            ServerEvent::Unsubscribe { subscription, .. } => {
                assert!(self.subscriptions.remove(subscription).is_some());
            }
            ServerEvent::Ack { deliveries, .. } | ServerEvent::Nack { deliveries, .. } => {
                self.settle(deliveries);
            }
            ServerEvent::Begin(frame) => {
                let id = frame.header("transaction").expect("BEGIN was checked");
                assert!(self.transactions.insert(id.to_owned()));
                assert!(self.transactions.len() <= self.limits.transactions);
            }
            ServerEvent::Hold(frame) => {
                let id = frame.header("transaction").expect("it was held for one");
                assert!(self.transactions.contains(id));
            }
            ServerEvent::Abort(frame) => self.end_transaction(frame),
            ServerEvent::Commit { steps, frame } => {
                self.end_transaction(frame);
                assert!(steps.len() <= self.limits.transaction_frames);
                for step in steps {
                    if let Step::Ack { deliveries, .. } | Step::Nack { deliveries, .. } = step {
                        self.settle(deliveries);
                    }
                }
            }
            ServerEvent::Send(frame) => assert!(frame.header("destination").is_some()),
            ServerEvent::Closed(reason) => self.ended = Some(reason.clone()),
        }
    }
}

/// What was written is one frame, and nothing after it.
fn read_one(version: Version, bytes: &[u8]) -> Frame {
    let mut decoder = Decoder::new(Limits::default());
    decoder.set_version(version);
    decoder.push(bytes);
    let frame = decoder.decode().expect("what is written is well-formed");
    assert_eq!(decoder.buffered(), 0);
    frame.expect("what is written is complete")
}
