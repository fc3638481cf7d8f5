//! Socket.IO packets as text: revision 5 of the protocol (clients 3 and 4) and the one before it (1 and 2). Pure.
//!
//! `<type>[<attachments>-][<namespace>,][<acknowledgement>][<JSON>]`. Only what clients send to a server like this one is
//! read: there is one namespace, and nothing is asked that they would acknowledge.

use bytes::Bytes;
use serde_json::value::RawValue;

/// The revision of the protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revision {
    /// Clients 1 and 2, over Engine.IO 3: in the namespace `/` from the start, without a word about who they are.
    Old,
    /// Clients 3 and 4, over Engine.IO 4: they ask to be let in, and bring an `auth` object.
    New,
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'text> {
    /// It wants to be let into a namespace; the JSON is its `auth`.
    Connect {
        namespace: &'text str,
        auth: &'text str,
    },
    /// It goes.
    Disconnect { namespace: &'text str },
    /// Something for us to do.
    Event {
        namespace: &'text str,
        /// Binary messages that follow and belong to it.
        attachments: usize,
        /// The number under which an answer is wanted.
        acknowledgement: Option<u64>,
        /// A JSON array: the event's name, then its arguments.
        json: &'text str,
    },
}

/// What is wrong with a packet: the session ends, since nobody knows what the client meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

impl<'text> Packet<'text> {
    pub(super) fn parse(text: &'text str) -> Result<Self, Malformed> {
        let mut characters = text.chars();
        let kind = characters
            .next()
            .ok_or(Malformed("an empty Socket.IO packet"))?;
        let mut rest = characters.as_str();
        let mut attachments = 0;
        if matches!(kind, '5' | '6') {
            let (count, after) = rest
                .split_once('-')
                .ok_or(Malformed("a binary packet without number of attachments"))?;
            attachments = number(count).ok_or(Malformed(
                "the number of attachments of a binary packet is no number",
            ))?;
            rest = after;
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
            // Old clients put the query of their URL here.
            namespace = namespace
                .split_once('?')
                .map_or(namespace, |(path, _)| path);
        }
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (id, json) = rest.split_at(digits);
        let acknowledgement = match id {
            "" => None,
            id => {
                Some(number(id).ok_or(Malformed("the number of an acknowledgement is too long"))?)
            }
        };
        match kind {
            '0' => Ok(Self::Connect {
                namespace,
                auth: json,
            }),
            '1' => Ok(Self::Disconnect { namespace }),
            '2' | '5' => Ok(Self::Event {
                namespace,
                attachments,
                acknowledgement,
                json,
            }),
            '3' | '6' => Err(Malformed("an acknowledgement of what was never asked")),
            '4' => Err(Malformed("an error packet, which only servers send")),
            _ => Err(Malformed("a Socket.IO packet of an unknown type")),
        }
    }
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// The event's name and its first argument.
pub(super) fn name_and_argument(json: &str) -> Result<(String, Option<&RawValue>), Malformed> {
    const NO_EVENT: Malformed =
        Malformed("an event that is not a JSON array beginning with a name");
    let parts: Vec<&RawValue> = serde_json::from_str(json).map_err(|_no_array| NO_EVENT)?;
    let mut parts = parts.into_iter();
    let name = parts.next().ok_or(NO_EVENT)?;
    let name = serde_json::from_str(name.get()).map_err(|_no_name| NO_EVENT)?;
    Ok((name, parts.next()))
}

/// A packet for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) text: String,
    /// What goes behind it as a binary message.
    pub(super) attachment: Option<Bytes>,
}

