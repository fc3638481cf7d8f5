//! What the listeners bear: clients that are slow, many, too loud, or not who they say they are.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::harness::{Browser, PATIENCE, TestServer};

/// Short enough to wait for, and long enough for a request in a debug build.
const SHORT: &str = "\n[limits]\narrival_seconds = 1\nbody_seconds = 1\nidle_seconds = 2\n";

/// Sends this and nothing more, and reads until the server closes.
async fn answer_to(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has heard enough does not take the rest.
    let _ = stream.write_all(sent.as_bytes()).await;
    rest(&mut stream).await
}

/// Everything until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // Closed or reset: what was said before that counts.
    let _ = read.expect("the server closes in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn check_status(answer: &str, status: &str, what: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")),
        "{what}: {answer}"
    );
}

#[tokio::test]
async fn whoever_is_slow_is_told_and_cut_off() {
    let server = TestServer::start_with(SHORT, &[]).await;
    let (http, metrics) = (server.http_address(), server.metrics_address());
    for (address, sent, status) in [
        (http, "GET / HT", "408"),
        (http, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ", "408"),
        (metrics, "GET /metrics HTTP/1.1\r\n", "408"),
        (
            http,
            "POST /sign-in HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\nname=",
            "408",
        ),
        (
            http,
            "POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n\r\n5\r\ngrant",
            "408",
        ),
    ] {
        check_status(&answer_to(address, sent).await, status, sent);
    }
    // There is nobody to tell: nothing was asked.
    assert_eq!(answer_to(http, "").await, "");
    assert_eq!(answer_to(metrics, "").await, "");
    let stomp = answer_to(server.stomp_address(), "CONNECT\naccept-version:1.2\n").await;
    assert!(stomp.is_empty() || stomp.starts_with("ERROR"), "{stomp}");
    // After an answer the next request has longer to begin, and no longer to come whole.
    let mut stream = TcpStream::connect(http).await.unwrap();
    let alive = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(alive.as_bytes()).await.unwrap();
    check_status(&rest(&mut stream).await, "200", "silence after an answer");
    let twice = answer_to(http, &format!("{alive}{alive}GET /")).await;
    assert_eq!(twice.matches("HTTP/1.1 200").count(), 2, "{twice}");
    // Whoever asks for metrics has no more time either.
    let begun = Instant::now();
    let ask = "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    while !answer_to(metrics, ask)
        .await
        .contains("landside_http_refused_total{reason=\"head\"}")
    {
        assert!(begun.elapsed() < PATIENCE, "it is counted");
    }
    server.stop().await;
}

/// A byte now and then does not make a head come in time.
#[tokio::test]
async fn trickling_gives_no_more_time() {
    let server = TestServer::start_with(SHORT, &[]).await;
    let mut stream = TcpStream::connect(server.http_address()).await.unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    stream
        .write_all(b"GET / HTTP/1.1\r\nx-slow: ")
        .await
        .unwrap();
    while begun.elapsed() < PATIENCE {
        if stream.write_all(b"a").await.is_err() {
            break;
        }
        let mut buffer = [0; 1024];
        match timeout(Duration::from_millis(100), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => answer.extend_from_slice(&buffer[..read]),
            Err(_waiting) => {}
        }
    }
    check_status(&String::from_utf8_lossy(&answer), "408", "trickling");
    assert!(begun.elapsed() < Duration::from_secs(20));
    server.stop().await;
}

#[tokio::test]
async fn what_is_too_long_is_refused_as_such() {
    let server = TestServer::start().await;
    let http = server.http_address();
    let long = "a".repeat(100 * 1024);
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {long}\r\n\r\n");
    check_status(&answer_to(http, &head).await, "431", "a long head");
    let many: String = (0..200)
        .map(|number| format!("x-{number}: a\r\n"))
        .collect();
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n");
    check_status(&answer_to(http, &head).await, "431", "many headers");
    let body = format!(
        "POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{long}",
        long.len()
    );
    // What has come of it is read to its end, and the connection may go on.
    let mut stream = TcpStream::connect(http).await.unwrap();
    let _ = stream.write_all(body.as_bytes()).await;
    let mut begun = [0; 12];
    let reading = timeout(PATIENCE, stream.read_exact(&mut begun)).await;
    reading.expect("it is answered in time").unwrap();
    assert_eq!(&begun, b"HTTP/1.1 413");
    server.stop().await;
}

/// Connects, sends this, and reads so many bytes.
async fn hold(address: SocketAddr, sent: &str, read: usize) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut begun = vec![0; read];
    let reading = timeout(PATIENCE, stream.read_exact(&mut begun)).await;
    reading.expect("something comes in time").unwrap();
    (stream, String::from_utf8(begun).unwrap())
}

