//! How much may be sent by whoever was not let in yet.

use std::future::poll_fn;
use std::io;

use axum::Router;
use sockjs::{Config, Connection, SockJs};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::{
    Heard, PATIENCE, Receiver, Site, Socket, echo_with, messages, open, post, session,
};

const STRANGER: usize = 1000;
const GUEST: usize = 5000;
const WORD: &str = "let me in";

fn config() -> Config {
    Config {
        message_bytes: GUEST,
        stranger_bytes: Some(STRANGER),
        ..open()
    }
}

/// An echo that lets in who says the word.
async fn doorman(mut connection: Connection, _: sockjs::Opening) {
    while let Some(message) = connection.recv().await {
        if message == WORD {
            connection.let_in();
        }
        if connection.send(&message).await.is_err() {
            return;
        }
    }
}

async fn guarded() -> Site {
    Site::serving(Router::new().nest_service("/echo", SockJs::new(config(), doorman))).await
}

/// A JSON array with one message, this long.
fn body_of(bytes: usize) -> String {
    format!("[\"{}\"]", "x".repeat(bytes - 4))
}

/// Both ways to send a body; what is answered.
async fn sent(site: &Site, session: &str, body: &str) -> [u16; 2] {
    let mut statuses = [0; 2];
    for (send, status) in ["xhr_send", "jsonp_send"].iter().zip(&mut statuses) {
        let request = post(format!("{session}/{send}"))
            .with("Content-Type", "text/plain")
            .body(body);
        *status = site.ask(&request).await.status();
    }
    statuses
}

const SOCKETS: [&str; 2] = ["/echo/0/0/websocket", "/echo/websocket"];

/// A WebSocket with frames of SockJS or without, opened.
async fn socket(site: &Site, path: &str) -> Socket {
    let mut socket = Socket::open(site, path).await;
    if path != "/echo/websocket" {
        socket.expect("o").await;
    }
    socket
}

/// What a socket has to send for one message of this text, and what a frame of an echo looks like.
fn framed(path: &str, text: &str) -> (String, String) {
    if path == "/echo/websocket" {
        return (text.to_owned(), text.to_owned());
    }
    let array = serde_json::to_string(&[text]).unwrap();
    (array.clone(), format!("a{array}"))
}

#[tokio::test]
async fn a_stranger_s_body_is_short_and_a_guest_s_is_not() {
    let site = guarded().await;
    let session = site.opened("/echo").await;
    assert_eq!(
        sent(&site, &session, &body_of(STRANGER + 1)).await,
        [413; 2]
    );
    // Nothing of it was taken or counted: the first thing that comes is what is sent now.
    site.send(&session, format!("[\"{WORD}\"]")).await;
    assert_eq!(site.messages(&session, 1).await, [WORD]);

    let longest = body_of(GUEST);
    assert_eq!(sent(&site, &session, &longest).await, [204, 200]);
    let came = site.messages(&session, 2).await;
    assert!(came.iter().all(|text| text.len() == GUEST - 4));
    assert_eq!(sent(&site, &session, &body_of(GUEST + 1)).await, [413; 2]);
}

/// Many short bodies are as much as a long one.
#[tokio::test]
async fn all_that_a_stranger_sends_is_bounded() {
    let site = guarded().await;
    let quarter = "x".repeat(STRANGER / 4);
    let body = format!("[\"{quarter}\"]");
    for receiver in Receiver::ALL {
        let session = session("/echo");
        let mut frames = receiver.opened(&site, &session).await; // What surrounds the texts counts as well.
        for _ in 0..3 {
            site.send(&session, body.as_str()).await;
            let frame = frames.next().await.unwrap();
            assert_eq!(messages(&frame), [quarter.as_str()]);
            if !receiver.is_streaming() {
                frames.end().await;
                frames = receiver.open(&site, &session).await;
            }
        }
        assert_eq!(sent(&site, &session, &body).await[0], 413);
        frames.expect(r#"c[1002,"Protocol error"]"#).await;
        frames.end().await;
    }
    for path in SOCKETS {
        let mut socket = socket(&site, path).await;
        let (message, answer) = framed(path, &quarter);
        for _ in 0..3 {
            socket.send(&message).await;
            socket.expect(&answer).await;
        }
        socket.send(&message).await;
        assert_eq!(socket.ended().await, None, "{path}");
    }
}

#[tokio::test]
async fn a_guest_sends_as_much_as_it_likes() {
    let site = guarded().await;
    let session = site.opened("/echo").await;
    site.send(&session, format!("[\"{WORD}\"]")).await;
    assert_eq!(site.messages(&session, 1).await, [WORD]);
    for _ in 0..3 {
        site.send(&session, body_of(STRANGER)).await;
    }
    site.messages(&session, 3).await;

    for path in SOCKETS {
        let mut socket = socket(&site, path).await;
        let (word, answer) = framed(path, WORD);
        socket.send(&word).await;
        socket.expect(&answer).await;
        for _ in 0..3 {
            let (message, answer) = framed(path, &"x".repeat(GUEST - 4));
            socket.send(&message).await;
            socket.expect(&answer).await;
        }
    }
}

/// An application that looks for itself learns what happened, and can say so.
#[tokio::test]
async fn an_application_is_told_and_can_tell() {
    let (tell, mut errors) = mpsc::channel(8);
    let service = SockJs::new(config(), move |mut connection: Connection, _| {
        let tell = tell.clone();
        async move {
            let error: io::Error = loop {
                match poll_fn(|context| connection.poll_read(context)).await {
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    Err(error) => break error,
                }
            };
            tell.send(error.kind()).await.unwrap();
            connection.push("who are you?");
            connection.close(3000, "Go away!").await;
        }
    });
    let site = Site::serving(Router::new().nest_service("/echo", service)).await;
    let mut error = async || timeout(PATIENCE, errors.recv()).await.unwrap();

    let session = site.opened("/echo").await;
    site.send(&session, body_of(STRANGER)).await;
    assert_eq!(sent(&site, &session, r#"["12345"]"#).await, [413; 2]);
    assert_eq!(error().await, Some(io::ErrorKind::InvalidData));
    assert_eq!(site.messages(&session, 1).await, ["who are you?"]);
    assert_eq!(site.poll(&session).await, "c[3000,\"Go away!\"]\n");

    for path in SOCKETS {
        let mut socket = socket(&site, path).await;
        socket.send(&framed(path, &"x".repeat(STRANGER)).0).await;
        assert_eq!(error().await, Some(io::ErrorKind::InvalidData), "{path}");
        socket.expect(&framed(path, "who are you?").1).await;
        let end = match path {
            "/echo/websocket" => Heard::Close(Some((3000, "Go away!".to_owned()))),
            _ => Heard::Text("c[3000,\"Go away!\"]".to_owned()),
        };
        assert_eq!(socket.heard().await, end, "{path}");
    }
}

#[tokio::test]
async fn by_default_nobody_is_a_stranger() {
    assert_eq!(Config::default().stranger_bytes, None);
    let site = Site::serving(echo_with(open())).await;
    let session = site.opened("/echo").await;
    let longest = Config::default().message_bytes;
    for _ in 0..2 {
        site.send(&session, body_of(longest)).await;
        assert_eq!(site.messages(&session, 1).await[0].len(), longest - 4);
    }
}
