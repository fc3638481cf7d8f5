//! Between a Socket.IO client and a STOMP session: the client's packets become frames for the broker, and the broker's
//! frames packets for the client. Pure.
//!
//! Nothing is remembered of what a client wants acknowledged: the number goes to the broker as the frame's `receipt` and
//! comes back with the RECEIPT, the ERROR, or what a handler refuses.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use stomp::{Command, Decoder, Frame, Limits, Version};

use super::news;
use super::packet::{Malformed, Outgoing, Packet, Revision, name_and_argument};
use super::wish::{REFUSALS, wish_of};

/// Bytes that wait for the broker. 512 KiB: two of the longest messages, or some thousand short ones, which a client that
/// was away sends all at once. Handlers cannot be made to wait, so what is more ends the session.
const TO_BROKER_BYTES: usize = 512 * 1024;

/// Bytes that wait for the client when one more answer of our own would be added. 2 MiB: more than the broker ever puts
/// there ([`broker::Transport::push`]), so only who asks and never reads comes here.
const TO_CLIENT_BYTES: usize = 2 * 1024 * 1024;

/// Of these codes the passing ones that a new token ends, and nothing else.
const WITHOUT_TOKEN: [&str; 2] = ["token-expired", "token-revoked"];

/// Codes of ERROR after which the same client may well be served again: then only the connection ends, and the client's
/// library connects anew by itself. After any other it is told to stay away. The table of codes in `docs/clients` says
/// the same.
const PASSING: [&str; 13] = [
    "token-expired",
    "token-revoked",
    "heart-beat-lost",
    "connect-timeout",
    "slow-consumer",
    "too-many-sessions",
    "too-many-queues",
    "too-many-durable-subscriptions",
    "durable-in-use",
    "queue-full",
    "retained-full",
    "shutting-down",
    "unavailable",
];

/// The code of the warning that comes before a token ends.
const TOKEN_EXPIRING: &str = "token-expiring";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client has not asked to be let in.
    Fresh,
    /// CONNECT is on its way.
    Asked,
    /// CONNECTED came.
    Open,
    /// ERROR came.
    Over,
}

/// What new clients bring along.
#[derive(Deserialize)]
struct Auth {
    token: Option<String>,
}

/// One socket's.
pub(super) struct Translator {
    revision: Revision,
    /// From the URL: for clients that have no other way.
    token: Option<String>,
    phase: Phase,
    /// An event whose attachment has not come yet.
    awaiting: Option<String>,
    subscriptions: u64,
    decoder: Decoder,
    to_broker: BytesMut,
    to_client: VecDeque<Outgoing>,
    to_client_bytes: usize,
    has_left: bool,
}

impl Translator {
    /// A socket that has just come; old clients ask to be let in by coming.
    pub(super) fn new(revision: Revision, token: Option<String>) -> Self {
        // The broker is ours: what it says needs no bounds.
        let mut decoder = Decoder::new(Limits {
            line_bytes: usize::MAX,
            head_bytes: usize::MAX,
            headers: usize::MAX,
            body_bytes: usize::MAX,
            ..Limits::default()
        });
        // What CONNECT offers, in which an ERROR comes that refuses it.
        decoder.set_version(Version::V1_2);
        let mut translator = Self {
            revision,
            token,
            phase: Phase::Fresh,
            awaiting: None,
            subscriptions: 0,
            decoder,
            to_broker: BytesMut::new(),
            to_client: VecDeque::new(),
            to_client_bytes: 0,
            has_left: false,
        };
        if revision == Revision::Old {
            translator.ask_to_be_let_in(None);
        }
        translator
    }

