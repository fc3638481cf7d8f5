//! What a scanner tries on any server of HTTP, without knowing what it serves: requests that two servers in a row would
//! read differently, other hosts, methods and paths, and addresses of others to be sent to.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Browser, PASSWORD, PATIENCE, TestServer};

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n";
const POST: &str =
    "POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n";

/// What follows a request that was smuggled in: were it answered, there would be two answers.
const SECOND: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

/// Everything that is answered to this until the server closes, which it is asked to after the first request.
async fn answers(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answered = Vec::new();
    let read = stream.read_to_end(&mut answered);
    // A reset after an answer is an end as well.
    let _ended = tokio::time::timeout(PATIENCE, read).await.unwrap();
    String::from_utf8(answered).unwrap()
}

/// Exactly one answer, with this status.
async fn check(address: SocketAddr, sent: &str, status: u16) -> String {
    let answered = answers(address, sent).await;
    let expected = format!("HTTP/1.1 {status} ");
    assert!(answered.starts_with(&expected), "{sent:?}: {answered}");
    assert_eq!(
        answered.matches("HTTP/1.1 ").count(),
        1,
        "{sent:?}: {answered}"
    );
    answered
}

/// Were one of these read in two ways, somebody's request could be hidden in another's.
#[tokio::test]
async fn a_request_has_one_end_and_one_host() {
    let server = TestServer::start().await;
    let address = server.http_address();
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        "content-length: 0\r\ncontent-length: 5\r\n\r\n",
        "content-length: 0, 0\r\n\r\n",
        "content-length: +0\r\n\r\n",
        "content-length: 99999999999999999999\r\n\r\n",
        "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\na\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
        "content-length: 0\r\nx: a\r\n b\r\n\r\n",
        "content-length: 0\r\nx: a\rb: c\r\n\r\n",
        "content-length: 0\r\nx: a\0b\r\n\r\n",
    ] {
        check(address, &format!("{POST}{framing}{SECOND}"), 400).await;
    }
    for hosts in [
        "",
        "host: a\r\nhost: b\r\n",
        "host: a/b\r\n",
        "host: b@a\r\n",
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\n{hosts}\r\n");
        let refused = check(address, &request, 400).await;
        assert!(refused.contains("one header Host is needed"), "{refused}");
    }
    // A body that nobody asked for is read over, not answered.
    let hidden = format!("{GET}content-length: {}\r\n\r\n{SECOND}", SECOND.len());
    check(address, &hidden, 200).await;
    server.stop().await;
}

#[tokio::test]
async fn other_methods_paths_and_hosts_lead_nowhere() {
    let server = TestServer::start().await;
    let address = server.http_address();
    let traced = "TRACE / HTTP/1.1\r\nhost: a\r\ncookie: secret-of-a-cookie\r\n\r\n";
    let traced = check(address, traced, 405).await;
    assert!(!traced.contains("secret-of-a-cookie"));
    for (target, status) in [
        ("/assets/../../../etc/passwd", 303),
        ("/assets/%2e%2e/%2e%2e/etc/passwd", 303),
        ("/assets/..%2f..%2fetc%2fpasswd", 404),
        ("/assets/", 303),
        ("/.git/config", 303),
        ("/.env", 303),
        ("/metrics", 303),
        ("//evil.example/", 303),
        ("http://evil.example/alarms", 303),
        ("/x%0d%0aset-cookie:a=b", 303),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: evil.example\r\n\r\n");
        let answered = check(address, &request, status).await;
        if status == 303 {
            // Ours, whoever the request says that we are.
            assert!(
                answered.contains("\r\nlocation: /sign-in?next="),
                "{target}: {answered}"
            );
        }
        assert!(
            !answered.contains("root:") && !answered.contains("\r\nset-cookie"),
            "{target}"
        );
    }
    // What is said of ourselves does not follow what others call us.
    let other = reqwest::Client::new()
        .get(server.url("/.well-known/oauth-authorization-server"))
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example");
    let said = other.send().await.unwrap().text().await.unwrap();
    assert!(said.contains("issuer") && !said.contains("evil"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn nobody_is_sent_to_another_site() {
    let server = TestServer::start().await;
    for next in [
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        " //evil.example/",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "/\r\nset-cookie: a=b",
    ] {
        let browser = Browser::new(server.url(""));
        let form = [("name", "omar"), ("password", PASSWORD), ("next", next)];
        let entered = browser.post("/sign-in", &form).await;
        assert_eq!(entered.headers()["location"], "/", "{next:?}");
        let chosen = browser
            .post("/language", &[("lang", "en"), ("next", next)])
            .await;
        assert_eq!(chosen.headers()["location"], "/", "{next:?}");
    }
    server.stop().await;
}

/// The cookies' flags, and what may keep an answer.
#[tokio::test]
async fn secrets_are_kept_by_nobody_else() {
    let server =
        TestServer::start_with("[http]\npublic_url = \"https://landside.example\"\n", &[]).await;
    let browser = Browser::new(server.url(""));
    let origin = format!("https://{}", server.http_address());
    let form = [("name", "omar"), ("password", PASSWORD)];
    let entered = browser.post_with("/sign-in", ("origin", &origin), &form);
    let entered = entered.await;
    let cookies: Vec<_> = entered.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 2, "the login, and the browser");
    for cookie in cookies {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        for flag in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"] {
            assert!(cookie.contains(&format!("; {flag}")), "{flag}: {cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    assert_eq!(entered.headers()["cache-control"], "no-store");
    for path in [
        "/",
        "/sign-in",
        "/account",
        "/api/v1/alarms",
        "/invitation/x",
        "/no/such/page",
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
        for tells in ["server", "x-powered-by"] {
            assert!(
                !answer.headers().contains_key(tells),
                "{path} tells {tells}"
            );
        }
    }
    server.stop().await;
}
