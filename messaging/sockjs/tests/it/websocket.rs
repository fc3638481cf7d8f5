//! SockJS frames over a WebSocket.

use crate::harness::{ACCEPT, Heard, Request, Site, Socket, get, handshake, post, session};

async fn opened(site: &Site, service: &str) -> Socket {
    let mut socket = Socket::open(site, &format!("{}/websocket", session(service))).await;
    socket.expect("o").await;
    socket
}

#[tokio::test]
async fn messages_come_alone_or_in_arrays() {
    let site = Site::four().await;
    let mut socket = opened(&site, "/echo").await;
    socket.send(r#"["a"]"#).await;
    socket.expect(r#"a["a"]"#).await;
    socket.send(r#""b""#).await;
    socket.expect(r#"a["b"]"#).await;
    socket.close(1000).await;
    assert!(matches!(socket.heard().await, Heard::Close(_)));
    assert_eq!(socket.heard().await, Heard::Gone);
}

#[tokio::test]
async fn nothing_in_a_message_is_ignored() {
    let site = Site::four().await;
    let mut socket = opened(&site, "/echo").await;
    for empty in ["", "[]"] {
        socket.send(empty).await;
    }
    socket.send(r#"["a"]"#).await;
    socket.expect(r#"a["a"]"#).await;
}

#[tokio::test]
async fn a_close_frame_ends_the_connection() {
    let site = Site::four().await;
    let mut socket = opened(&site, "/close").await;
    socket.expect(r#"c[3000,"Go away!"]"#).await;
    socket.ended().await;
}

#[tokio::test]
async fn broken_json_ends_the_connection_at_once() {
    let site = Site::four().await;
    for broken in ["[\"a", "x", "[\"a\"]]", "\"a"] {
        let mut socket = opened(&site, "/echo").await;
        socket.send(broken).await;
        socket.ended().await;
    }
}

#[tokio::test]
async fn sockets_with_one_session_know_nothing_of_each_other() {
    let site = Site::four().await;
    let path = format!("{}/websocket", session("/echo"));
    let mut first = Socket::open(&site, &path).await;
    first.expect("o").await;
    let mut second = Socket::open(&site, &path).await;
    second.expect("o").await;
    first.send(r#"["a"]"#).await;
    first.expect(r#"a["a"]"#).await;
    second.send(r#"["b"]"#).await;
    second.expect(r#"a["b"]"#).await;
    first.close(1000).await;
    assert!(matches!(first.heard().await, Heard::Close(_)));
    second.send(r#"["c"]"#).await;
    second.expect(r#"a["c"]"#).await;
    let mut third = Socket::open(&site, &path).await;
    third.expect("o").await;
}

#[tokio::test]
async fn a_poll_with_the_session_of_a_socket_opens_another() {
    let site = Site::four().await;
    let session = session("/echo");
    let mut socket = Socket::open(&site, &format!("{session}/websocket")).await;
    socket.expect("o").await;
    assert_eq!(site.poll(&session).await, "o\n");
    site.send(&session, r#"["polled"]"#).await;
    assert_eq!(site.poll(&session).await, "a[\"polled\"]\n");
    socket.send(r#"["a"]"#).await;
    socket.expect(r#"a["a"]"#).await;
}

#[tokio::test]
async fn the_limit_of_streams_is_none_of_a_socket() {
    let site = Site::four().await;
    let mut socket = opened(&site, "/echo").await;
    let message = format!("[\"{}\"]", "x".repeat(3000));
    for _ in 0..5 {
        socket.send(&message).await;
        socket.expect(&format!("a{message}")).await;
    }
}

#[tokio::test]
async fn the_handshake_is_that_of_the_standard() {
    let site = Site::four().await;
    for path in [
        format!("{}/websocket", session("/echo")),
        "/echo/websocket".to_owned(),
    ] {
        let socket = Socket::open(&site, &path).await;
        let head = &socket.head;
        assert_eq!(head.header("sec-websocket-accept"), Some(ACCEPT));
        assert!(
            head.header("connection")
                .unwrap()
                .eq_ignore_ascii_case("upgrade")
        );
        assert!(
            head.header("upgrade")
                .unwrap()
                .eq_ignore_ascii_case("websocket")
        );
        for absent in [
            "content-length",
            "transfer-encoding",
            "sec-websocket-protocol",
            "sec-websocket-extensions",
        ] {
            assert_eq!(head.header(absent), None, "{head:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_a_bad_request() {
    let site = Site::four().await;
    for path in ["/echo/0/0/websocket", "/echo/websocket"] {
        for request in [
            get(path),
            get(path)
                .with("Upgrade", "WebSocket")
                .with("Connection", "close"),
            get(path)
                .with("Upgrade", "h2c")
                .with("Connection", "Upgrade"),
        ] {
            let answer = site.ask(&request).await;
            assert_eq!(answer.status(), 400, "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_socket_is_asked_for_by_get() {
    let site = Site::four().await;
    let path = "/echo/0/0/websocket";
    for request in [
        post(path),
        post(path)
            .with("Upgrade", "WebSocket")
            .with("Connection", "Upgrade"),
        Request::new("POST", path),
    ] {
        let answer = site.ask(&request).await;
        assert_eq!(answer.status(), 405, "{request:?}");
        assert_eq!(answer.header("content-type"), None, "{request:?}");
        assert!(answer.head.lists("allow", "GET"), "{answer:?}");
        assert!(answer.body.is_empty(), "{request:?}");
    }
}

#[tokio::test]
async fn a_service_without_websocket_has_none() {
    let site = Site::four().await;
    for path in [
        "/disabled_websocket_echo/0/0/websocket",
        "/disabled_websocket_echo/websocket",
    ] {
        for request in [get(path), handshake(path)] {
            assert_eq!(site.ask(&request).await.status(), 404, "{request:?}");
        }
    }
}

/// Draft 76 of what became RFC 6455, which only Chrome 6 to 13 and Safari 5 speak; they fall back to streaming.
#[tokio::test]
async fn the_handshake_of_draft_76_is_refused() {
    let site = Site::four().await;
    if !site.is_ours() {
        return;
    }
    let request = get("/echo/0/0/websocket")
        .with("Connection", "Upgrade")
        .with("Upgrade", "WebSocket")
        .with("Origin", "http://127.0.0.1")
        .with("Sec-WebSocket-Key1", "4 @1  46546xW%0l 1 5")
        .with("Sec-WebSocket-Key2", "12998 5 Y3 1  .P00");
    let answer = site.ask(&request).await;
    // A bad request, or one that should be of another version.
    assert!(matches!(answer.status(), 400 | 426), "{answer:?}");
}