    /// Takes a text message of the client.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Malformed> {
        if self.awaiting.is_some() {
            return Err(Malformed("text where a binary attachment was announced"));
        }
        match Packet::parse(text)? {
            Packet::Connect { namespace, .. } if namespace != "/" => {
                let refused = Outgoing::no_namespace(self.revision, namespace);
                self.answer(refused)
            }
            Packet::Connect { auth, .. } => match (self.revision, self.phase) {
                (Revision::New, Phase::Fresh) => {
                    let auth: Option<Auth> = serde_json::from_str(auth).ok();
                    self.ask_to_be_let_in(auth.and_then(|auth| auth.token));
                    Ok(())
                }
                (Revision::New, _) => Err(Malformed("a second request to be let in")),
                (Revision::Old, _) => Ok(()),
            },
            Packet::Disconnect { namespace } => {
                self.has_left |= namespace == "/";
                Ok(())
            }
            Packet::Event { namespace, .. } if namespace != "/" => {
                Err(Malformed("an event for a namespace that was never entered"))
            }
            Packet::Event { .. } if self.phase == Phase::Fresh => {
                Err(Malformed("an event before the request to be let in"))
            }
            Packet::Event { attachments: 0, .. } => self.event(text, None),
            Packet::Event { attachments: 1, .. } => {
                self.awaiting = Some(text.to_owned());
                Ok(())
            }
            Packet::Event { .. } => Err(Malformed(
                "more than one binary attachment: only the body of `send` may be binary",
            )),
        }
    }

    /// Takes a binary message of the client.
    pub(super) fn binary(&mut self, bytes: Bytes) -> Result<(), Malformed> {
        let text = self
            .awaiting
            .take()
            .ok_or(Malformed("a binary message that nothing announced"))?;
        self.event(&text, Some(bytes))
    }

    fn event(&mut self, text: &str, attachment: Option<Bytes>) -> Result<(), Malformed> {
        let Packet::Event {
            acknowledgement,
            json,
            ..
        } = Packet::parse(text)?
        else {
            return Ok(());
        };
        let (name, argument) = name_and_argument(json)?;
        self.subscriptions += 1;
        match wish_of(
            &name,
            argument,
            attachment,
            acknowledgement,
            self.subscriptions,
        ) {
            Ok(wish) => {
                for frame in &wish.frames {
                    self.ask(frame);
                }
            }
            Err(sentence) => {
                let told = match acknowledgement {
                    Some(number) => news::not_done(number, "bad-event", &sentence),
                    None => news::trouble("refusal", "bad-event", &sentence, None),
                };
                return self.answer(told);
            }
        }
        if self.to_broker.len() > TO_BROKER_BYTES {
            return Err(Malformed(
                "too much was sent at once: wait for acknowledgements before sending on",
            ));
        }
        Ok(())
    }

    fn ask_to_be_let_in(&mut self, token: Option<String>) {
        self.phase = Phase::Asked;
        // Engine.IO has signs of life of its own.
        let mut connect = Frame::new(Command::Connect)
            .with_header("accept-version", Version::V1_2.as_str())
            .with_header("heart-beat", "0,0");
        if let Some(token) = token.or_else(|| self.token.take()) {
            connect.headers.push("passcode", token);
        }
        self.token = None;
        self.ask(&connect);
    }

    fn ask(&mut self, frame: &Frame) {
        stomp::encode(frame, Version::V1_2, &mut self.to_broker);
    }

    /// Puts an answer of our own to what the broker has for the client.
    fn answer(&mut self, packet: Outgoing) -> Result<(), Malformed> {
        if self.to_client_bytes > TO_CLIENT_BYTES {
            return Err(Malformed("more is asked than answers are read"));
        }
        self.tell(packet);
        Ok(())
    }

    fn tell(&mut self, packet: Outgoing) {
        self.to_client_bytes += packet.len();
        self.to_client.push_back(packet);
    }

    /// Takes whole frames of the broker. `sid` is what the client's socket is called.
    pub(super) fn frames(
        &mut self,
        head: &[u8],
        tail: &[u8],
        sid: &str,
    ) -> Result<(), stomp::ProtocolError> {
        self.decoder.push(head);
        if !tail.is_empty() {
            self.decoder.push(tail);
        }
        while let Some(frame) = self.decoder.decode()? {
            self.frame(&frame, sid);
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame, sid: &str) {
        match frame.command {
            Command::Connected => {
                self.phase = Phase::Open;
                self.tell(Outgoing::connected(self.revision, sid));
                let subscribe = Frame::new(Command::Subscribe)
                    .with_header("id", REFUSALS)
                    .with_header("destination", contract::Destination::UserErrors.to_string());
                self.ask(&subscribe);
            }
            Command::Receipt => {
                let receipt = frame.header("receipt-id").unwrap_or_default();
                if let (Some(number), id) = acknowledgement_of(receipt) {
                    self.tell(news::done(number, id));
                }
            }
            Command::Message if frame.header("subscription") == Some(REFUSALS) => {
                self.refusal(frame);
            }
            Command::Message => self.tell(news::message_of(frame)),
            Command::Error => self.error(frame),
            _ => {}
        }
    }

    /// A handler did not want what the client sent, or the token ends soon.
    fn refusal(&mut self, frame: &Frame) {
        let (code, message) = code_and_message(frame);
        if code == TOKEN_EXPIRING {
            let seconds = frame.header("expires-in").unwrap_or_default();
            return self.tell(news::expiring(code, seconds.parse().unwrap_or_default()));
        }
        let receipt = frame.header("receipt-id").unwrap_or_default();
        self.tell(match acknowledgement_of(receipt) {
            (Some(number), _) => news::not_done(number, code, message),
            (None, _) => {
                let destination = frame.header("refused-destination");
                news::trouble("refusal", code, message, destination)
            }
        });
    }

    /// The session is over.
    fn error(&mut self, frame: &Frame) {
        let (code, message) = code_and_message(frame);
        let comes_back = PASSING.contains(&code);
        let was_open = self.phase == Phase::Open;
        self.phase = Phase::Over;
        if !was_open {
            // New clients that are refused stay away, so they are refused only if they should: by themselves they would
            // come back with the same token.
            if self.revision == Revision::Old || !comes_back || WITHOUT_TOKEN.contains(&code) {
                self.tell(Outgoing::refused(self.revision, code, message));
            }
            return;
        }
        let receipt = frame.header("receipt-id").unwrap_or_default();
        if let (Some(number), _) = acknowledgement_of(receipt) {
            self.tell(news::not_done(number, code, message));
        }
        self.tell(news::trouble("error", code, message, None));
        if !comes_back {
            self.tell(Outgoing::disconnect());
        }
    }

    /// Bytes for the broker, at most so many.
    pub(super) fn take_for_broker(&mut self, bytes: usize) -> Option<Bytes> {
        let taken = self.to_broker.len().min(bytes);
        if taken == 0 {
            return None;
        }
        let taken = self.to_broker.split_to(taken).freeze();
        if self.to_broker.is_empty() {
            // Most sockets are silent most of the time.
            self.to_broker = BytesMut::new();
        }
        Some(taken)
    }

    /// The next packet for the client, if it is wanted at its length.
    pub(super) fn take_for_client(
        &mut self,
        is_wanted: impl FnOnce(usize) -> bool,
    ) -> Option<Outgoing> {
        let packet = self
            .to_client
            .pop_front_if(|packet| is_wanted(packet.len()))?;
        self.to_client_bytes -= packet.len();
        Some(packet)
    }

    /// Bytes that wait for the client.
    pub(super) fn backlog(&self) -> usize {
        self.to_client_bytes
    }

    /// Whether the client has said that it goes.
    pub(super) fn has_left(&self) -> bool {
        self.has_left
    }
}

/// The number and the subscription's id that a receipt brings back.
fn acknowledgement_of(receipt: &str) -> (Option<u64>, Option<&str>) {
    match receipt.split_once(' ') {
        Some((number, id)) => (number.parse().ok(), Some(id)),
        None => (receipt.parse().ok(), None),
    }
}

fn code_and_message(frame: &Frame) -> (&str, &str) {
    let header = |name| frame.header(name).unwrap_or_default();
    (header("code"), header("message"))
}

#[cfg(test)]
mod tests;
