//! Pages as a browser without scripts sees them.

use serde_json::json;

use crate::agent::event;
use crate::harness::{TestServer, field};

#[tokio::test]
async fn every_page_is_there_in_both_languages() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.gate_is("open").await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let browser = server.browser("omar").await;
    for (language, word) in [
        ("ko", "gate 1 &#60;x2&#62; (ko)"),
        ("en", "gate 1 &#60;x2&#62;"),
    ] {
        let answer = browser
            .post("/language", &[("lang", language), ("next", "/")])
            .await;
        assert_eq!(answer.status(), 303);
        for path in [
            "/",
            "/alarms",
            "/alarms?zone=p1",
            "/devices/gate-1",
            "/sign-in",
            "/?notice=acknowledged",
        ] {
            let page = browser.page(path).await;
            assert!(
                page.contains(&format!("<html lang=\"{language}\"")),
                "{path}"
            );
            assert!(!page.contains("<x"), "{path}: names are escaped");
        }
        assert!(browser.page("/alarms").await.contains(word), "{language}");
        for partial in [
            "strip",
            "overview",
            "alarms",
            "alarms?zone=p1",
            "devices/gate-1/alarms",
            "devices/gate-1/panel",
            "devices/gate-1/commands",
        ] {
            browser.page(&format!("/partials/{partial}")).await;
        }
    }
    assert_eq!(browser.get("/devices/gate-9").await.status(), 404);
    assert_eq!(browser.get("/no/such/page").await.status(), 404);
    for (path, page) in [
        ("/people/invite", "/people"),
        ("/account/password", "/account"),
        ("/alarms/1/acknowledge", "/alarms"),
        ("/devices/gate-1/commands", "/devices/gate-1"),
        ("/sign-out", "/"),
        ("/login/unlock", "/"),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.headers()["location"], page, "{path}");
    }
    assert_eq!(
        browser.get("/").await.status(),
        200,
        "nobody is signed out by an address"
    );
    let headers = browser.get("/").await.headers().clone();
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    assert_eq!(headers["cache-control"], "no-store");
    server.stop().await;
}

