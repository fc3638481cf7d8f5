//! What clients say to each side, and what they understand of the answers. Pure.

use std::ops::Range;

use memchr::{memchr, memmem};

use crate::wire::{self, Broken};

/// What everybody subscribes to, and publishers send to, unless a [`Door`] says otherwise.
pub const TOPIC: &str = "/topic/bench";

/// What a publisher floods in the overload scenario. Only those who do not read subscribe to it.
pub const FLOODED_TOPIC: &str = "/topic/flood";

/// How a side is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Speech {
    /// STOMP 1.2 in WebSocket messages; SUBSCRIBE is answered by a RECEIPT.
    Stomp,
    /// The same with a server that gives no receipts: a subscription is taken to be live a second later.
    StompWithoutReceipts,
    /// Bodies in WebSocket messages, nothing else.
    Bare,
}

impl Speech {
    /// Its name on the command line.
    #[must_use]
    pub fn argument(self) -> &'static str {
        match self {
            Self::Stomp => "stomp",
            Self::StompWithoutReceipts => "stomp-without-receipts",
            Self::Bare => "bare",
        }
    }
}

/// Where a server is, and who enters.
#[derive(Debug, Clone)]
pub struct Door {
    /// How to speak.
    pub speech: Speech,
    /// Path of the WebSocket for STOMP; the bare broadcast has its own two.
    pub path: String,
    /// For CONNECT.
    pub login: String,
    /// For CONNECT.
    pub passcode: String,
    /// For CONNECT of publishers.
    pub publisher_passcode: String,
    /// What everybody subscribes to.
    pub subscribe_to: String,
    /// What publishers send to. Whatever the server does with it, it must come out where everybody subscribes.
    pub send_to: String,
}

impl Door {
    /// The request that opens a WebSocket.
    #[must_use]
    pub fn handshake(&self, publishes: bool) -> Vec<u8> {
        let path = match (self.speech, publishes) {
            (Speech::Bare, true) => "/publish",
            (Speech::Bare, false) => "/subscribe",
            (Speech::Stomp | Speech::StompWithoutReceipts, _) => &self.path,
        };
        let protocol = match self.speech {
            Speech::Bare => "",
            _ => "Sec-WebSocket-Protocol: v12.stomp\r\n",
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
        )
        .into_bytes()
    }

    /// The first frame, if there is one.
    #[must_use]
    pub fn connect(&self, publishes: bool) -> Option<Vec<u8>> {
        let passcode = if publishes {
            &self.publisher_passcode
        } else {
            &self.passcode
        };
        (self.speech != Speech::Bare).then(|| {
            frame(&format!(
                "CONNECT\naccept-version:1.2\nhost:/\nheart-beat:0,0\nlogin:{}\npasscode:{passcode}\n\n\0",
                self.login
            ))
        })
    }

    /// Subscribes to the topic, and to the flooded one if `flooded`.
    #[must_use]
    pub fn subscribe(&self, flooded: bool) -> Vec<u8> {
        let receipt = match self.speech {
            Speech::Stomp => "receipt:s\n",
            _ => "",
        };
        let mut bytes = Vec::new();
        if flooded {
            let first = format!("SUBSCRIBE\nid:1\ndestination:{FLOODED_TOPIC}\nack:auto\n\n\0");
            bytes.extend(frame(&first));
        }
        let last = format!(
            "SUBSCRIBE\nid:0\ndestination:{}\nack:auto\n{receipt}\n\0",
            self.subscribe_to
        );
        bytes.extend(frame(&last));
        bytes
    }

    /// A message to `destination`, and where its body lies.
    #[must_use]
    pub fn send(&self, destination: &str, body: &[u8]) -> (Vec<u8>, Range<usize>) {
        let (payload, tail) = match self.speech {
            Speech::Bare => (body.to_vec(), 0),
            _ => {
                let head = format!(
                    "SEND\ndestination:{destination}\ncontent-length:{}\n\n",
                    body.len()
                );
                ([head.as_bytes(), body, b"\0"].concat(), 1)
            }
        };
        let bytes = wire::client_frame(wire::TEXT, &payload);
        let end = bytes.len() - tail;
        let start = end - body.len();
        (bytes, start..end)
    }
}

