//! A WebSocket without frames of SockJS, for programs that are no browsers.

use sockjs::Config;

use crate::harness::{Heard, Site, Socket, echo_with, handshake, open, session};

#[tokio::test]
async fn messages_come_back_as_they_were() {
    let site = Site::four().await;
    let mut socket = Socket::open(&site, "/echo/websocket").await;
    // No open frame comes before, and nothing is read in it.
    for text in [
        "Hello world!\u{ffff}",
        "[\"a\"]",
        "o",
        "\u{1f600}\u{2028}\0",
        "{",
    ] {
        socket.send(text).await;
        socket.expect(text).await;
    }
    socket.close(1000).await;
    assert!(matches!(socket.heard().await, Heard::Close(_)));
}

#[tokio::test]
async fn the_reason_for_closing_is_that_of_the_socket() {
    let site = Site::four().await;
    let mut socket = Socket::open(&site, "/close/websocket").await;
    let close = socket.ended().await;
    assert_eq!(
        close,
        Some(Heard::Close(Some((3000, "Go away!".to_owned()))))
    );
}

/// Frames of SockJS are a protocol of their own, under which no other one is chosen.
#[tokio::test]
async fn the_best_sub_protocol_that_is_asked_for_is_chosen() {
    let site = Site::serving(echo_with(Config {
        subprotocols: vec!["v12.stomp", "v11.stomp"],
        ..open()
    }))
    .await;
    let raw = "/echo/websocket";
    for (path, asked, chosen) in [
        (
            raw,
            Some("v10.stomp, v11.stomp, v12.stomp"),
            Some("v12.stomp"),
        ),
        (raw, Some("v11.stomp"), Some("v11.stomp")),
        (raw, Some("v10.stomp"), None),
        (raw, None, None),
        (
            &format!("{}/websocket", session("/echo")),
            Some("v12.stomp"),
            None,
        ),
    ] {
        let mut request = handshake(path);
        if let Some(asked) = asked {
            request = request.with("Sec-WebSocket-Protocol", asked);
        }
        let socket = Socket::begin(site.connect().await, &request).await;
        let told = socket.head.header("sec-websocket-protocol");
        assert_eq!(told, chosen, "{path} {asked:?}");
    }
}
