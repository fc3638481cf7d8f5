//! A Modbus TCP server's answers (MODBUS Application Protocol V1.1b3; Messaging on TCP/IP V1.0b), for one gate.
//!
//! Pure.

use crate::behaviour::{Coil, Gate};
use crate::wire::FramingError;

/// Transaction id, protocol id, length; the unit id counts into the length.
const HEADER_BYTES: usize = 6;

/// What the device is called on its bus; 255 is what TCP clients use for "the device itself".
const UNIT_IDS: [u8; 2] = [1, 255];

const ILLEGAL_FUNCTION: u8 = 1;
const ILLEGAL_DATA_ADDRESS: u8 = 2;
const ILLEGAL_DATA_VALUE: u8 = 3;
const TARGET_FAILED_TO_RESPOND: u8 = 11;

/// Coils 1 to 8; the seventh has no meaning, and is there.
const COILS: u16 = 8;
/// Discrete inputs 10103 to 10118: the bits of the flags word.
const FLAG_INPUTS: std::ops::Range<u16> = 102..118;

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

/// Answers one whole request, as [`adu_length`] cut it out.
pub(crate) fn answer(adu: &[u8], gate: &mut Gate) -> Option<Vec<u8>> {
    let (header, rest) = adu.split_first_chunk::<HEADER_BYTES>()?;
    let (&unit_id, pdu) = rest.split_first()?;
    let (&function_code, data) = pdu.split_first()?;
    let reply = if UNIT_IDS.contains(&unit_id) {
        dispatch(function_code, data, gate)
    } else {
        Err(TARGET_FAILED_TO_RESPOND)
    };
    let reply = reply.map_or_else(
        |exception_code| vec![function_code | 0x80, exception_code],
        |mut body| {
            body.insert(0, function_code);
            body
        },
    );
    let length = u16::try_from(reply.len() + 1).expect("a reply is at most 253 bytes");
    let mut answer = vec![header[0], header[1], 0, 0];
    answer.extend_from_slice(&length.to_be_bytes());
    answer.push(unit_id);
    answer.extend(reply);
    Some(answer)
}

fn dispatch(function_code: u8, data: &[u8], gate: &mut Gate) -> Result<Vec<u8>, u8> {
    match function_code {
        // Momentary coils have fallen back before anybody can read them.
        1 => read_bits(data, |address| (address < COILS).then_some(false)),
        2 => {
            let flags = gate.flags();
            read_bits(data, |address| {
                FLAG_INPUTS
                    .contains(&address)
                    .then(|| flags >> (address - FLAG_INPUTS.start) & 1 == 1)
            })
        }
        3 => read_registers(data, gate),
        5 => write_coil(data, gate),
        15 => write_coils(data, gate),
        _ => Err(ILLEGAL_FUNCTION),
    }
}

