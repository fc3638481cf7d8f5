//! Polling by XMLHttpRequest, and sending.

use crate::harness::{Site, allows, not_cached, post, session};

#[tokio::test]
async fn a_poll_is_one_frame_and_a_line_feed() {
    let site = Site::four().await;
    let session = session("/echo");
    let poll = post(format!("{session}/xhr")).with("Origin", "test");
    let answer = site.ask(&poll).await;
    assert_eq!((answer.status(), answer.text()), (200, "o\n"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/javascript; charset=UTF-8")
    );
    allows(&answer.head, Some("test"));
    not_cached(&answer.head);
    site.send(&session, r#"["x"]"#).await;
    let answer = site.ask(&poll).await;
    assert_eq!((answer.status(), answer.text()), (200, "a[\"x\"]\n"));
    not_cached(&answer.head);
}

#[tokio::test]
async fn a_send_is_answered_with_nothing_of_a_type_that_is_no_xml() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    let send = post(format!("{session}/xhr_send"))
        .with("Origin", "test")
        .body(r#"["x"]"#);
    let answer = site.ask(&send).await;
    assert_eq!(answer.status(), 204);
    assert!(answer.body.is_empty());
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=UTF-8")
    );
    allows(&answer.head, Some("test"));
    not_cached(&answer.head);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_the_session_lives() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    for (body, text) in [
        ("", "Payload expected."),
        ("[\"x", "Broken JSON encoding."),
        ("[\"x\"]]", "Broken JSON encoding."),
        ("x", "Broken JSON encoding."),
        ("[\"\\x\"]", "Broken JSON encoding."),
    ] {
        let request = post(format!("{session}/xhr_send")).body(body);
        let answer = site.ask(&request).await;
        assert_eq!(answer.status(), 500, "{body}");
        assert!(answer.text().contains(text), "{body}: {}", answer.text());
        not_cached(&answer.head);
    }
    site.send(&session, r#"["a"]"#).await;
    assert_eq!(site.poll(&session).await, "a[\"a\"]\n");
}

#[tokio::test]
async fn any_content_type_is_taken_and_none() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    let types = [
        Some("text/plain"),
        Some("T"),
        Some("application/json"),
        Some("application/xml"),
        Some(""),
        Some("application/json; charset=utf-8"),
        Some("text/xml; charset=utf-8"),
        Some("text/xml"),
        None,
    ];
    for (number, kind) in types.into_iter().enumerate() {
        let mut request = post(format!("{session}/xhr_send")).body(format!(r#"["{number}"]"#));
        if let Some(kind) = kind {
            request = request.with("Content-Type", kind);
        }
        let answer = site.ask(&request).await;
        assert_eq!((answer.status(), answer.text()), (204, ""), "{kind:?}");
    }
    let expected: Vec<String> = (0..types.len()).map(|number| number.to_string()).collect();
    assert_eq!(site.messages(&session, types.len()).await, expected);
}

#[tokio::test]
async fn a_send_without_messages_is_fine() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    for body in ["[]", " [ ] ", r#"["a"]"#] {
        site.send(&session, body).await;
    }
    assert_eq!(site.poll(&session).await, "a[\"a\"]\n");
}

#[tokio::test]
async fn a_poll_reads_no_body_that_it_is_sent() {
    let site = Site::four().await;
    let session = session("/echo");
    let request = post(format!("{session}/xhr")).body(r#"["not a message"]"#);
    assert_eq!(site.ask(&request).await.text(), "o\n");
    site.send(&session, r#"["a"]"#).await;
    assert_eq!(site.poll(&session).await, "a[\"a\"]\n");
}
