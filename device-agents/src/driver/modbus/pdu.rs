//! Modbus requests, and which replies can be theirs (MODBUS Application Protocol V1.1b3, section 6). Pure.
//!
//! A reply is taken only when its function, its length and, of a write, its echo are those of the request: everything
//! else is somebody else's, however well-formed it is.

use crate::profile::{RegisterWrite, Table};

/// What marks a reply as an exception (section 7).
const EXCEPTION: u8 = 0x80;

/// What switches a coil on (section 6.5); off is 0.
const COIL_ON: u16 = 0xFF00;

/// The bytes of an exception: its function and its code.
const EXCEPTION_BYTES: usize = 2;

/// The bytes of the echo of every write: its function, an address, a value or how many were written.
const ECHO_BYTES: usize = 5;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// Functions 1 to 4.
    Read { table: Table, addr: u16, count: u16 },
    /// Functions 5, 6, 15, 16 and 23.
    Write(&'a RegisterWrite),
}

/// A reply to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// As many bits as were asked for.
    Bits(Vec<bool>),
    /// As many words as were asked for.
    Words(Vec<u16>),
    /// The device has heard the write.
    Echo,
    /// It answered that it will not, and why.
    Exception(u8),
}

impl Request<'_> {
    /// The function code.
    pub(super) fn function(&self) -> u8 {
        match self {
            Self::Read { table, .. } => match table {
                Table::Coil => 1,
                Table::DiscreteInput => 2,
                Table::HoldingRegister => 3,
                Table::InputRegister => 4,
            },
            Self::Write(RegisterWrite::Coil { .. }) => 5,
            Self::Write(RegisterWrite::Register { .. }) => 6,
            Self::Write(RegisterWrite::Coils { .. }) => 15,
            Self::Write(RegisterWrite::Registers { .. }) => 16,
            Self::Write(RegisterWrite::Exchange { .. }) => 23,
        }
    }

    /// The request's bytes from its function on.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut pdu = vec![self.function()];
        let mut words =
            |words: &[u16]| pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        match self {
            Self::Read { addr, count, .. } => words(&[*addr, *count]),
            Self::Write(RegisterWrite::Coil { addr, on }) => words(&[*addr, coil(*on)]),
            Self::Write(RegisterWrite::Register { addr, word }) => words(&[*addr, *word]),
            Self::Write(RegisterWrite::Coils { addr, on }) => {
                words(&[*addr, number(on.len())]);
                let packed = pack(on);
                pdu.push(byte(packed.len()));
                pdu.extend(packed);
            }
            Self::Write(RegisterWrite::Registers {
                addr,
                words: values,
            }) => {
                words(&[*addr, number(values.len())]);
                pdu.push(byte(values.len() * 2));
                pdu.extend(values.iter().flat_map(|word| word.to_be_bytes()));
            }
            Self::Write(RegisterWrite::Exchange {
                read,
                count,
                addr,
                words: values,
            }) => {
                words(&[*read, *count, *addr, number(values.len())]);
                pdu.push(byte(values.len() * 2));
                pdu.extend(values.iter().flat_map(|word| word.to_be_bytes()));
            }
        }
        pdu
    }

    /// The bytes of a reply that grants it, from its function on.
    pub(super) fn reply_bytes(&self) -> usize {
        match self {
            Self::Read { table, count, .. } if table.is_bits() => {
                2 + usize::from(*count).div_ceil(8)
            }
            Self::Read { count, .. } | Self::Write(RegisterWrite::Exchange { count, .. }) => {
                2 + 2 * usize::from(*count)
            }
            Self::Write(_) => ECHO_BYTES,
        }
    }

    /// How long a reply that begins with this function byte is; none: it is no reply to this request.
    pub(super) fn bytes_of_reply(&self, function: u8) -> Option<usize> {
        let own = self.function();
        match function {
            _ if function == own => Some(self.reply_bytes()),
            _ if function == own | EXCEPTION => Some(EXCEPTION_BYTES),
            _ => None,
        }
    }

    /// Takes a reply, whole and without anything behind it; none: it cannot be the reply to this request.
    pub(super) fn take(&self, pdu: &[u8]) -> Option<Reply> {
        let (&function, rest) = pdu.split_first()?;
        if self.bytes_of_reply(function)? != pdu.len() {
            return None;
        }
        if function != self.function() {
            return Some(Reply::Exception(rest[0]));
        }
        let words = |bytes: &[u8]| -> Vec<u16> {
            bytes
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect()
        };
        let echo = |addr: u16, value: u16| (words(rest) == [addr, value]).then_some(Reply::Echo);
        match self {
            Self::Read { .. } | Self::Write(RegisterWrite::Exchange { .. })
                if usize::from(rest[0]) != rest.len() - 1 =>
            {
                None
            }
            Self::Read { table, count, .. } if table.is_bits() => {
                let bits = rest[1..]
                    .iter()
                    .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
                Some(Reply::Bits(bits.take(usize::from(*count)).collect()))
            }
            Self::Read { .. } => Some(Reply::Words(words(&rest[1..]))),
            // What it read is read again by the poll that looks whether the write had its effect.
            Self::Write(RegisterWrite::Exchange { .. }) => Some(Reply::Echo),
            Self::Write(RegisterWrite::Coil { addr, on }) => echo(*addr, coil(*on)),
            Self::Write(RegisterWrite::Register { addr, word }) => echo(*addr, *word),
            Self::Write(RegisterWrite::Coils { addr, on }) => echo(*addr, number(on.len())),
            Self::Write(RegisterWrite::Registers { addr, words }) => {
                echo(*addr, number(words.len()))
            }
        }
    }
}

impl std::fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let function = self.function();
        match self {
            Self::Read { table, addr, count } => {
                write!(f, "{count} of {table:?} from {addr} (function {function})")
            }
            Self::Write(write) => write!(f, "the echo of {write:?} (function {function})"),
        }
    }
}

fn coil(on: bool) -> u16 {
    if on { COIL_ON } else { 0 }
}

/// Bits as the wire has them: the first is the lowest of the first byte.
fn pack(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8)
        .map(|chunk| {
            chunk
                .iter()
                .rev()
                .fold(0, |byte, bit| byte << 1 | u8::from(*bit))
        })
        .collect()
}

fn number(count: usize) -> u16 {
    u16::try_from(count).expect("a profile writes no more than the specification lets it")
}

fn byte(count: usize) -> u8 {
    u8::try_from(count).expect("a profile writes no more than the specification lets it")
}

#[cfg(test)]
mod tests;
