//! Counts the messages in what Engine.IO writes to its clients: it does not tell when it has written something, and who
//! waits for that must know. Pure.

use super::packet::Revision;

/// What the type of a text packet that carries a message looks like on the wire.
const MESSAGE: u8 = b'4';

/// Between the packets of a poll's answer.
const SEPARATOR: u8 = 0x1e;

/// The longest head of a WebSocket frame that a server writes.
const HEAD_BYTES: usize = 10;

/// The bytes of a WebSocket, server to client, split anyhow.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Of the current frame's payload.
    missing: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// Its first byte tells.
    #[default]
    Text,
    Message,
    Other,
}

impl Frames {
    /// How many messages are complete with these bytes.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut complete = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.missing == 0 {
                bytes = rest;
                complete += usize::from(self.take_head(*first));
                continue;
            }
            if self.kind == Kind::Text {
                self.kind = if *first == MESSAGE {
                    Kind::Message
                } else {
                    Kind::Other
                };
            }
            let taken = usize::try_from(self.missing)
                .map_or(bytes.len(), |missing| missing.min(bytes.len()));
            bytes = &bytes[taken..];
            self.missing -= taken as u64;
            complete += usize::from(self.missing == 0 && self.kind == Kind::Message);
        }
        complete
    }

    /// Whether that is the end of a message without content.
    fn take_head(&mut self, octet: u8) -> bool {
        self.head[self.head_bytes] = octet;
        self.head_bytes += 1;
        let head = &self.head[..self.head_bytes];
        // The highest bit of the length is for masks, which a server does not put on.
        self.missing = match *head {
            [_, short] if short & 0x7f < 126 => (short & 0x7f).into(),
            [_, 126 | 254, high, low] => u16::from_be_bytes([high, low]).into(),
            [_, 127 | 255, a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return false,
        };
        self.kind = match head[0] & 0x0f {
            1 => Kind::Text,
            2 => Kind::Message,
            _ => Kind::Other,
        };
        self.head_bytes = 0;
        self.missing == 0 && self.kind == Kind::Message
    }
}

/// The messages in the answer to a poll.
pub(super) fn in_payload(revision: Revision, is_binary: bool, payload: &[u8]) -> usize {
    match (revision, is_binary) {
        (Revision::New, _) => payload
            .split(|octet| *octet == SEPARATOR)
            .filter(|packet| is_message(packet))
            .count(),
        (Revision::Old, true) => in_lengths(payload),
        (Revision::Old, false) => std::str::from_utf8(payload).map_or(0, in_text),
    }
}

/// Text, or bytes in base64.
fn is_message(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(&MESSAGE | b'b'))
}

/// Whether a POST of an old client is `<length>:<packet>…` to its end. Engine.IO's reader does not come back from a length
/// that ends within a character.
pub(super) fn is_text_payload(payload: &[u8]) -> bool {
    let Ok(mut payload) = std::str::from_utf8(payload) else {
        return false;
    };
    while !payload.is_empty() {
        let Some((length, rest)) = payload.split_once(':') else {
            return false;
        };
        let are_digits = length.bytes().all(|octet| octet.is_ascii_digit());
        let Some(mut units) = length
            .parse::<usize>()
            .ok()
            .filter(|units| are_digits && *units > 0)
        else {
            return false;
        };
        let mut characters = rest.chars();
        while units > 0 {
            let Some(left) = characters
                .next()
                .and_then(|character| units.checked_sub(character.len_utf16()))
            else {
                return false;
            };
            units = left;
        }
        payload = characters.as_str();
    }
    true
}

/// `<length>:<packet>…`, the length in the units of JavaScript.
fn in_text(mut payload: &str) -> usize {
    let mut messages = 0;
    while let Some((length, rest)) = payload.split_once(':') {
        messages += usize::from(is_message(rest.as_bytes()));
        let mut units = length.parse().unwrap_or(usize::MAX);
        let mut characters = rest.chars();
        while units > 0
            && let Some(character) = characters.next()
        {
            units = units.saturating_sub(character.len_utf16());
        }
        payload = characters.as_str();
    }
    messages
}

