//! The token service as its clients and its attackers see it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::LOCATION;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::harness::{Browser, PASSWORD, TestServer, access, field};
use crate::stomp_client::StompClient;

mod ended;
mod taken_away;

const APPLICATIONS: &str = r#"
[[application]]
id = "field-app"
name = "Field <app>"
redirect_uris = ["http://127.0.0.1/signed-in", "kr.airport.field:/signed-in"]
[[application]]
id = "wall"
name = "Wall"
redirect_uris = ["https://wall.example/cb"]
secret_env = "SECRET"
roles = ["viewer"]
zones = ["p1"]
"#;

const FIELD: &str = "http://127.0.0.1:49152/signed-in";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

async fn server() -> TestServer {
    with("[stomp]\npasscodes = true\n").await
}

async fn with(more: &str) -> TestServer {
    let everybody = access() + APPLICATIONS;
    TestServer::start_with(more, &[("access.toml", &everybody)]).await
}

/// What an application asks for, with changes.
fn asked<'a>(changes: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    let mut asked = vec![
        ("response_type", "code"),
        ("client_id", "field-app"),
        ("redirect_uri", FIELD),
        ("state", "of the application"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        asked.retain(|(known, _)| known != name);
        asked.extend(value.map(|value| (*name, value)));
    }
    asked
}

fn path(asked: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://x/oauth/authorize").unwrap();
    url.query_pairs_mut().extend_pairs(asked);
    format!("{}?{}", url.path(), url.query().unwrap())
}

fn location(answer: &reqwest::Response) -> Url {
    Url::parse(answer.headers()[LOCATION].to_str().unwrap()).unwrap()
}

fn pair(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// The page's question is answered; where the browser is sent then.
async fn decide(browser: &Browser, asked: &[(&str, &str)], decision: &str) -> Url {
    let page = browser.page(&path(asked)).await;
    let csrf = field(&page, "csrf");
    let mut form = asked.to_vec();
    form.extend([("csrf", csrf.as_str()), ("decision", decision)]);
    let answer = browser.post("/oauth/authorize", &form).await;
    assert_eq!(answer.status(), 303);
    location(&answer)
}

async fn code(browser: &Browser, changes: &[(&str, Option<&str>)]) -> String {
    let answered = decide(browser, &asked(changes), "approve").await;
    pair(&answered, "code").expect("a code was given")
}

async fn post(server: &TestServer, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let sent = reqwest::Client::new().post(server.url(path)).form(form);
    let answer = sent.send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

fn exchange<'a>(code: &'a str, changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("client_id", "field-app"),
        ("redirect_uri", FIELD),
        ("code", code),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in changes {
        form.retain(|(known, _)| known != name);
        form.push((name, value));
    }
    form
}

async fn refresh(server: &TestServer, token: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "field-app"),
        ("refresh_token", token),
    ];
    post(server, "/oauth/token", &form).await
}

