//! What a running server answers is what the document says that it answers.

use serde_json::{Value, json};

use super::{document, schema};
use crate::agent::{FakeAgent, event};
use crate::harness::{Browser, PASSWORD, TestServer};

const AUDIT: &str = "/api/v1/audit";
const REVOCATIONS: &str = "/api/v1/revocations";
const COMMANDS: &str = "/api/v1/devices/{id}/commands";
const ACKNOWLEDGE: &str = "/api/v1/alarms/{id}/acknowledge";
const REVEAL: &str = "/api/v1/devices/{id}/points/{point}/reveal";

/// Asks, and holds the answer against what the document says of that operation.
async fn ask(
    document: &Value,
    request: reqwest::RequestBuilder,
    template: &str,
    status: u16,
) -> Value {
    let (http, request) = request.build_split();
    let request = request.unwrap();
    let method = request.method().as_str().to_lowercase();
    let what = format!("{method} {}", request.url().path());
    let answer = http.execute(request).await.unwrap();
    assert_eq!(answer.status(), status, "{what}");
    let said = &document["paths"][template][&method]["responses"][status.to_string()];
    assert!(said.is_object(), "{what}: {status} is not in the document");
    let said = schema::resolve(document, said);
    for (name, header) in said["headers"].as_object().into_iter().flatten() {
        let value = answer
            .headers()
            .get(name)
            .unwrap_or_else(|| panic!("{what}: no {name}"));
        let value = value.to_str().unwrap();
        let value = value
            .parse::<i64>()
            .map_or_else(|_| json!(value), |number| json!(number));
        schema::check(document, &header["schema"], &value, &what).unwrap();
    }
    let kind = answer
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned());
    let text = answer.text().await.unwrap();
    let Some(kind) = kind else {
        assert!(text.is_empty() && said.get("content").is_none(), "{what}");
        return Value::Null;
    };
    let kind = kind.split(';').next().unwrap();
    let content = &said["content"][kind];
    assert!(content.is_object(), "{what}: {kind} is not in the document");
    let body = if kind.ends_with("json") {
        serde_json::from_str(&text).unwrap()
    } else {
        Value::String(text)
    };
    schema::check(document, &content["schema"], &body, &what)
        .unwrap_or_else(|why| panic!("{what}: {why}"));
    body
}

/// A site with everything in it that the API can show.
async fn site() -> (TestServer, FakeAgent) {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.plate_is("12가 3456").await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let program = server.program("program").await;
    let plate = |body: &Value| body["points"][2]["value"].is_string();
    program.eventually("/api/v1/devices/gate-1", plate).await;
    (server, agent)
}

