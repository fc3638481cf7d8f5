//! The laws, with inputs that proptest makes up.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::laws::{payloads, sessions, urls};

/// Pieces of bodies: what JSON, forms and the escapes of browsers are made of.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "[",
            "]",
            "\"",
            ",",
            "\\",
            "\\u",
            "\\ud83d",
            "\\ude97",
            "\\n",
            "a",
            "</script>",
            "<!--",
            "<script>",
            "d=",
            "&",
            "%5B",
            "\u{2028}",
            "\u{200c}",
            "\u{fffe}",
            "🚗",
            "1",
            "null",
            "{}",
            " ",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..4),
        any::<Vec<String>>()
            .prop_map(|texts| serde_json::to_vec(&texts).expect("strings are JSON")),
    ]
}

/// Pieces of URLs.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "/",
            "/",
            "000",
            "a%20b",
            ".",
            "?",
            "&",
            "c=",
            "callback=",
            "xhr",
            "xhr_send",
            "xhr_streaming",
            "jsonp",
            "jsonp_send",
            "websocket",
            "eventsource",
            "htmlfile",
            "info",
            "iframe",
            ".html",
            "-1.6",
            "%3c",
            "cb",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9_.-]{0,40}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn payloads_keep_their_laws(pieces in vec(piece(), 0..8)) {
        payloads::check(&pieces.concat());
    }

    #[test]
    fn urls_keep_their_laws(parts in vec(part(), 0..8)) {
        urls::check(parts.concat().as_bytes());
    }

    #[test]
    fn sessions_keep_their_laws(script in vec(any::<u8>(), 0..200)) {
        sessions::check(&script);
    }
}
