//! Any text arrives as it was sent, and what browsers mangle goes out escaped.

use std::ops::RangeInclusive;

use crate::harness::{Receiver, Site, Socket, messages, session};

/// What goes out as `\u` and four digits, or shorter in the case of control characters.
const ESCAPED: [RangeInclusive<u32>; 5] = [
    0x0000..=0x001f,
    0x200c..=0x200f,
    0x2028..=0x202f,
    0x2060..=0x206f,
    0xfff0..=0xffff,
];

fn text(codes: impl Iterator<Item = u32>) -> String {
    codes.filter_map(char::from_u32).collect()
}

/// The bytes of the answer in which a message comes back.
async fn echoed(site: &Site, receiver: Receiver, message: &str) -> String {
    let session = site.opened("/echo").await;
    site.send(&session, serde_json::to_string(&[message]).unwrap())
        .await;
    let frame = receiver.first(site, &session).await;
    assert_eq!(messages(&frame), [message], "{receiver:?}");
    frame
}

#[tokio::test]
async fn what_browsers_mangle_is_escaped() {
    let site = Site::four().await;
    // Control characters may be shorter: \n for \u000a.
    let from_200c = ESCAPED[1..].iter().cloned().flatten();
    let written: String = from_200c
        .clone()
        .map(|code| format!("\\u{code:04x}"))
        .collect();
    let frame = echoed(&site, Receiver::Xhr, &text(from_200c.clone())).await;
    assert_eq!(frame, format!("a[\"{written}\"]"));

    for receiver in Receiver::ALL {
        let all = text(ESCAPED.iter().cloned().flatten());
        let frame = echoed(&site, receiver, &all).await;
        let raw = frame.chars().find(|char| all.contains(*char));
        assert_eq!(raw, None, "{receiver:?}");
    }
    let mut socket = Socket::open(&site, &format!("{}/websocket", session("/echo"))).await;
    socket.expect("o").await;
    socket
        .send(&serde_json::to_string(&[text(from_200c)]).unwrap())
        .await;
    socket.expect(&format!("a[\"{written}\"]")).await;
}

#[tokio::test]
async fn every_character_of_the_basic_plane_arrives_escaped_or_not() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    for start in (0..=0xffff).step_by(0x1000) {
        let codes = (start..start + 0x1000).filter(|code| char::from_u32(*code).is_some());
        let sent = text(codes.clone());
        if sent.is_empty() {
            continue;
        }
        let escaped: String = codes.map(|code| format!("\\u{code:04x}")).collect();
        for body in [
            format!("[\"{escaped}\"]"),
            serde_json::to_string(&[&sent]).unwrap(),
        ] {
            site.send(&session, body).await;
            assert_eq!(
                site.messages(&session, 1).await,
                [sent.as_str()],
                "{start:x}"
            );
        }
    }
}

#[tokio::test]
async fn characters_beyond_the_basic_plane_arrive_on_every_transport() {
    let site = Site::four().await;
    let astral = "\u{1f600} \u{10000}\u{10ffff} \u{1d11e}";
    for receiver in Receiver::ALL {
        echoed(&site, receiver, astral).await;
    }
    let session = site.opened("/echo").await;
    site.send(&session, r#"["\ud83d\ude00\uD834\uDD1E"]"#).await;
    assert_eq!(site.messages(&session, 1).await, ["\u{1f600}\u{1d11e}"]);

    let mut socket = Socket::open(&site, &format!("{}/websocket", self::session("/echo"))).await;
    socket.expect("o").await;
    socket
        .send(&serde_json::to_string(&[astral]).unwrap())
        .await;
    match socket.heard().await {
        crate::harness::Heard::Text(frame) => assert_eq!(messages(&frame), [astral]),
        other => panic!("{other:?}"),
    }
}

/// A string of JavaScript may hold half a character; one of Rust cannot.
#[tokio::test]
async fn half_a_surrogate_pair_is_refused_and_the_session_lives() {
    let site = Site::four().await;
    if !site.is_ours() {
        return;
    }
    let session = site.opened("/echo").await;
    for broken in [
        r#"["\ud83d"]"#,
        r#"["\ude00"]"#,
        r#"["\ude00\ud83d"]"#,
        r#"["a\ud83dx"]"#,
    ] {
        let request = crate::harness::post(format!("{session}/xhr_send")).body(broken);
        let answer = site.ask(&request).await;
        assert_eq!(answer.status(), 500, "{broken}");
        assert!(answer.text().contains("Broken JSON encoding."), "{broken}");
    }
    site.send(&session, r#"["a"]"#).await;
    assert_eq!(site.poll(&session).await, "a[\"a\"]\n");
}
