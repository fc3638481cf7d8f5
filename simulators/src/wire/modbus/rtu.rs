//! RTU frames (MODBUS over Serial Line V1.02, section 2.5.1): a unit's address, a PDU, a CRC. Pure.

/// Address, function, CRC.
const FRAME_BYTES_MIN: usize = 4;

/// The longest frame (section 2.3).
pub(crate) const FRAME_BYTES_MAX: usize = 256;

/// The CRC's polynomial, x^16 + x^15 + x^2 + 1, as it is for bits that go lowest first.
const POLYNOMIAL: u16 = 0xA001;

/// What each value of a byte does to the CRC.
const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut index: u16 = 0;
    while index < 256 {
        let mut value = index;
        let mut bit = 0;
        while bit < 8 {
            let carry = value & 1;
            value = (value >> 1) ^ (carry * POLYNOMIAL);
            bit += 1;
        }
        table[index as usize] = value;
        index += 1;
    }
    table
}

/// The CRC of `bytes` (section 6.2.2).
pub(crate) fn crc(bytes: &[u8]) -> u16 {
    let mut crc = u16::MAX;
    for byte in bytes {
        let [low, high] = crc.to_le_bytes();
        crc = u16::from(high) ^ TABLE[usize::from(low ^ byte)];
    }
    crc
}

/// The unit and the PDU of a whole frame; `None` when its length or its CRC is none of a frame's.
pub(crate) fn open(frame: &[u8]) -> Option<(u8, &[u8])> {
    if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame.len()) {
        return None;
    }
    let (content, &sum) = frame.split_last_chunk::<2>()?;
    let (&unit, pdu) = content.split_first()?;
    (u16::from_le_bytes(sum) == crc(content)).then_some((unit, pdu))
}

/// The frame of `pdu` to or from `unit`.
pub(crate) fn seal(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(pdu.len() + 3);
    frame.push(unit);
    frame.extend_from_slice(pdu);
    let sum = crc(&frame);
    frame.extend(sum.to_le_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_the_documents() {
        // Section 6.2.2's example: the frame 02 07 ends in 41 12.
        assert_eq!(seal(2, &[7]), [2, 7, 0x41, 0x12]);
        // The catalogue's check value of CRC-16/MODBUS.
        assert_eq!(crc(b"123456789"), 0x4B37);
    }

    #[test]
    fn a_frame_with_any_bit_changed_is_none() {
        let frame = seal(17, &[3, 0, 100, 0, 2]);
        assert_eq!(open(&frame), Some((17, &[3, 0, 100, 0, 2][..])));
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&changed), None, "bit {bit}");
        }
        assert_eq!(open(&frame[..3]), None);
        assert_eq!(open(&seal(1, &[0; 254])), None, "too long");
    }
}
