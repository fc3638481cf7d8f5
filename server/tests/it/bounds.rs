//! How often somebody may do what, and what is written down of it: tokens, passcodes, revocations, number plates; and the
//! keys that sign, which lie sealed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::json;
use server::identity::key_file::KeyFile;

use server::identity::rotation;
use server::store::Store;
use sqlx::{Connection, PgConnection};
use tokio::net::TcpSocket;

use crate::harness::{Browser, PASSWORD, PATIENCE, TestServer};
use crate::stomp_client::StompClient;

/// More than any burst here.
const MANY: usize = 500;

/// Asks again until the database answers so: rows of programs are written some seconds later.
async fn eventually(server: &TestServer, query: &'static str, expected: &[&str]) {
    let begun = Instant::now();
    loop {
        let told = server.database.texts(query).await;
        if told == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{query} stayed {told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// CONNECT from one of this machine's addresses; the code of the ERROR, if there is one.
async fn connect(server: &TestServer, from: u8, login: &str, passcode: &str) -> Option<String> {
    let socket = TcpSocket::new_v4().unwrap();
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, from), 0));
    socket.bind(address).unwrap();
    let stream = socket.connect(server.stomp_address()).await.unwrap();
    let mut client = StompClient::with_passcode_over(stream, login, passcode);
    client.admitted().await.err()
}

#[tokio::test]
async fn whoever_guesses_a_passcode_is_slowed_and_the_kiosk_is_not() {
    let server = TestServer::start_with("[stomp]\npasscodes = true\n", &[]).await;
    assert_eq!(connect(&server, 1, "program", PASSWORD).await, None);
    let mut codes = Vec::new();
    while codes.last().is_none_or(|code| code == "unauthenticated") {
        assert!(codes.len() < MANY, "guessing is never slowed");
        let guess = format!("guess {}", codes.len());
        codes.push(connect(&server, 2, "program", &guess).await.unwrap());
    }
    assert_eq!(codes.last().unwrap(), "too-many");
    assert_eq!(codes.len(), 6, "five are free");
    assert_eq!(
        connect(&server, 2, "program", PASSWORD).await.as_deref(),
        Some("too-many"),
        "the right one is not looked at either"
    );
    assert_eq!(connect(&server, 1, "program", PASSWORD).await, None);
    assert_eq!(
        connect(&server, 2, "nobody/such", "x").await.as_deref(),
        Some("unauthenticated")
    );
    let told = "select actor || ' ' || action || ' ' || peer || ' ' || outcome from audit
                where action like 'passcode.%' order by number";
    let wrong = "program passcode.begin 127.0.0.2 wrong login or passcode";
    let stranger = "* passcode.begin 127.0.0.2 wrong login or passcode";
    let right = "program passcode.begin 127.0.0.1 done";
    let rows = [right, wrong, wrong, wrong, wrong, wrong, stranger];
    eventually(&server, told, &rows).await;
    // The rest is one sum, written at the latest when the server stops.
    let sum = "select count(*) from audit where action = 'passcode.failures' and actor = '*'
               and (detail ->> 'refused')::int = 2 and detail -> 'from' ->> 0 = '127.0.0.2'";
    server.halt_and_drop(sum, 1).await;
}

#[tokio::test]
async fn a_programs_tokens_are_told_once_and_wrong_secrets_with_their_address() {
    let server = TestServer::start().await;
    for _ in 0..3 {
        server.token("program").await;
    }
    for (id, secret) in [("program", "wrong"), ("stranger", PASSWORD)] {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
        ];
        let answer = server.nobody().post("/oauth/token", &form).await;
        assert_eq!(answer.status(), 401, "{id}");
    }
    let told = "select actor || ' ' || outcome || ' ' || peer from audit
                where action = 'token.issue' order by number";
    let rows = [
        "program done 127.0.0.1",
        "program wrong client id or secret 127.0.0.1",
        "* wrong client id or secret 127.0.0.1",
    ];
    eventually(&server, told, &rows).await;
    server.stop().await;
}

/// Asks until it is refused for being too often.
async fn spend(ask: impl AsyncFn() -> reqwest::Response) -> usize {
    for asked in 0..MANY {
        let answer = ask().await;
        if answer.status() == 429 {
            assert!(answer.headers().contains_key("retry-after"));
            return asked;
        }
    }
    panic!("it is never too often");
}

