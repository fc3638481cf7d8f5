//! The CRC of the specification's example, and a reply among everything else that a line carries.

use proptest::prelude::*;

use super::*;
use crate::profile::{RegisterWrite, Table};

/// The frame of a PDU.
fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![unit];
    frame.extend(pdu);
    frame.extend(crc(&frame).to_le_bytes());
    frame
}

fn two() -> Request<'static> {
    Request::Read {
        table: Table::HoldingRegister,
        addr: 100,
        count: 2,
    }
}

#[test]
fn the_crc_is_the_specifications() {
    // Appendix B of MODBUS over Serial Line V1.02: function 07 of unit 02.
    assert_eq!(crc(&[0x02, 0x07]).to_le_bytes(), [0x41, 0x12]);
    assert_eq!(encode(1, &two()), frame(1, &[3, 0, 100, 0, 2]));
}

#[test]
fn silences_are_those_of_the_specification() {
    for (baud, micros) in [
        (9600, 4010),
        (19_200, 2005),
        (38_400, 1750),
        (115_200, 1750),
    ] {
        assert_eq!(silence(baud).as_micros(), micros, "{baud}");
    }
    assert_eq!(wire_time(25, 9600).as_micros(), 28_645);
}

#[track_caller]
fn check(bytes: &[&[u8]], expected: Option<Reply>, stray: u64) {
    let request = two();
    let whole = bytes.concat();
    // However the bytes are cut.
    for step in 1..=whole.len() {
        let mut received = Received::default();
        let mut found = None;
        for piece in whole.chunks(step) {
            received.push(piece);
            found = found.or_else(|| received.take(1, &request));
        }
        assert_eq!(found, expected, "in pieces of {step}");
        assert_eq!(received.stray(), stray, "in pieces of {step}");
    }
}

#[test]
fn a_reply_is_found_among_what_is_none() {
    let reply = frame(1, &[3, 4, 0, 7, 0, 8]);
    let words = || Some(Reply::Words(vec![7, 8]));
    check(&[&reply], words(), 0);
    check(&[&[0xFF, 0x00], &reply], words(), 2);
    check(&[&reply, &[0, 0, 0]], words(), 3);
    // The head of a reply that never came whole.
    check(&[&[1, 3, 4, 0], &reply], words(), 4);
    // Another unit's reply, another function's, another length's, an echo.
    for other in [
        frame(2, &[3, 4, 0, 1, 0, 2]),
        frame(1, &[4, 4, 0, 1, 0, 2]),
        frame(1, &[3, 2, 0, 1]),
        frame(1, &[5, 0, 2, 0xFF, 0]),
        frame(1, &[0x84, 2]),
    ] {
        check(&[&other], None, other.len() as u64);
        check(&[&other, &reply], words(), other.len() as u64);
    }
    // Broken.
    let mut broken = reply.clone();
    broken[4] ^= 0x10;
    check(&[&broken], None, 9);
    check(&[&broken, &reply], words(), 9);
    check(&[&frame(1, &[0x83, 6])], Some(Reply::Exception(6)), 0);
}

#[test]
fn the_echo_of_another_coil_is_no_echo() {
    let coil = RegisterWrite::Coil { addr: 2, on: true };
    let request = Request::Write(&coil);
    let mut received = Received::default();
    received.push(&frame(1, &[5, 0, 3, 0xFF, 0]));
    assert_eq!(received.take(1, &request), None);
    received.push(&frame(1, &[5, 0, 2, 0xFF, 0]));
    assert_eq!(received.take(1, &request), Some(Reply::Echo));
}

#[test]
fn a_line_that_never_falls_silent_costs_no_memory() {
    let mut received = Received::default();
    for _ in 0..1000 {
        received.push(&[0x55; 200]);
        assert_eq!(received.take(1, &two()), None);
        assert!(received.bytes.len() <= KEPT_BYTES_MAX);
    }
    assert_eq!(received.stray(), 200_000);
    received.push(&frame(1, &[3, 4, 0, 7, 0, 8]));
    assert!(received.take(1, &two()).is_some());
}

proptest! {
    /// Noise hides no reply and makes none.
    #[test]
    fn noise_hides_nothing(
        before in proptest::collection::vec(any::<u8>(), 0..64),
        words in any::<[u16; 2]>(),
        flip in proptest::option::of(0usize..72),
    ) {
        let mut pdu = vec![3, 4];
        pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        let mut reply = frame(1, &pdu);
        if let Some(bit) = flip {
            reply[bit / 8] ^= 1 << (bit % 8);
        }
        let mut received = Received::default();
        received.push(&before);
        // By one chance in 65,536 and a fitting head noise is a reply of its own, as on any such bus.
        prop_assume!(received.take(1, &two()).is_none());
        received.push(&reply);
        let expected = flip.is_none().then(|| Reply::Words(words.to_vec()));
        prop_assert_eq!(received.take(1, &two()), expected);
    }
}