/// `<0 for text, 1 for bytes><digits of the length, each an octet><255><packet>…`
fn in_lengths(mut payload: &[u8]) -> usize {
    let mut messages = 0;
    while let Some(at) = payload.iter().position(|octet| *octet == 255) {
        let (head, rest) = (&payload[..at], &payload[at + 1..]);
        let (is_text, digits) = (head.first() == Some(&0), head.get(1..).unwrap_or_default());
        let length = digits.iter().fold(0, |length: usize, digit| {
            length.saturating_mul(10).saturating_add((*digit).into())
        });
        messages += usize::from(!is_text || rest.first() == Some(&MESSAGE));
        payload = rest.get(length..).unwrap_or_default();
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_packets_of_old_clients_are_passed_on() {
        for (payload, expected) in [
            ("", true),
            ("1:2", true),
            ("2:40", true),
            ("3:4😀", true),
            ("2:4é1:2", true),
            ("1:😀x", false),
            ("1:😀", false),
            ("2:4😀", false),
            ("0:", false),
            ("0:x", false),
            (":x", false),
            ("+1:2", false),
            ("5:4", false),
            ("2", false),
            ("99999999999999999999999:2", false),
        ] {
            assert_eq!(is_text_payload(payload.as_bytes()), expected, "{payload}");
        }
        assert!(!is_text_payload(b"1:\xf0\x9f\x98\x80\xff"));
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..126 => bytes.push(u8::try_from(short).unwrap()),
            middle @ 126..65_536 => {
                bytes.push(126);
                bytes.extend(u16::try_from(middle).unwrap().to_be_bytes());
            }
            long => {
                bytes.push(127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn messages_of_a_websocket_are_counted_wherever_it_is_split() {
        let long = [b"4", vec![b'x'; 70_000].as_slice()].concat();
        let middle = [b"4", vec![0x82; 300].as_slice()].concat();
        let parts = [
            (frame(0x81, b"0{\"sid\":\"4\"}"), 0),
            (frame(0x81, b"42[\"a\"]"), 1),
            (frame(0x81, b"2"), 0),
            (frame(0x81, &middle), 1),
            (frame(0x82, b"\x81\x01\x02"), 1),
            (frame(0x82, b""), 1),
            (frame(0x89, b"4"), 0),
            (frame(0x81, &long), 1),
            (frame(0x81, b"4"), 1),
            (frame(0x88, &[3, 232]), 0),
        ];
        let bytes: Vec<u8> = parts.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let expected: usize = parts.iter().map(|(_, messages)| messages).sum();
        for size in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut frames = Frames::default();
            let counted: usize = bytes.chunks(size).map(|chunk| frames.count(chunk)).sum();
            assert_eq!(counted, expected, "in chunks of {size}");
        }
        // A message counts with its last byte, not before.
        let mut frames = Frames::default();
        let (last, before) = parts[1].0.split_last().unwrap();
        assert_eq!(frames.count(before), 0);
        assert_eq!(frames.count(&[*last]), 1);
    }

    #[track_caller]
    fn check(revision: Revision, is_binary: bool, payload: &[u8], expected: usize) {
        assert_eq!(in_payload(revision, is_binary, payload), expected);
    }

    #[test]
    fn messages_of_a_poll_are_counted() {
        let (old, new) = (Revision::Old, Revision::New);
        check(new, false, b"", 0);
        check(new, false, b"2", 0);
        check(new, false, b"42[\"a\"]\x1e2\x1e451-[]\x1ebAAA=", 3);
        check(new, false, b"6", 0);
        check(old, false, b"", 0);
        check(old, false, b"7:42[\"a\"]", 1);
        check(old, false, "1:3".as_bytes(), 0);
        check(old, false, "7:42[\"한\u{1f600}1:35:41234".as_bytes(), 2);
        check(old, false, b"6:b4AAA=3:4:4", 2);
        check(
            old,
            true,
            b"\x00\x01\xff3\x01\x03\xff\x04\xff\xff\x00\x01\x00\xff4123456789",
            2,
        );
        check(old, true, b"\x00\x03\xff451", 1);
        check(old, true, b"", 0);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_counted_without_panic(bytes: Vec<u8>) {
            let mut frames = Frames::default();
            frames.count(&bytes);
            for is_binary in [false, true] {
                in_payload(Revision::Old, is_binary, &bytes);
                in_payload(Revision::New, is_binary, &bytes);
            }
        }
    }
}
