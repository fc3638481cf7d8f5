//! What the broker tells a client, as events. Pure.

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use stomp::Frame;

use super::packet::{Outgoing, quoted};

/// Headers with a place of their own in the event.
const PLACED: [&str; 4] = ["destination", "subscription", "message-id", "ack"];

/// The event `message` for a MESSAGE. JSON comes as what it says, other text as a string, anything else as a buffer.
pub(super) fn message_of(frame: &Frame) -> Outgoing {
    let field = |name: &str| quoted(frame.header(name).unwrap_or_default());
    // Of two headers with one name the first counts.
    let mut headers = Map::new();
    for (name, value) in frame.headers.iter() {
        if !PLACED.contains(&name) && !headers.contains_key(name) {
            headers.insert(name.to_owned(), value.into());
        }
    }
    let ack = frame
        .header("ack")
        .map_or_else(String::new, |ack| format!(",\"ack\":{}", quoted(ack)));
    let mut argument = format!(
        "{{\"destination\":{},\"subscription\":{},\"id\":{}{ack},\"headers\":{},\"body\":",
        field("destination"),
        field("subscription"),
        field("message-id"),
        Value::Object(headers),
    );
    let Ok(text) = std::str::from_utf8(&frame.body) else {
        argument.push_str("{\"_placeholder\":true,\"num\":0}}");
        return Outgoing::binary_event("message", &argument, frame.body.clone());
    };
    if is_json(frame) && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        // As it was sent: nothing that the way through values would change about its numbers.
        argument.push_str(text);
    } else {
        argument.push_str(&quoted(text));
    }
    argument.push('}');
    Outgoing::event("message", &argument)
}

/// Something is refused or over: `error` or `refusal`.
pub(super) fn trouble(
    event: &str,
    code: &str,
    message: &str,
    destination: Option<&str>,
) -> Outgoing {
    let mut argument = json!({"code": code, "message": message});
    if let (Some(destination), Some(fields)) = (destination, argument.as_object_mut()) {
        fields.insert("destination".to_owned(), destination.into());
    }
    Outgoing::event(event, &argument.to_string())
}

/// The token ends in so many seconds. The broker's own words are for clients that have headers.
pub(super) fn expiring(code: &str, seconds: u64) -> Outgoing {
    let message = format!(
        "the token ends in {seconds} s, and the session with it: send a new one with the event `token`"
    );
    let argument = json!({"code": code, "message": message, "expires_in": seconds});
    Outgoing::event("expiring", &argument.to_string())
}

/// The answer to an event that was done; `id` is the subscription's, if it made one.
pub(super) fn done(acknowledgement: u64, id: Option<&str>) -> Outgoing {
    let answer = match id {
        Some(id) => json!({"ok": true, "id": id}),
        None => json!({"ok": true}),
    };
    Outgoing::acknowledgement(acknowledgement, &answer.to_string())
}

/// The answer to an event that was not done.
pub(super) fn not_done(acknowledgement: u64, code: &str, message: &str) -> Outgoing {
    let answer = json!({"ok": false, "code": code, "message": message});
    Outgoing::acknowledgement(acknowledgement, &answer.to_string())
}

fn is_json(frame: &Frame) -> bool {
    let content_type = frame.header("content-type").unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

#[cfg(test)]
mod tests {
    use stomp::Command;

    use super::*;

    #[track_caller]
    fn check(content_type: Option<&str>, body: &[u8], expected: &str) {
        let mut frame = Frame::new(Command::Message)
            .with_header("subscription", "s")
            .with_header("ack", "7")
            .with_header("destination", "/d")
            .with_header("message-id", "1-2")
            .with_header("x-gap", "true")
            .with_header("x-gap", "false")
            .with_body(body.to_vec());
        if let Some(content_type) = content_type {
            frame.headers.push("content-type", content_type);
        }
        let told = message_of(&frame);
        let kind =
            content_type.map_or_else(String::new, |kind| format!("\"content-type\":{kind:?},"));
        let expected = format!(
            "[\"message\",{{\"destination\":\"/d\",\"subscription\":\"s\",\"id\":\"1-2\",\"ack\":\"7\",\"headers\":{{{kind}\"x-gap\":\"true\"}},\"body\":{expected}}}]"
        );
        let prefix = if told.attachment.is_some() {
            "51-"
        } else {
            "2"
        };
        assert_eq!(told.text, format!("{prefix}{expected}"));
    }

    #[test]
    fn bodies_come_as_what_they_are() {
        let json = Some("application/json");
        check(json, b"{\"a\": 1.10}", "{\"a\": 1.10}");
        check(json, b"12345678901234567890123", "12345678901234567890123");
        check(Some("Application/JSON; charset=utf-8"), b"[1]", "[1]");
        check(Some("application/problem+json"), b"[1]", "[1]");
        check(Some("text/plain"), b"[1]", "\"[1]\"");
        check(None, "\u{2028}\"한\"".as_bytes(), "\"\u{2028}\\\"한\\\"\"");
        check(json, b"", "\"\"");
        check(json, b"{broken", "\"{broken\"");
        check(json, b"1],[2", "\"1],[2\"");
        check(json, &[0xff, 0], "{\"_placeholder\":true,\"num\":0}");
    }
}
