//! RTU framing (MODBUS over Serial Line V1.02, section 2.5.1): a unit's address, a PDU, and a CRC. Pure.
//!
//! Silence ends a frame on paper only: a serial port, a USB adapter or a gateway hands bytes on as it likes. So a reply is
//! found by what it must be: address, function, length, CRC and, of a write, its echo. What does not fit is skipped and
//! counted, and never taken for anything.

use std::time::Duration;

use super::pdu::{Reply, Request};

/// The bytes around a PDU: the address before it, the CRC behind.
const ADDRESS_BYTES: usize = 1;
const CRC_BYTES: usize = 2;

/// A frame's longest (section 2.3).
pub(super) const FRAME_BYTES_MAX: usize = 256;

/// What is kept while a reply is looked for: a late frame whole, a noisy line's worth, and the reply behind them.
const KEPT_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;

/// Bits on the wire for each byte: start, 8 data, parity or a second stop, stop (section 2.5.1).
const BITS_PER_BYTE: u32 = 11;

/// Above this many bits per second the silences are fixed (section 2.5.1.1).
const FIXED_SILENCE_ABOVE: u32 = 19_200;

/// The silence between frames where it is fixed.
const FIXED_SILENCE: Duration = Duration::from_micros(1750);

/// How long so many bytes are on the wire.
pub(super) fn wire_time(bytes: usize, baud: u32) -> Duration {
    let bits = u32::try_from(bytes)
        .unwrap_or(u32::MAX)
        .saturating_mul(BITS_PER_BYTE);
    Duration::from_secs(1) * bits / baud
}

/// The silence before a frame: three and a half bytes.
pub(super) fn silence(baud: u32) -> Duration {
    if baud > FIXED_SILENCE_ABOVE {
        FIXED_SILENCE
    } else {
        Duration::from_secs(7) * BITS_PER_BYTE / (2 * baud)
    }
}

/// A request's frame.
pub(super) fn encode(unit: u8, request: &Request<'_>) -> Vec<u8> {
    let mut frame = vec![unit];
    frame.extend(request.encode());
    let crc = crc(&frame);
    frame.extend(crc.to_le_bytes());
    frame
}

/// How long a reply's frame is that grants the request.
pub(super) fn reply_bytes(request: &Request<'_>) -> usize {
    ADDRESS_BYTES + request.reply_bytes() + CRC_BYTES
}

/// What came since a request was sent.
#[derive(Debug, Default)]
pub(super) struct Received {
    bytes: Vec<u8>,
    skipped: u64,
}

impl Received {
    /// More came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let surplus = self.bytes.len().saturating_sub(KEPT_BYTES_MAX);
        self.skip(surplus);
    }

    fn skip(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.skipped += u64::try_from(count).unwrap_or(u64::MAX);
    }

    /// The reply to `request` of `unit`, if it is there. What came before it was not for us.
    pub(super) fn take(&mut self, unit: u8, request: &Request<'_>) -> Option<Reply> {
        let found = (0..self.bytes.len()).find_map(|at| {
            let (reply, length) = reply_at(&self.bytes[at..], unit, request)?;
            Some((at, length, reply))
        });
        let (at, length, reply) = found?;
        self.skip(at);
        self.bytes.drain(..length);
        Some(reply)
    }

    /// How many bytes came that were no reply, what is still kept among them.
    pub(super) fn stray(&self) -> u64 {
        self.skipped + u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }
}

/// A reply that begins these bytes, and how many of them it has.
fn reply_at(bytes: &[u8], unit: u8, request: &Request<'_>) -> Option<(Reply, usize)> {
    let (&address, &function) = (bytes.first()?, bytes.get(1)?);
    if address != unit {
        return None;
    }
    let length = ADDRESS_BYTES + request.bytes_of_reply(function)?;
    let frame = bytes.get(..length)?;
    let checked = bytes.get(length..length + CRC_BYTES)?;
    if crc(frame).to_le_bytes() != checked {
        return None;
    }
    let reply = request.take(&frame[ADDRESS_BYTES..])?;
    Some((reply, length + CRC_BYTES))
}

/// CRC-16 with the polynomial 0xA001, lowest bit first (section 6.2.2).
pub(super) fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc: u16, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xA001
            } else {
                crc >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests;