/// Everything that somebody who says yes gives to the field application.
async fn family(server: &TestServer, person: &str) -> Value {
    let browser = server.browser(person).await;
    let code = code(&browser, &[]).await;
    let (status, tokens) = post(server, "/oauth/token", &exchange(&code, &[])).await;
    assert_eq!(status, 200, "{tokens}");
    tokens
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_default().to_owned()
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn may_use(server: &TestServer, token: &str) -> bool {
    let asked = reqwest::Client::new().get(server.url("/api/v1/alarms"));
    asked.bearer_auth(token).send().await.unwrap().status() == 200
}

#[tokio::test]
async fn a_person_lets_an_application_act_and_it_goes_on_for_them() {
    let server = server().await;
    let browser = server.browser("omar").await;
    let page = browser.get(&path(&asked(&[]))).await;
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(
        policy.contains("form-action 'self' http://127.0.0.1:49152;"),
        "{policy}"
    );
    let page = page.text().await.unwrap();
    assert!(!page.contains("<app>"), "what others wrote is escaped");
    let answered = decide(&browser, &asked(&[("state", Some("s & x"))]), "approve").await;
    assert!(answered.as_str().starts_with(FIELD));
    assert_eq!(pair(&answered, "state").as_deref(), Some("s & x"));
    let issuer = pair(&answered, "iss").unwrap();

    let code = pair(&answered, "code").unwrap();
    let (status, first) = post(&server, "/oauth/token", &exchange(&code, &[])).await;
    assert_eq!(status, 200, "{first}");
    let said = claims(&text(&first, "access_token"));
    assert_eq!(
        (
            &said["iss"],
            &said["sub"],
            &said["client_id"],
            &said["roles"]
        ),
        (
            &json!(issuer),
            &json!("omar"),
            &json!("field-app"),
            &json!(["operator"])
        )
    );
    assert_eq!(first["id_token"], Value::Null, "nobody asked who it is");
    assert!(may_use(&server, &text(&first, "access_token")).await);

    let (status, second) = refresh(&server, &text(&first, "refresh_token")).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(claims(&text(&second, "access_token"))["sid"], said["sid"]);
    // The person sees every application on the page of the account, and ends each there; the application sees itself.
    self::code(
        &browser,
        &[
            ("client_id", Some("wall")),
            ("redirect_uri", Some("https://wall.example/cb")),
        ],
    )
    .await;
    let account = browser.page("/account").await;
    let ends: Vec<&str> = account.split("/account/grants/").skip(1).collect();
    assert_eq!(ends.len(), 2, "{account}");
    let own = said["sid"].as_str().unwrap();
    let other = ends.iter().find(|end| !end.starts_with(own)).unwrap();
    let other = other.split('/').next().unwrap().to_owned();
    let token = text(&second, "access_token");
    let listed = reqwest::Client::new().get(server.url("/api/v1/grants"));
    let listed: Value = listed
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(listed["items"][0]["id"], said["sid"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let csrf = browser.csrf().await;
    let path = format!("/account/grants/{other}/end");
    let stranger = server.browser("pia").await;
    let foreign = stranger.csrf().await;
    stranger.post(&path, &[("csrf", &foreign)]).await;
    assert!(browser.page("/account").await.contains(&path), "not pia's");
    let answer = browser.post(&path, &[("csrf", &csrf)]).await;
    assert_eq!(answer.headers()["location"], "/account?notice=grant-ended");
    assert!(!browser.page("/account").await.contains(&path));
    let end = reqwest::Client::new()
        .post(server.url("/api/v1/revocations"))
        .bearer_auth(&token)
        .json(&json!({"grant": said["sid"]}));
    assert_eq!(end.send().await.unwrap().status(), 201);
    assert!(!may_use(&server, &token).await);
    assert_eq!(
        refresh(&server, &text(&second, "refresh_token")).await.0,
        400
    );
    server.stop().await;
}

#[tokio::test]
async fn an_application_gets_no_more_than_it_may_have() {
    let server = server().await;
    let browser = server.browser("omar").await;
    let wall = [
        ("client_id", Some("wall")),
        ("redirect_uri", Some("https://wall.example/cb")),
        ("scope", Some("openid profile")),
        ("nonce", Some("n-1")),
    ];
    let code = code(&browser, &wall).await;
    let of_wall = [
        ("client_id", "wall"),
        ("redirect_uri", "https://wall.example/cb"),
    ];
    let form = exchange(&code, &of_wall);
    // A confidential application shows its secret; without it the code is not even looked at.
    assert_eq!(post(&server, "/oauth/token", &form).await.0, 401);
    let mut wrong = form.clone();
    wrong.push(("client_secret", "wrong"));
    assert_eq!(post(&server, "/oauth/token", &wrong).await.0, 401);
    let mut right = form;
    right.push(("client_secret", PASSWORD));
    let (status, tokens) = post(&server, "/oauth/token", &right).await;
    assert_eq!(status, 200, "{tokens}");
    let said = claims(&text(&tokens, "access_token"));
    assert_eq!(
        (&said["roles"], &said["zones"]),
        (&json!(["viewer"]), &json!(["p1"]))
    );
    let id = claims(&text(&tokens, "id_token"));
    assert_eq!(
        (&id["aud"], &id["nonce"], &id["sub"]),
        (&json!("wall"), &json!("n-1"), &json!("omar"))
    );
    assert!(!may_use(&server, &text(&tokens, "id_token")).await);
    server.stop().await;
}

#[tokio::test]
async fn nobody_is_sent_where_the_application_is_not() {
    let server = server().await;
    let browser = server.browser("omar").await;
    let nobody = Browser::new(server.url(""));
    for (what, changes) in [
        (
            "another host",
            [("redirect_uri", Some("https://evil.example/signed-in"))],
        ),
        (
            "another path",
            [("redirect_uri", Some("http://127.0.0.1:1/evil"))],
        ),
        (
            "a trick",
            [(
                "redirect_uri",
                Some("http://127.0.0.1:1@evil.example/signed-in"),
            )],
        ),
        (
            "another application's",
            [("redirect_uri", Some("https://wall.example/cb"))],
        ),
        ("none", [("redirect_uri", None)]),
        ("an unknown application", [("client_id", Some("evil"))]),
        ("no application", [("client_id", None)]),
    ] {
        for who in [&browser, &nobody] {
            let answer = who.get(&path(&asked(&changes))).await;
            assert_eq!(answer.status(), 400, "{what}");
            assert!(!answer.headers().contains_key(LOCATION), "{what}");
        }
        let csrf = browser.csrf().await;
        let mut form = asked(&changes);
        form.extend([("csrf", csrf.as_str()), ("decision", "approve")]);
        let answer = browser.post("/oauth/authorize", &form).await;
        assert_eq!(answer.status(), 400, "{what}");
    }
    // Whoever is not signed in signs in first, and comes back.
    let answer = nobody.get(&path(&asked(&[]))).await;
    assert_eq!(answer.status(), 303);
    let next = answer.headers()[LOCATION].to_str().unwrap();
    assert!(
        next.starts_with("/sign-in?next=/oauth/authorize%3F"),
        "{next}"
    );
    for (changes, error) in [
        (
            ("response_type", Some("token")),
            "unsupported_response_type",
        ),
        (("code_challenge", None), "invalid_request"),
        (("code_challenge", Some("short")), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("code_challenge_method", None), "invalid_request"),
    ] {
        let answer = browser.get(&path(&asked(&[changes]))).await;
        let told = location(&answer);
        assert!(told.as_str().starts_with(FIELD));
        assert_eq!(pair(&told, "error").as_deref(), Some(error), "{changes:?}");
        assert!(pair(&told, "state").is_some() && pair(&told, "iss").is_some());
    }
    let denied = decide(&browser, &asked(&[]), "deny").await;
    assert_eq!(pair(&denied, "error").as_deref(), Some("access_denied"));
    // A page elsewhere cannot say yes for them.
    let mut forged = asked(&[]);
    forged.extend([("csrf", "guessed"), ("decision", "approve")]);
    assert_eq!(
        browser.post("/oauth/authorize", &forged).await.status(),
        403
    );
    server.stop().await;
}

#[tokio::test]
async fn a_code_is_good_once_and_for_one() {
    let server = server().await;
    let browser = server.browser("omar").await;
    let other = "x".repeat(43);
    for (what, changes) in [
        ("another verifier", ("code_verifier", other.as_str())),
        ("the challenge", ("code_verifier", CHALLENGE)),
        (
            "another address",
            ("redirect_uri", "kr.airport.field:/signed-in"),
        ),
    ] {
        let code = code(&browser, &[]).await;
        let (status, answer) = post(&server, "/oauth/token", &exchange(&code, &[changes])).await;
        assert_eq!(
            (status, text(&answer, "error").as_str()),
            (400, "invalid_grant"),
            "{what}"
        );
        // It was one attempt.
        assert_eq!(
            post(&server, "/oauth/token", &exchange(&code, &[])).await.0,
            400,
            "{what}"
        );
    }
    let stolen = code(&browser, &[]).await;
    let mut form = exchange(&stolen, &[("client_id", "wall")]);
    form.push(("client_secret", PASSWORD));
    assert_eq!(
        post(&server, "/oauth/token", &form).await.0,
        400,
        "another application"
    );

    // A code that is used again ends what it gave.
    let replayed = code(&browser, &[]).await;
    let (_, tokens) = post(&server, "/oauth/token", &exchange(&replayed, &[])).await;
    assert!(may_use(&server, &text(&tokens, "access_token")).await);
    assert_eq!(
        post(&server, "/oauth/token", &exchange(&replayed, &[]))
            .await
            .0,
        400
    );
    assert!(!may_use(&server, &text(&tokens, "access_token")).await);
    assert_eq!(
        refresh(&server, &text(&tokens, "refresh_token")).await.0,
        400
    );

    // A code ends with the login in which it was given.
    let late = code(&browser, &[]).await;
    let csrf = browser.csrf().await;
    browser.post("/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!(
        post(&server, "/oauth/token", &exchange(&late, &[])).await.0,
        400
    );
    server.stop().await;
}

#[tokio::test]
async fn a_refresh_token_in_two_hands_ends_the_family() {
    let server = server().await;
    let tokens = family(&server, "omar").await;
    let first = text(&tokens, "refresh_token");
    let mut live =
        StompClient::connect(server.stomp_address(), &text(&tokens, "access_token")).await;
    live.subscribe("/topic/alarms").await;
    // An answer that was lost is given again, and only one of the two is good.
    let (status, lost) = refresh(&server, &first).await;
    assert_eq!(status, 200);
    let (status, again) = refresh(&server, &first).await;
    assert_eq!(status, 200, "{again}");
    let (status, next) = refresh(&server, &text(&again, "refresh_token")).await;
    assert_eq!(status, 200, "{next}");
    // The other answer is used after all: somebody else has it.
    assert_eq!(refresh(&server, &text(&lost, "refresh_token")).await.0, 400);
    // The token is good for minutes yet; how soon this is the bench measures.
    assert_eq!(live.error().await, "token-revoked");
    assert_eq!(refresh(&server, &text(&next, "refresh_token")).await.0, 400);
    assert!(!may_use(&server, &text(&next, "access_token")).await);
    let audited = "select count(*) from audit where action = 'grant.replay'";
    assert_eq!(server.database.count(audited).await, 1);

    // Once the answer was used, the old one again is a theft, however soon.
    let tokens = family(&server, "omar").await;
    let first = text(&tokens, "refresh_token");
    let (_, second) = refresh(&server, &first).await;
    let (_, third) = refresh(&server, &text(&second, "refresh_token")).await;
    assert_eq!(refresh(&server, &first).await.0, 400);
    assert_eq!(
        refresh(&server, &text(&third, "refresh_token")).await.0,
        400
    );
    server.stop().await;
}

#[tokio::test]
async fn pages_of_allowed_origins_may_ask_for_tokens() {
    let server = with("[http]\norigins = [\"https://kiosk.example\"]\n").await;
    let http = reqwest::Client::new();
    for (origin, allowed) in [
        ("https://kiosk.example", true),
        ("https://evil.example", false),
    ] {
        let asks = http
            .request(reqwest::Method::OPTIONS, server.url("/oauth/token"))
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let read = http
            .get(server.url("/.well-known/oauth-authorization-server"))
            .header("origin", origin);
        for request in [asks, read] {
            let answer = request.send().await.unwrap();
            let headers = answer.headers();
            let told = headers
                .get("access-control-allow-origin")
                .map(|told| told.to_str().unwrap());
            assert_eq!(told, allowed.then_some(origin));
            assert!(!headers.contains_key("access-control-allow-credentials"));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_service_tells_what_it_does() {
    let server = server().await;
    for path in ["oauth-authorization-server", "openid-configuration"] {
        let answer = reqwest::get(server.url(&format!("/.well-known/{path}")))
            .await
            .unwrap();
        let document: Value = answer.json().await.unwrap();
        let issuer = text(&document, "issuer");
        let token = server.token("program").await;
        assert_eq!(claims(&token)["iss"], issuer);
        assert_eq!(document["token_endpoint"], format!("{issuer}/oauth/token"));
        assert_eq!(
            document["code_challenge_methods_supported"],
            json!(["S256"])
        );
    }
    for form in [
        vec![
            ("grant_type", "client_credentials"),
            ("grant_type", "client_credentials"),
        ],
        vec![("client_id", "program")],
        vec![
            ("grant_type", "authorization_code"),
            ("client_id", "field-app"),
        ],
        vec![("grant_type", "refresh_token"), ("client_id", "field-app")],
    ] {
        let (status, answer) = post(&server, "/oauth/token", &form).await;
        assert_eq!(
            (status, text(&answer, "error").as_str()),
            (400, "invalid_request"),
            "{form:?}"
        );
    }
    for (grant, client) in [
        ("authorization_code", "program"),
        ("refresh_token", "program"),
    ] {
        let form = [
            ("grant_type", grant),
            ("client_id", client),
            ("client_secret", PASSWORD),
        ];
        let (status, answer) = post(&server, "/oauth/token", &form).await;
        assert_eq!(
            (status, text(&answer, "error").as_str()),
            (400, "unauthorized_client")
        );
    }
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "field-app"),
    ];
    assert_eq!(
        text(&post(&server, "/oauth/token", &form).await.1, "error"),
        "unauthorized_client"
    );
    assert_eq!(URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER)), CHALLENGE);
    server.stop().await;
}

#[tokio::test]
async fn an_application_that_refreshes_wildly_is_slowed_and_loses_nothing() {
    let server = server().await;
    let mut shown = text(&family(&server, "omar").await, "refresh_token");
    let refused = loop {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "field-app"),
            ("refresh_token", shown.as_str()),
        ];
        let sent = reqwest::Client::new().post(server.url("/oauth/token"));
        let answer = sent.form(&form).send().await.unwrap();
        if answer.status() != 200 {
            break answer;
        }
        let answer: Value = answer.json().await.unwrap();
        shown = text(&answer, "refresh_token");
    };
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    // What was shown last was not used up, and its person's pages have a rate of their own.
    let unused = "select count(*) from refresh_token where used_at is null";
    assert_eq!(server.database.count(unused).await, 1);
    server.page_token(&server.browser("omar").await).await;
    server.stop().await;
}