#[tokio::test]
async fn everything_works_without_scripts() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    agent.gate_is("closed").await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let browser = server.browser("omar").await;

    let list = browser.page("/alarms").await;
    let (csrf, occurrence) = (field(&list, "csrf"), field(&list, "occurrence"));
    let alarm = server.program("program").await.alarms().await.remove(0)["id"].to_string();
    let path = format!("/alarms/{alarm}/acknowledge");
    let answer = browser
        .post(
            &path,
            &[
                ("csrf", &csrf),
                ("occurrence", &occurrence),
                ("next", "/alarms"),
            ],
        )
        .await;
    assert_eq!(answer.headers()["location"], "/alarms?notice=acknowledged");
    assert_eq!(
        server.program("program").await.alarms().await[0]["acknowledged"]["by"],
        "omar"
    );

    let page = browser.page("/devices/gate-1").await;
    let form = [
        ("csrf", csrf.as_str()),
        ("key", &field(&page, "key")),
        ("name", "open"),
        ("next", "/devices/gate-1"),
    ];
    let answer = browser.post("/devices/gate-1/commands", &form).await;
    assert_eq!(
        answer.headers()["location"],
        "/devices/gate-1?notice=command-queued"
    );
    assert_eq!(agent.command().await.name, "open");

    let answer = browser.post("/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!(answer.headers()["location"], "/sign-in?ended=signed-out");
    assert_eq!(
        browser.get("/alarms").await.headers()["location"],
        "/sign-in?next=/alarms"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_form_that_is_not_ours_does_nothing() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let browser = server.browser("omar").await;
    let other = server.browser("tess").await.csrf().await;
    let alarm = server.program("program").await.alarms().await.remove(0);
    let (id, occurrence) = (alarm["id"].to_string(), alarm["occurrence"].to_string());
    for csrf in ["", "guessed", &other] {
        let form = [
            ("csrf", csrf),
            ("occurrence", &occurrence),
            ("next", "//evil.example"),
        ];
        let answer = browser
            .post(&format!("/alarms/{id}/acknowledge"), &form)
            .await;
        assert_eq!(answer.headers()["location"], "/?notice=form-expired");
        let key = uuid::Uuid::new_v4().to_string();
        let form = [("csrf", csrf), ("key", &key), ("name", "open")];
        let answer = browser.post("/devices/gate-1/commands", &form).await;
        assert_eq!(
            answer.headers()["location"],
            "/devices/gate-1?notice=form-expired"
        );
    }
    let token = browser
        .post_with("/login/token", ("x-csrf-token", &other), &[])
        .await;
    assert_eq!(token.status(), 403);
    assert_eq!(
        server.program("program").await.alarms().await[0]["state"],
        "unacknowledged"
    );
    assert_eq!(
        server.database.count("select count(*) from command").await,
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn a_pages_script_gets_answers_and_a_token() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let browser = server.browser("omar").await;
    let csrf = browser.csrf().await;
    let answer = browser
        .post_with("/login/token", ("x-csrf-token", &csrf), &[])
        .await;
    assert_eq!(answer.status(), 200);
    let token: serde_json::Value = answer.json().await.unwrap();
    let mut stomp = crate::stomp_client::StompClient::connect(
        server.stomp_address(),
        token["access_token"].as_str().unwrap(),
    )
    .await;
    stomp.subscribe("/topic/ui/ko/zones/p1/**").await;

    let alarm = server.program("program").await.alarms().await.remove(0);
    let path = format!("/alarms/{}/acknowledge", alarm["id"]);
    let occurrence = alarm["occurrence"].to_string();
    let answer = browser
        .post_with(
            &path,
            ("x-csrf-token", &csrf),
            &[("occurrence", &occurrence)],
        )
        .await;
    assert_eq!(answer.status(), 200, "an answer instead of a redirect");
    assert!(answer.text().await.unwrap().contains("<"));
    server.stop().await;
}

#[tokio::test]
async fn what_one_may_not_see_or_do_is_not_there() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let viewer = server.browser("vera").await;
    let csrf = viewer.csrf().await;
    let alarm = server.program("program").await.alarms().await.remove(0);
    let occurrence = alarm["occurrence"].to_string();
    let form = [("csrf", csrf.as_str()), ("occurrence", &occurrence)];
    let answer = viewer
        .post(&format!("/alarms/{}/acknowledge", alarm["id"]), &form)
        .await;
    assert_eq!(answer.headers()["location"], "/alarms?notice=not-permitted");

    // A device that nobody approved: an administrator approves it, nobody else.
    let _third = crate::agent::FakeAgent::join(server.stomp("agent-3").await, "agent-3").await;
    let answer = viewer
        .post("/devices/gate-3/approve", &[("csrf", &csrf)])
        .await;
    assert_eq!(
        answer.headers()["location"],
        "/devices/gate-3?notice=not-permitted"
    );
    let administrator = server.browser("ada").await;
    let csrf = administrator.csrf().await;
    let answer = administrator
        .post("/devices/gate-3/approve", &[("csrf", &csrf)])
        .await;
    assert_eq!(
        answer.headers()["location"],
        "/devices/gate-3?notice=approved"
    );
    let (_, gate) = server
        .program("program")
        .await
        .get("/api/v1/devices/gate-3")
        .await;
    assert_eq!(gate["condition"], json!("unknown"), "approved, and silent");
    let program = server.program("program-p2").await;
    assert!(program.items("/api/v1/devices").await.is_empty() && program.alarms().await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_filter_of_the_audit_that_cannot_be_read_shows_nothing() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    for (query, wrong, rows) in [
        ("actor=ada", None, true),
        ("actor=ada&to=nonsense", Some("to"), false),
        ("from=%3Cx9%3E&actor=ada", Some("from"), false),
    ] {
        let answer = ada.get(&format!("/audit?{query}")).await;
        let expected = if wrong.is_some() { 422 } else { 200 };
        assert_eq!(answer.status(), expected, "{query}");
        let page = answer.text().await.unwrap();
        assert_eq!(page.contains("<table class=\"audit\">"), rows, "{query}");
        assert_eq!(page.contains("/audit.csv"), rows, "{query}");
        for field in ["from", "to"] {
            let said = page.contains(&format!("id=\"wrong-{field}\""));
            assert_eq!(said, wrong == Some(field), "{query}");
        }
        assert!(!page.contains("<x9>"), "{query}");
        let table = ada.get(&format!("/audit.csv?{query}")).await;
        assert_eq!(table.status(), expected, "{query}");
    }
    server.stop().await;
}
