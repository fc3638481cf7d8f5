//! The translator, packet by packet; its laws by proptest.

use proptest::prelude::*;
use stomp::Frame;

use super::*;
use crate::transport::socketio::packet::quoted;

const ERRORS: &str = "SUBSCRIBE\nid:socket.io refusals\ndestination:/user/queue/errors\n\n|";

fn sent(translator: &mut Translator) -> String {
    let bytes = translator.take_for_broker(usize::MAX).unwrap_or_default();
    String::from_utf8(bytes.to_vec())
        .unwrap()
        .replace('\0', "|")
}

fn told(translator: &mut Translator) -> Vec<String> {
    let packets = std::iter::from_fn(|| translator.take_for_client(|_| true));
    packets.map(|packet| packet.text).collect()
}

fn says(translator: &mut Translator, frame: &Frame) {
    let mut bytes = BytesMut::new();
    stomp::encode(frame, Version::V1_2, &mut bytes);
    // As the broker does with what many get.
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    translator.frames(head, tail, "sid1").unwrap();
}

fn connected() -> Frame {
    Frame::new(Command::Connected).with_header("version", "1.2")
}

fn error(code: &str) -> Frame {
    Frame::new(Command::Error)
        .with_header("message", "why")
        .with_header("code", code)
}

fn open(revision: Revision) -> Translator {
    let mut translator = Translator::new(revision, None);
    if revision == Revision::New {
        translator.text("0").unwrap();
    }
    says(&mut translator, &connected());
    sent(&mut translator);
    told(&mut translator);
    translator
}

