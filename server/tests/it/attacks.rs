//! What somebody with a good token tries next: other zones, other people's queues, the topics themselves. What is tried
//! without one, or with a bad one, is in `oauth.rs`; at the door, in `listener.rs` and `people.rs`.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use stomp::{Command, Frame};
use tempfile::TempDir;
use tokio::process::Child;

use crate::agent::event;
use crate::database::Database;
use crate::harness::{Browser, CONFIG, PASSWORD, PATIENCE, TestServer, access, policy};
use crate::stomp_client::StompClient;

/// What the server may answer to what nobody may do. Whatever else it says is no refusal.
const REFUSALS: [&str; 5] = [
    "forbidden",
    "bad-destination",
    "unsupported-destination",
    "unknown-destination",
    "no-such-device",
];

#[track_caller]
fn is_refusal(code: &str, who: &str, what: &str) {
    assert!(REFUSALS.contains(&code), "{who} {what}: {code:?}");
}

/// `gate-1` stands in zone p1; the program may see p2 only.
#[tokio::test]
async fn nobody_sees_beyond_their_zone_whatever_they_call_it() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    for destination in [
        // Directly.
        "/topic/zones/p1/alarms",
        "/topic/devices/gate-1",
        "/topic/ui/ko/zones/p1/**",
        "/topic/ui/ko/zones/p1/devices/gate-1",
        "/topic/alarms",
        "/topic/overview",
        // By wildcards.
        "/topic/**",
        "/topic/*",
        "/topic/zones/**",
        "/topic/zones/*/alarms",
        "/topic/zones/p1/**",
        "/topic/devices/*",
        "/topic/*/gate-1",
        "/topic/ui/**",
        "/topic/ui/*/zones/p1/**",
        "/topic/ui/ko/zones/*/**",
        "/topic/ui/ko/**",
        "/**",
        // By another spelling of the same.
        "/topic//zones/p1/alarms",
        "//topic/zones/p1/alarms",
        "/topic/zones/p2/../p1/alarms",
        "/topic/zones/p2/alarms/../../p1/alarms",
        "/topic/zones/p2%2f..%2fp1/alarms",
        "/topic/zones/%70%31/alarms",
        "/topic/zones/P1/alarms",
        "/TOPIC/zones/p1/alarms",
        "/topic/zones/p1/alarms/",
        "/topic/zones/p1/./alarms",
        "/topic/zones/ p1/alarms",
        "/topic/zones/p1/alarms\u{200b}",
        "/topic/zones/{zone}/alarms",
        "topic/zones/p1/alarms",
        "/topic/zones/p2,p1/alarms",
        "/topic.zones.p1.alarms",
        "/exchange/topic/zones.p1.alarms",
    ] {
        let mut stomp = server.stomp("program-p2").await;
        stomp.try_subscribe(destination).await;
        is_refusal(&stomp.error().await, "SUBSCRIBE", destination);
    }
    server.stop().await;
}

#[tokio::test]
async fn nobody_reads_what_is_for_another() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    for destination in [
        "/user/agent-1/queue/commands",
        "/user/omar/queue/errors",
        "/user/omar/queue/command-progress",
        "/user/**",
        "/user/*/queue/errors",
        "/user/queue/**",
        "/user/queue/commands",
        "/queue/commands",
        "/queue/errors-useromar",
        "/queue/**",
        "/reply-queue/1",
        "/reply-queue/**",
        "/amq/queue/commands",
        "/app/events",
    ] {
        let mut stomp = server.stomp("program").await;
        stomp.try_subscribe(destination).await;
        is_refusal(&stomp.error().await, "SUBSCRIBE", destination);
    }
    server.stop().await;
}

/// Not directly, not by a transaction, not as the answer to something else.
#[tokio::test]
async fn nobody_speaks_past_the_handlers() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    for client in ["program", "agent-2"] {
        for destination in [
            "/topic/alarms",
            "/topic/zones/p1/alarms",
            "/topic/devices/gate-1",
            "/topic/ui/ko/zones/p1/tile",
            "/topic/anything",
            "/user/agent-1/queue/commands",
            "/user/omar/queue/errors",
            "/user/queue/commands",
            "/queue/commands",
            "/reply-queue/1",
            "/app/../topic/alarms",
            "/app//events",
            "/app/events/",
            "/app/nothing",
        ] {
            let mut stomp = server.stomp(client).await;
            stomp.cast(destination, &Value::Null).await;
            is_refusal(&stomp.error().await, client, destination);

            let mut stomp = server.stomp(client).await;
            let begin = Frame::new(Command::Begin).with_header("transaction", "t");
            stomp.send_frame(begin).await;
            let send = Frame::new(Command::Send)
                .with_header("destination", destination)
                .with_header("transaction", "t");
            stomp.send_frame(send).await;
            is_refusal(&stomp.error().await, client, destination);
        }
    }
    server.stop().await;
}

