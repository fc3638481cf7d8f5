//! How an application ends a session, and what of its last words arrives.

use axum::Router;
use sockjs::{Connection, SockJs};

use crate::harness::{Heard, Receiver, Site, Socket, echo, messages, open, session};

/// Says something, and then what `last` does.
fn services() -> Router {
    let closing = async |mut connection: Connection, _| {
        connection.push("last");
        connection.push("words");
        connection.close(3001, "\"bye\"\u{2028}").await;
    };
    let dropping = async |connection: Connection, _| drop(connection);
    let panicking = async |mut connection: Connection, _| {
        connection.recv().await;
        panic!("as it is meant to");
    };
    Router::new()
        .nest_service("/closing", SockJs::new(open(), closing))
        .nest_service("/dropping", SockJs::new(open(), dropping))
        .nest_service("/panicking", SockJs::new(open(), panicking))
        .nest_service("/echo", SockJs::new(open(), echo))
}

const BYE: &str = "c[3001,\"\\\"bye\\\"\\u2028\"]";

/// All that comes until the close frame: messages, and that frame.
async fn all(site: &Site, receiver: Receiver, session: &str) -> (Vec<String>, String) {
    let mut said = Vec::new();
    loop {
        let mut frames = receiver.open(site, session).await;
        while let Some(frame) = frames.next().await {
            match frame.as_bytes()[0] {
                b'o' => {}
                b'c' => {
                    frames.end().await;
                    return (said, frame);
                }
                _ => said.extend(messages(&frame)),
            }
        }
    }
}

#[tokio::test]
async fn what_was_said_before_a_close_arrives_before_it() {
    let site = Site::serving(services()).await;
    for receiver in Receiver::ALL {
        let (said, close) = all(&site, receiver, &session("/closing")).await;
        assert_eq!(said, ["last", "words"], "{receiver:?}");
        assert_eq!(close, BYE, "{receiver:?}");
    }
    let mut socket = Socket::open(&site, &format!("{}/websocket", session("/closing"))).await;
    socket.expect("o").await;
    let mut said = Vec::new();
    loop {
        match socket.heard().await {
            Heard::Text(frame) if frame.starts_with('a') => said.extend(messages(&frame)),
            other => {
                assert_eq!(other, Heard::Text(BYE.to_owned()));
                break;
            }
        }
    }
    assert_eq!(said, ["last", "words"]);
    socket.ended().await;

    let mut raw = Socket::open(&site, "/closing/websocket").await;
    raw.expect("last").await;
    raw.expect("words").await;
    let close = Heard::Close(Some((3001, "\"bye\"\u{2028}".to_owned())));
    assert_eq!(raw.ended().await, Some(close));
}

#[tokio::test]
async fn an_application_that_has_ended_closes_normally() {
    let site = Site::serving(services()).await;
    for receiver in Receiver::ALL {
        let (said, close) = all(&site, receiver, &session("/dropping")).await;
        assert_eq!(said, [""; 0]);
        assert_eq!(close, r#"c[1000,"Normal closure"]"#, "{receiver:?}");
    }
    let mut socket = Socket::open(&site, &format!("{}/websocket", session("/dropping"))).await;
    socket.expect("o").await;
    socket.expect(r#"c[1000,"Normal closure"]"#).await;
    socket.ended().await;
}

#[tokio::test]
async fn an_application_that_panics_ends_its_session_and_no_other() {
    let site = Site::serving(services()).await;
    let other = site.opened("/echo").await;
    for receiver in Receiver::ALL {
        let session = site.opened("/panicking").await;
        site.send(&session, r#"["now"]"#).await;
        let (_, close) = all(&site, receiver, &session).await;
        assert!(close.starts_with("c["), "{close}");
    }
    site.send(&other, r#"["here"]"#).await;
    assert_eq!(site.messages(&other, 1).await, ["here"]);
}
