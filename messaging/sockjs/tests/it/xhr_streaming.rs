//! Streaming by XMLHttpRequest; and how long any stream gets.

use crate::harness::{Receiver, Site, allows, get, messages, not_cached, post, session};

/// What the four services set.
const LIMIT: usize = 4096;

#[tokio::test]
async fn the_prelude_and_each_frame_are_chunks_of_their_own() {
    let site = Site::four().await;
    let session = session("/echo");
    let request = post(format!("{session}/xhr_streaming")).with("Origin", "test");
    let mut stream = site.open(&request).await;
    assert_eq!(stream.head.status, 200);
    assert_eq!(
        stream.head.header("content-type"),
        Some("application/javascript; charset=UTF-8")
    );
    assert_eq!(stream.head.header("content-length"), None);
    assert!(stream.head.is_chunked());
    allows(&stream.head, Some("test"));
    not_cached(&stream.head);
    stream.expect(&("h".repeat(2048) + "\n")).await;
    stream.expect("o\n").await;
    for text in ["x", "y"] {
        site.send(&session, format!("[\"{text}\"]")).await;
        stream.expect(&format!("a[\"{text}\"]\n")).await;
    }
}

#[tokio::test]
async fn a_stream_ends_after_enough_small_frames_and_the_session_goes_on() {
    let site = Site::four().await;
    let session = session("/echo");
    let mut frames = Receiver::XhrStreaming.open(&site, &session).await;
    frames.expect("o").await;
    let message = format!("[\"{}\"]", "x".repeat(128));
    // 30 frames of 134 bytes and the open frame of 2 are 4022; the next one is beyond 4096.
    for _ in 0..31 {
        site.send(&session, message.as_str()).await;
        frames.expect(&format!("a{message}")).await;
    }
    frames.end().await;

    site.send(&session, r#"["after"]"#).await;
    let mut frames = Receiver::XhrStreaming.open(&site, &session).await;
    frames.expect(r#"a["after"]"#).await;
}

/// The bytes of frames count with what wraps them, and those of the prelude do not.
#[tokio::test]
async fn streams_end_at_the_very_byte_of_the_limit() {
    let site = Site::four().await;
    for receiver in Receiver::STREAMING {
        let around = receiver.wrap("o").len() + receiver.wrap(r#"a[""]"#).len();
        for (bytes, ends) in [(LIMIT - 1, false), (LIMIT, true), (LIMIT + 1, true)] {
            let session = session("/echo");
            let mut frames = receiver.open(&site, &session).await;
            frames.expect("o").await;
            let text = "x".repeat(bytes - around);
            site.send(&session, format!("[\"{text}\"]")).await;
            frames.expect(&format!("a[\"{text}\"]")).await;
            if !ends {
                site.send(&session, r#"["more"]"#).await;
                frames.expect(r#"a["more"]"#).await;
            }
            frames.end().await;
        }
    }
}

#[tokio::test]
async fn a_frame_longer_than_the_limit_comes_whole() {
    let site = Site::four().await;
    let session = session("/echo");
    let text = "x".repeat(10 * LIMIT);
    for receiver in Receiver::ALL {
        let mut frames = receiver.open(&site, &session).await;
        if receiver == Receiver::Xhr {
            frames.expect("o").await;
            frames.end().await;
            frames = receiver.open(&site, &session).await;
        }
        site.send(&session, format!("[\"{text}\"]")).await;
        let frame = frames.next().await.unwrap();
        assert_eq!(messages(&frame), [text.as_str()], "{receiver:?}");
        frames.end().await;
    }
}

#[tokio::test]
async fn a_stream_is_asked_for_by_post() {
    let site = Site::four().await;
    let answer = site
        .ask(&get(format!("{}/xhr_streaming", session("/echo"))))
        .await;
    assert_eq!(answer.status(), 405);
}
