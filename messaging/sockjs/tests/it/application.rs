//! What an application is told of who comes, and how the service waits for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use sockjs::{Config, Connection, Opening, SockJs, Transport};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use crate::harness::{PATIENCE, Receiver, Request, Site, Socket, handshake, open, session};

/// What an application may know when a session begins.
struct Told {
    opening: Opening,
    transport: Transport,
    peer: SocketAddr,
}

/// A service at `/deep/echo` whose application tells what it is told, and the proxies that it trusts.
fn telling(trusted_proxies: Vec<IpAddr>) -> (Site, mpsc::Receiver<Told>) {
    let (tell, told) = mpsc::channel(8);
    let config = Config {
        trusted_proxies,
        ..open()
    };
    let service = SockJs::new(config, move |mut connection: Connection, opening| {
        let tell = tell.clone();
        async move {
            let told = Told {
                opening,
                transport: connection.transport(),
                peer: connection.peer(),
            };
            tell.send(told).await.unwrap();
            connection.recv().await;
        }
    });
    let router = Router::new().nest_service("/deep/echo", service);
    (Site::in_memory(router), told)
}

/// How each transport begins, with a query.
fn beginnings() -> Vec<(Transport, String, Request)> {
    let mut all = Vec::new();
    for (transport, receiver) in Transport::ALL[2..].iter().zip([
        Receiver::Xhr,
        Receiver::XhrStreaming,
        Receiver::EventSource,
        Receiver::HtmlFile,
        Receiver::Jsonp,
    ]) {
        assert_eq!(transport.name(), receiver.name());
        let below = session("");
        let query = match receiver {
            Receiver::HtmlFile | Receiver::Jsonp => "?c=cb",
            _ => "",
        };
        let uri = format!("{below}/{}{query}", receiver.name());
        let request = receiver.request(&format!("/deep/echo{below}"));
        all.push((*transport, uri, request));
    }
    let below = format!("{}/websocket?t=1", session(""));
    let request = handshake(&format!("/deep/echo{below}"));
    all.push((Transport::WebSocket, below, request));
    let request = handshake("/deep/echo/websocket?t=1");
    all.push((
        Transport::RawWebSocket,
        "/websocket?t=1".to_owned(),
        request,
    ));
    all
}

#[tokio::test(start_paused = true)]
async fn an_application_is_told_how_a_session_began() {
    let (site, mut told) = telling(Vec::new());
    for (transport, uri, request) in beginnings() {
        let request = request.with("X-Gate", "p1").with("Cookie", "a=b");
        let _stream = site.open(&request).await;
        let told = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
        assert_eq!(told.transport, transport);
        assert_eq!(told.opening.uri, uri.parse::<Uri>().unwrap(), "{transport}");
        assert_eq!(told.opening.headers["x-gate"], "p1", "{transport}");
        assert_eq!(told.opening.headers["cookie"], "a=b", "{transport}");
    }
}

/// The port stays that of the connection: no header tells another.
#[tokio::test(start_paused = true)]
async fn the_peer_is_who_a_trusted_proxy_says() {
    let proxy = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for (trusted, header, expected) in [
        (vec![], None, "127.0.0.1:1"),
        (vec![], Some("192.0.2.1"), "127.0.0.1:1"),
        (vec![proxy], None, "127.0.0.1:1"),
        (vec![proxy], Some("192.0.2.1"), "192.0.2.1:1"),
        (vec![proxy], Some("192.0.2.1, 192.0.2.2"), "192.0.2.2:1"),
        (vec![proxy], Some("2001:db8::1"), "[2001:db8::1]:1"),
    ] {
        let (site, mut told) = telling(trusted.clone());
        for (transport, _, request) in beginnings() {
            let request = match header {
                Some(addresses) => request.with("X-Forwarded-For", addresses),
                None => request,
            };
            let _stream = site.open(&request).await;
            let told = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
            let expected: SocketAddr = expected.parse().unwrap();
            assert_eq!(told.peer, expected, "{transport} {trusted:?} {header:?}");
        }
    }
}

/// A service whose application works on until it is told to stop, whatever the client does.
fn working() -> (SockJs, Site, Arc<Notify>) {
    let stop = Arc::new(Notify::new());
    let wait = Arc::clone(&stop);
    let service = SockJs::new(open(), move |connection: Connection, _| {
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            connection.close(3000, "Go away!").await;
        }
    });
    let router = Router::new().nest_service("/echo", service.clone());
    (service, Site::in_memory(router), stop)
}

#[tokio::test(start_paused = true)]
async fn the_end_is_waited_for_until_every_application_is_done() {
    let (service, site, stop) = working();
    // Nobody is at work yet.
    let other = SockJs::new(open(), crate::harness::echo);
    timeout(PATIENCE, other.ended()).await.unwrap();

    let session = session("/echo");
    let mut stream = Receiver::XhrStreaming.open(&site, &session).await;
    stream.expect("o").await;
    let mut socket = Socket::open(&site, "/echo/websocket").await;
    for at_work in [2, 1] {
        let open: u64 = service
            .statistics()
            .transports
            .iter()
            .map(|of| of.open)
            .sum();
        assert_eq!(open, at_work);
        let early = timeout(Duration::from_secs(1), service.ended()).await;
        assert!(early.is_err(), "{at_work} are at work");
        stop.notify_one();
        // Everybody has done what there was to do.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let asked = Instant::now();
    timeout(PATIENCE, service.ended()).await.unwrap();
    assert_eq!(asked.elapsed(), Duration::ZERO);

    // Nobody is at work for the session that polls: it is remembered, for whoever still asks.
    socket.ended().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(service.statistics().sessions, 1);
    timeout(PATIENCE, service.ended()).await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(10));
    stream.expect("c[3000,\"Go away!\"]").await;
    assert_eq!(site.poll(&session).await, "c[3000,\"Go away!\"]\n");
}
