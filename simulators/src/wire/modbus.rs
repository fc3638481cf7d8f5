//! Modbus in two framings (Messaging on TCP/IP V1.0b; over Serial Line V1.02): what is called, and the frame of a reply.
//!
//! Pure.

use crate::fault::Medium;
use crate::wire::FramingError;

pub(crate) mod pdu;
pub(crate) mod rtu;

/// Transaction id, protocol id, length; the unit id counts into the length.
const HEADER_BYTES: usize = 6;

/// What TCP clients use for "the device itself".
const UNIT_OF_TCP: u8 = 255;

/// To everybody on a bus; nobody answers (section 2.1 of the serial line's document).
const BROADCAST: u8 = 0;

/// How long the request at the front of `buffer` is, once its header is there.
pub(crate) fn adu_length(buffer: &[u8]) -> Result<Option<usize>, FramingError> {
    let Some(header) = buffer.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let protocol = u16::from_be_bytes([header[2], header[3]]);
    if protocol != 0 {
        return Err(FramingError::Protocol(protocol));
    }
    let length = u16::from_be_bytes([header[4], header[5]]);
    // A unit id and a function code at least, a unit id and a PDU of 253 bytes at most.
    if !(2..=254).contains(&length) {
        return Err(FramingError::Length(length));
    }
    Ok(Some(HEADER_BYTES + usize::from(length)))
}

/// One request, taken out of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call<'a> {
    /// Its number, in Modbus TCP; a bus has none.
    pub(crate) transaction: Option<u16>,
    /// Who is called.
    pub(crate) unit: u8,
    /// What for: the function and what belongs to it.
    pub(crate) pdu: &'a [u8],
}

impl<'a> Call<'a> {
    /// Takes a whole frame apart; `None` when it is none.
    pub(crate) fn open(medium: Medium, frame: &'a [u8]) -> Option<Self> {
        let (transaction, unit, pdu) = if medium == Medium::Bus {
            let (unit, pdu) = rtu::open(frame)?;
            (None, unit, pdu)
        } else {
            let (header, rest) = frame.split_first_chunk::<HEADER_BYTES>()?;
            let (&unit, pdu) = rest.split_first()?;
            (Some(u16::from_be_bytes([header[0], header[1]])), unit, pdu)
        };
        let has_function = !pdu.is_empty();
        has_function.then_some(Self {
            transaction,
            unit,
            pdu,
        })
    }

    /// Whether a device with this unit id acts on it.
    pub(crate) fn is_for(&self, unit: u8) -> bool {
        self.unit == unit
            || match self.transaction {
                Some(_) => self.unit == UNIT_OF_TCP,
                None => self.is_broadcast(),
            }
    }

    /// Whether nobody answers it.
    pub(crate) fn is_broadcast(&self) -> bool {
        self.transaction.is_none() && self.unit == BROADCAST
    }

    /// The frame of `reply`, as the one that this is.
    pub(crate) fn seal(&self, reply: &[u8]) -> Vec<u8> {
        let Some(transaction) = self.transaction else {
            return rtu::seal(self.unit, reply);
        };
        let length = u16::try_from(reply.len() + 1).expect("a reply is at most 253 bytes");
        let mut frame = Vec::with_capacity(HEADER_BYTES + 1 + reply.len());
        frame.extend(transaction.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(length.to_be_bytes());
        frame.push(self.unit);
        frame.extend(reply);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_framings_are_taken_apart_and_put_together() {
        let tcp = [0x12, 0x34, 0, 0, 0, 6, 1, 3, 0, 100, 0, 2];
        let call = Call::open(Medium::Tcp, &tcp).unwrap();
        assert_eq!((call.transaction, call.unit), (Some(0x1234), 1));
        assert_eq!(call.pdu, [3, 0, 100, 0, 2]);
        assert_eq!(call.seal(&[3, 0, 100, 0, 2]), tcp);

        let bus = rtu::seal(17, &[3, 0, 100, 0, 2]);
        let call = Call::open(Medium::Bus, &bus).unwrap();
        assert_eq!((call.transaction, call.unit), (None, 17));
        assert_eq!(call.pdu, [3, 0, 100, 0, 2]);
        assert_eq!(call.seal(&[3, 0, 100, 0, 2]), bus);
        assert_eq!(Call::open(Medium::Bus, &rtu::seal(17, &[])), None);
    }

    #[test]
    fn a_device_acts_on_its_own_unit_and_on_what_stands_for_it() {
        let call = |transaction, unit| Call {
            transaction,
            unit,
            pdu: &[3],
        };
        for (call, is_for, is_broadcast) in [
            (call(Some(1), 1), true, false),
            (call(Some(1), UNIT_OF_TCP), true, false),
            (call(Some(1), 0), false, false),
            (call(Some(1), 2), false, false),
            (call(None, 1), true, false),
            (call(None, 255), false, false),
            (call(None, 0), true, true),
        ] {
            assert_eq!(
                (call.is_for(1), call.is_broadcast()),
                (is_for, is_broadcast)
            );
        }
    }
}