#[tokio::test]
async fn a_page_asks_for_tokens_at_a_rate_and_a_plate_is_read_at_one() {
    let server = TestServer::start().await;
    let browser = server.browser("vera").await;
    let csrf = browser.csrf().await;
    let header = ("x-csrf-token", csrf.as_str());
    let token = async || browser.post_with("/login/token", header, &[]).await;
    assert!(spend(token).await >= 60, "a burst is free");
    // Another login of another person has their own.
    server.page_token(&server.browser("omar").await).await;

    let _agent = server.agent().await;
    let path = "/api/v1/devices/gate-1/points/plate/reveal";
    let reason = json!({"reason": "because"}).to_string();
    let reveal = async || browser.post_json(path, &csrf, reason.clone()).await;
    assert_eq!(reveal().await.status(), 403);
    let refused = spend(reveal).await;
    let rows = "select count(*) from audit where action = 'plate.reveal'";
    let rows = server.database.count(rows).await;
    assert_eq!(usize::try_from(rows).unwrap(), refused + 1, "no row more");
    server.stop().await;
}

#[tokio::test]
async fn what_is_given_back_again_and_again_is_told_once() {
    let server = TestServer::start().await;
    let token = server.token("program").await;
    let form = [
        ("token", token.as_str()),
        ("client_id", "program"),
        ("client_secret", PASSWORD),
    ];
    for _ in 0..5 {
        let answer = server.nobody().post("/oauth/revoke", &form).await;
        assert_eq!(answer.status(), 200);
    }
    let rows = "select count(*) from audit where action = 'token.revoke'";
    assert_eq!(server.database.count(rows).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn nobody_is_called_back_who_is_not_there_and_nobody_hammers_it() {
    let server = TestServer::start().await;
    let browser = server.browser("ada").await;
    let csrf = browser.csrf().await;
    let revoke = async |subject: &str| {
        let body = json!({"subject": subject}).to_string();
        browser.post_json("/api/v1/revocations", &csrf, body).await
    };
    let answer = revoke("nobody").await;
    assert_eq!(answer.status(), 404);
    let said = answer.text().await.unwrap();
    assert!(
        said.contains("no person, program or application is called"),
        "{said}"
    );
    let rows = "select count(*) from revocation where key = 'nobody'";
    assert_eq!(server.database.count(rows).await, 0);
    assert_eq!(revoke("vera").await.status(), 201);
    assert!(spend(async || revoke("nobody").await).await >= 298);
    server.stop().await;
}

#[tokio::test]
async fn signing_keys_lie_sealed_and_open_ones_of_before_are_sealed() {
    let mut server = TestServer::start().await;
    let open = "select count(*) from signing_key where not is_sealed";
    assert_eq!(server.database.count(open).await, 0);
    // As an older version left it.
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    let mut owner = PgConnection::connect(&server.database.url()).await.unwrap();
    sqlx::query("update signing_key set kid = 'before', secret = $1, is_sealed = false where activated_at is not null")
        .bind(&key)
        .execute(&mut owner)
        .await
        .unwrap();
    server.restart().await;
    assert_eq!(server.database.count(open).await, 0);
    let lies_open: bool =
        sqlx::query_scalar("select exists (select from signing_key where secret = $1)")
            .bind(&key)
            .fetch_one(&mut owner)
            .await
            .unwrap();
    assert!(!lies_open);
    let program = server.program("program").await;
    assert_eq!(program.get("/api/v1/alarms").await.0, 200, "it signs on");
    owner.close().await.unwrap();

    // A key file that is not this server's opens none of them, and a person is told what to do.
    let other = tempfile::tempdir().unwrap();
    let other = KeyFile::open(other.path()).unwrap();
    let store = Store::open(&server.database.url()).await.unwrap();
    let error = rotation::rotate(&store, &other)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("identity.key") && error.contains("keys remove"),
        "{error}"
    );
    assert_eq!(rotation::list(&store).await.unwrap().len(), 2);
    let own = KeyFile::of_server(&server.data()).unwrap();
    rotation::rotate(&store, &own).await.unwrap();
    let rotated =
        "select actor || ' ' || action from audit where action like 'key.%' order by number";
    let rows = server.database.texts(rotated).await;
    assert_eq!(rows, ["(server) key.rotate", "(command line) key.rotate"]);
    store.close().await;
    server.stop().await;
}

#[tokio::test]
async fn nobody_stands_in_the_audit_as_the_server() {
    let server = TestServer::start().await;
    let browser: Browser = server.nobody();
    for name in ["(server)", "server", "*"] {
        assert_eq!(browser.sign_in(name, "x").await.status(), 401);
    }
    let failed = "select distinct actor from audit where action = 'login.begin'";
    assert_eq!(server.database.texts(failed).await, ["*"]);
    server.stop().await;
}
