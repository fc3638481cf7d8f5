//! One-time codes of six digits (RFC 6238 with HMAC-SHA-1, 30 seconds: what every authenticator app takes), and recovery
//! codes for whoever lost the app. Pure.

use chrono::TimeDelta;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::digest::of_secret;

/// RFC 4226 section 4 recommends 160 bits.
pub const SECRET_BYTES: usize = 20;

/// RFC 6238 section 5.2.
const STEP_SECONDS: u64 = 30;

/// A code is taken one step before and after its own: clocks differ, and people type.
const STEPS_AROUND: u64 = 1;

/// How many recovery codes somebody gets.
pub const RECOVERY_CODES: usize = 10;

/// A secret that is offered is good for this long: enough to find the telephone and install an app.
pub(crate) const OFFER_KEPT: TimeDelta = TimeDelta::minutes(10);

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// RFC 4226 section 5.3.
fn code(secret: &[u8], step: u64) -> u32 {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 0xf);
    let word = [
        hash[offset] & 0x7f,
        hash[offset + 1],
        hash[offset + 2],
        hash[offset + 3],
    ];
    u32::from_be_bytes(word) % 1_000_000
}

/// The step whose code this is, around now and after `last`, the newest step of which a code was taken.
pub fn matching_step(secret: &[u8], typed: &str, unix_seconds: u64, last: u64) -> Option<u64> {
    let typed = digits(typed)?;
    let now = unix_seconds / STEP_SECONDS;
    (now.saturating_sub(STEPS_AROUND)..=now + STEPS_AROUND)
        .filter(|step| *step > last)
        .find(|step| code(secret, *step) == typed)
}

/// The code of a moment, for tests of what asks for it.
pub fn code_at(secret: &[u8], unix_seconds: u64) -> String {
    format!("{:06}", code(secret, unix_seconds / STEP_SECONDS))
}

/// Six digits, however they are spaced.
fn digits(typed: &str) -> Option<u32> {
    let plain: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
    (plain.len() == 6 && plain.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| plain.parse().ok())
        .flatten()
}

/// RFC 4648 section 6, without padding: how a secret is typed into an app.
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(symbol(buffer >> bits));
        }
    }
    if bits > 0 {
        text.push(symbol(buffer << (5 - bits)));
    }
    text
}

fn symbol(five_bits: u32) -> char {
    let index = usize::try_from(five_bits & 31).expect("five bits fit");
    char::from(BASE32[index])
}

/// What an app reads from the picture.
pub fn uri(secret: &[u8], name: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // An app reads a path, in which a plus is a plus.
    let name = name.replace('+', "%20");
    format!(
        "otpauth://totp/Landside:{name}?secret={}&issuer=Landside",
        base32(secret)
    )
}

/// A recovery code of ten random bytes, in groups that can be copied by hand.
pub fn recovery_code(random: [u8; 10]) -> String {
    let text = base32(&random).to_ascii_lowercase();
    let groups: Vec<&str> = [0..4, 4..8, 8..12, 12..16]
        .into_iter()
        .filter_map(|group| text.get(group))
        .collect();
    groups.join("-")
}

/// What is stored of a recovery code; nothing for what cannot be one.
pub fn recovery_hash(typed: &str) -> Option<Vec<u8>> {
    let plain: String = typed
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric())
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    (plain.len() == 16).then(|| of_secret(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, the last six of its eight digits.
    #[test]
    fn the_vectors_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(secret, seconds), expected);
            assert_eq!(
                matching_step(secret, expected, seconds, 0),
                Some(seconds / 30)
            );
        }
    }

    #[test]
    fn a_code_is_good_a_step_around_its_own_and_once() {
        let secret = [7; SECRET_BYTES];
        let typed = code_at(&secret, 3_000);
        for (seconds, last, expected) in [
            (3_000, 0, Some(100)),
            (2_970, 0, Some(100)),
            (3_059, 0, Some(100)),
            (2_969, 0, None),
            (3_060, 0, None),
            (3_000, 99, Some(100)),
            (3_000, 100, None),
        ] {
            let step = matching_step(&secret, &typed, seconds, last);
            assert_eq!(step, expected, "{seconds} {last}");
        }
        let spaced = format!(" {} {}", &typed[..3], &typed[3..]);
        assert_eq!(matching_step(&secret, &spaced, 3_000, 0), Some(100));
        for wrong in ["", "12345", "1234567", "+12345", "abcdef"] {
            assert_eq!(matching_step(&secret, wrong, 3_000, 0), None);
        }
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(
            uri(b"foo", "김 a"),
            "otpauth://totp/Landside:%EA%B9%80+a?secret=MZXW6&issuer=Landside".replace('+', "%20")
        );
    }

    #[test]
    fn a_recovery_code_is_known_however_it_is_typed() {
        let code = recovery_code([0xa5; 10]);
        assert_eq!(code.len(), 19);
        let hash = recovery_hash(&code);
        assert!(hash.is_some());
        assert_eq!(
            recovery_hash(&code.to_ascii_uppercase().replace('-', " ")),
            hash
        );
        assert_ne!(recovery_hash(&recovery_code([0xa6; 10])), hash);
        assert_eq!(recovery_hash("123456"), None);
    }
}
