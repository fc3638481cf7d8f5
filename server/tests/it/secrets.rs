//! No secret leaves by a side door: not by the log, at whatever level, not by an answer to somebody who got it wrong, and not
//! by the audit.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use server::identity::policy::Policy;
use server::identity::totp;
use stomp::{Command, Frame};
use tempfile::TempDir;
use tokio::process::Child;
use url::Url;

use crate::database::Database;
use crate::fake_provider::FakeProvider;
use crate::harness::{Browser, CONFIG, PASSWORD, access, base32_bytes, field, unix_now};
use crate::stomp_client::StompClient;

const APPLICATION: &str = r#"
[[application]]
id = "field-app"
name = "Field app"
redirect_uris = ["http://127.0.0.1/signed-in"]
"#;

const BACK: &str = "http://127.0.0.1:49152/signed-in";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A server as a process, with all that it says kept.
struct Talkative {
    database: Database,
    directory: TempDir,
    http: SocketAddr,
    stomp: SocketAddr,
    process: Child,
}

impl Talkative {
    async fn start(provider: &FakeProvider) -> Self {
        let free = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let (http, stomp, metrics) = (free(), free(), free());
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let listen = format!(
            "[stomp]\nlisten = \"{stomp}\"\npasscodes = true\n[metrics]\nlisten = \"{metrics}\"\n"
        );
        // The provider's section says in `[http]` where browsers come back to.
        let more = provider
            .section()
            .replace("[http]\n", &format!("[http]\nlisten = \"{http}\"\n"));
        let config = format!("{CONFIG}{listen}{more}");
        std::fs::write(root.join("server.toml"), config).unwrap();
        std::fs::write(root.join("access.toml"), access() + APPLICATION).unwrap();
        std::fs::write(root.join("policy.toml"), Policy::DEFAULT).unwrap();
        let database = Database::create().await;
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
        let server = Self {
            database,
            directory,
            http,
            stomp,
            process,
        };
        let ready = server.url("/readyz");
        let up = async {
            while !reqwest::get(&ready)
                .await
                .is_ok_and(|it| it.status() == 200)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let up = tokio::time::timeout(Duration::from_secs(60), up).await;
        if up.is_err() {
            let log = std::fs::read_to_string(server.directory.path().join("log"));
            panic!("the server is not ready in time: {}", log.unwrap());
        }
        server
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// What it wrote into its log, and into the audit.
    async fn stop(mut self) -> (String, String) {
        self.process.kill().await.unwrap();
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
        let rows = "select concat_ws(' ', actor, identity, peer, action, subject, reason, detail, outcome) from audit";
        let audit = self.database.texts(rows).await.join("\n");
        self.database.drop().await;
        (log, audit)
    }
}

/// What was answered to whoever got something wrong, and what nobody may read anywhere.
#[derive(Default)]
struct Heard {
    answers: String,
    secrets: Vec<(&'static str, String)>,
}

impl Heard {
    fn secret(&mut self, what: &'static str, secret: &str) -> String {
        assert!(secret.len() > 5, "{what} is too short to be looked for");
        self.secrets.push((what, secret.to_owned()));
        secret.to_owned()
    }

    /// The signature stands for the token: no two tokens share one.
    fn token(&mut self, what: &'static str, token: &Value) -> String {
        let token = token.as_str().unwrap();
        self.secret(what, token.rsplit('.').next().unwrap());
        token.to_owned()
    }

    async fn refused(&mut self, answer: Response, status: u16) {
        assert_eq!(answer.status(), status, "{}", answer.url());
        self.answers += &format!("{:?}", answer.headers());
        self.answers += &answer.text().await.unwrap();
    }

    async fn refused_request(&mut self, request: RequestBuilder, status: u16) {
        self.refused(request.send().await.unwrap(), status).await;
    }

    fn cookies(&mut self, answer: &Response) {
        for cookie in answer.headers().get_all("set-cookie") {
            let (name, value) = cookie.to_str().unwrap().split_once('=').unwrap();
            let what = match name {
                "landside_login" => "login's cookie",
                "landside_device" => "browser's cookie",
                other => panic!("a cookie that nobody knows: {other}"),
            };
            self.secret(what, value.split(';').next().unwrap());
        }
    }
}

async fn json(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.url());
    answer.json().await.unwrap()
}

/// Right, wrong, with a cookie, with a forged one; and a page's token.
async fn people(server: &Talkative, heard: &mut Heard) -> (Browser, String) {
    let omar = Browser::new(server.url(""));
    let entered = omar
        .sign_in("omar", &heard.secret("password", PASSWORD))
        .await;
    heard.cookies(&entered);
    let wrong = heard.secret("wrong password", "a wrong pass phrase of omar");
    let answer = Browser::new(server.url("")).sign_in("omar", &wrong).await;
    heard.refused(answer, 401).await;
    let csrf = omar.csrf().await;
    heard.secret("CSRF token", &csrf);
    let forged = heard.secret("forged CSRF token", "forged-csrf-token-of-nobody");
    let answer = omar
        .post_with("/login/token", ("x-csrf-token", &forged), &[])
        .await;
    heard.refused(answer, 403).await;
    let answer = omar
        .post_with("/login/token", ("x-csrf-token", &csrf), &[])
        .await;
    let answer: Value = answer.json().await.unwrap();
    let token = heard.token("page's token", &answer["access_token"]);
    let wrong = heard.secret("wrong password to unlock", "another wrong pass phrase");
    let form = [("csrf", csrf.as_str()), ("password", &wrong), ("next", "/")];
    heard
        .refused(omar.post("/login/unlock", &form).await, 303)
        .await;
    let forged = heard.secret("forged cookie", "forged-cookie-of-nobody");
    let request = reqwest::Client::new().get(server.url("/api/v1/alarms"));
    let request = request.header("cookie", format!("landside_login={forged}"));
    heard.refused_request(request, 401).await;
    (omar, token)
}

/// The first administrator connects an app, and invites somebody.
async fn second_factor_and_invitation(server: &Talkative, heard: &mut Heard) {
    const PATH: &str = "/sign-in/second-factor";
    let ada = Browser::new(server.url(""));
    heard.cookies(&ada.sign_in("ada", PASSWORD).await);
    let page = ada.page(PATH).await;
    let csrf = heard.secret("CSRF token on the way in", &field(&page, "csrf"));
    let page = ada.post(PATH, &[("csrf", &csrf)]).await;
    let page = page.text().await.unwrap();
    let base32 = page.split("class=\"secret\">").nth(1).unwrap();
    let base32 = heard.secret("TOTP secret", base32.split('<').next().unwrap());
    let code = totp::code_at(&base32_bytes(&base32), unix_now());
    let code = heard.secret("TOTP code", &code);
    let wrong = format!("{}0", &code[1..]);
    let wrong = heard.secret(
        "wrong TOTP code",
        if wrong == code { "000001" } else { &wrong },
    );
    // The page shows the secret to who may connect an app; only the refusal of a code is looked at.
    let form = [("csrf", csrf.as_str()), ("code", &wrong)];
    assert_eq!(ada.post(PATH, &form).await.status(), 403);
    let form = [("csrf", csrf.as_str()), ("code", &code)];
    let codes = ada.post(PATH, &form).await.text().await.unwrap();
    let codes: Vec<_> = codes
        .split("<li><code>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap())
        .collect();
    for code in &codes {
        heard.secret("recovery code", code);
    }
    let again = Browser::new(server.url(""));
    heard.cookies(&again.sign_in("ada", PASSWORD).await);
    let csrf = field(&again.page(PATH).await, "csrf");
    for (code, status) in [(code.as_str(), 403), (codes[0], 303), (codes[0], 303)] {
        let form = [("csrf", csrf.as_str()), ("code", code)];
        let answer = again.post(PATH, &form).await;
        assert_eq!(answer.status(), status);
        // Its form holds the page's own CSRF token, as every form does.
        heard.answers += &answer.text().await.unwrap().replace(&csrf, "");
    }

    let csrf = heard.secret("CSRF token of an administrator", &again.csrf().await);
    let form = [
        ("csrf", csrf.as_str()),
        ("name", "nina"),
        ("full_name", "Nina"),
        ("role", "viewer"),
        ("zones", "p1"),
    ];
    again.post("/people/invite", &form).await;
    let page = again.page("/people").await;
    let link = page
        .split("/invitation/")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let link = heard.secret("invitation", link);
    let path = format!("/invitation/{link}");
    let new = heard.secret("new password", "three geese pass the gate");
    let nina = Browser::new(server.url(""));
    let differ = [("new", new.as_str()), ("again", "something else entirely")];
    // The page is at the link's address; only its refusal is looked at.
    assert_eq!(nina.post(&path, &differ).await.status(), 422);
    let form = [("new", new.as_str()), ("again", new.as_str())];
    heard.cookies(&nina.post(&path, &form).await);
    assert_eq!(nina.post(&path, &form).await.status(), 404);
}

/// Right, wrong, by form and by Basic, by token and by passcode; damaged tokens wherever one may be.
async fn programs(server: &Talkative, heard: &mut Heard) {
    let http = reqwest::Client::new();
    let form = |secret: &str| {
        http.post(server.url("/oauth/token")).form(&json!({
            "grant_type": "client_credentials", "client_id": "program", "client_secret": secret}))
    };
    let answer = json(form(PASSWORD)).await;
    let token = heard.token("program's token", &answer["access_token"]);
    let wrong = heard.secret("wrong secret", "a-wrong-secret-of-the-program");
    heard.refused_request(form(&wrong), 401).await;
    heard.secret(
        "wrong secret, encoded",
        &STANDARD.encode(format!("program:{wrong}")),
    );
    let basic = http
        .post(server.url("/oauth/token"))
        .basic_auth("program", Some(&wrong));
    let basic = basic.form(&[("grant_type", "client_credentials")]);
    heard.refused_request(basic, 401).await;

    let mut damaged = token.clone();
    damaged.replace_range(damaged.len() - 6.., "AAAAAA");
    heard.token("damaged token", &Value::String(damaged.clone()));
    let request = http.get(server.url("/api/v1/alarms")).bearer_auth(&damaged);
    heard.refused_request(request, 401).await;
    // In a URL, where it has no business, and which is told back to nobody but the one who asked.
    let request = http.get(server.url(&format!("/alarms?token={token}")));
    drop(request.send().await.unwrap());

    drop(StompClient::connect(server.stomp, &token).await);
    let mut client = StompClient::begin(server.stomp, &damaged).await;
    heard.answers += &format!("{:?}", client.next().await);
    let mut client = StompClient::connect(server.stomp, &token).await;
    let renewal = Frame::new(Command::Send)
        .with_header("destination", "/app/auth")
        .with_header("Authorization", format!("Bearer {damaged}"));
    client.send_frame(renewal).await;
    heard.answers += &format!("{:?}", client.next().await);
    for passcode in [
        PASSWORD,
        &heard.secret("wrong passcode", "a-wrong-passcode-of-a-kiosk"),
        &damaged,
    ] {
        let mut client = StompClient::with_passcode(server.stomp, "program", passcode).await;
        heard.answers += &format!("{:?}", client.next().await);
    }

    let revoke = |token: &str| {
        http.post(server.url("/oauth/revoke")).form(&json!({
            "client_id": "program", "client_secret": PASSWORD, "token": token}))
    };
    assert_eq!(revoke(&token).send().await.unwrap().status(), 200);
    let request = http.get(server.url("/api/v1/alarms")).bearer_auth(&token);
    heard.refused_request(request, 401).await;
}

/// A code and refresh tokens, used and replayed.
async fn application(server: &Talkative, omar: &Browser, heard: &mut Heard) {
    let http = reqwest::Client::new();
    let asked = [
        ("response_type", "code"),
        ("client_id", "field-app"),
        ("redirect_uri", BACK),
        ("state", "state-of-the-application"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let csrf = omar.csrf().await;
    let form = [
        &asked[..],
        &[("csrf", csrf.as_str()), ("decision", "approve")],
    ]
    .concat();
    let answer = omar.post("/oauth/authorize", &form).await;
    let location = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    let (_, code) = location
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap();
    let code = heard.secret("authorization code", &code);
    let verifier = heard.secret("PKCE verifier", VERIFIER);
    let token = |form: &[(&str, &str)]| {
        let form = [form, &[("client_id", "field-app")]].concat();
        http.post(server.url("/oauth/token")).form(&form)
    };
    let exchange = [
        ("grant_type", "authorization_code"),
        ("redirect_uri", BACK),
        ("code", &code),
        ("code_verifier", &verifier),
    ];
    let refresh = |heard: &mut Heard, answer: &Value| {
        let refresh = answer["refresh_token"].as_str().unwrap();
        heard.secret("refresh token", refresh)
    };
    let first = json(token(&exchange)).await;
    heard.token("application's token", &first["access_token"]);
    let first = refresh(heard, &first);
    let second = json(token(&[
        ("grant_type", "refresh_token"),
        ("refresh_token", &first),
    ]))
    .await;
    let second = refresh(heard, &second);
    let third = json(token(&[
        ("grant_type", "refresh_token"),
        ("refresh_token", &second),
    ]))
    .await;
    let third = refresh(heard, &third);
    for shown in [&first, &third] {
        heard
            .refused_request(
                token(&[("grant_type", "refresh_token"), ("refresh_token", shown)]),
                400,
            )
            .await;
    }
    heard.refused_request(token(&exchange), 400).await;
}

/// What goes to the provider and comes from there, right and wrong.
async fn provider(server: &Talkative, provider: &FakeProvider, heard: &mut Heard) {
    for (nonce, status) in [(None, 303), (Some("another nonce"), 403)] {
        let browser = Browser::new(server.url(""));
        let sent = browser.get("/sign-in/external").await;
        let location = Url::parse(sent.headers()["location"].to_str().unwrap()).unwrap();
        let of = |name: &str| {
            location
                .query_pairs()
                .find(|(key, _)| key == name)
                .unwrap()
                .1
                .into_owned()
        };
        let state = heard.secret("state at the provider", &of("state"));
        let right = heard.secret("nonce at the provider", &of("nonce"));
        let claims = json!({"aud": "landside", "nonce": nonce.unwrap_or(&right)});
        let token = provider.key.sign("JWT", &provider.claims(&claims));
        heard.token("ID token", &Value::String(token.clone()));
        provider.answers(token);
        let code = heard.secret("code of the provider", "a-code-of-the-provider-for-kim");
        let answer = browser
            .get(&format!(
                "/sign-in/external/return?code={code}&state={state}"
            ))
            .await;
        if status == 303 {
            assert_eq!(answer.status(), 303);
        } else {
            heard.refused(answer, status).await;
        }
    }
    let mut damaged = provider.key.sign("at+jwt", &provider.claims(&json!({})));
    damaged.replace_range(damaged.len() - 6.., "AAAAAA");
    heard.token(
        "damaged token of the provider",
        &Value::String(damaged.clone()),
    );
    let request = reqwest::Client::new().get(server.url("/api/v1/alarms"));
    heard
        .refused_request(request.bearer_auth(&damaged), 401)
        .await;
}

/// Whether a text tells it. Six digits are a code where no other digits or letters are next to them: parts of longer numbers
/// are like them by chance.
fn tells(text: &str, secret: &str) -> bool {
    let is_code = secret.len() == 6;
    let apart = |letter: Option<char>| {
        letter.is_none_or(|letter| !letter.is_alphanumeric() && letter != '.')
    };
    text.match_indices(secret).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + secret.len()..]);
        !is_code || (apart(before.chars().next_back()) && apart(after.chars().next()))
    })
}

#[tokio::test]
async fn logs_and_answers_never_tell_a_secret() {
    let external = FakeProvider::start().await;
    let server = Talkative::start(&external).await;
    let mut heard = Heard::default();
    let (omar, token) = people(&server, &mut heard).await;
    drop(StompClient::connect(server.stomp, &token).await);
    second_factor_and_invitation(&server, &mut heard).await;
    programs(&server, &mut heard).await;
    application(&server, &omar, &mut heard).await;
    provider(&server, &external, &mut heard).await;

    let (log, audit) = server.stop().await;
    assert!(log.contains("DEBUG"), "debugging was on");
    assert!(audit.contains("grant.replay") && audit.contains("invitation.accept"));
    assert!(heard.secrets.len() > 40 && heard.answers.len() > 1000);
    for (what, secret) in &heard.secrets {
        for (place, text) in [
            ("log", &log),
            ("audit", &audit),
            ("answers", &heard.answers),
        ] {
            assert!(!tells(text, secret), "{place}: the {what} is told");
        }
    }
}

#[test]
fn a_code_is_told_by_itself_only() {
    for (text, told) in [
        ("code=123456", true),
        ("\"123456\"", true),
        ("123456", true),
        ("22:07:23.123456Z", false),
        ("1234567", false),
        ("a123456", false),
    ] {
        assert_eq!(tells(text, "123456"), told, "{text}");
    }
    assert!(tells("xa-secretx", "a-secret"));
}