#[test]
fn new_clients_ask_with_a_token() {
    for (auth, in_url, passcode) in [
        ("", None, ""),
        ("{}", None, ""),
        ("[1]", None, ""),
        (r#"{"token":"t"}"#, None, "passcode:t\n"),
        (r#"{"token":"t","more":1}"#, Some("u"), "passcode:t\n"),
        ("", Some("u"), "passcode:u\n"),
    ] {
        let mut translator = Translator::new(Revision::New, in_url.map(str::to_owned));
        assert_eq!(sent(&mut translator), "", "nothing before it asks");
        translator.text(&format!("0{auth}")).unwrap();
        let expected = format!("CONNECT\naccept-version:1.2\nheart-beat:0,0\n{passcode}\n|");
        assert_eq!(sent(&mut translator), expected);
        says(&mut translator, &connected());
        assert_eq!(told(&mut translator), [r#"0{"sid":"sid1"}"#]);
        assert_eq!(sent(&mut translator), ERRORS);
    }
}

#[test]
fn old_clients_ask_by_coming() {
    let mut translator = Translator::new(Revision::Old, Some("u".to_owned()));
    assert!(sent(&mut translator).contains("\npasscode:u\n"));
    says(&mut translator, &connected());
    assert_eq!(told(&mut translator), ["0"]);
}

#[test]
fn who_is_not_let_in_learns_why() {
    for (revision, code, expected) in [
        (
            Revision::New,
            "unauthenticated",
            vec![r#"4{"message":"why","data":{"code":"unauthenticated"}}"#],
        ),
        (
            Revision::New,
            "token-expired",
            vec![r#"4{"message":"why","data":{"code":"token-expired"}}"#],
        ),
        (
            Revision::New,
            "token-revoked",
            vec![r#"4{"message":"why","data":{"code":"token-revoked"}}"#],
        ),
        // It comes back by itself.
        (Revision::New, "shutting-down", vec![]),
        (
            Revision::Old,
            "shutting-down",
            vec![r#"4{"code":"shutting-down","message":"why"}"#],
        ),
    ] {
        let mut translator = Translator::new(revision, None);
        says(&mut translator, &error(code));
        assert_eq!(told(&mut translator), expected, "{revision:?} {code}");
    }
}

#[test]
fn answers_find_what_they_answer() {
    let mut translator = open(Revision::New);
    translator
        .text(r#"217["subscribe",{"destination":"/topic/a","id":"my : id"}]"#)
        .unwrap();
    assert!(sent(&mut translator).contains("\nreceipt:17 my \\c id\n"));
    let receipt = Frame::new(Command::Receipt).with_header("receipt-id", "17 my : id");
    says(&mut translator, &receipt);
    assert_eq!(
        told(&mut translator),
        [r#"317[{"id":"my : id","ok":true}]"#]
    );

    translator
        .text(r#"25["send",{"destination":"/app/a"}]"#)
        .unwrap();
    assert!(sent(&mut translator).contains("\nreceipt:5\n"));
    says(
        &mut translator,
        &Frame::new(Command::Receipt).with_header("receipt-id", "5"),
    );
    assert_eq!(told(&mut translator), [r#"35[{"ok":true}]"#]);

    translator
        .text(r#"2["send",{"destination":"/app/a"}]"#)
        .unwrap();
    assert_eq!(sent(&mut translator), "SEND\ndestination:/app/a\n\n|");
}

#[test]
fn what_a_handler_refuses_is_an_answer() {
    let refusal = Frame::new(Command::Message)
        .with_header("subscription", REFUSALS)
        .with_header("destination", "/user/queue/errors")
        .with_header("code", "not-open")
        .with_header("message", "why")
        .with_header("refused-destination", "/app/a");
    let mut translator = open(Revision::New);
    says(
        &mut translator,
        &refusal.clone().with_header("receipt-id", "5"),
    );
    says(&mut translator, &refusal);
    let expiring = Frame::new(Command::Message)
        .with_header("subscription", REFUSALS)
        .with_header("code", "token-expiring")
        .with_header("message", "why")
        .with_header("expires-in", "60");
    says(&mut translator, &expiring);
    assert_eq!(
        told(&mut translator),
        [
            r#"35[{"code":"not-open","message":"why","ok":false}]"#,
            r#"2["refusal",{"code":"not-open","destination":"/app/a","message":"why"}]"#,
            r#"2["expiring",{"code":"token-expiring","expires_in":60,"message":"the token ends in 60 s, and the session with it: send a new one with the event `token`"}]"#,
        ]
    );
}

#[test]
fn the_end_is_told_and_whether_to_come_back() {
    let mut translator = open(Revision::New);
    says(
        &mut translator,
        &error("forbidden").with_header("receipt-id", "5 s"),
    );
    assert_eq!(
        told(&mut translator),
        [
            r#"35[{"code":"forbidden","message":"why","ok":false}]"#,
            r#"2["error",{"code":"forbidden","message":"why"}]"#,
            "1",
        ]
    );
    let mut translator = open(Revision::Old);
    says(&mut translator, &error("shutting-down"));
    assert_eq!(
        told(&mut translator),
        [r#"2["error",{"code":"shutting-down","message":"why"}]"#]
    );
}

#[test]
fn mistakes_in_an_event_are_answered_and_the_session_lives() {
    let mut translator = open(Revision::New);
    translator.text(r#"23["dance"]"#).unwrap();
    translator.text(r#"2["subscribe",{}]"#).unwrap();
    let told = told(&mut translator);
    assert!(told[0].starts_with(r#"33[{"code":"bad-event","message":"\"dance\" is no event"#));
    assert_eq!(
        told[1],
        r#"2["refusal",{"code":"bad-event","message":"subscribe: `destination` is missing"}]"#
    );
    assert_eq!(sent(&mut translator), "");
}

#[test]
fn other_namespaces_are_refused() {
    let mut translator = open(Revision::New);
    translator.text("0/admin,{}").unwrap();
    assert_eq!(
        told(&mut translator),
        [r#"4/admin,{"message":"Invalid namespace"}"#]
    );
    translator.text("1/admin,").unwrap();
    assert!(!translator.has_left());
    translator.text("1").unwrap();
    assert!(translator.has_left());
}

#[test]
fn what_nobody_can_go_on_from_ends_the_session() {
    #[track_caller]
    fn check(fresh: bool, texts: &[&str], words: &str) {
        let mut translator = match fresh {
            true => Translator::new(Revision::New, None),
            false => open(Revision::New),
        };
        let (last, before) = texts.split_last().unwrap();
        for text in before {
            translator.text(text).unwrap();
        }
        let malformed = translator.text(last).unwrap_err();
        assert!(malformed.0.contains(words), "{malformed}");
    }
    check(false, &["9"], "unknown type");
    check(false, &["0"], "a second request");
    check(true, &[r#"2["send",{}]"#], "before the request");
    check(false, &[r#"2/x,["send",{}]"#], "never entered");
    check(false, &["2{}"], "JSON array");
    check(
        false,
        &[r#"51-["send",{}]"#, "2[\"x\"]"],
        "attachment was announced",
    );
    check(false, &[r#"52-["send",{}]"#], "more than one");
    let mut translator = open(Revision::New);
    assert!(translator.binary(Bytes::new()).is_err());
}

#[test]
fn what_waits_is_bounded() {
    let mut translator = open(Revision::New);
    let event = format!(
        r#"2["send",{{"destination":"/a","body":"{}"}}]"#,
        "x".repeat(1000)
    );
    let taken = (0..)
        .take_while(|_| translator.text(&event).is_ok())
        .count();
    // Each is written with a head of less than a hundred bytes.
    assert!((TO_BROKER_BYTES / 1100..TO_BROKER_BYTES / 1000).contains(&taken));

    let mut translator = open(Revision::New);
    while translator.text("21[\"dance\"]").is_ok() {}
    assert!(translator.backlog() < TO_CLIENT_BYTES + 1000);
}

proptest! {
    /// Whatever comes: no panic, what goes to the broker is STOMP, and the count of what waits is right.
    #[test]
    fn nothing_that_a_client_says_breaks_anything(
        texts in prop::collection::vec("[0-7]{0,2}[-/,]{0,2}[0-9]{0,3}(\\[\"(send|subscribe|ack|token)\",\\{\"(destination|id|token|body)\":.{0,20}\\}\\])?", 1..8),
        bytes: Vec<u8>,
    ) {
        let mut translator = open(Revision::New);
        for text in &texts {
            let _malformed = translator.text(text);
            let _malformed = translator.binary(bytes.clone().into());
        }
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_version(Version::V1_2);
        while let Some(bytes) = translator.take_for_broker(7) {
            decoder.push(&bytes);
            while decoder.decode().unwrap().is_some() {}
        }
        prop_assert_eq!(decoder.buffered(), 0);
        told(&mut translator);
        prop_assert_eq!(translator.backlog(), 0);
    }

    /// A body that one client sends is what another one gets.
    #[test]
    fn bodies_survive_both_ways(text: String, bytes: Vec<u8>, number: i64) {
        let object = serde_json::json!({"text": text, "number": number}).to_string();
        for body in [quoted(&text), object.clone(), quoted(&object)] {
            let got = there_and_back(&body, None);
            prop_assert_eq!(got, (body, None));
        }
        let placeholder = r#"{"_placeholder":true,"num":0}"#.to_owned();
        let got = there_and_back(&placeholder, Some(&bytes));
        // Bytes that happen to be text come as text.
        let expected = match std::str::from_utf8(&bytes) {
            Ok(text) => (quoted(text), None),
            Err(_) => (placeholder, Some(bytes)),
        };
        prop_assert_eq!(got, expected);
    }
}

/// Sends a body, and returns what a receiver gets: JSON, and what is attached to it.
fn there_and_back(body: &str, attachment: Option<&[u8]>) -> (String, Option<Vec<u8>>) {
    let mut translator = open(Revision::New);
    let kind = if attachment.is_some() { "51-" } else { "2" };
    let event = format!(r#"{kind}["send",{{"destination":"/topic/a","body":{body}}}]"#);
    translator.text(&event).unwrap();
    if let Some(bytes) = attachment {
        translator.binary(Bytes::copy_from_slice(bytes)).unwrap();
    }
    let mut decoder = Decoder::new(Limits::default());
    decoder.set_version(Version::V1_2);
    decoder.push(&translator.take_for_broker(usize::MAX).unwrap());
    let mut frame = decoder.decode().unwrap().unwrap();
    frame.command = Command::Message;
    says(&mut translator, &frame);
    let packet = translator.take_for_client(|_| true).unwrap();
    let (_, body) = packet.text.split_once("\"body\":").unwrap();
    let body = body.strip_suffix("}]").unwrap().to_owned();
    (body, packet.attachment.map(|bytes| bytes.to_vec()))
}
