//! STOMP over SockJS: the same broker, the same guard, by plain HTTP requests.

use axum::http::{HeaderValue, StatusCode};
use futures_util::{SinkExt, StreamExt};
use reqwest::Client;
use reqwest::header::{COOKIE, ORIGIN, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{Browser, PASSWORD, PATIENCE, TestServer};

/// A client that polls.
struct Polling {
    http: Client,
    url: String,
    cookie: String,
}

impl Polling {
    /// Opens a session of this name.
    async fn open(server: &TestServer, name: &str, cookie: &str) -> Self {
        let polling = Self {
            http: Client::new(),
            url: server.url(&format!("/sockjs/000/{name}")),
            cookie: cookie.to_owned(),
        };
        assert_eq!(polling.poll().await, "o\n");
        polling
    }

    async fn post(&self, endpoint: &str, body: String) -> (StatusCode, String) {
        let request = self.http.post(format!("{}/{endpoint}", self.url));
        let request = request.header(COOKIE, &self.cookie).body(body);
        let response = request.send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn poll(&self) -> String {
        let (status, frame) = self.post("xhr", String::new()).await;
        assert_eq!(status, StatusCode::OK, "{frame}");
        frame
    }

    async fn send(&self, frame: &str) {
        let (status, text) = self.post("xhr_send", json!([frame]).to_string()).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
    }

    /// Polls until a frame of STOMP has come, and gives it.
    async fn stomp(&self) -> String {
        loop {
            let frame = self.poll().await;
            let Some(messages) = frame.strip_prefix('a') else {
                panic!("the session is over: {frame}");
            };
            let messages: Vec<String> = serde_json::from_str(messages).unwrap();
            if let Some(message) = messages.into_iter().find(|message| message != "\n") {
                return message;
            }
        }
    }

    async fn connect(&self, token: &str) -> String {
        let connect = format!("CONNECT\naccept-version:1.2\nhost:landside\npasscode:{token}\n\n\0");
        self.send(&connect).await;
        self.stomp().await
    }
}

#[tokio::test]
async fn polling_reaches_the_broker_and_its_guard() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    let client = Polling::open(&server, "a-session", "").await;
    let connected = client.connect(&server.token("program").await).await;
    assert!(connected.starts_with("CONNECTED\n"), "{connected}");
    client
        .send("SUBSCRIBE\nid:1\ndestination:/topic/devices/gate-1\nreceipt:live\n\n\0")
        .await;
    let receipt = client.stomp().await;
    assert!(
        receipt.starts_with("RECEIPT\nreceipt-id:live\n"),
        "{receipt}"
    );
    client
        .send("SUBSCRIBE\nid:2\ndestination:/topic/devices/gate-9\n\n\0")
        .await;
    let error = client.stomp().await;
    assert!(error.contains("code:no-such-device"), "{error}");
    assert_eq!(
        client.poll().await,
        "c[3000,\"The session is over; ERROR said why\"]\n"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_bad_token_is_told_and_ends_the_session() {
    let server = TestServer::start().await;
    let client = Polling::open(&server, "a-session", "").await;
    let error = client.connect("nonsense").await;
    assert!(error.contains("code:unauthenticated"), "{error}");
    assert_eq!(
        client.poll().await,
        "c[3000,\"The session is over; ERROR said why\"]\n"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_session_belongs_to_the_login_with_which_it_began() {
    let server = TestServer::start().await;
    let login = "landside_login=somebody";
    let client = Polling::open(&server, "guessed", login).await;
    for cookie in ["", "landside_login=another"] {
        let thief = Polling {
            http: Client::new(),
            url: client.url.clone(),
            cookie: cookie.to_owned(),
        };
        for endpoint in ["xhr", "xhr_send"] {
            let (status, _) = thief.post(endpoint, "[\"\\n\"]".to_owned()).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{endpoint} with {cookie:?}");
        }
    }
    let connected = client.connect(&server.token("program").await).await;
    assert!(connected.starts_with("CONNECTED\n"), "{connected}");
    server.stop().await;
}

#[tokio::test]
async fn strangers_send_little() {
    let server = TestServer::start().await;
    let client = Polling::open(&server, "a-session", "").await;
    let (status, _) = client
        .post("xhr_send", json!(["x".repeat(70_000)]).to_string())
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    client.send(&"\n".repeat(30_000)).await;
    let (status, _) = client
        .post("xhr_send", json!(["\n".repeat(30_000)]).to_string())
        .await;
    assert_eq!(
        status,
        StatusCode::PAYLOAD_TOO_LARGE,
        "that makes more than 64 KiB"
    );
    let error = client.stomp().await;
    assert!(error.contains("code:malformed-message"), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_may_not_connect() {
    let server = TestServer::start().await;
    let http = Client::new();
    for (path, expected) in [
        ("/ws", StatusCode::FORBIDDEN),
        ("/sockjs/websocket", StatusCode::FORBIDDEN),
        ("/sockjs/0/1/websocket", StatusCode::FORBIDDEN),
        ("/sockjs/info", StatusCode::FORBIDDEN),
        ("/sockjs", StatusCode::OK),
    ] {
        let request = http
            .get(server.url(path))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let response = request.header(ORIGIN, "http://evil.example").send().await;
        assert_eq!(response.unwrap().status(), expected, "{path}");
    }
    server.stop().await;
}

/// SockJS refuses to work when its page for hidden frames loads another version than the site's pages do.
#[tokio::test]
async fn hidden_frames_load_the_very_file_that_the_pages_load() {
    let server = TestServer::start().await;
    let http = Client::new();
    let text = async |path: &str| {
        let response = http.get(server.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.unwrap()
    };
    let client = &web_ui::sockjs_client().url;
    let frame = text("/sockjs/iframe.html").await;
    assert!(
        frame.contains(&format!("<script src=\"{client}\"></script>")),
        "{frame}"
    );
    let script = text(client).await;
    assert!(script.contains("sockjs-client v1.6"), "{client}");
    server.stop().await;
}

/// A client of STOMP changes only its URL: the WebSocket below `/sockjs` is one without frames of SockJS.
#[tokio::test]
async fn the_raw_websocket_is_one_of_stomp() {
    let server = TestServer::start().await;
    let url = server.url("/sockjs/websocket").replacen("http", "ws", 1);
    let mut request = url.into_client_request().unwrap();
    let offered = HeaderValue::from_static("v10.stomp, v12.stomp");
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, offered);
    let (mut socket, response) = connect_async(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "v12.stomp");

    let token = server.token("program").await;
    let connect = format!("CONNECT\naccept-version:1.2\nhost:landside\npasscode:{token}\n\n\0");
    socket.send(Message::text(connect)).await.unwrap();
    let answer = timeout(PATIENCE, socket.next()).await.unwrap();
    let connected = answer.unwrap().unwrap().into_text().unwrap();
    assert!(
        connected.starts_with("CONNECTED\n") && connected.contains("\nversion:1.2\n"),
        "{connected}"
    );
    drop(socket);
    server.stop().await;
}

/// The figure of one series in what the metrics say; 0 when nothing was counted.
fn figure(metrics: &str, series: &str) -> u64 {
    let told = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
    metrics.lines().find_map(told).unwrap_or(0)
}

#[tokio::test]
async fn the_metrics_tell_of_sessions_and_refusals() {
    let server = TestServer::start().await;
    let opened = r#"landside_sockjs_opened_total{transport="xhr"}"#;
    let origin = r#"landside_sockjs_refused_total{reason="origin"}"#;
    Polling::open(&server, "counted", "").await;
    let foreign = Client::new()
        .post(server.url("/sockjs/000/foreign/xhr"))
        .header(ORIGIN, "http://evil.example");
    let status = foreign.send().await.unwrap().status();
    assert_eq!(status, StatusCode::FORBIDDEN);

    // Servers of other tests count in the same process, so that there may be more.
    let metrics = server.metrics().await;
    assert!(figure(&metrics, opened) >= 1, "{metrics}");
    assert!(figure(&metrics, origin) >= 1, "{metrics}");
    server.stop().await;
}

/// A browser sends its cookie along with whatever page of whatever site asks: only a token says who connects.
#[tokio::test]
async fn a_cookie_alone_opens_nothing() {
    let server = TestServer::start().await;
    let signed_in = Browser::new(server.url("")).sign_in("omar", PASSWORD).await;
    let cookie = signed_in.headers()[SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let connect = "CONNECT\naccept-version:1.2\nhost:landside\n\n\0";

    let client = Polling::open(&server, "by-polling", cookie).await;
    client.send(connect).await;
    let error = client.stomp().await;
    assert!(error.contains("code:unauthenticated"), "{error}");

    // As a script of another site: no `Origin`, but the cookie.
    let http = Client::new();
    let url = server.url("/sockjs/000/by-jsonp");
    let jsonp = http.get(format!("{url}/jsonp?c=f")).header(COOKIE, cookie);
    let opened = jsonp.send().await.unwrap().text().await.unwrap();
    assert!(opened.contains("f(\"o\")"), "{opened}");
    // As a form of another site, which names itself: refused.
    let form = |origin: Option<&'static str>| {
        let request = http
            .post(format!("{url}/jsonp_send"))
            .header(COOKIE, cookie)
            .form(&[("d", json!([connect]).to_string())]);
        match origin {
            Some(origin) => request.header(ORIGIN, origin),
            None => request,
        }
    };
    let refused = form(Some("http://evil.example")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(form(None).send().await.unwrap().status(), StatusCode::OK);
    let jsonp = http.get(format!("{url}/jsonp?c=f")).header(COOKIE, cookie);
    let error = jsonp.send().await.unwrap().text().await.unwrap();
    assert!(error.contains("code:unauthenticated"), "{error}");

    let mut request = server
        .url("/ws")
        .replace("http", "ws")
        .into_client_request()
        .unwrap();
    let headers = request.headers_mut();
    headers.insert(COOKIE, cookie.parse().unwrap());
    headers.insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static("v12.stomp"),
    );
    let (mut socket, _) = connect_async(request).await.unwrap();
    socket.send(Message::text(connect)).await.unwrap();
    let error = timeout(PATIENCE, socket.next()).await.unwrap();
    let error = error.unwrap().unwrap().into_text().unwrap();
    assert!(error.contains("code:unauthenticated"), "{error}");
    server.stop().await;
}
