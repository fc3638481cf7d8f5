//! What a Modbus command writes: which function that takes, and whether it can. Pure.

use contract::Value;

use super::super::RegisterWrite;
use super::super::raw::{RawReadAlong, RawTable, RawWrite};
use super::MAX_REGISTERS;

/// The longest writes (MODBUS Application Protocol V1.1b3, sections 6.11, 6.12 and 6.17).
const MAX_COILS: usize = 1968;
const MAX_WORDS: usize = 123;
const MAX_WORDS_OF_EXCHANGE: usize = 121;

const WHAT_IS_WRITTEN: &str = "write: a coil takes true or false, a holding register a number; the other tables cannot be written";

/// `value` is written by function 5 or 6, `values` by 15 or 16, and with `read` by 23.
pub(super) fn register_write(raw: &RawWrite) -> Result<RegisterWrite, String> {
    let addr = raw.addr;
    match (&raw.value, &raw.values, &raw.read) {
        (Some(value), None, None) => match raw.table {
            RawTable::Coil => bit(value).map(|on| RegisterWrite::Coil { addr, on }),
            RawTable::Holding => word(value).map(|word| RegisterWrite::Register { addr, word }),
            RawTable::Discrete | RawTable::Input => Err(WHAT_IS_WRITTEN.to_owned()),
        },
        (None, Some(values), None) if raw.table == RawTable::Coil => {
            let on = all(addr, values, MAX_COILS, bit)?;
            Ok(RegisterWrite::Coils { addr, on })
        }
        (None, Some(values), None) if raw.table == RawTable::Holding => {
            let words = all(addr, values, MAX_WORDS, word)?;
            Ok(RegisterWrite::Registers { addr, words })
        }
        (None, Some(values), Some(read)) if raw.table == RawTable::Holding => {
            let words = all(addr, values, MAX_WORDS_OF_EXCHANGE, word)?;
            check_read(read)?;
            Ok(RegisterWrite::Exchange {
                read: read.addr,
                count: read.count,
                addr,
                words,
            })
        }
        (None, Some(_), Some(_)) => {
            Err("write: `read` goes with holding registers only: remove it".to_owned())
        }
        (None, Some(_), None) => Err(WHAT_IS_WRITTEN.to_owned()),
        _ => Err("write: give either `value`, or `values`, which `read` may go with".to_owned()),
    }
}

fn check_read(read: &RawReadAlong) -> Result<(), String> {
    if (1..=MAX_REGISTERS).contains(&read.count) && read.addr.checked_add(read.count - 1).is_some()
    {
        return Ok(());
    }
    Err(format!(
        "write: `read` takes a `count` of 1 to {MAX_REGISTERS} registers that exist"
    ))
}

fn all<T>(
    addr: u16,
    values: &[Value],
    most: usize,
    read: fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let fits = usize::from(addr) + values.len() <= usize::from(u16::MAX) + 1;
    if values.is_empty() || values.len() > most || !fits {
        return Err(format!(
            "write: `values` has 1 to {most} values, the last one at 65535 at most, not {}",
            values.len()
        ));
    }
    values.iter().map(read).collect()
}

fn bit(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(on) => Ok(*on),
        Value::Number(_) | Value::Text(_) => Err(WHAT_IS_WRITTEN.to_owned()),
    }
}

fn word(value: &Value) -> Result<u16, String> {
    let Value::Number(number) = value else {
        return Err(WHAT_IS_WRITTEN.to_owned());
    };
    (0..=u16::MAX)
        .find(|word| f64::from(*word) == *number)
        .ok_or_else(|| "write: a register's value must be a whole number of 0 to 65535".to_owned())
}
