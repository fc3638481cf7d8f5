//! SHA-256 as things are stored and told apart by it, and hexadecimal. Pure.

use sha2::{Digest, Sha256};

/// What is stored of a secret that is random enough that its hash tells nothing: a cookie, a code, a link.
pub(crate) fn of_secret(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

/// What tells one content of a file from another.
pub(crate) fn of_text(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The inverse of [`hex`], of exactly `N` bytes.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_text("abc"), expected);
        assert_eq!(hex(&of_secret("abc")), expected);
    }

    #[test]
    fn only_whole_hexadecimal_is_read() {
        for (text, expected) in [
            ("00ff", Some([0x00, 0xff])),
            ("00FF", Some([0x00, 0xff])),
            ("00f", None),
            ("00ff0", None),
            ("+0ff", None),
            ("0g00", None),
            ("가0", None),
        ] {
            assert_eq!(unhex::<2>(text), expected, "{text}");
        }
    }
}
