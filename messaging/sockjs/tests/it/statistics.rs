//! What is counted: sessions and messages by transport, and each reason to refuse.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::Router;
use sockjs::{Config, Origins, SockJs, Statistics, Transport};
use tokio::time::sleep;

use crate::harness::{Frames, Receiver, Request, Site, Socket, echo, open, post, session};

/// What a session's life on every transport leaves in the statistics.
#[tokio::test(start_paused = true)]
async fn what_was_done_is_counted_by_transport() {
    let service = SockJs::new(open(), echo);
    let site = Site::in_memory(Router::new().nest_service("/echo", service.clone()));
    let mut all = Vec::new();
    for receiver in Receiver::ALL {
        let session = session("/echo");
        let mut frames = receiver.opened(&site, &session).await;
        site.send(&session, r#"["four"]"#).await;
        frames.expect(r#"a["four"]"#).await;
        all.push(frames);
    }
    let mut raw = Socket::open(&site, "/echo/websocket").await;
    raw.send("four").await;
    raw.expect("four").await;
    let mut socket = Socket::open(&site, &format!("{}/websocket", session("/echo"))).await;
    socket.expect("o").await;
    socket.send(r#"["four"]"#).await;
    socket.expect(r#"a["four"]"#).await;

    let check = |open: u64| {
        for (transport, counted) in Transport::ALL.iter().zip(service.statistics().transports) {
            assert_eq!((counted.opened, counted.open), (1, open), "{transport}");
            assert_eq!(
                (counted.messages_in, counted.bytes_in),
                (1, 4),
                "{transport}"
            );
            assert_eq!(
                (counted.messages_out, counted.bytes_out),
                (1, 4),
                "{transport}"
            );
        }
    };
    check(1);
    assert_eq!(service.statistics().sessions, 7);
    drop((all, raw, socket));
    // Longer than a session waits for its client, and is remembered after that.
    sleep(Duration::from_secs(11)).await;
    check(0);
    assert_eq!(service.statistics().sessions, 0);
}

const OURS: &str = "https://ours.example";

/// The counts of refusals, in the order of their fields.
fn refused(statistics: &Statistics) -> [u64; 7] {
    [
        statistics.too_many,
        statistics.too_many_of_address,
        statistics.foreign_origin,
        statistics.not_the_owner,
        statistics.too_long,
        statistics.broken,
        statistics.too_slow,
    ]
}

#[tokio::test(start_paused = true)]
async fn each_reason_to_refuse_has_a_count_of_its_own() {
    let service = SockJs::new(
        Config {
            message_bytes: 100,
            sessions: 3,
            sessions_per_address: 2,
            trusted_proxies: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            owner_cookie: Some("login".to_owned()),
            origins: Origins::Listed(vec![OURS.to_owned()]),
            ..open()
        },
        echo,
    );
    let site = Site::in_memory(Router::new().nest_service("/echo", service.clone()));
    let stream = |session: &str, address: &str| {
        Receiver::XhrStreaming
            .request(session)
            .with("X-Forwarded-For", address)
    };
    let begin = async |session: &str, address: &str| -> Frames {
        let request = stream(session, address);
        let mut frames = Receiver::XhrStreaming.ask(&site, &request).await;
        frames.expect("o").await;
        frames
    };
    let own = session("/echo");
    let send = || Request::new("POST", format!("{own}/xhr_send"));
    let mut expected = [0; 7];
    let mut check = async |count: usize, request: Request, status: u16| {
        let head = site.open(&request).await.head;
        assert_eq!(head.status, status, "{request:?}");
        expected[count] += 1;
        assert_eq!(refused(&service.statistics()), expected, "{request:?}");
    };

    let mut lasting = vec![begin(&own, "192.0.2.1").await];
    check(2, post(format!("{own}/xhr")).with("Origin", "null"), 403).await;
    check(3, send().with("Cookie", "login=lee").body("[]"), 404).await;
    check(4, send().body("x".repeat(101)), 413).await;
    check(5, send().body("x"), 500).await;
    check(6, send().with("Content-Length", "9"), 408).await;
    lasting.push(begin(&session("/echo"), "192.0.2.1").await);
    check(1, stream(&session("/echo"), "192.0.2.1"), 429).await;
    lasting.push(begin(&session("/echo"), "192.0.2.2").await);
    check(0, stream(&session("/echo"), "192.0.2.3"), 503).await;

    let counted = service.statistics();
    assert_eq!(counted.sessions, 3);
    for (transport, of) in Transport::ALL.iter().zip(counted.transports) {
        let expected = u64::from(*transport == Transport::XhrStreaming) * 3;
        assert_eq!((of.opened, of.open), (expected, expected), "{transport}");
    }
}
