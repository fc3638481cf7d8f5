//! The printer's real-time commands: `DLE EOT n` asks for a status byte, `DLE ENQ n` asks to recover.
//!
//! Everything else is print data and is swallowed. Real-time commands are obeyed wherever they stand, also inside
//! print data, as real printers do.
//!
//! Pure.

use crate::behaviour::Printer;

const DLE: u8 = 0x10;
const EOT: u8 = 0x04;
const ENQ: u8 = 0x05;

/// Where in a real-time command the stream is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parser {
    #[default]
    Data,
    AfterDle,
    AfterEot,
    AfterEnq,
}

/// A complete real-time command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RealTime {
    Status(u8),
    Recover,
}

impl Parser {
    fn push(&mut self, byte: u8) -> Option<RealTime> {
        let (next, command) = match (*self, byte) {
            (Self::AfterDle, EOT) => (Self::AfterEot, None),
            (Self::AfterDle, ENQ) => (Self::AfterEnq, None),
            (Self::AfterEot, n) if (1..=4).contains(&n) => (Self::Data, Some(RealTime::Status(n))),
            (Self::AfterEnq, 1 | 2) => (Self::Data, Some(RealTime::Recover)),
            (_, DLE) => (Self::AfterDle, None),
            _ => (Self::Data, None),
        };
        *self = next;
        command
    }
}

/// Takes bytes as they come and gives the status bytes that they asked for.
pub(crate) fn answer(bytes: &[u8], printer: &mut Printer) -> Option<Vec<u8>> {
    let mut replies = Vec::new();
    for &byte in bytes {
        match printer.parser.push(byte) {
            Some(RealTime::Status(n)) => replies.extend(printer.status(n)),
            Some(RealTime::Recover) => printer.recover(),
            None => {}
        }
    }
    (!replies.is_empty()).then_some(replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], replies: &[u8]) {
        let mut whole = Printer::new();
        assert_eq!(
            answer(bytes, &mut whole).unwrap_or_default(),
            replies,
            "{bytes:02x?}"
        );
        let mut split = Printer::new();
        let one_by_one: Vec<u8> = bytes
            .iter()
            .filter_map(|&byte| answer(&[byte], &mut split))
            .flatten()
            .collect();
        assert_eq!(one_by_one, replies, "byte by byte");
    }

    #[test]
    fn each_status_request_gets_one_byte() {
        check(&[0x10, 0x04, 1], &[0x12]);
        check(&[0x10, 0x04, 1, 0x10, 0x04, 4], &[0x12, 0x12]);
        check(b"TICKET 0042\n\x10\x04\x02more\x10\x04\x03", &[0x12, 0x12]);
    }

    #[test]
    fn what_only_resembles_a_request_is_print_data() {
        check(&[0x10, 0x04, 0], &[]);
        check(&[0x10, 0x04, 5], &[]);
        check(&[0x10, 0x05, 1], &[]);
        check(&[0x10, 0x04], &[]);
        check(&[0x10, 0x10, 0x04, 1], &[0x12]);
        check(&[0x10, 0x04, 0x10, 0x04, 1], &[0x12]);
        check(&[0x04, 1, 0x10], &[]);
    }
}