fn frame(text: &str) -> Vec<u8> {
    wire::client_frame(wire::TEXT, text.as_bytes())
}

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// The body of a message.
    Message(&'a [u8]),
    /// CONNECTED.
    Connected,
    /// RECEIPT.
    Receipt,
    /// ERROR, with everything that stands in it.
    Error(&'a [u8]),
}

/// Hands what stands in the payload of one WebSocket message to `each`. `body_bytes` is how long bodies are.
///
/// # Errors
/// It is not STOMP, or a STOMP frame is torn over two WebSocket messages, which no server here does.
pub fn understand<'a>(
    speech: Speech,
    payload: &'a [u8],
    body_bytes: usize,
    mut each: impl FnMut(Said<'a>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    if speech == Speech::Bare {
        return each(Said::Message(payload));
    }
    let mut rest = payload;
    loop {
        // Line ends between frames are heart-beats.
        while let [b'\n' | b'\r', beyond @ ..] = rest {
            rest = beyond;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let head = memmem::find(rest, b"\n\n").ok_or(Broken("a STOMP frame without an end"))?;
        let body = &rest[head + 2..];
        let length = match body.get(body_bytes) {
            Some(0) => body_bytes,
            _ => memchr(0, body).ok_or(Broken("a STOMP frame without an end"))?,
        };
        if rest.starts_with(b"MESSAGE\n") {
            each(Said::Message(&body[..length]))?;
        } else if rest.starts_with(b"CONNECTED\n") {
            each(Said::Connected)?;
        } else if rest.starts_with(b"RECEIPT\n") {
            each(Said::Receipt)?;
        } else if rest.starts_with(b"ERROR\n") {
            each(Said::Error(&rest[..head + 2 + length]))?;
        } else {
            return Err(Broken("a STOMP frame that no server sends"));
        }
        rest = &body[length + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger;

    fn check(payload: &str, expected: Result<&[Said<'_>], &'static str>) {
        let mut said = Vec::new();
        let result = understand(Speech::Stomp, payload.as_bytes(), 3, |one| {
            said.push(one);
            Ok(())
        });
        match expected {
            Ok(expected) => assert_eq!(said, expected, "{payload:?}"),
            Err(why) => assert_eq!(result, Err(Broken(why)), "{payload:?}"),
        }
    }

    #[test]
    fn what_servers_say_is_understood() {
        check("\n", Ok(&[]));
        check("\r\n\n", Ok(&[]));
        check("CONNECTED\nversion:1.2\n\n\0", Ok(&[Said::Connected]));
        check("RECEIPT\nreceipt-id:s\n\n\0\n", Ok(&[Said::Receipt]));
        check("MESSAGE\na:b\n\nabc\0", Ok(&[Said::Message(b"abc")]));
        check(
            "MESSAGE\na:b\n\nabc\0\nMESSAGE\na:b\n\na\0c\0",
            Ok(&[Said::Message(b"abc"), Said::Message(b"a\0c")]),
        );
        check("MESSAGE\na:b\n\nab\0", Ok(&[Said::Message(b"ab")]));
        check("MESSAGE\na:b\n\nabcd\0", Ok(&[Said::Message(b"abcd")]));
        let error = "ERROR\ncode:slow-consumer\n\ntoo slow\0";
        check(
            error,
            Ok(&[Said::Error(&error.as_bytes()[..error.len() - 1])]),
        );
    }

    #[test]
    fn what_is_no_stomp_is_refused() {
        check("MESSAGE\na:b\n", Err("a STOMP frame without an end"));
        check("MESSAGE\na:b\n\nab", Err("a STOMP frame without an end"));
        check("HELLO\n\n\0", Err("a STOMP frame that no server sends"));
    }

    #[test]
    fn the_place_of_a_body_is_known() {
        for speech in [Speech::Stomp, Speech::Bare] {
            let door = Door {
                speech,
                path: "/ws".to_owned(),
                login: String::new(),
                passcode: String::new(),
                publisher_passcode: String::new(),
                subscribe_to: TOPIC.to_owned(),
                send_to: TOPIC.to_owned(),
            };
            let body = ledger::body(3, 9, 100);
            let (bytes, place) = door.send(TOPIC, &body);
            assert_eq!(bytes[place], body, "{speech:?}");
        }
    }
}