/// An answer to another's name would reach whoever listens there.
#[tokio::test]
async fn a_reply_goes_to_nobody_else() {
    let server = TestServer::start().await;
    let mut omar = server.stomp("program-p2").await;
    omar.subscribe("/user/queue/errors").await;
    let mut stomp = server.stomp("program").await;
    stomp.subscribe("/user/queue/errors").await;
    for reply_to in [
        "/topic/alarms",
        "/user/program-p2/queue/errors",
        "/reply-queue/1",
        "/queue/commands",
    ] {
        let send = Frame::new(Command::Send)
            .with_header("destination", "/app/alarms/999/acknowledge")
            .with_header("reply-to", reply_to);
        stomp.send_frame(send).await;
        // Refused by the handler, and told to the one who asked.
        assert_eq!(stomp.message().await.header("code"), Some("bad-body"));
    }
    // What comes next for the other is the answer to its own mistake, nothing of the above.
    omar.cast("/app/auth", &Value::Null).await;
    assert_eq!(omar.message().await.header("code"), Some("no-token"));
    server.stop().await;
}

#[tokio::test]
async fn nobody_acts_on_a_device_or_alarm_of_another_zone() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let everywhere = server.program("program").await;
    let alarm = everywhere.alarms().await[0]["id"].as_i64().unwrap();
    let occurrence = everywhere.alarms().await[0]["occurrence"].clone();

    let mut stomp = server.stomp("program-p2").await;
    stomp.subscribe("/user/queue/errors").await;
    let acknowledge = serde_json::json!({"occurrence": occurrence});
    stomp
        .cast(&format!("/app/alarms/{alarm}/acknowledge"), &acknowledge)
        .await;
    assert_eq!(stomp.message().await.header("code"), Some("forbidden"));
    let command =
        serde_json::json!({"key": uuid::Uuid::from_u128(1), "name": "open", "params": {}});
    stomp.cast("/app/devices/gate-1/commands", &command).await;
    // Not even that it is there is told.
    assert_eq!(stomp.message().await.header("code"), Some("no-such-device"));

    let api = server.program("program-p2").await;
    let path = format!("/api/v1/alarms/{alarm}/acknowledge");
    assert_eq!(api.post(&path, acknowledge).await.0, 403);
    let path = "/api/v1/devices/gate-1/commands";
    assert_eq!(api.post(path, command).await.0, 404);
    assert_eq!(api.get("/api/v1/devices/gate-1").await.0, 404);
    assert!(api.alarms().await.is_empty());
    assert_eq!(everywhere.alarms().await[0]["state"], "unacknowledged");
    server.stop().await;
}

/// A server as a process, with all that it says kept.
struct Talkative {
    database: Database,
    directory: TempDir,
    http: SocketAddr,
    stomp: SocketAddr,
    process: Child,
}

impl Talkative {
    /// Ports that are free now may be somebody's when the server listens: then with others.
    async fn start() -> Self {
        let database = Database::create().await;
        let mut server = Self::launch(database);
        let mut said = String::new();
        for _ in 0..5 {
            if server.is_ready().await {
                return server;
            }
            said += &server.log();
            server = Self::launch(server.database);
        }
        panic!("the server ended each time, which said:\n{said}");
    }

