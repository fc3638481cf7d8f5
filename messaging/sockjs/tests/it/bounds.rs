//! What a client may cost: each bound, who is told, and that nobody else notices.

use std::time::Duration;

use axum::Router;
use sockjs::{Config, Connection, SockJs};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{
    Answer, PATIENCE, Receiver, Request, Site, Socket, Wire, echo_with, handshake, open, post,
    session,
};

const BODY: usize = 1000;

/// A JSON array with one message, this long.
fn body_of(bytes: usize) -> String {
    format!("[\"{}\"]", "x".repeat(bytes - 4))
}

fn short_bodies() -> Router {
    echo_with(Config {
        message_bytes: BODY,
        ..open()
    })
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_whole() {
    let site = Site::serving(short_bodies()).await;
    let session = site.opened("/echo").await;
    for (send, accepted) in [("xhr_send", 204), ("jsonp_send", 200)] {
        for (bytes, expected) in [(BODY, accepted), (BODY + 1, 413), (20 * BODY, 413)] {
            let request = post(format!("{session}/{send}"))
                .with("Content-Type", "text/plain")
                .body(body_of(bytes));
            assert_eq!(
                site.ask(&request).await.status(),
                expected,
                "{send} {bytes}"
            );
        }
    }
    site.send(&session, r#"["next"]"#).await;
    let texts = site.messages(&session, 3).await;
    let lengths: Vec<usize> = texts.iter().map(String::len).collect();
    assert_eq!(lengths, [BODY - 4, BODY - 4, 4]);
}

#[tokio::test]
async fn twenty_megabytes_are_refused_before_they_come() {
    // With the real defaults.
    let site = Site::serving(echo_with(open())).await;
    let session = site.opened("/echo").await;
    let mut wire = site.connect().await;
    let announced =
        Request::new("POST", format!("{session}/xhr_send")).with("Content-Length", "20971520");
    assert_eq!(wire.ask(&announced).await.status(), 413);

    // In chunks, nobody knows before.
    let mut wire = site.connect().await;
    let chunked =
        Request::new("POST", format!("{session}/xhr_send")).with("Transfer-Encoding", "chunked");
    wire.write(&chunked.bytes()).await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..320 {
        if wire.try_write(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    // A connection on which nobody reads may end before the answer has been seen.
    if let Some(head) = wire.try_head().await {
        assert_eq!(head.status, 413);
    }
    site.send(&session, r#"["next"]"#).await;
    assert_eq!(site.messages(&session, 1).await, ["next"]);
}

#[tokio::test]
async fn chunks_are_refused_as_soon_as_they_are_too_many() {
    let site = Site::serving(short_bodies()).await;
    let session = site.opened("/echo").await;
    let mut wire = site.connect().await;
    let request =
        Request::new("POST", format!("{session}/xhr_send")).with("Transfer-Encoding", "chunked");
    wire.write(&request.bytes()).await;
    wire.write(format!("{:x}\r\n{}\r\n", BODY + 1, "x".repeat(BODY + 1)).as_bytes())
        .await;
    assert_eq!(wire.answer().await.status(), 413);
}

#[tokio::test]
async fn a_socket_whose_message_is_too_long_is_closed() {
    let site = Site::serving(short_bodies()).await;
    for path in ["/echo/0/0/websocket", "/echo/websocket"] {
        let mut socket = Socket::open(&site, path).await;
        if path != "/echo/websocket" {
            socket.expect("o").await;
        }
        socket.send(&body_of(BODY)).await;
        assert!(matches!(
            socket.heard().await,
            crate::harness::Heard::Text(_)
        ));
        socket.send(&body_of(BODY + 1)).await;
        socket.ended().await;
    }
}

/// What who opens one session more is told, on each transport.
async fn turned_away(site: &Site, wire: impl AsyncFn() -> Wire) -> Vec<u16> {
    let mut told = Vec::new();
    let mut requests: Vec<Request> = Receiver::ALL
        .iter()
        .map(|receiver| receiver.request(&session("/echo")))
        .collect();
    requests.push(handshake(&format!("{}/websocket", session("/echo"))));
    requests.push(handshake("/echo/websocket"));
    for request in requests {
        let mut wire = wire().await;
        wire.write(&request.bytes()).await;
        told.push(wire.head().await.status);
    }
    let info = site.ask(&crate::harness::get("/echo/info")).await;
    assert_eq!(info.status(), 200, "who is full still answers");
    told
}

#[tokio::test]
async fn one_address_has_only_so_many_sessions() {
    let site = Site::serving(echo_with(Config {
        sessions_per_address: 2,
        ..open()
    }))
    .await;
    let mut stream = Receiver::XhrStreaming.open(&site, &session("/echo")).await;
    stream.expect("o").await;
    let socket = Socket::open(&site, &format!("{}/websocket", session("/echo"))).await;
    assert_eq!(
        turned_away(&site, async || site.connect().await).await,
        [429; 7]
    );

    // Those that are there go on, and others come.
    let mut other = site.connect_from("127.0.0.2").await;
    let poll = Receiver::Xhr.request(&session("/echo"));
    assert_eq!(other.ask(&poll).await.text(), "o\n");

    // A place is free when a session is over.
    drop(socket);
    let again = async {
        loop {
            let answer = site.ask(&Receiver::Xhr.request(&session("/echo"))).await;
            if answer.status() == 200 {
                break answer;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, again).await.unwrap().text(), "o\n");
}

#[tokio::test]
async fn all_clients_have_only_so_many_sessions() {
    let site = Site::serving(echo_with(Config {
        sessions: 2,
        ..open()
    }))
    .await;
    let session = site.opened("/echo").await;
    let mut socket = Socket::open(&site, "/echo/websocket").await;
    let told = turned_away(&site, async || site.connect_from("127.0.0.2").await).await;
    assert_eq!(told, [503; 7]);
    site.send(&session, r#"["x"]"#).await;
    assert_eq!(site.messages(&session, 1).await, ["x"]);
    socket.send("y").await;
    socket.expect("y").await;
}

#[tokio::test(start_paused = true)]
async fn sessions_of_one_address_are_bounded_by_default_and_free_again_in_time() {
    let bound = Config::default().sessions_per_address;
    let site = Site::in_memory(echo_with(open()));
    let mut wire = site.connect().await;
    let mut statuses = Vec::new();
    for _ in 0..bound + 8 {
        let answer = wire.ask(&Receiver::Xhr.request(&session("/echo"))).await;
        statuses.push(answer.status());
    }
    assert!(statuses[..bound].iter().all(|status| *status == 200));
    assert_eq!(statuses[bound..], [429; 8]);
    sleep(Duration::from_secs(6)).await;
    let answer = wire.ask(&Receiver::Xhr.request(&session("/echo"))).await;
    assert_eq!(answer.text(), "o\n");
}

/// A server whose application takes nothing until it is told to, and echoes then.
fn lazy(patience: Duration) -> (Site, std::sync::Arc<tokio::sync::Notify>) {
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let wait = std::sync::Arc::clone(&go);
    let config = Config {
        inbox_bytes: 2000,
        patience,
        ..open()
    };
    let service = SockJs::new(config, move |connection: Connection, opening| {
        let wait = std::sync::Arc::clone(&wait);
        async move {
            wait.notified().await;
            crate::harness::echo(connection, opening).await;
        }
    });
    let router = Router::new().nest_service("/echo", service);
    (Site::in_memory(router), go)
}

#[tokio::test(start_paused = true)]
async fn what_the_application_does_not_take_is_refused_after_a_while() {
    let patience = Duration::from_secs(2);
    let (site, go) = lazy(patience);
    let session = site.opened("/echo").await;
    // A receiver that waits, so that the session lives.
    let mut stream = Receiver::XhrStreaming.open(&site, &session).await;
    let mut taken = 0;
    let refused: Answer = loop {
        let text = format!("{taken:-<500}");
        let request = post(format!("{session}/xhr_send")).body(format!("[\"{text}\"]"));
        let asked = Instant::now();
        let answer = site.ask(&request).await;
        if answer.status() != 204 {
            assert!(asked.elapsed() >= patience, "{:?}", asked.elapsed());
            break answer;
        }
        taken += 1;
        assert!(taken < 100, "the inbox is bounded");
    };
    assert_eq!(refused.status(), 503);
    assert!(taken >= 2, "{taken}");
    go.notify_one();
    site.send(&session, r#"["end"]"#).await;
    let mut came = Vec::new();
    while came.last().is_none_or(|last| last != "end") {
        let frame = stream.next().await.unwrap();
        came.extend(crate::harness::messages(&frame));
    }
    // All that was taken, in order, and nothing that was refused.
    let expected: Vec<String> = (0..taken)
        .map(|number| format!("{number:-<500}"))
        .chain(["end".to_owned()])
        .collect();
    assert_eq!(came, expected);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let site = Site::in_memory(echo_with(open()));
    let session = site.opened("/echo").await;
    // A receiver that waits, so that the session lives.
    let mut stream = Receiver::XhrStreaming.open(&site, &session).await;
    let asked = Instant::now();
    let mut wire = site.connect().await;
    let request = Request::new("POST", format!("{session}/xhr_send")).with("Content-Length", "100");
    wire.write(&request.bytes()).await;
    wire.write(b"[\"a\"").await;
    assert_eq!(wire.head().await.status, 408);
    assert!(asked.elapsed() >= Config::default().patience);
    site.send(&session, r#"["next"]"#).await;
    stream.expect(r#"a["next"]"#).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_dies_half_way_has_sent_nothing() {
    let site = Site::in_memory(echo_with(open()));
    let session = site.opened("/echo").await;
    let mut stream = Receiver::XhrStreaming.open(&site, &session).await;
    let whole = post(format!("{session}/xhr_send"))
        .body(r#"["dies"]"#)
        .bytes();
    for cut in (1..whole.len()).step_by(7) {
        let mut wire = site.connect().await;
        wire.write(&whole[..cut]).await;
        drop(wire);
    }
    sleep(Duration::from_secs(1)).await;
    site.send(&session, r#"["next"]"#).await;
    stream.expect(r#"a["next"]"#).await;
}

/// An application that talks without end, and how much of it has gone somewhere.
fn talking() -> (Router, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let talk = SockJs::new(open(), move |mut connection: Connection, _| {
        let count = std::sync::Arc::clone(&count);
        async move {
            let text = "x".repeat(1000);
            while connection.send(&text).await.is_ok() {
                count.fetch_add(text.len(), std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    let router = Router::new()
        .nest_service("/talk", talk)
        .nest_service("/echo", SockJs::new(open(), crate::harness::echo));
    (router, sent)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_stops_who_talks_to_it_and_nobody_else() {
    // What fits between server and client: the pipe, and what the server writes at once.
    const BETWEEN: usize = 4 * 1024 * 1024;
    for receiver in Receiver::STREAMING {
        let (router, sent) = talking();
        let site = Site::in_memory(router);
        let session = session("/talk");
        let mut wire = site.connect().await;
        wire.write(&receiver.request(&session).bytes()).await;
        sleep(Duration::from_secs(60)).await;
        let total = sent.load(std::sync::atomic::Ordering::Relaxed);
        assert!(total < BETWEEN, "{receiver:?}: {total}");
        sleep(Duration::from_secs(600)).await;
        let later = sent.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(later, total, "{receiver:?}");

        let other = site.opened("/echo").await;
        site.send(&other, r#"["here"]"#).await;
        assert_eq!(site.messages(&other, 1).await, ["here"]);
    }
}
