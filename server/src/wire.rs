//! Reading what others send: JSON that can be stored, times that can be stored.
//!
//! Pure. An alarm must not be lost because a kiosk put a NUL into a word, so what Postgres cannot keep is replaced by what
//! it can, before anybody looks at it.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How a NUL character is written in JSON; Postgres has no place for it in a text.
const NUL: &[u8] = br"\u0000";

/// U+FFFD, of the same length.
const REPLACEMENT: &[u8] = br"\ufffd";

/// Reads a JSON body; NUL characters become U+FFFD.
///
/// # Errors
/// What is wrong and where, for whoever sent it.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&without_nul(body))
}

fn without_nul(body: &[u8]) -> Cow<'_, [u8]> {
    let mut clean = Cow::Borrowed(body);
    let mut from = 0;
    while let Some(found) = clean
        .get(from..)
        .and_then(|rest| rest.windows(NUL.len()).position(|part| part == NUL))
    {
        let end = from + found + NUL.len();
        clean
            .to_mut()
            .splice(from + found..end, REPLACEMENT.iter().copied());
        from = end;
    }
    clean
}

/// A text that came another way, for example in a form.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The same of every text within.
pub(crate) fn clean_json(value: Value) -> Value {
    let written = value.to_string();
    match without_nul(written.as_bytes()) {
        Cow::Borrowed(_) => value,
        Cow::Owned(clean) => serde_json::from_slice(&clean).unwrap_or(value),
    }
}

/// The beginning of a text, without characters that a database or a reader's terminal does not take.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    let plain = |letter: char| {
        if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        }
    };
    let mut short: String = text.chars().take(chars_max).map(plain).collect();
    if text.chars().nth(chars_max).is_some() {
        short.push('…');
    }
    short
}

/// Whether a time can be stored and shown. A device whose clock was never set says 1970, which is fine for that.
pub(crate) fn is_storable(at: DateTime<Utc>) -> bool {
    (1970..=9999).contains(&at.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_stored_is_replaced() {
        for (body, text) in [
            (r#""plain""#, "plain"),
            (r#""a\u0000b""#, "a\u{fffd}b"),
            (r#""\u0000\u0000""#, "\u{fffd}\u{fffd}"),
            (r#""한글""#, "한글"),
        ] {
            assert_eq!(read::<String>(body.as_bytes()).unwrap(), text);
        }
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        let nested = serde_json::json!({"a\0": ["\0", {"b": "c"}]});
        let expected = serde_json::json!({"a\u{fffd}": ["\u{fffd}", {"b": "c"}]});
        assert_eq!(clean_json(nested), expected);
    }

    #[test]
    fn times_that_no_calendar_shows_are_told_apart() {
        for (at, storable) in [
            ("1970-01-01T00:00:00Z", true),
            ("2099-01-01T00:00:00Z", true),
            ("0001-01-01T00:00:00Z", false),
            ("+12026-01-01T00:00:00Z", false),
        ] {
            assert_eq!(is_storable(at.parse().unwrap()), storable, "{at}");
        }
    }
}