    fn launch(database: Database) -> Self {
        let free = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let (http, stomp, metrics) = (free(), free(), free());
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let listen = format!(
            "[http]\nlisten = \"{http}\"\n[stomp]\nlisten = \"{stomp}\"\n[metrics]\nlisten = \"{metrics}\"\n"
        );
        std::fs::write(root.join("server.toml"), format!("{CONFIG}{listen}")).unwrap();
        std::fs::write(root.join("access.toml"), access()).unwrap();
        std::fs::write(root.join("policy.toml"), policy()).unwrap();
        let log = std::fs::File::create(root.join("log")).unwrap();
        let process = tokio::process::Command::new(env!("CARGO_BIN_EXE_landside-server"))
            .args(["run", "--config"])
            .arg(root.join("server.toml"))
            .env("DATABASE_URL", database.url())
            .env("SECRET", PASSWORD)
            .env("RUST_LOG", "debug")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            database,
            directory,
            http,
            stomp,
            process,
        }
    }

    /// Waits until it answers; `false` when it has ended.
    async fn is_ready(&mut self) -> bool {
        let ready = self.url("/readyz");
        let begun = Instant::now();
        loop {
            if reqwest::get(&ready)
                .await
                .is_ok_and(|it| it.status() == 200)
            {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it is not ready: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    async fn stop(mut self) -> String {
        self.process.kill().await.unwrap();
        let log = self.log();
        self.database.drop().await;
        log
    }
}

#[tokio::test]
async fn logs_and_answers_never_tell_a_secret() {
    let server = Talkative::start().await;
    let mut told = String::new();
    let http = reqwest::Client::new();

    // People: right, wrong, with a cookie, with a bad cookie.
    let browser = Browser::new(server.url(""));
    let signed_in = browser.sign_in("omar", PASSWORD).await;
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
    let wrong = "a wrong pass phrase of omar";
    let refused = Browser::new(server.url("")).sign_in("omar", wrong).await;
    told += &refused.text().await.unwrap();
    let csrf = browser.csrf().await;
    let answer = browser
        .post_with("/login/token", ("x-csrf-token", &csrf), &[])
        .await;
    let answer: Value = answer.json().await.unwrap();
    let page_token = answer["access_token"].as_str().unwrap().to_owned();
    let forged = "landside_login=forged-cookie-of-nobody";
    let request = http.get(server.url("/alarms")).header("cookie", forged);
    told += &request.send().await.unwrap().text().await.unwrap();

    // Programs: right, wrong, by form and by Basic.
    let form = |secret: &'static str| {
        [
            ("grant_type", "client_credentials"),
            ("client_id", "program"),
            ("client_secret", secret),
        ]
    };
    let request = http.post(server.url("/oauth/token")).form(&form(PASSWORD));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let token = answer["access_token"].as_str().unwrap().to_owned();
    let wrong_secret = "a-wrong-secret-of-the-program";
    let request = http.post(server.url("/oauth/token"));
    let request = request.form(&form(wrong_secret));
    told += &request.send().await.unwrap().text().await.unwrap();
    let basic = STANDARD.encode(format!("program:{wrong_secret}"));
    let request = http.post(server.url("/oauth/token"));
    let request = request.basic_auth("program", Some(wrong_secret));
    let request = request.form(&[("grant_type", "client_credentials")]);
    told += &request.send().await.unwrap().text().await.unwrap();

    // Tokens: good, damaged, on the API and on STOMP, in a header that nobody knows and in a URL.
    let mut damaged = token.clone();
    damaged.replace_range(damaged.len() - 6.., "AAAAAA");
    let request = http.get(server.url("/api/v1/alarms")).bearer_auth(&damaged);
    told += &request.send().await.unwrap().text().await.unwrap();
    let request = http.get(server.url(&format!("/alarms?token={token}")));
    drop(request.send().await.unwrap());
    drop(StompClient::connect(server.stomp, &token).await);
    let mut client = StompClient::begin(server.stomp, &damaged).await;
    told += &format!("{:?}", client.next().await);
    let mut client = StompClient::connect(server.stomp, &token).await;
    let renewal = Frame::new(Command::Send)
        .with_header("destination", "/app/auth")
        .with_header("Authorization", format!("Bearer {damaged}"));
    client.send_frame(renewal).await;
    told += &format!("{:?}", client.next().await);

    let log = server.stop().await;
    assert!(log.contains("DEBUG"), "debugging was on");
    // Signatures stand for their tokens: no two tokens share one.
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    for (what, secret) in [
        ("password", PASSWORD.to_owned()),
        ("wrong password", wrong.to_owned()),
        ("cookie", cookie),
        ("forged cookie", "forged-cookie-of-nobody".to_owned()),
        ("page's token", signature(&page_token)),
        ("program's token", signature(&token)),
        ("damaged token", signature(&damaged)),
        ("wrong secret", wrong_secret.to_owned()),
        ("wrong secret, encoded", basic),
        ("CSRF token", csrf),
    ] {
        assert!(!log.contains(&secret), "the log tells the {what}");
        assert!(!told.contains(&secret), "an answer tells the {what}");
    }
}
