//! What happens after some time, with the real defaults and a clock that only waiting moves: nothing is slow here, and no
//! socket decides.

use std::time::Duration;

use sockjs::Config;
use tokio::time::{Instant, sleep, sleep_until};

use crate::harness::{
    Heard, Receiver, Seen, Site, Socket, Watched, echo_with, four_services, limited, open, post,
    session,
};

const HEARTBEAT: Duration = Duration::from_secs(25);
/// For so long a session waits for its client, and is remembered when it is over.
const GONE: Duration = Duration::from_secs(5);
const GO_ON: &str = r#"a["go on"]"#;

/// A clock that only waiting moves shows a duration to the millisecond.
#[track_caller]
fn took(since: Instant, expected: Duration) {
    let took = since.elapsed();
    let late = took.checked_sub(expected);
    let late = late.unwrap_or_else(|| panic!("too early: {took:?}"));
    assert!(late <= Duration::from_millis(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_with_a_heart_beat_after_25_seconds() {
    for receiver in [Receiver::Xhr, Receiver::Jsonp] {
        let watched = Watched::in_memory(open());
        let session = session("/echo");
        assert_eq!(receiver.first(&watched.site, &session).await, "o");
        for _ in 0..2 {
            let asked = Instant::now();
            assert_eq!(receiver.first(&watched.site, &session).await, "h");
            took(asked, HEARTBEAT);
        }
        watched.site.send(&session, r#"["go on"]"#).await;
        assert_eq!(receiver.first(&watched.site, &session).await, GO_ON);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_brings_a_heart_beat_every_25_seconds() {
    for receiver in Receiver::STREAMING {
        let watched = Watched::in_memory(open());
        let session = session("/echo");
        let asked = Instant::now();
        let mut frames = receiver.open(&watched.site, &session).await;
        frames.expect("o").await;
        for count in 1..=3 {
            frames.expect("h").await;
            took(asked, count * HEARTBEAT);
        }
        watched.site.send(&session, r#"["go on"]"#).await;
        frames.expect(GO_ON).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_socket_is_pinged_and_given_up_when_it_does_not_answer() {
    for path in ["/echo/0/0/websocket", "/echo/websocket"] {
        let mut watched = Watched::in_memory(open());
        let opened = Instant::now();
        let mut socket = Socket::open(&watched.site, path).await;
        assert!(matches!(watched.seen().await, Seen::Opened(_)));
        if path != "/echo/websocket" {
            socket.expect("o").await;
        }
        // It answers, by its own hand.
        for count in 1..=2 {
            assert_eq!(socket.heard().await, Heard::Ping);
            took(opened, count * HEARTBEAT);
        }
        // Nobody reads the third ping.
        sleep(HEARTBEAT).await;
        assert_eq!(watched.seen_by_now(), None);
        assert_eq!(watched.seen().await, Seen::Ended);
        took(opened, 3 * HEARTBEAT + Duration::from_secs(10));
    }
}

/// A session that was opened by this receiver, which has then left it as it should.
async fn left(watched: &mut Watched, receiver: Receiver) -> String {
    let session = session("/echo");
    let mut frames = receiver.open(&watched.site, &session).await;
    frames.expect("o").await;
    assert!(matches!(watched.seen().await, Seen::Opened(_)));
    if receiver.is_streaming() {
        let full = "x".repeat(4096);
        watched.site.send(&session, format!("[\"{full}\"]")).await;
        assert!(frames.next().await.is_some());
        assert_eq!(watched.seen().await, Seen::Message(full));
    }
    frames.end().await;
    session
}

#[tokio::test(start_paused = true)]
async fn a_session_without_receiver_lives_for_5_seconds_whatever_is_sent() {
    for receiver in Receiver::ALL {
        let mut watched = Watched::in_memory(limited());
        let session = left(&mut watched, receiver).await;
        let since = Instant::now();
        for after in [3500, 4990] {
            sleep_until(since + Duration::from_millis(after)).await;
            watched.site.send(&session, r#"["x"]"#).await;
            assert_eq!(watched.seen().await, Seen::Message("x".to_owned()));
        }
        assert_eq!(watched.seen().await, Seen::Ended, "{receiver:?}");
        took(since, GONE);
        sleep_until(since + Duration::from_millis(6000)).await;
        let request = post(format!("{session}/xhr_send")).body("[]");
        assert_eq!(watched.site.ask(&request).await.status(), 404);
        // The client that comes back is a new one.
        assert_eq!(watched.site.poll(&session).await, "o\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_comes_back_in_time_finds_its_messages() {
    for receiver in Receiver::ALL {
        let mut watched = Watched::in_memory(limited());
        let session = left(&mut watched, receiver).await;
        for _ in 0..3 {
            sleep(Duration::from_millis(4900)).await;
            watched.site.send(&session, r#"["go on"]"#).await;
            let seen = watched.seen().await;
            assert_eq!(seen, Seen::Message("go on".to_owned()));
            assert_eq!(Receiver::Xhr.first(&watched.site, &session).await, GO_ON);
        }
    }
}

/// What is said to it may be more than waits for a client, so that the application waits to say it.
#[tokio::test(start_paused = true)]
async fn who_leaves_between_two_polls_takes_up_no_place() {
    let outbox = Config::default().outbox_bytes;
    for receiver in [Receiver::Xhr, Receiver::Jsonp] {
        for said in [1, 2 * outbox] {
            let site = Site::in_memory(echo_with(Config {
                sessions: 1,
                ..open()
            }));
            let leaving = session("/echo");
            assert_eq!(receiver.first(&site, &leaving).await, "o");
            let message = "x".repeat(said);
            site.send(&leaving, format!("[\"{message}\"]")).await;
            let next = receiver.request(&session("/echo"));
            assert_eq!(site.ask(&next).await.status(), 503, "{receiver:?} {said}");
            sleep(Duration::from_secs(6)).await;
            let first = receiver.first(&site, &session("/echo")).await;
            assert_eq!(first, "o", "{receiver:?} {said}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receiver_keeps_its_session() {
    let mut watched = Watched::in_memory(open());
    let session = session("/echo");
    let mut frames = Receiver::XhrStreaming.open(&watched.site, &session).await;
    frames.expect("o").await;
    assert!(matches!(watched.seen().await, Seen::Opened(_)));
    sleep(10 * GONE).await;
    assert_eq!(watched.seen_by_now(), None);
    watched.site.send(&session, r#"["go on"]"#).await;
    frames.expect("h").await;
    frames.expect("h").await;
    frames.expect(GO_ON).await;
}

#[tokio::test(start_paused = true)]
async fn an_aborted_receiver_ends_its_session_at_once() {
    for receiver in Receiver::ALL {
        let mut watched = Watched::in_memory(open());
        let session = session("/echo");
        let frames = receiver.opened(&watched.site, &session).await;
        assert!(matches!(watched.seen().await, Seen::Opened(_)));
        // Everybody has done what there was to do.
        sleep(Duration::from_millis(1)).await;
        assert_eq!(watched.seen_by_now(), None);
        let since = Instant::now();
        drop(frames);
        assert_eq!(watched.seen().await, Seen::Ended, "{receiver:?}");
        took(since, Duration::ZERO);
        // That is told until it is forgotten.
        for after in [0, 4900] {
            sleep_until(since + Duration::from_millis(after)).await;
            let frame = Receiver::Xhr.first(&watched.site, &session).await;
            assert_eq!(frame, r#"c[1002,"Connection interrupted"]"#, "{receiver:?}");
        }
        sleep(Duration::from_millis(6500)).await;
        assert_eq!(watched.site.poll(&session).await, "o\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_is_forgotten_some_time_after_it_was_asked_for() {
    let site = Site::in_memory(four_services());
    for receiver in Receiver::ALL {
        let session = session("/close");
        assert_eq!(receiver.first(&site, &session).await, "o");
        for _ in 0..2 {
            sleep(Duration::from_millis(3500)).await;
            let frame = receiver.first(&site, &session).await;
            assert_eq!(frame, r#"c[3000,"Go away!"]"#, "{receiver:?}");
            sleep(Duration::from_millis(6500)).await;
            assert_eq!(receiver.first(&site, &session).await, "o", "{receiver:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_socket_gets_no_heart_beat_but_a_ping() {
    let site = Site::in_memory(four_services());
    let mut socket = Socket::open(&site, "/echo/websocket").await;
    for _ in 0..3 {
        assert_eq!(socket.heard().await, Heard::Ping);
    }
    socket.send("still here").await;
    socket.expect("still here").await;
}

/// The values that a client may rely on.
#[test]
fn the_defaults_are_those_of_the_protocol() {
    let config = Config::default();
    assert_eq!(config.heartbeat, HEARTBEAT);
    assert_eq!(config.disconnect_delay, GONE);
    assert_eq!(config.response_limit, 128 * 1024);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_cut_at_128_kib_by_default() {
    let watched = Watched::in_memory(open());
    for receiver in Receiver::STREAMING {
        let session = session("/echo");
        let mut frames = receiver.open(&watched.site, &session).await;
        frames.expect("o").await;
        let text = "x".repeat(10_000);
        let frame = format!("a[\"{text}\"]");
        let mut bytes = receiver.wrap("o").len();
        while bytes < 128 * 1024 {
            watched.site.send(&session, format!("[\"{text}\"]")).await;
            frames.expect(&frame).await;
            bytes += receiver.wrap(&frame).len();
        }
        frames.end().await;
    }
}
