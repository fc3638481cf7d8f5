//! What clients send: a JSON array of strings (SockJS protocol 0.3, `xhr_send`, `jsonp_send`, `websocket`). Pure.
//!
//! A member that is no string is refused, and so is a lone surrogate (`"\ud83d"`), which is no text in UTF-8: nothing
//! is replaced that somebody meant.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadError {
    /// Nothing was sent.
    Missing,
    /// It is no JSON, or no array of strings.
    Broken,
    /// More messages at once than [`MOST_MESSAGES`].
    TooMany,
}

/// Messages of one body. 4,096: far more than a client collects while it waits, and a body of nothing but empty ones must
/// not take many times its own room.
pub const MOST_MESSAGES: usize = 4096;

impl PayloadError {
    /// What to answer: for the first two, the protocol's own words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "Payload expected.",
            Self::Broken => "Broken JSON encoding.",
            Self::TooMany => "More than 4096 messages at once: send fewer.",
        }
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The messages of an array; those beyond [`MOST_MESSAGES`] are read and not kept.
struct Messages {
    kept: Vec<String>,
    are_all: bool,
}

impl Messages {
    fn all(self) -> Result<Vec<String>, PayloadError> {
        if self.are_all {
            Ok(self.kept)
        } else {
            Err(PayloadError::TooMany)
        }
    }
}

impl<'de> Deserialize<'de> for Messages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Messages;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Messages, A::Error> {
        let mut read = Messages {
            kept: Vec::new(),
            are_all: true,
        };
        while let Some(message) = members.next_element::<String>()? {
            if read.kept.len() < MOST_MESSAGES {
                read.kept.push(message);
            } else {
                read.are_all = false;
            }
        }
        Ok(read)
    }
}

/// The messages of a body of `xhr_send`.
///
/// # Errors
/// [`PayloadError`]
pub fn of_body(body: &[u8]) -> Result<Vec<String>, PayloadError> {
    if body.is_empty() {
        return Err(PayloadError::Missing);
    }
    broken_unless(serde_json::from_slice(body)).and_then(Messages::all)
}

/// The messages of a body of `jsonp_send`: a form's field `d` when `content_type` says that it is a form, else as
/// [`of_body`].
///
/// # Errors
/// [`PayloadError`]
pub fn of_form(content_type: Option<&str>, body: &[u8]) -> Result<Vec<String>, PayloadError> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let is_form = content_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(FORM));
    if !is_form {
        return of_body(body);
    }
    let field = url::form_urlencoded::parse(body).find(|(name, _)| name == "d");
    of_body(field.map(|(_, value)| value).unwrap_or_default().as_bytes())
}

/// The messages of one WebSocket message: an array of strings, or one string; nothing is none.
///
/// # Errors
/// [`PayloadError::Broken`], [`PayloadError::TooMany`]
pub fn of_socket(text: &[u8]) -> Result<Vec<String>, PayloadError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'"') {
        return broken_unless(serde_json::from_slice(text)).map(|message| vec![message]);
    }
    of_body(text)
}

fn broken_unless<T>(read: serde_json::Result<T>) -> Result<T, PayloadError> {
    read.map_err(|error| {
        tracing::debug!(%error, "what a client sent is not read");
        PayloadError::Broken
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use PayloadError::{Broken, Missing, TooMany};

    type Read = Result<Vec<String>, PayloadError>;

    fn check(read: Read, expected: Result<&[&str], PayloadError>) {
        let expected = expected.map(|messages| messages.iter().map(ToString::to_string).collect());
        assert_eq!(read, expected);
    }

    #[test]
    fn bodies() {
        check(of_body(br#"["a","b"]"#), Ok(&["a", "b"]));
        check(of_body(b"[]"), Ok(&[]));
        check(of_body(br#" ["\ud83d\ude97"] "#), Ok(&["🚗"]));
        check(of_body(b""), Err(Missing));
        for broken in [
            r#"["x"#,
            "x",
            r#""x""#,
            "{}",
            "[1]",
            r#"[{"a":1}]"#,
            "[null]",
            r#"[["x"]]"#,
            r#"["\ud83d"]"#,
        ] {
            check(of_body(broken.as_bytes()), Err(Broken));
        }
        check(of_body(b"[\"\xff\"]"), Err(Broken));
    }

    #[test]
    fn one_body_has_so_many_messages_and_no_more() {
        let body = |count: usize| format!("[{}]", vec![r#""""#; count].join(","));
        assert_eq!(
            of_body(body(MOST_MESSAGES).as_bytes()).map(|read| read.len()),
            Ok(MOST_MESSAGES)
        );
        check(of_body(body(MOST_MESSAGES + 1).as_bytes()), Err(TooMany));
        check(of_socket(body(MOST_MESSAGES + 1).as_bytes()), Err(TooMany));
    }

    #[test]
    fn forms() {
        let form = Some("application/x-www-form-urlencoded; charset=UTF-8");
        check(of_form(form, b"d=%5B%22a%22%5D"), Ok(&["a"]));
        check(of_form(form, b"x=1&d=[\"a\"]"), Ok(&["a"]));
        check(of_form(Some("text/plain"), br#"["a"]"#), Ok(&["a"]));
        check(of_form(None, br#"["a"]"#), Ok(&["a"]));
        for nothing in ["", "d=", "p=p"] {
            check(of_form(form, nothing.as_bytes()), Err(Missing));
        }
        check(of_form(form, b"d=%5B"), Err(Broken));
    }

    #[test]
    fn sockets() {
        check(of_socket(br#""a""#), Ok(&["a"]));
        check(of_socket(br#"["a","b"]"#), Ok(&["a", "b"]));
        check(of_socket(b"[]"), Ok(&[]));
        check(of_socket(b""), Ok(&[]));
        check(of_socket(br#"["a"#), Err(Broken));
        check(of_socket(b"1"), Err(Broken));
    }

    proptest! {
        #[test]
        fn any_messages_are_read(messages in proptest::collection::vec(any::<String>(), 0..5)) {
            let body = serde_json::to_vec(&messages).unwrap();
            prop_assert_eq!(of_body(&body), Ok(messages.clone()));
            prop_assert_eq!(of_socket(&body), Ok(messages));
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in any::<Vec<u8>>()) {
            let _ = (of_body(&body), of_form(Some("application/x-www-form-urlencoded"), &body), of_socket(&body));
        }
    }
}
