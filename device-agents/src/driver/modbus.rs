//! Modbus (MODBUS Application Protocol V1.1b3), in three framings: TCP, RTU on a serial port, RTU over TCP.
//!
//! What a request is and which reply can be its own is said once, in `pdu`; the framings only carry it.

mod pdu;
mod rtu;
mod rtu_bus;
mod tcp;

pub use rtu_bus::RtuDriver;
pub use tcp::TcpDriver;

use super::{DriverError, ReadOutcome, Target, WriteOutcome};
use crate::point::Raw;
use crate::profile::{DriverSettings, ModbusSettings};
use pdu::Reply;

/// Illegal function, address, value (section 7): the device did not begin. The others (device failure, acknowledge, busy,
/// gateway) say that something went wrong, was put off, or was not answered, and not that nothing happened.
const REFUSALS: [u8; 3] = [1, 2, 3];

/// What exceptions are called (section 7).
fn name_of(exception: u8) -> &'static str {
    match exception {
        1 => "illegal function",
        2 => "illegal data address",
        3 => "illegal data value",
        4 => "server device failure",
        5 => "acknowledge",
        6 => "server device busy",
        8 => "memory parity error",
        10 => "gateway path unavailable",
        11 => "gateway target device failed to respond",
        _ => "no exception of the specification",
    }
}

fn settings(target: Target<'_>) -> ModbusSettings {
    match &target.profile.driver {
        DriverSettings::Modbus(settings) => *settings,
        DriverSettings::Escpos(_) | DriverSettings::Frame(_) => {
            unreachable!("a line's devices are of its driver")
        }
    }
}

/// What a read brought, of which `count` were asked for by the profile.
fn outcome_of_read(reply: Reply, count: u16) -> ReadOutcome {
    let count = usize::from(count);
    match reply {
        Reply::Bits(mut bits) => {
            bits.truncate(count);
            ReadOutcome::Data(Raw::Bits(bits))
        }
        Reply::Words(mut words) => {
            words.truncate(count);
            ReadOutcome::Data(Raw::Registers(words))
        }
        Reply::Exception(code) => ReadOutcome::Exception(code),
        Reply::Echo => unreachable!("no read is answered by an echo"),
    }
}

/// What becomes of a command of several writes after this reply to one of them; none: it goes on.
fn outcome_of_write(reply: &Reply, is_first: bool) -> Option<WriteOutcome> {
    let Reply::Exception(code) = reply else {
        return None;
    };
    let why = format!("Modbus exception {code}: {}", name_of(*code));
    Some(if is_first && REFUSALS.contains(code) {
        WriteOutcome::Refused(why)
    } else {
        WriteOutcome::Doubtful(why)
    })
}
