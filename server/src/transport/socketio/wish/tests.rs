//! Events and the frames that they become; what is refused, and how that is said.

use stomp::Version;

use super::*;

fn frames(event: &str, argument: &str, attachment: Option<&[u8]>) -> Result<String, String> {
    let argument: Option<&RawValue> = match argument {
        "" => None,
        json => Some(serde_json::from_str(json).unwrap()),
    };
    let attachment = attachment.map(Bytes::copy_from_slice);
    let wish = wish_of(event, argument, attachment, Some(7), 3)?;
    let mut bytes = bytes::BytesMut::new();
    for frame in &wish.frames {
        stomp::encode(frame, Version::V1_2, &mut bytes);
    }
    Ok(String::from_utf8(bytes.to_vec())
        .unwrap()
        .replace('\0', "|"))
}

#[track_caller]
fn check(event: &str, argument: &str, expected: &str) {
    assert_eq!(frames(event, argument, None), Ok(expected.to_owned()));
}

#[test]
fn events_are_stomp_commands() {
    check(
        "subscribe",
        r#"{"destination":"/topic/a"}"#,
        "SUBSCRIBE\nid:socket.io 3\ndestination:/topic/a\nreceipt:7 socket.io 3\n\n|",
    );
    check(
        "subscribe",
        r#"{"destination":"/topic/a","id":"my id","ack":"client","headers":{"x-retained":true,"prefetch-count":5}}"#,
        "SUBSCRIBE\nid:my id\ndestination:/topic/a\nack:client\nreceipt:7 my id\nprefetch-count:5\nx-retained:true\n\n|",
    );
    check(
        "unsubscribe",
        r#"{"id":4,"headers":{"durable-subscription-name":"n"}}"#,
        "UNSUBSCRIBE\nid:4\nreceipt:7\ndurable-subscription-name:n\n\n|",
    );
    check(
        "ack",
        r#"{"id":"9","transaction":1}"#,
        "ACK\nid:9\ntransaction:1\nreceipt:7\n\n|",
    );
    check("nack", r#"{"id":"9"}"#, "NACK\nid:9\nreceipt:7\n\n|");
    for (event, command) in [("begin", "BEGIN"), ("commit", "COMMIT"), ("abort", "ABORT")] {
        check(
            event,
            r#"{"transaction":"t"}"#,
            &format!("{command}\ntransaction:t\nreceipt:7\n\n|"),
        );
    }
    check(
        "token",
        r#"{"token":"new"}"#,
        "BEGIN\ntransaction:socket.io renewal\nauthorization:Bearer new\nreceipt:7\n\n|ABORT\ntransaction:socket.io renewal\n\n|",
    );
}

#[test]
fn bodies_are_sent_as_what_they_are() {
    for (body, sent) in [
        ("", "receipt:7\n\n|"),
        (",\"body\":null", "receipt:7\n\n|"),
        (
            ",\"body\":{\"a\": 1.10, \"b\":[]}",
            "content-type:application/json\nreceipt:7\ncontent-length:19\n\n{\"a\": 1.10, \"b\":[]}|",
        ),
        (
            ",\"body\":\"it\\n\\u00e9\"",
            "content-type:text/plain;charset=utf-8\nreceipt:7\ncontent-length:5\n\nit\né|",
        ),
        (
            ",\"body\":12",
            "content-type:application/json\nreceipt:7\ncontent-length:2\n\n12|",
        ),
        (
            ",\"body\":\"<a/>\",\"headers\":{\"content-type\":\"text/xml\"}",
            "receipt:7\ncontent-type:text/xml\ncontent-length:4\n\n<a/>|",
        ),
    ] {
        let expected = format!("SEND\ndestination:/app/x\n{sent}");
        check(
            "send",
            &format!("{{\"destination\":\"/app/x\"{body}}}"),
            &expected,
        );
    }
    let binary = r#"{"destination":"/q","body":{"_placeholder":true,"num":0}}"#;
    assert_eq!(
        frames("send", binary, Some(b"\x01ab")).unwrap(),
        "SEND\ndestination:/q\ncontent-type:application/octet-stream\nreceipt:7\ncontent-length:3\n\n\u{1}ab|"
    );
    // Without an attachment a placeholder is an object like any other.
    assert!(
        frames("send", binary, None)
            .unwrap()
            .contains("application/json")
    );
}

#[track_caller]
fn refused(event: &str, argument: &str, attachment: Option<&[u8]>, words: &str) {
    let sentence = frames(event, argument, attachment).unwrap_err();
    assert!(
        sentence.contains(words),
        "{words:?} is missing in: {sentence}"
    );
    assert!(!sentence.contains('\n'), "one sentence: {sentence}");
}

#[test]
fn mistakes_are_told() {
    refused("dance", "", None, "\"dance\" is no event");
    refused("subscribe", "", None, "`destination` is missing");
    refused("subscribe", "[]", None, "must be an object");
    refused("subscribe", "\"/topic/a\"", None, "must be an object");
    refused("unsubscribe", "{}", None, "`id` is missing");
    refused(
        "unsubscribe",
        r#"{"id":{}}"#,
        None,
        "`id` must be a string or a number",
    );
    refused("begin", "{}", None, "`transaction` is missing");
    refused("token", "{}", None, "`token` is missing");
    refused("send", r#"{"destination":"/a","bdoy":1}"#, None, "bdoy");
    refused(
        "send",
        r#"{"destination":"/a","id":1}"#,
        None,
        "it takes no `id`",
    );
    refused("ack", r#"{"id":1,"body":1}"#, None, "it takes no `body`");
    refused(
        "send",
        r#"{"destination":"/a","headers":{"receipt":"1"}}"#,
        None,
        "`headers` cannot have \"receipt\"",
    );
    refused(
        "send",
        r#"{"destination":"/a","headers":{"x":[1]}}"#,
        None,
        "`x` must be a string or a number",
    );
    refused(
        "subscribe",
        r#"{"destination":"/a","id":"socket.io refusals"}"#,
        None,
        "is taken",
    );
    refused(
        "unsubscribe",
        r#"{"id":"socket.io refusals"}"#,
        None,
        "not yours",
    );
    refused("ack", r#"{"id":1}"#, Some(b""), "only the body of `send`");
    refused(
        "send",
        r#"{"destination":"/a"}"#,
        Some(b""),
        "only `body` may be binary",
    );
    refused(
        "send",
        r#"{"destination":"/a","body":{"x":{"_placeholder":true,"num":0}}}"#,
        Some(b""),
        "only `body` itself",
    );
}
