//! Who gets in, and who may do what over STOMP and HTTP.

use crate::harness::{Browser, PASSWORD, TestServer};
use crate::stomp_client::StompClient;

#[tokio::test]
async fn nobody_connects_without_a_good_token() {
    let server = TestServer::start().await;
    let address = server.stomp_address();
    for token in ["", "nonsense", "eyJhbGciOiJub25lIn0.e30."] {
        let mut client = StompClient::begin(address, token).await;
        assert_eq!(client.error().await, "unauthenticated", "{token:?}");
    }
    let mut tampered = server.token("agent-1").await;
    tampered.replace_range(tampered.len() - 4.., "AAAA");
    assert_eq!(
        StompClient::begin(address, &tampered).await.error().await,
        "unauthenticated"
    );
    server.stop().await;
}

#[tokio::test]
async fn each_subscription_is_guarded() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    for (client, destination, allowed) in [
        ("agent-1", "/user/queue/commands", true),
        ("agent-1", "/user/queue/errors", true),
        ("agent-1", "/topic/alarms", false),
        ("agent-1", "/topic/devices/gate-1", false),
        ("program", "/user/queue/commands", false),
        ("program", "/user/queue/command-progress", true),
        ("program", "/topic/alarms", true),
        ("program", "/topic/overview", true),
        ("program", "/topic/devices/gate-1", true),
        ("program", "/topic/zones/*/alarms", true),
        ("program", "/topic/devices/*", true),
        ("program", "/topic/ui/ko/zones/p1/**", true),
        ("program", "/topic/**", false),
        ("program", "/topic/ui/ko/zones/*/**", true),
        ("program", "/topic/ui/*/zones/p1/**", false),
        ("program-p2", "/topic/ui/ko/zones/*/**", false),
        ("program-p2", "/topic/zones/*/alarms", false),
        ("program-p2", "/topic/devices/*", false),
        ("program-p2", "/topic/devices/gate-9", false),
        ("program-p2", "/topic/zones/p2/alarms", true),
        ("program-p2", "/topic/zones/p1/alarms", false),
        ("program-p2", "/topic/ui/en/zones/p1/**", false),
        ("program-p2", "/topic/devices/gate-1", false),
        ("program-p2", "/topic/alarms", false),
    ] {
        let mut stomp = server.stomp(client).await;
        if allowed {
            stomp.subscribe(destination).await;
        } else {
            stomp.try_subscribe(destination).await;
            assert_eq!(stomp.error().await, "forbidden", "{client} {destination}");
        }
    }
    server.stop().await;
}

/// Who may see everything is told what does not exist; who may not hears the same of it and of what is elsewhere.
#[tokio::test]
async fn a_mistyped_destination_is_told_apart_where_that_leaks_nothing() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    for (client, destination, code) in [
        ("program", "/topic/devices/gate-9", "no-such-device"),
        ("program-p2", "/topic/devices/gate-9", "forbidden"),
        ("program-p2", "/topic/devices/gate-1", "forbidden"),
        ("program-p2", "/topic/zones/p9/alarms", "forbidden"),
        ("program-p2", "/topic/alrams", "unknown-destination"),
        ("program-p2", "/topic/zones/P2/alarms", "forbidden"),
        (
            "program-p2",
            "/topic/zones/p2/../p1/alarms",
            "bad-destination",
        ),
        (
            "program-p2",
            "/topic/zones/%70%31/alarms",
            "bad-destination",
        ),
        ("program-p2", "/topic//zones/p2/alarms", "bad-destination"),
        ("program-p2", "/topic/zones/p2/alarms/", "bad-destination"),
        ("program-p2", "/queue/notes", "forbidden"),
        (
            "program-p2",
            "/temp-queue/answers",
            "unsupported-destination",
        ),
    ] {
        let mut stomp = server.stomp(client).await;
        stomp.try_subscribe(destination).await;
        assert_eq!(stomp.error().await, code, "{client} {destination}");
    }
    server.stop().await;
}