#[tokio::test]
async fn those_who_wait_make_room_and_those_at_work_do_not() {
    let more = "\n[limits]\nconnections = 4\n";
    let server = TestServer::start_with(more, &[]).await;
    let http = server.http_address();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(TcpStream::connect(http).await.unwrap());
    }
    // Each of these displaces one that is silent, and has its head heard: it is asked for its body.
    let half = "POST /language HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\n";
    let mut slow = Vec::new();
    for displaced in &mut waiting {
        let (stream, said) = hold(http, half, 25).await;
        assert!(said.starts_with("HTTP/1.1 100"), "{said}");
        slow.push(stream);
        assert_eq!(rest(displaced).await, "");
    }
    // Who sends a body slowly is no more at work than who is silent.
    let mut working = Vec::new();
    for (number, displaced) in slow.iter_mut().enumerate() {
        let stream = format!(
            "POST /sockjs/000/abcdefg{number}/xhr_streaming HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
        );
        let (stream, said) = hold(http, &stream, 12).await;
        assert_eq!(said, "HTTP/1.1 200");
        working.push(stream);
        assert_eq!(rest(displaced).await, "");
    }
    check_status(&answer_to(http, "").await, "503", "no room");
    drop(working);
    let begun = Instant::now();
    while !answer_to(http, "GET /healthz HTTP/1.0\r\n\r\n")
        .await
        .contains(" 200 ")
    {
        assert!(begun.elapsed() < PATIENCE, "places are given back");
    }
    server.stop().await;
}

