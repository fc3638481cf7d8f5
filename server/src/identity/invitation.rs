//! Links by which somebody comes in for the first time, or again after losing what they knew. Pure.

use chrono::TimeDelta;

/// Long enough to be handed over, short enough to be forgotten safely.
pub(crate) const GOOD_FOR: TimeDelta = TimeDelta::hours(24);

/// The longest name, so that it fits everywhere.
const NAME_CHARS_MAX: usize = 64;

/// The path of a link.
pub(crate) fn path(token: &str) -> String {
    format!("/invitation/{token}")
}

/// Whether somebody can be called so: what is typed at sign-in, read in the audit, and part of a token.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_alphanumeric() || "._-@".contains(letter);
    !name.is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && name.chars().all(plain)
        && !is_reserved(name)
}

/// By these names the server itself stands in the audit, and everybody's failures together.
const RESERVED: [&str; 3] = ["server", "command line", "*"];

/// Whether a name is nobody's, so that nobody can act in the server's.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_can_be_typed_and_read() {
        for (name, good) in [
            ("ada", true),
            ("Server", false),
            ("kim.haneul@site-1", true),
            ("김하늘", true),
            ("", false),
            ("a b", false),
            ("*", false),
            ("a/b", false),
            ("a\u{0}", false),
        ] {
            assert_eq!(is_name(name), good, "{name:?}");
        }
        assert!(!is_name(&"a".repeat(NAME_CHARS_MAX + 1)));
    }
}