#[tokio::test]
async fn answers_are_as_the_document_says() {
    let (server, _agent) = site().await;
    let said = document();
    let http = reqwest::Client::new();
    let token = server.token("program").await;
    let get = |path: &str| http.get(server.url(path)).bearer_auth(&token);
    let post =
        |path: &str, body: Value| http.post(server.url(path)).bearer_auth(&token).json(&body);

    for path in ["/api/v1/devices", "/api/v1/alarms"] {
        let list = ask(&said, get(path), path, 200).await;
        assert!(!list["items"].as_array().unwrap().is_empty(), "{path}");
        ask(&said, http.get(server.url(path)), path, 401).await;
    }
    ask(
        &said,
        get("/api/v1/devices/gate-1"),
        "/api/v1/devices/{id}",
        200,
    )
    .await;
    ask(
        &said,
        get("/api/v1/devices/gate-9"),
        "/api/v1/devices/{id}",
        404,
    )
    .await;
    ask(
        &said,
        get("/api/v1/devices/%ff"),
        "/api/v1/devices/{id}",
        400,
    )
    .await;

    let path = "/api/v1/devices/gate-1/commands";
    let key = uuid::Uuid::from_u128(7);
    let open = json!({"key": key, "name": "open", "params": {}});
    ask(&said, post(path, open.clone()), COMMANDS, 202).await;
    ask(&said, post(path, open), COMMANDS, 202).await;
    ask(
        &said,
        post(
            "/api/v1/devices/kiosk-1/commands",
            json!({"key": key, "name": "open"}),
        ),
        COMMANDS,
        409,
    )
    .await;
    ask(
        &said,
        post(
            path,
            json!({"key": uuid::Uuid::from_u128(8), "name": "fly"}),
        ),
        COMMANDS,
        422,
    )
    .await;
    ask(&said, post(path, json!({"key": 1})), COMMANDS, 422).await;
    ask(&said, post(path, json!("x".repeat(70_000))), COMMANDS, 413).await;
    let list = ask(&said, get(path), COMMANDS, 200).await;
    assert_eq!(list["items"][0]["name"], "open");

    let alarms = ask(&said, get("/api/v1/alarms"), "/api/v1/alarms", 200).await;
    let path = format!("/api/v1/alarms/{}/acknowledge", alarms["items"][0]["id"]);
    ask(
        &said,
        post(&path, json!({"occurrence": 99})),
        ACKNOWLEDGE,
        409,
    )
    .await;
    let seen = json!({"occurrence": alarms["items"][0]["occurrence"], "note": null});
    ask(&said, post(&path, seen), ACKNOWLEDGE, 200).await;
    ask(
        &said,
        post("/api/v1/alarms/99/acknowledge", json!({"occurrence": 1})),
        ACKNOWLEDGE,
        404,
    )
    .await;

    let path = "/api/v1/devices/gate-1/points/plate/reveal";
    ask(&said, post(path, json!({"reason": ""})), REVEAL, 422).await;
    ask(
        &said,
        post(path, json!({"reason": "lost ticket"})),
        REVEAL,
        200,
    )
    .await;
    ask(
        &said,
        post(
            "/api/v1/devices/gate-1/points/x/reveal",
            json!({"reason": "y"}),
        ),
        REVEAL,
        404,
    )
    .await;
    ask(&said, get("/api/v1/audit"), "/api/v1/audit", 403).await;
    let body = json!({"subject": "omar"});
    ask(
        &said,
        post("/api/v1/revocations", body),
        "/api/v1/revocations",
        403,
    )
    .await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_said_of_tokens_and_the_audit_is_so() {
    let (server, _agent) = site().await;
    let said = document();
    let http = reqwest::Client::new();
    let ada = server.browser("ada").await;
    let token = server.page_token(&ada).await;
    let get = |path: &str| http.get(server.url(path)).bearer_auth(&token);
    let post = |body: Value| {
        http.post(server.url("/api/v1/revocations"))
            .bearer_auth(&token)
            .json(&body)
    };
    let rows = ask(&said, get("/api/v1/audit?limit=2"), AUDIT, 200).await;
    assert_eq!(rows["items"].as_array().unwrap().len(), 2);
    ask(&said, get("/api/v1/audit?from=yesterday"), AUDIT, 422).await;
    for bad in ["limit=x", "limit=9223372036854775808", "actor=a&actor=b"] {
        ask(&said, get(&format!("/api/v1/audit?{bad}")), AUDIT, 400).await;
    }
    ask(&said, get("/api/v1/grants"), "/api/v1/grants", 200).await;
    ask(
        &said,
        post(json!({"grant": uuid::Uuid::from_u128(1)})),
        REVOCATIONS,
        404,
    )
    .await;
    ask(
        &said,
        post(json!({"token": uuid::Uuid::from_u128(1)})),
        REVOCATIONS,
        201,
    )
    .await;
    ask(
        &said,
        post(json!({"subject": "a", "token": 1})),
        REVOCATIONS,
        422,
    )
    .await;

    let form = |path: &str, form: &[(&str, &str)]| http.post(server.url(path)).form(form);
    let client = [("client_id", "program"), ("client_secret", PASSWORD)];
    let with = |more: &[(&'static str, &'static str)]| [&client[..], more].concat();
    let given = form(
        "/oauth/token",
        &with(&[("grant_type", "client_credentials")]),
    );
    let given = ask(&said, given, "/oauth/token", 200).await;
    for (path, wrong, status) in [
        ("/oauth/token", with(&[]), 400),
        (
            "/oauth/token",
            with(&[("grant_type", "refresh_token")]),
            400,
        ),
        ("/oauth/token", with(&[("grant_type", "password")]), 400),
        (
            "/oauth/token",
            vec![("grant_type", "client_credentials")],
            401,
        ),
        ("/oauth/revoke", with(&[]), 400),
        ("/oauth/revoke", vec![("token", "x")], 401),
    ] {
        ask(&said, form(path, &wrong), path, status).await;
    }
    let long = "x".repeat(70_000);
    ask(
        &said,
        form("/oauth/token", &[("code", &long)]),
        "/oauth/token",
        413,
    )
    .await;
    let back = given["access_token"].as_str().unwrap();
    let back = form("/oauth/revoke", &[&client[..], &[("token", back)]].concat());
    ask(&said, back, "/oauth/revoke", 200).await;

    for path in [
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/healthz",
        "/readyz",
        "/api/v1/openapi.json",
    ] {
        ask(&said, http.get(server.url(path)), path, 200).await;
    }
    ask(
        &said,
        http.get(server.url("/oauth/authorize")),
        "/oauth/authorize",
        400,
    )
    .await;
    ask(
        &said,
        http.post(server.url("/login/token")),
        "/login/token",
        401,
    )
    .await;
    server.stop().await;
}

/// By a page's cookie nothing is changed without the page's own header.
#[tokio::test]
async fn a_cookie_needs_the_header_that_the_document_names() {
    let server = TestServer::start().await;
    let browser: Browser = server.browser("omar").await;
    let scheme = &document()["components"]["securitySchemes"]["csrf"];
    let header = scheme["name"].as_str().unwrap();
    let csrf = browser.csrf().await;
    let wrong = browser.post("/api/v1/alarms/1/acknowledge", &[]).await;
    assert_eq!(wrong.status(), 403);
    let right = browser
        .post_with("/api/v1/alarms/1/acknowledge", (header, &csrf), &[])
        .await;
    assert_eq!(
        right.status(),
        422,
        "it was let in, and its body is no JSON"
    );
    assert_eq!(browser.get("/api/v1/alarms").await.status(), 200);
    server.stop().await;
}
