//! What people, programs and applications may be called: typed at sign-in, read in the audit, part of tokens and of
//! destinations. One rule, wherever the name comes from. Pure.

/// The longest name, so that it fits everywhere.
pub(crate) const NAME_CHARS_MAX: usize = 64;

/// What the rule is, for whoever broke it.
pub(crate) const NAME_RULE: &str =
    "use at most 64 letters, digits and . _ - @, and another name than `server`";

/// As this the server stands in the steps of commands.
const RESERVED: &str = "server";

/// Whether somebody can be called so. What is written with brackets or a blank, as the server's own actors of the audit, or
/// as `*` is nobody.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_alphanumeric() || "._-@".contains(letter);
    !name.is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && name.chars().all(plain)
        && name.to_lowercase() != RESERVED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{COMMAND_LINE, SERVER};
    use crate::identity::tally::OTHERS;

    #[test]
    fn names_are_what_can_be_typed_and_read_and_none_is_the_servers() {
        for (name, good) in [
            ("ada", true),
            ("kim.haneul@site-1", true),
            ("김하늘", true),
            ("Server", false),
            (SERVER, false),
            (COMMAND_LINE, false),
            ("command line", false),
            (OTHERS, false),
            ("", false),
            ("a b", false),
            ("a/b", false),
            ("a\u{0}", false),
            ("ki\u{200b}m", false),
        ] {
            assert_eq!(is_name(name), good, "{name:?}");
        }
        assert!(is_name(&"a".repeat(NAME_CHARS_MAX)));
        assert!(!is_name(&"a".repeat(NAME_CHARS_MAX + 1)));
    }
}