impl Outgoing {
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.attachment.as_ref().map_or(0, Bytes::len)
    }

    /// `name` with one argument, which is JSON.
    pub(super) fn event(name: &str, argument: &str) -> Self {
        Self::text(format!("2[{},{argument}]", quoted(name)))
    }

    /// As [`Self::event`]; the argument has the placeholder of the attachment in it.
    pub(super) fn binary_event(name: &str, argument: &str, attachment: Bytes) -> Self {
        Self {
            text: format!("51-[{},{argument}]", quoted(name)),
            attachment: Some(attachment),
        }
    }

    /// The answer to what a client wants acknowledged; `argument` is JSON.
    pub(super) fn acknowledgement(id: u64, argument: &str) -> Self {
        Self::text(format!("3{id}[{argument}]"))
    }

    /// The client is in the namespace `/`.
    pub(super) fn connected(revision: Revision, sid: &str) -> Self {
        Self::text(match revision {
            Revision::Old => "0".to_owned(),
            Revision::New => format!("0{{\"sid\":{}}}", quoted(sid)),
        })
    }

    /// The client is not let in, and why.
    pub(super) fn refused(revision: Revision, code: &str, message: &str) -> Self {
        let (code, message) = (quoted(code), quoted(message));
        Self::text(match revision {
            Revision::Old => format!("4{{\"code\":{code},\"message\":{message}}}"),
            Revision::New => format!("4{{\"message\":{message},\"data\":{{\"code\":{code}}}}}"),
        })
    }

    /// There is no such namespace.
    pub(super) fn no_namespace(revision: Revision, namespace: &str) -> Self {
        Self::text(match revision {
            Revision::Old => format!("4{namespace},\"Invalid namespace\""),
            Revision::New => format!("4{namespace},{{\"message\":\"Invalid namespace\"}}"),
        })
    }

    /// The client is put out of the namespace `/`, and does not come back by itself.
    pub(super) fn disconnect() -> Self {
        Self::text("1".to_owned())
    }

    fn text(text: String) -> Self {
        Self {
            text,
            attachment: None,
        }
    }
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Packet<'_>, &'static str>) {
        assert_eq!(Packet::parse(text), expected.map_err(Malformed), "{text}");
    }

    fn event<'a>(attachments: usize, acknowledgement: Option<u64>, json: &'a str) -> Packet<'a> {
        Packet::Event {
            namespace: "/",
            attachments,
            acknowledgement,
            json,
        }
    }

    #[test]
    fn packets_are_read() {
        let connect = |namespace, auth| Ok(Packet::Connect { namespace, auth });
        check("0", connect("/", ""));
        check("0{\"token\":\"t\"}", connect("/", "{\"token\":\"t\"}"));
        check("0/admin,{}", connect("/admin", "{}"));
        check("0/admin?token=abc,", connect("/admin", ""));
        check("0/admin", connect("/admin", ""));
        check("1", Ok(Packet::Disconnect { namespace: "/" }));
        check("2[\"send\",{}]", Ok(event(0, None, "[\"send\",{}]")));
        check("217[\"a\"]", Ok(event(0, Some(17), "[\"a\"]")));
        check("51-3[\"a\"]", Ok(event(1, Some(3), "[\"a\"]")));
        check(
            "2/x,4[\"a\"]",
            Ok(Packet::Event {
                namespace: "/x",
                attachments: 0,
                acknowledgement: Some(4),
                json: "[\"a\"]",
            }),
        );
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        check("", Err("an empty Socket.IO packet"));
        check("7", Err("a Socket.IO packet of an unknown type"));
        check("한", Err("a Socket.IO packet of an unknown type"));
        check("31[]", Err("an acknowledgement of what was never asked"));
        check("4\"x\"", Err("an error packet, which only servers send"));
        let count = "the number of attachments of a binary packet is no number";
        check("5-[\"a\"]", Err(count));
        check("5+1-[\"a\"]", Err(count));
        check("599999999999999999999-[\"a\"]", Err(count));
        check(
            "5[\"a\"]",
            Err("a binary packet without number of attachments"),
        );
        check(
            "299999999999999999999[\"a\"]",
            Err("the number of an acknowledgement is too long"),
        );
    }

    #[test]
    fn events_have_a_name_and_an_argument() {
        let read = |json| {
            name_and_argument(json)
                .map(|(name, argument)| (name, argument.map(|raw| raw.get().to_owned())))
        };
        assert_eq!(
            read("[\"a\\u0062\", {\"x\": 1.50}, 7]"),
            Ok(("ab".to_owned(), Some("{\"x\": 1.50}".to_owned())))
        );
        assert_eq!(read("[\"a\"]"), Ok(("a".to_owned(), None)));
        for broken in ["", "[]", "{}", "[1]", "[\"a\"", "[\"a\"]]"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn packets_are_written() {
        let texts = [
            (
                Outgoing::connected(Revision::New, "abc"),
                "0{\"sid\":\"abc\"}",
            ),
            (Outgoing::connected(Revision::Old, "abc"), "0"),
            (
                Outgoing::refused(Revision::New, "a-b", "it's \"no\""),
                "4{\"message\":\"it's \\\"no\\\"\",\"data\":{\"code\":\"a-b\"}}",
            ),
            (
                Outgoing::refused(Revision::Old, "a-b", "no"),
                "4{\"code\":\"a-b\",\"message\":\"no\"}",
            ),
            (
                Outgoing::no_namespace(Revision::New, "/x"),
                "4/x,{\"message\":\"Invalid namespace\"}",
            ),
            (
                Outgoing::no_namespace(Revision::Old, "/x"),
                "4/x,\"Invalid namespace\"",
            ),
            (
                Outgoing::acknowledgement(9, "{\"ok\":true}"),
                "39[{\"ok\":true}]",
            ),
            (Outgoing::event("a", "1"), "2[\"a\",1]"),
            (Outgoing::disconnect(), "1"),
        ];
        for (packet, expected) in texts {
            assert_eq!(packet.text, expected);
            assert_eq!(packet.len(), expected.len());
        }
        let binary = Outgoing::binary_event("a", "{}", Bytes::from_static(&[1, 2]));
        assert_eq!(binary.text, "51-[\"a\",{}]");
        assert_eq!(binary.len(), binary.text.len() + 2);
    }
}
