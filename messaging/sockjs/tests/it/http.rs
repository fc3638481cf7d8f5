//! HTTP itself: versions, lengths, chunks, connections that stay, methods that are refused.

use crate::harness::{Receiver, Request, Site, Stream, get, post, session};

const GO_AWAY: &str = "c[3000,\"Go away!\"]\n";

#[tokio::test]
async fn http_1_0_gets_no_chunks_and_may_keep_the_connection() {
    let site = Site::four().await;
    let mut wire = site.connect().await;
    let request = get("/echo").http_1_0().with("Connection", "keep-alive");
    wire.write(&request.bytes()).await;
    let head = wire.head().await;
    assert_eq!(head.status, 200);
    assert!(matches!(head.version.as_str(), "1.0" | "1.1"), "{head:?}");
    assert_eq!(head.header("transfer-encoding"), None);
    match head.header("content-length") {
        Some(length) => {
            assert_eq!(length, "19");
            assert_eq!(wire.take(19).await, b"Welcome to SockJS!\n");
            assert!(head.lists("connection", "keep-alive"), "{head:?}");
            let again = wire.ask(&request).await;
            assert_eq!(
                (again.status(), again.text()),
                (200, "Welcome to SockJS!\n")
            );
        }
        None => {
            assert!(head.lists("connection", "close"), "{head:?}");
            assert_eq!(wire.rest().await, b"Welcome to SockJS!\n");
        }
    }
}

#[tokio::test]
async fn http_1_0_without_keep_alive_ends_after_the_answer() {
    let site = Site::four().await;
    let mut wire = site.connect().await;
    let answer = wire.ask(&get("/echo").http_1_0()).await;
    assert_eq!(
        (answer.status(), answer.text()),
        (200, "Welcome to SockJS!\n")
    );
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_stream_over_http_1_0_ends_with_its_connection() {
    let site = Site::four().await;
    let mut wire = site.connect().await;
    let request = post(format!("{}/xhr_streaming", session("/close")))
        .http_1_0()
        .with("Connection", "keep-alive");
    wire.write(&request.bytes()).await;
    let head = wire.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("transfer-encoding"), None);
    assert_eq!(head.header("content-length"), None);
    let expected = format!("{}\no\n{GO_AWAY}", "h".repeat(2048));
    assert_eq!(String::from_utf8(wire.rest().await).unwrap(), expected);
}

