//! What is told to the server in one STOMP session, in which order, and what is still without RECEIPT. Pure.
//!
//! | when | what |
//! |---|---|
//! | connected | inventory (with receipt), heart-beat, subscriptions |
//! | inventory receipted | a full report; events and results that wait |
//! | each 10 s | heart-beat; with `Authorization` when the token is new |
//! | each 60 s | a full report |
//!
//! One frame of events is under way at a time, so that they arrive in order and one RECEIPT covers all up to its last.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use contract::Destination;
use contract::event::{Event, Events};
use contract::heartbeat::{HEARTBEAT_PERIOD_MS, Heartbeat};
use contract::inventory::Inventory;
use contract::reading::Readings;
use serde::Serialize;
use stomp::frame::AckMode;
use stomp::{ClientConfig, ClientEvent, ClientSession, Frame, ReceiptId, SubscriptionId};

use crate::store::outbox::StoredResult;

const JSON: &str = "application/json";

const HEARTBEAT_PERIOD: Duration = Duration::from_millis(HEARTBEAT_PERIOD_MS);

/// How often everything is reported, changed or not: what was lost on the way is repaired within a minute.
const FULL_REPORT_PERIOD: Duration = Duration::from_secs(60);

/// Changes are collected for so long: one frame for a gate's three points instead of three.
const FLUSH_PERIOD: Duration = Duration::from_millis(100);

/// "As it was" is told less often: nothing is stale before 5 s.
const POLLS_PERIOD: Duration = Duration::from_secs(1);

/// A server that has not stored an event after so long will not: a new session tries again.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(30);

/// Results that may be without RECEIPT at a time; the rest waits on disk.
const MAX_RESULTS_IN_FLIGHT: usize = 16;

/// What a RECEIPT stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InFlight {
    Inventory,
    Events { last: u64 },
    Result { id: i64 },
}

/// What the task has to do about what came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The session is open: call [`Session::open`].
    Open,
    /// The server knows the devices: it is ready for everything else.
    Ready,
    /// The server has every event up to this one.
    DeleteEvents(u64),
    /// The server has this result, or will never take it.
    DeleteResult(i64),
    /// A command came.
    Command { ack: String, body: Bytes },
    /// The server refused something, and says why.
    Refused { what: String, why: String },
    /// It is over.
    Closed(String),
}

/// One session.
pub(super) struct Session {
    stomp: ClientSession,
    in_flight: BTreeMap<ReceiptId, (InFlight, Instant)>,
    commands: Option<SubscriptionId>,
    is_ready: bool,
    last_result: i64,
    heartbeat_at: Option<Instant>,
    full_report_at: Option<Instant>,
    flush_at: Option<Instant>,
    /// A token that the server does not have yet.
    new_authorization: Option<String>,
    error: Option<String>,
}

fn json<T: Serialize>(body: &T) -> Bytes {
    serde_json::to_vec(body)
        .expect("contract types have string keys and cannot fail")
        .into()
}

impl Session {
    pub(super) fn new(host: String, authorization: String, now: Instant) -> Self {
        let config = ClientConfig {
            host,
            authorization: Some(authorization),
            ..ClientConfig::default()
        };
        Self {
            stomp: ClientSession::new(config, now),
            in_flight: BTreeMap::new(),
            commands: None,
            is_ready: false,
            last_result: 0,
            heartbeat_at: None,
            full_report_at: None,
            flush_at: None,
            new_authorization: None,
            error: None,
        }
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.stomp.handle_bytes(bytes, now);
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        self.stomp.poll_transmit(now)
    }