/// The two words that open most requests: an address, and a count or a value.
fn two_words(data: &[u8]) -> Result<(u16, u16), u8> {
    match data {
        [a, b, c, d, ..] => Ok((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
        _ => Err(ILLEGAL_DATA_VALUE),
    }
}

/// The addresses of a read or of a multiple write.
fn addresses(data: &[u8], count_max: u16) -> Result<impl Iterator<Item = u16>, u8> {
    let (first, count) = two_words(data)?;
    if !(1..=count_max).contains(&count) {
        return Err(ILLEGAL_DATA_VALUE);
    }
    let last = first.checked_add(count - 1).ok_or(ILLEGAL_DATA_ADDRESS)?;
    Ok(first..=last)
}

fn read_bits(data: &[u8], bit: impl Fn(u16) -> Option<bool>) -> Result<Vec<u8>, u8> {
    let bits = addresses(data, 2_000)?
        .map(|address| bit(address).ok_or(ILLEGAL_DATA_ADDRESS))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes = bits.chunks(8).map(|eight| {
        eight
            .iter()
            .rev()
            .fold(0, |byte, &on| byte << 1 | u8::from(on))
    });
    Ok(with_byte_count(bytes.collect()))
}

fn read_registers(data: &[u8], gate: &Gate) -> Result<Vec<u8>, u8> {
    let mut bytes = Vec::new();
    for address in addresses(data, 125)? {
        let register = gate.holding_register(address).ok_or(ILLEGAL_DATA_ADDRESS)?;
        bytes.extend_from_slice(&register.to_be_bytes());
    }
    Ok(with_byte_count(bytes))
}

fn with_byte_count(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.insert(
        0,
        u8::try_from(bytes.len()).expect("at most 250 bytes of data"),
    );
    bytes
}

fn write_coil(data: &[u8], gate: &mut Gate) -> Result<Vec<u8>, u8> {
    let (address, value) = two_words(data)?;
    if address >= COILS {
        return Err(ILLEGAL_DATA_ADDRESS);
    }
    match value {
        0xFF00 => {
            if let Some(coil) = Coil::at(address) {
                gate.pulse(coil);
            }
        }
        0 => {}
        _ => return Err(ILLEGAL_DATA_VALUE),
    }
    Ok(data[..4].to_vec())
}

fn write_coils(data: &[u8], gate: &mut Gate) -> Result<Vec<u8>, u8> {
    let addresses: Vec<u16> = addresses(data, 1_968)?.collect();
    let Some((&byte_count, bytes)) = data[4..].split_first() else {
        return Err(ILLEGAL_DATA_VALUE);
    };
    if usize::from(byte_count) != bytes.len() || bytes.len() != addresses.len().div_ceil(8) {
        return Err(ILLEGAL_DATA_VALUE);
    }
    // All or nothing: no pulse before each address is known to exist.
    if addresses.iter().any(|&address| address >= COILS) {
        return Err(ILLEGAL_DATA_ADDRESS);
    }
    for (n, &address) in addresses.iter().enumerate() {
        if bytes[n / 8] >> (n % 8) & 1 == 1
            && let Some(coil) = Coil::at(address)
        {
            gate.pulse(coil);
        }
    }
    Ok(data[..4].to_vec())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::fault::Fault;

    fn gate() -> Gate {
        Gate::new("gate-1", Instant::now())
    }

    /// Sends a PDU with transaction id 0x1234 to `unit_id` and gives back the PDU of the answer.
    fn exchange(gate: &mut Gate, unit_id: u8, pdu: &[u8]) -> Vec<u8> {
        let length = u8::try_from(pdu.len() + 1).unwrap();
        let mut request = vec![0x12, 0x34, 0, 0, 0, length, unit_id];
        request.extend_from_slice(pdu);
        let reply = answer(&request, gate).unwrap();
        assert_eq!(reply[..4], [0x12, 0x34, 0, 0]);
        assert_eq!(
            usize::from(u16::from_be_bytes([reply[4], reply[5]])),
            reply.len() - 6
        );
        assert_eq!(reply[6], unit_id);
        reply[7..].to_vec()
    }

    #[track_caller]
    fn check(pdu: &[u8], reply: &[u8]) {
        assert_eq!(exchange(&mut gate(), 1, pdu), reply, "to {pdu:02x?}");
    }

    #[test]
    fn registers_are_read_by_function_3() {
        check(&[3, 0, 100, 0, 4], &[3, 8, 0, 17, 0, 0, 0, 0, 0, 0]);
        check(&[3, 0, 0, 0, 4], &[3, 8, 3, 1, 0, 1, 0, 4, 0, 2]);
        assert_eq!(exchange(&mut gate(), 1, &[3, 0, 100, 0, 10]).len(), 22);
    }

    #[test]
    fn momentary_coils_read_as_off_and_flags_as_discrete_inputs() {
        check(&[1, 0, 0, 0, 8], &[1, 1, 0]);
        check(&[2, 0, 102, 0, 9], &[2, 2, 0, 0]);
        let mut gate = gate();
        gate.switch(Fault::Uncalibrated, true);
        assert_eq!(exchange(&mut gate, 1, &[2, 0, 102, 0, 9]), [2, 2, 1, 0]);
        assert_eq!(exchange(&mut gate, 1, &[2, 0, 103, 0, 1]), [2, 1, 0]);
    }

    #[test]
    fn a_write_is_echoed_and_pulses_once() {
        let mut gate = gate();
        let open = [5, 0, 1, 0xFF, 0];
        assert_eq!(exchange(&mut gate, 1, &open), open);
        assert_eq!(gate.holding_register(100), Some(32));
        let release = [5, 0, 1, 0, 0];
        assert_eq!(exchange(&mut gate, 1, &release), release);
        let state = gate.state();
        assert_eq!((state.pulses.open, state.pulses.total()), (1, 1));
    }

    #[test]
    fn function_15_pulses_each_coil_that_is_on() {
        let mut gate = gate();
        let reply = exchange(&mut gate, 1, &[15, 0, 0, 0, 8, 1, 0b1100_0001]);
        assert_eq!(reply, [15, 0, 0, 0, 8]);
        let pulses = gate.state().pulses;
        assert_eq!((pulses.stop, pulses.reset, pulses.total()), (1, 1, 2));

        let beyond = exchange(&mut gate, 1, &[15, 0, 1, 0, 8, 1, 0xFF]);
        assert_eq!(beyond, [0x8F, 2]);
        assert_eq!(gate.state().pulses.total(), 2, "all or nothing");
    }

    #[test]
    fn what_the_map_does_not_have_is_refused_by_its_code() {
        // Function codes that the map does not use.
        for function_code in [0, 4, 6, 16, 23, 43] {
            check(
                &[function_code, 0, 0, 0, 1, 0],
                &[function_code | 0x80, ILLEGAL_FUNCTION],
            );
        }
        check(&[3, 0, 11, 0, 1], &[0x83, ILLEGAL_DATA_ADDRESS]);
        check(&[3, 0, 109, 0, 2], &[0x83, ILLEGAL_DATA_ADDRESS]);
        check(&[3, 0xFF, 0xFF, 0, 2], &[0x83, ILLEGAL_DATA_ADDRESS]);
        check(&[2, 0, 0, 0, 1], &[0x82, ILLEGAL_DATA_ADDRESS]);
        check(&[5, 0, 8, 0xFF, 0], &[0x85, ILLEGAL_DATA_ADDRESS]);
        check(&[3, 0, 100, 0, 0], &[0x83, ILLEGAL_DATA_VALUE]);
        check(&[3, 0, 100, 0, 126], &[0x83, ILLEGAL_DATA_VALUE]);
        check(&[1, 0, 0, 0x07, 0xD1], &[0x81, ILLEGAL_DATA_VALUE]);
        check(&[5, 0, 1, 0, 1], &[0x85, ILLEGAL_DATA_VALUE]);
        check(&[3, 0, 100], &[0x83, ILLEGAL_DATA_VALUE]);
        check(&[15, 0, 0, 0, 8, 2, 1], &[0x8F, ILLEGAL_DATA_VALUE]);
        check(&[15, 0, 0, 0, 8], &[0x8F, ILLEGAL_DATA_VALUE]);
    }

    #[test]
    fn the_device_answers_to_its_own_unit_ids_only() {
        let read = [3, 0, 100, 0, 1];
        assert_eq!(exchange(&mut gate(), 255, &read), [3, 2, 0, 17]);
        assert_eq!(
            exchange(&mut gate(), 2, &read),
            [0x83, TARGET_FAILED_TO_RESPOND]
        );
    }
}