/// Asks for more than a connection holds, and takes nothing of it.
async fn ask_and_read_nothing(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    // 62 KiB each: more than the system keeps for a connection.
    let asked = "GET /assets/sockjs.js HTTP/1.1\r\nhost: a\r\n\r\n".repeat(200);
    stream.write_all(asked.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn who_does_not_take_an_answer_is_cut_off() {
    let more = "\n[limits]\nanswer_seconds = 1\n";
    let server = TestServer::start_with(more, &[]).await;
    let http = server.http_address();
    let nothing = ask_and_read_nothing(http).await;
    // A drop now and then gives no more time.
    let mut drops = ask_and_read_nothing(http).await;
    let begun = Instant::now();
    let counted = || async {
        let metrics = server.metrics().await;
        metrics.contains("landside_http_refused_total{reason=\"answer\"} 2\n")
    };
    while !counted().await {
        assert!(begun.elapsed() < PATIENCE, "both are cut off");
        let mut drop = [0; 16];
        let _ = drops.try_read(&mut drop);
        tokio::task::yield_now().await;
    }
    assert!(rest(&mut drops).await.len() < 200 * 60 * 1024);
    drop(nothing);
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_take_an_answer_makes_room() {
    let more = "\n[limits]\nconnections = 4\n";
    let server = TestServer::start_with(more, &[]).await;
    let http = server.http_address();
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(ask_and_read_nothing(http).await);
    }
    // Until what the system keeps is full they are at work.
    let begun = Instant::now();
    let mut answered = 0;
    while answered < 4 {
        let alive = answer_to(http, "GET /healthz HTTP/1.0\r\n\r\n").await;
        answered += usize::from(alive.contains(" 200 "));
        assert!(begun.elapsed() < PATIENCE, "there is room");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_half_sent_request_does_not_hold_up_the_stop() {
    let server = TestServer::start().await;
    let sid =
        "POST /sockjs/000/abcdefgh/xhr_send HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n[";
    let form = "POST /sign-in HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\n";
    let poll =
        "POST /sockjs/000/ijklmnop/xhr_streaming HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
    let mut streams = Vec::new();
    for sent in [sid, form, poll] {
        let mut stream = TcpStream::connect(server.http_address()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut first = [0; 1];
        timeout(PATIENCE, stream.read_exact(&mut first))
            .await
            .unwrap()
            .unwrap();
        streams.push(stream);
    }
    let begun = Instant::now();
    server.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn every_answer_says_what_may_be_done_with_it() {
    let server = TestServer::start().await;
    let nobody = Browser::new(server.url(""));
    for path in [
        "/sign-in",
        "/healthz",
        "/api/v1/alarms",
        "/sockjs/info",
        "/no/such/page",
    ] {
        let answer = nobody.get(path).await;
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(header("referrer-policy").as_deref(), Some("same-origin"));
        assert!(header("permissions-policy").unwrap().contains("camera=()"));
        assert!(header("content-security-policy").is_some(), "{path}");
        assert_eq!(
            header("strict-transport-security"),
            None,
            "{path}: not over TLS"
        );
        let is_for_others = path.starts_with("/sockjs");
        let framed = (!is_for_others).then_some("DENY");
        assert_eq!(header("x-frame-options").as_deref(), framed, "{path}");
        let expected = (!is_for_others).then_some("same-origin");
        assert_eq!(
            header("cross-origin-resource-policy").as_deref(),
            expected,
            "{path}"
        );
        assert_eq!(
            header("cross-origin-opener-policy").as_deref(),
            expected,
            "{path}"
        );
    }
    server.stop().await;
}

/// A request of a client that is said to be elsewhere.
async fn forwarded(
    server: &TestServer,
    method: &str,
    path: &str,
    address: &str,
) -> reqwest::Response {
    // As the host is, whatever brought the request here.
    let origin = format!("https://{}", server.http_address());
    reqwest::Client::new()
        .request(method.parse().unwrap(), server.url(path))
        .header("origin", origin)
        .header("x-forwarded-for", address)
        .header("x-forwarded-proto", "https")
        .form(&[("name", "nobody"), ("password", "wrong")])
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_proxy_is_believed_when_it_is_named() {
    let here = "select count(*) from audit where action = 'login.begin' and peer = '127.0.0.1'";
    let there = "select count(*) from audit where action = 'login.begin' and peer = '203.0.113.7'";
    for (more, written, is_secured) in [
        ("", here, false),
        ("\n[http]\nproxies = [\"10.9.9.9\"]\n", here, false),
        ("\n[http]\nproxies = [\"127.0.0.1\"]\n", there, true),
    ] {
        let server = TestServer::start_with(more, &[]).await;
        let answer = forwarded(&server, "POST", "/sign-in", "6.6.6.6, 203.0.113.7").await;
        assert_eq!(answer.status(), 401);
        let secured = answer.headers().contains_key("strict-transport-security");
        assert_eq!(secured, is_secured, "{more}");
        assert_eq!(server.database.count(written).await, 1, "{more}");
        server.stop().await;
    }
}

#[tokio::test]
async fn whoever_signs_in_too_often_waits_and_nobody_else() {
    let more = "\n[http]\nproxies = [\"127.0.0.1\"]\n[identity]\nconsoles = [\"203.0.113.9\"]\n";
    let server = TestServer::start_with(more, &[]).await;
    // What is no form is refused before anything costs; it counts all the same.
    let post = |path: &'static str, address: &'static str| {
        let url = server.url(path);
        let client = reqwest::Client::new();
        async move {
            let request = client.post(url).header("x-forwarded-for", address);
            request.send().await.unwrap()
        }
    };
    let refused = loop {
        let answer = post("/sign-in", "203.0.113.7").await;
        if answer.status() == 429 {
            break answer;
        }
    };
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert!(refused.text().await.unwrap().contains("<html"));
    for other in ["203.0.113.8", "203.0.113.9", "127.0.0.1"] {
        assert_ne!(post("/sign-in", other).await.status(), 429, "{other}");
    }
    // Tokens are another matter.
    assert_ne!(post("/oauth/token", "203.0.113.7").await.status(), 429);
    let counted = server.metrics().await;
    assert!(counted.contains("landside_http_refused_total{reason=\"rate\"}"));
    server.stop().await;
}

#[tokio::test]
async fn a_program_that_runs_wild_is_stopped_on_every_way() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    let program = server.program("program").await;
    let mut client = server.stomp("program").await;
    client.subscribe("/user/queue/errors").await;
    // It is refused for what it is, and counts all the same.
    let name = "no-such-command";
    let many = |from: u128| join_all((from..from + 50).map(|key| program.command(key, name)));
    let mut given = 0;
    // Many at once: on a slow machine one after the other would not be too often.
    let problem = loop {
        let answers = many(given).await;
        match answers.into_iter().find(|(status, _)| *status != 422) {
            Some((status, body)) => {
                assert_eq!(status, 429, "{body}");
                break body;
            }
            None => given += 50,
        }
    };
    assert!(
        given >= 550,
        "who opens every barrier gets through: {given}"
    );
    assert_eq!(problem["code"], "too-many");
    let command = serde_json::json!({"key": uuid::Uuid::from_u128(1), "name": name});
    // One session's frames are handled one after the other, so others keep its bucket empty meanwhile.
    let begun = Instant::now();
    let code = loop {
        let one = async {
            client.cast("/app/devices/gate-1/commands", &command).await;
            client.message().await.header("code").unwrap().to_owned()
        };
        let (_, code) = tokio::join!(many(0), one);
        if code == "too-many" || begun.elapsed() > PATIENCE {
            break code;
        }
    };
    assert_eq!(code, "too-many");
    // Another one may still.
    let mut other = server.stomp("program-p2").await;
    other.subscribe("/user/queue/errors").await;
    other.cast("/app/devices/gate-1/commands", &command).await;
    assert_eq!(other.message().await.header("code"), Some("no-such-device"));
    server.stop().await;
}
