//! Which passwords people may choose: after NIST SP 800-63B, long and not among the first that are tried; nothing about
//! kinds of characters. Pure.

use super::password::PASSWORD_BYTES_MAX;

/// The fewest characters of a new password.
pub const CHARS_MIN: usize = 12;

/// What people choose when twelve characters are asked for. Compared without case and without what is added at the end.
const COMMON: [&str; 40] = [
    "123456789012",
    "1234567890ab",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "abcdefghijkl",
    "administrator",
    "adminadminadmin",
    "airportairport",
    "changemechangeme",
    "correcthorsebatterystaple",
    "correct horse battery staple",
    "defaultpassword",
    "dragondragon",
    "football",
    "iloveyouiloveyou",
    "iloveyou",
    "incheonairport",
    "landside",
    "landsidelandside",
    "letmeinletmein",
    "letmein",
    "monkeymonkey",
    "mypassword",
    "newpassword",
    "operatoroperator",
    "passw0rdpassw0rd",
    "passwordpassword",
    "password",
    "p@ssw0rd",
    "princessprincess",
    "qwer1234qwer",
    "qwertyqwerty",
    "qwertyuiop",
    "qwertyuiopasdf",
    "samsungsamsung",
    "secretsecret",
    "sunshinesunshine",
    "superman",
    "welcomewelcome",
    "zxcvbnmasdfghjkl",
];

/// Why a password may not be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Fewer than [`CHARS_MIN`] characters.
    Short,
    /// More than anybody types.
    Long,
    /// It has the person's own name in it, or is one of the most common.
    Guessable,
}

/// What is wrong with a new password of somebody.
pub fn weakness(password: &str, name: &str) -> Option<Weakness> {
    if password.chars().count() < CHARS_MIN {
        return Some(Weakness::Short);
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Some(Weakness::Long);
    }
    let plain = password.to_lowercase();
    let bare = plain.trim_end_matches(|last: char| !last.is_alphabetic());
    let mut letters = plain.chars();
    let first = letters.next();
    let is_one_letter = letters.all(|letter| Some(letter) == first);
    let is_common = COMMON
        .iter()
        .any(|common| *common == plain || *common == bare);
    let name = name.to_lowercase();
    // What is left without one's name must be a password by itself.
    let is_name = name.chars().count() > 2
        && plain.contains(&name)
        && plain.replace(&name, "").chars().count() < CHARS_MIN / 2;
    (is_one_letter || is_common || is_name || bare.is_empty()).then_some(Weakness::Guessable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_uncommon_is_enough() {
        for (password, expected) in [
            ("elevenchars", Some(Weakness::Short)),
            ("거위 세 마리가 게이트를 지남", None),
            ("three geese pass the gate", None),
            ("aaaaaaaaaaaaaaaa", Some(Weakness::Guessable)),
            ("Password2026!", Some(Weakness::Guessable)),
            ("PasswordPassword", Some(Weakness::Guessable)),
            ("adalovelace1", Some(Weakness::Guessable)),
            ("adalovelace and 14 geese", None),
            ("123456789012345", Some(Weakness::Guessable)),
        ] {
            assert_eq!(weakness(password, "adalovelace"), expected, "{password}");
        }
        let endless = "ab".repeat(PASSWORD_BYTES_MAX);
        assert_eq!(weakness(&endless, "ada"), Some(Weakness::Long));
    }
}
