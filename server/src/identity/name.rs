//! What people, programs and applications may be called: typed at sign-in, read in the audit, part of tokens and of
//! destinations. One rule, wherever the name comes from; and more for a name that is given out here from now on. Pure.

use unicode_security::MixedScript;
use unicode_security::confusable_detection::skeleton;

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

/// Why nobody new is called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nobody can be.
    #[error("{0:?} is no name: {NAME_RULE}")]
    NoName(String),
    /// A list, an option of a command or a formula of a table begins so.
    #[error("{0:?} must begin with a letter or a digit")]
    Start(String),
    /// Letters of several alphabets look like one another.
    #[error("{0:?} has letters of several alphabets, which cannot be told apart: use those of one")]
    Mixed(String),
    /// Two people would look like one in lists and in the audit.
    #[error("{0:?} looks like {1:?}, whom there is: choose another name")]
    Alike(String, String),
}

/// Whether somebody new can be called so, beside those whose names are `taken`. A name that is taken is not new, and no other
/// rule is asked of it: who was let in under it before stays.
pub(crate) fn check_new(name: &str, taken: &[String]) -> Result<(), BadName> {
    let wrong = |kind: fn(String) -> BadName| Err(kind(name.to_owned()));
    if !is_name(name) {
        return wrong(BadName::NoName);
    }
    if taken.iter().any(|taken| taken == name) {
        return Ok(());
    }
    if !name.starts_with(char::is_alphanumeric) {
        return wrong(BadName::Start);
    }
    if !name.is_single_script() {
        return wrong(BadName::Mixed);
    }
    let looks = seen(name);
    let reserved = std::iter::once(RESERVED);
    let mut others = taken.iter().map(String::as_str).chain(reserved);
    match others.find(|other| is_alike(&seen(other), &looks)) {
        Some(alike) => Err(BadName::Alike(name.to_owned(), alike.to_owned())),
        None => Ok(()),
    }
}

/// How a name looks (Unicode Technical Standard 39), as it is written and in small letters: `I` is like `l`, and `i` is not.
fn seen(name: &str) -> [String; 2] {
    let lower = name.to_lowercase();
    [name, &lower].map(|name| skeleton(name).collect::<String>().to_lowercase())
}

/// Whether a person takes one for the other, in whatever case.
fn is_alike(one: &[String; 2], other: &[String; 2]) -> bool {
    one.iter().any(|look| other.contains(look))
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

    #[test]
    fn a_new_name_is_taken_for_no_other() {
        let taken = [
            "vic",
            "Kim",
            "김하늘",
            "agent-1",
            "-old",
            "ｏld2",
            "alice",
            "omar",
            "OP1",
        ]
        .map(str::to_owned);
        for (name, good) in [
            ("ada", true),
            ("kim.haneul", true),
            ("김하늘2", true),
            ("2nd-shift", true),
            ("田中さくら", true),
            ("vic", true),
            ("-old", true),
            ("VIC", false),
            ("kim", false),
            ("vіc", false),
            ("ѵіс", false),
            ("김ada", false),
            ("agent-l", false),
            ("AGENT-1", false),
            ("aIice", false),
            ("0mar", false),
            ("0P1", false),
            ("op2", true),
            ("5erver", true),
            ("SERVER", false),
            ("..", false),
            ("-x", false),
            ("@SUM", false),
            ("_", false),
        ] {
            let checked = check_new(name, &taken);
            assert_eq!(checked.is_ok(), good, "{name}: {checked:?}");
        }
    }
}