#[tokio::test]
async fn a_poll_over_http_1_0_is_answered() {
    let site = Site::four().await;
    let session = session("/echo");
    let answer = site.ask(&post(format!("{session}/xhr")).http_1_0()).await;
    assert_eq!((answer.status(), answer.text()), (200, "o\n"));
    assert_eq!(answer.header("transfer-encoding"), None);
    site.send(&session, r#"["x"]"#).await;
    let answer = site.ask(&post(format!("{session}/xhr")).http_1_0()).await;
    assert_eq!(answer.text(), "a[\"x\"]\n");
}

#[tokio::test]
async fn http_1_1_keeps_the_connection() {
    let site = Site::four().await;
    let mut wire = site.connect().await;
    for request in [get("/echo").with("Connection", "Keep-Alive"), get("/echo")] {
        let answer = wire.ask(&request).await;
        assert_eq!(answer.head.version, "1.1");
        assert_eq!(
            (answer.status(), answer.text()),
            (200, "Welcome to SockJS!\n")
        );
        let chunked = answer.head.is_chunked();
        assert_ne!(
            chunked,
            answer.header("content-length").is_some(),
            "{answer:?}"
        );
        assert!(!answer.head.lists("connection", "close"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_whole_session_fits_one_connection() {
    let site = Site::four().await;
    let session = session("/echo");
    let mut wire = site.connect().await;
    let poll = post(format!("{session}/xhr"));
    assert_eq!(wire.ask(&poll).await.text(), "o\n");
    for number in 0..5 {
        let send = post(format!("{session}/xhr_send")).body(format!("[\"{number}\"]"));
        assert_eq!(wire.ask(&send).await.status(), 204);
        assert_eq!(wire.ask(&poll).await.text(), format!("a[\"{number}\"]\n"));
    }
    // A stream that has ended regularly leaves the connection to others as well.
    wire.write(
        &Receiver::XhrStreaming
            .request(&self::session("/close"))
            .bytes(),
    )
    .await;
    let head = wire.head().await;
    let mut stream = Stream { wire, head };
    for piece in [&("h".repeat(2048) + "\n"), "o\n", GO_AWAY] {
        stream.expect(piece).await;
    }
    assert_eq!(stream.piece().await, None);
    assert_eq!(stream.wire.ask(&get("/echo")).await.status(), 200);
}

#[tokio::test]
async fn a_stream_over_http_1_1_is_chunked_and_ends_with_the_last_chunk() {
    let site = Site::four().await;
    for receiver in Receiver::STREAMING {
        let mut frames = receiver.open(&site, &session("/close")).await;
        let head = &frames.stream().await.head;
        assert!(head.is_chunked());
        assert_eq!(head.header("content-length"), None);
        frames.expect("o").await;
        frames.expect(GO_AWAY.trim_end()).await;
        frames.end().await;
    }
}

#[tokio::test]
async fn a_post_without_any_length_is_an_empty_one() {
    let site = Site::four().await;
    let session = session("/echo");
    let answer = site
        .ask(&Request::new("POST", format!("{session}/xhr")))
        .await;
    assert_eq!((answer.status(), answer.text()), (200, "o\n"));
    let answer = site
        .ask(&Request::new("POST", format!("{session}/xhr_send")))
        .await;
    assert_eq!(answer.status(), 500);
    assert!(answer.text().contains("Payload expected."), "{answer:?}");
}

#[tokio::test]
async fn a_body_may_come_in_chunks_and_slowly() {
    let site = Site::four().await;
    let session = site.opened("/echo").await;
    let mut wire = site.connect().await;
    let request =
        Request::new("POST", format!("{session}/xhr_send")).with("Transfer-Encoding", "chunked");
    wire.write(&request.bytes()).await;
    for chunk in ["[", "\"chun", "ked\"]"] {
        wire.write(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes())
            .await;
        // Meanwhile others are served.
        assert_eq!(site.ask(&get("/echo")).await.status(), 200);
    }
    wire.write(b"0\r\n\r\n").await;
    assert_eq!(wire.answer().await.status(), 204);

    let whole = post(format!("{session}/xhr_send"))
        .body(r#"["slow"]"#)
        .bytes();
    for byte in whole {
        wire.write(&[byte]).await;
    }
    assert_eq!(wire.answer().await.status(), 204);
    assert_eq!(site.messages(&session, 2).await, ["chunked", "slow"]);
}

#[tokio::test]
async fn wrong_methods_are_refused_and_the_right_ones_named() {
    let site = Site::four().await;
    let session = session("/echo");
    for (path, allowed) in [
        ("xhr", "POST"),
        ("xhr_send", "POST"),
        ("xhr_streaming", "POST"),
        ("eventsource", "GET"),
        ("htmlfile?c=cb", "GET"),
        ("jsonp?c=cb", "GET"),
        ("jsonp_send", "POST"),
        ("websocket", "GET"),
    ] {
        let other = if allowed == "GET" { "POST" } else { "GET" };
        for method in [other, "PUT", "DELETE"] {
            let answer = site
                .ask(&Request::new(method, format!("{session}/{path}")))
                .await;
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(answer.header("content-type"), None, "{method} {path}");
            assert!(
                answer.head.lists("allow", allowed),
                "{method} {path}: {answer:?}"
            );
            assert!(answer.body.is_empty(), "{method} {path}");
        }
    }
}