#[tokio::test]
async fn each_send_is_guarded() {
    let server = TestServer::start().await;
    for (client, destination) in [
        ("program", "/app/events"),
        ("program", "/app/inventory"),
        ("program", "/app/command-results"),
        ("program", "/topic/alarms"),
        ("agent-1", "/app/devices/gate-1/commands"),
        ("agent-1", "/app/alarms/1/acknowledge"),
        ("agent-1", "/topic/alarms"),
        ("agent-1", "/user/queue/commands"),
        ("agent-1", "/app/nothing"),
    ] {
        let mut stomp = server.stomp(client).await;
        stomp.cast(destination, &serde_json::json!({})).await;
        let code = stomp.error().await;
        let refusals = [
            "forbidden",
            "unknown-destination",
            "unsupported-destination",
        ];
        assert!(
            refusals.contains(&code.as_str()),
            "{client} {destination}: {code}"
        );
    }
    server.stop().await;
}

/// Every route, and what it answers to nobody: a page leads to sign-in, the API says 401, the rest is public.
#[tokio::test]
async fn every_route_asks_who_is_there() {
    let server = TestServer::start().await;
    let nobody = Browser::new(server.url(""));
    for (path, status) in [
        ("/", 303),
        ("/alarms", 303),
        ("/devices/gate-1", 303),
        ("/no/such/page", 303),
        ("/partials/strip", 401),
        ("/partials/overview", 401),
        ("/partials/alarms", 401),
        ("/partials/devices/gate-1/alarms", 401),
        ("/partials/devices/gate-1/panel", 401),
        ("/partials/devices/gate-1/commands", 401),
        ("/api/v1/devices", 401),
        ("/api/v1/devices/gate-1", 401),
        ("/api/v1/devices/gate-1/commands", 401),
        ("/api/v1/alarms", 401),
        ("/account", 303),
        ("/account/second-factor", 303),
        ("/second-factor", 303),
        ("/login/prove", 303),
        ("/people", 303),
        ("/sign-in/second-factor", 303),
        ("/invitation/guessed", 404),
        ("/sign-in", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/api/v1/openapi.json", 200),
        ("/.well-known/jwks.json", 200),
        ("/.well-known/oauth-authorization-server", 200),
        ("/.well-known/openid-configuration", 200),
        ("/oauth/authorize", 400),
        ("/api/v1/grants", 401),
    ] {
        assert_eq!(nobody.get(path).await.status(), status, "GET {path}");
    }
    for (path, status) in [
        ("/alarms/1/acknowledge", 303),
        ("/devices/gate-1/commands", 303),
        ("/devices/gate-1/approve", 303),
        ("/sign-out", 303),
        ("/login/token", 401),
        ("/oauth/authorize", 303),
        ("/login/active", 303),
        ("/login/unlock", 303),
        ("/account/password", 303),
        ("/account/logins/end-others", 303),
        ("/account/second-factor", 303),
        ("/account/second-factor/begin", 303),
        ("/account/second-factor/renew", 303),
        (
            "/account/grants/00000000-0000-4000-8000-000000000000/end",
            303,
        ),
        ("/second-factor", 303),
        ("/people/invite", 303),
        ("/people/link", 303),
        ("/people/withdraw", 303),
        ("/people/rights", 303),
        ("/people/disable", 303),
        ("/people/enable", 303),
        ("/people/end-logins", 303),
        ("/api/v1/alarms/1/acknowledge", 401),
        ("/api/v1/devices/gate-1/commands", 401),
        ("/api/v1/revocations", 401),
    ] {
        let answer = nobody.post(path, &[]).await;
        assert_eq!(answer.status(), status, "POST {path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_program_gets_wrong_is_told_as_a_problem() {
    let server = TestServer::start().await;
    let program = server.program("program").await;
    for (path, body, status, code) in [
        (
            "/api/v1/alarms/1/acknowledge",
            serde_json::json!({"seen": 1}),
            422,
            "bad-body",
        ),
        (
            "/api/v1/alarms/one/acknowledge",
            serde_json::json!({"occurrence": 1}),
            404,
            "not-found",
        ),
        (
            "/api/v1/alarms/1/acknowledge",
            serde_json::json!({"occurrence": 1}),
            404,
            "not-found",
        ),
        ("/api/v1/nothing", serde_json::json!({}), 404, "not-found"),
    ] {
        let (got, problem) = program.post(path, body).await;
        assert_eq!(
            (got, problem["code"].as_str()),
            (status, Some(code)),
            "{path}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_given_to_those_who_know_the_secret() {
    let server = TestServer::start().await;
    for (grant, client, secret, status, error) in [
        ("client_credentials", "program", PASSWORD, 200, ""),
        (
            "client_credentials",
            "program",
            "wrong",
            401,
            "invalid_client",
        ),
        (
            "client_credentials",
            "nobody",
            PASSWORD,
            401,
            "invalid_client",
        ),
        (
            "client_credentials",
            "omar",
            PASSWORD,
            401,
            "invalid_client",
        ),
        (
            "password",
            "program",
            PASSWORD,
            400,
            "unsupported_grant_type",
        ),
    ] {
        let form = [
            ("grant_type", grant),
            ("client_id", client),
            ("client_secret", secret),
        ];
        let answer = reqwest::Client::new()
            .post(server.url("/oauth/token"))
            .form(&form)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{grant} {client}");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["error"].as_str().unwrap_or_default(), error);
    }
    let basic = reqwest::Client::new()
        .post(server.url("/oauth/token"))
        .basic_auth("program", Some("correct%20horse"))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap();
    assert_eq!(basic.status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_written_down() {
    let server = TestServer::start().await;
    let browser = Browser::new(server.url(""));
    for (name, password) in [
        ("omar", "wrong"),
        ("nobody", PASSWORD),
        ("program", PASSWORD),
        ("", ""),
    ] {
        assert_eq!(
            browser.sign_in(name, password).await.status(),
            401,
            "{name}"
        );
    }
    assert_eq!(browser.get("/").await.status(), 303);
    let audit = "select count(*) from audit where action = 'login.begin' and outcome <> 'done'";
    assert_eq!(server.database.count(audit).await, 4);
    server.stop().await;
}

#[tokio::test]
async fn what_comes_from_a_login_ends_with_it() {
    let server = TestServer::start().await;
    let browser = server.browser("omar").await;
    let token = server.page_token(&browser).await;
    let other = server.browser("omar").await;
    let other_token = server.page_token(&other).await;
    let mut silent = StompClient::connect(server.stomp_address(), &token).await;
    let mut watching = StompClient::connect(server.stomp_address(), &token).await;
    watching.subscribe("/topic/alarms").await;

    let csrf = browser.csrf().await;
    let answer = browser.post("/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!(answer.status(), 303);
    assert_eq!(silent.error().await, "token-revoked");
    assert_eq!(watching.error().await, "token-revoked");
    let mut client = StompClient::begin(server.stomp_address(), &token).await;
    assert_eq!(client.error().await, "token-revoked");
    let api = reqwest::Client::new().get(server.url("/api/v1/alarms"));
    assert_eq!(api.bearer_auth(&token).send().await.unwrap().status(), 401);
    // The same person's other login is another one.
    drop(StompClient::connect(server.stomp_address(), &other_token).await);
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_renewed_in_place() {
    let server = TestServer::start().await;
    let mut client = server.stomp("program").await;
    client.subscribe("/user/queue/errors").await;
    client.renew(&server.token("program").await).await;
    client.cast("/app/auth", &"no token").await;
    let refused = client.message().await;
    assert_eq!(refused.header("code"), Some("no-token"));
    client.renew(&server.token("program").await).await;
    server.stop().await;
}
