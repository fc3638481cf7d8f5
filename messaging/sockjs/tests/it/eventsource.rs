//! Streaming to an EventSource.

use crate::harness::{Site, get, not_cached, session};

#[tokio::test]
async fn events_are_chunks_of_their_own_after_an_empty_line() {
    let site = Site::four().await;
    let session = session("/echo");
    let mut stream = site.open(&get(format!("{session}/eventsource"))).await;
    assert_eq!(stream.head.status, 200);
    assert_eq!(
        stream.head.header("content-type"),
        Some("text/event-stream")
    );
    assert_eq!(stream.head.header("content-length"), None);
    not_cached(&stream.head);
    stream.expect("\r\n").await;
    stream.expect("data: o\r\n\r\n").await;
    site.send(&session, r#"["x"]"#).await;
    stream.expect("data: a[\"x\"]\r\n\r\n").await;
    // Nothing in a message ends an event, or is taken off its start.
    site.send(&session, r#"["  \u0000\n\r "]"#).await;
    stream.expect("data: a[\"  \\u0000\\n\\r \"]\r\n\r\n").await;
    site.send(&session, r#"["\r\n\r\ndata: o"]"#).await;
    stream
        .expect("data: a[\"\\r\\n\\r\\ndata: o\"]\r\n\r\n")
        .await;
}

#[tokio::test]
async fn a_stream_ends_at_its_limit_and_the_next_goes_on() {
    let site = Site::four().await;
    let session = session("/echo");
    let mut stream = site.open(&get(format!("{session}/eventsource"))).await;
    stream.expect("\r\n").await;
    stream.expect("data: o\r\n\r\n").await;
    let message = format!("[\"{}\"]", "x".repeat(4096));
    site.send(&session, message.as_str()).await;
    stream.expect(&format!("data: a{message}\r\n\r\n")).await;
    stream.end().await;
    site.send(&session, r#"["x"]"#).await;
    let mut stream = site.open(&get(format!("{session}/eventsource"))).await;
    stream.expect("\r\n").await;
    stream.expect("data: a[\"x\"]\r\n\r\n").await;
}
