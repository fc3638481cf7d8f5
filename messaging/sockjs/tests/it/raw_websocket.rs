//! A WebSocket without frames of SockJS, for programs that are no browsers.

use crate::harness::{Heard, Site, Socket};

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