    /// When [`Self::handle_deadline`] wants to be called, or something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let receipts = self
            .in_flight
            .values()
            .map(|(_, sent)| *sent + RECEIPT_TIMEOUT)
            .min();
        [
            self.stomp.deadline(),
            receipts,
            self.heartbeat_at,
            self.full_report_at,
            self.flush_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time passed. Some: the session is not worth keeping.
    pub(super) fn handle_deadline(&mut self, now: Instant) -> Option<Action> {
        self.stomp.handle_deadline(now);
        let overdue = self
            .in_flight
            .values()
            .find(|(_, sent)| now >= *sent + RECEIPT_TIMEOUT)?;
        Some(Action::Closed(format!(
            "the server did not confirm {:?} within {RECEIPT_TIMEOUT:?}",
            overdue.0
        )))
    }

    /// The next thing to do about what came in.
    pub(super) fn poll_action(&mut self) -> Option<Action> {
        loop {
            let action = match self.stomp.poll_event()? {
                ClientEvent::Connected { .. } => Some(Action::Open),
                ClientEvent::Receipt(receipt) => self.handle_receipt(receipt),
                ClientEvent::Message(frame) => self.handle_message(frame),
                ClientEvent::Error(frame) => {
                    self.error = Some(describe(&frame));
                    None
                }
                ClientEvent::Closed(reason) => {
                    let why = self.error.take();
                    Some(Action::Closed(why.unwrap_or_else(|| reason.to_string())))
                }
            };
            if action.is_some() {
                return action;
            }
        }
    }

    fn handle_receipt(&mut self, receipt: ReceiptId) -> Option<Action> {
        let (what, _) = self.in_flight.remove(&receipt)?;
        Some(match what {
            InFlight::Inventory => {
                self.is_ready = true;
                Action::Ready
            }
            InFlight::Events { last } => Action::DeleteEvents(last),
            InFlight::Result { id } => Action::DeleteResult(id),
        })
    }

    fn handle_message(&mut self, frame: Frame) -> Option<Action> {
        if SubscriptionId::of(&frame) == self.commands {
            let ack = self.stomp.ack_id(&frame)?;
            return Some(Action::Command {
                ack,
                body: frame.body,
            });
        }
        let refused = ReceiptId::of(&frame).and_then(|receipt| self.in_flight.get(&receipt));
        match refused.map(|(what, _)| *what) {
            // Sending it again would change nothing.
            Some(InFlight::Result { id }) => {
                let receipt = ReceiptId::of(&frame)?;
                self.in_flight.remove(&receipt);
                self.error = None;
                Some(Action::DeleteResult(id))
            }
            // Events and the inventory are kept: the session ends when their RECEIPT does not come.
            what => Some(Action::Refused {
                what: what.map_or_else(|| "a frame".to_owned(), |what| format!("{what:?}")),
                why: describe(&frame),
            }),
        }
    }

    fn send_with_receipt<T: Serialize>(
        &mut self,
        destination: &Destination,
        body: &T,
        what: InFlight,
        now: Instant,
    ) {
        let receipt = self
            .stomp
            .send_with_receipt(&destination.to_string(), JSON, json(body), &[]);
        self.in_flight.insert(receipt, (what, now));
    }

    /// Says who this is and what it serves, and asks for commands.
    pub(super) fn open(&mut self, inventory: &Inventory, now: Instant) {
        self.send_with_receipt(&Destination::Inventory, inventory, InFlight::Inventory, now);
        self.heartbeat_at = Some(now);
        let commands = self.stomp.subscribe(
            &Destination::UserCommands.to_string(),
            AckMode::ClientIndividual,
            &[],
        );
        self.commands = Some(commands);
        self.stomp
            .subscribe(&Destination::UserErrors.to_string(), AckMode::Auto, &[]);
    }

    pub(super) fn wants_heartbeat(&self, now: Instant) -> bool {
        self.heartbeat_at.is_some_and(|at| at <= now)
    }

    pub(super) fn send_heartbeat(&mut self, heartbeat: &Heartbeat, now: Instant) {
        let authorization = self.new_authorization.take();
        let headers: Vec<(&str, &str)> = authorization
            .iter()
            .map(|token| ("Authorization", token.as_str()))
            .collect();
        let destination = Destination::Heartbeats.to_string();
        self.stomp
            .send(&destination, JSON, json(heartbeat), &headers);
        self.heartbeat_at = Some(now + HEARTBEAT_PERIOD);
    }

    /// The next heart-beat, sent at once, carries the token.
    pub(super) fn renew(&mut self, authorization: String, now: Instant) {
        self.new_authorization = Some(authorization);
        if self.heartbeat_at.is_some() {
            self.heartbeat_at = Some(now);
        }
    }

    /// There are readings that the server does not have, or only the news that others are as they were.
    pub(super) fn note_readings(&mut self, has_changes: bool, now: Instant) {
        if self.is_ready {
            let wait = if has_changes {
                FLUSH_PERIOD
            } else {
                POLLS_PERIOD
            };
            let flush_at = self.flush_at.unwrap_or(now + wait);
            self.flush_at = Some(flush_at.min(now + wait));
        }
    }

    /// Whether everything should be reported now; asked once each time.
    pub(super) fn takes_full_report(&mut self, now: Instant) -> bool {
        let due = self.is_ready && self.full_report_at.is_none_or(|at| at <= now);
        if due {
            self.full_report_at = Some(now + FULL_REPORT_PERIOD);
            self.flush_at = Some(now);
        }
        due
    }

    /// Whether collected readings should go now; asked once each time.
    pub(super) fn takes_readings(&mut self, now: Instant) -> bool {
        let due = self.is_ready && self.flush_at.is_some_and(|at| at <= now);
        if due {
            self.flush_at = None;
        }
        due
    }

    pub(super) fn send_readings(&mut self, readings: &Readings) {
        let destination = Destination::Readings.to_string();
        self.stomp.send(&destination, JSON, json(readings), &[]);
    }

    pub(super) fn wants_events(&self) -> bool {
        let under_way = self
            .in_flight
            .values()
            .any(|(what, _)| matches!(what, InFlight::Events { .. }));
        self.is_ready && !under_way
    }

    pub(super) fn send_events(&mut self, events: &Events, now: Instant) {
        if let Some(Event { sequence, .. }) = events.events.last() {
            let what = InFlight::Events { last: *sequence };
            self.send_with_receipt(&Destination::Events, events, what, now);
        }
    }

    /// The result after which more are wanted, if any are.
    pub(super) fn wants_results_after(&self) -> Option<i64> {
        let under_way = self
            .in_flight
            .values()
            .filter(|(what, _)| matches!(what, InFlight::Result { .. }))
            .count();
        (self.is_ready && under_way < MAX_RESULTS_IN_FLIGHT).then_some(self.last_result)
    }

    pub(super) fn send_results(&mut self, results: Vec<StoredResult>, now: Instant) {
        for StoredResult { id, result } in results.into_iter().take(MAX_RESULTS_IN_FLIGHT) {
            let what = InFlight::Result { id };
            self.send_with_receipt(&Destination::CommandResults, &result, what, now);
            self.last_result = id;
        }
    }

    pub(super) fn ack(&mut self, id: &str) {
        self.stomp.ack(id);
    }

    pub(super) fn nack(&mut self, id: &str) {
        self.stomp.nack(id);
    }

    pub(super) fn disconnect(&mut self, now: Instant) {
        self.stomp.disconnect(now);
    }
}

/// What the server says about itself refusing something.
fn describe(frame: &Frame) -> String {
    let code = frame.header("code").unwrap_or("no code");
    let message = frame.header("message").unwrap_or("no message");
    match remedy(code) {
        Some(remedy) => format!("{message} ({code}): {remedy}"),
        None => format!("{message} ({code})"),
    }
}

/// What is to be done about this agent's certificate, when that is what the server refuses.
pub(super) fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "certificate-needed" => {
            "write server.url with https, and name the agent's files in server.certificate and server.key"
        }
        "wrong-certificate" => "server.certificate must have this agent's id as its name",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
