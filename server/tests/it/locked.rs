//! A locked console: what works at it is named here, and nothing else does.

use serde_json::json;
use uuid::Uuid;

use crate::harness::TestServer;
use crate::stomp_client::StompClient;

const IDLE: &str = "update login set last_active_at = now() - interval '16 minutes'";

/// What a locked console takes: to get out of it, what only tells or looks, and emergencies.
const EVEN_LOCKED: [&str; 10] = [
    "/account/grants/{id}/end",
    "/account/logins/end-others",
    "/account/logins/{id}/end",
    "/api/v1/devices/{id}/commands",
    "/devices/{id}/commands",
    "/language",
    "/login/active",
    "/login/token",
    "/login/unlock",
    "/sign-out",
];

/// What is of nobody's login.
const OF_NO_LOGIN: [&str; 6] = [
    "/api/{*rest}",
    "/invitation/{token}",
    "/oauth/revoke",
    "/oauth/token",
    "/sign-in",
    "/sign-in/second-factor",
];

/// Every path of the route tables that takes more than looking.
fn unsafe_routes() -> Vec<&'static str> {
    let tables = [
        include_str!("../../src/http.rs"),
        include_str!("../../src/http/oauth.rs"),
    ];
    let mut found = Vec::new();
    for table in tables {
        for route in table.split(".route(").skip(1) {
            let end = [
                ".route(",
                ".merge(",
                ".nest",
                ".layer(",
                ".fallback(",
                "\n}",
            ]
            .iter()
            .filter_map(|next| route.find(next))
            .min();
            let route = &route[..end.unwrap_or(route.len())];
            let changes = ["post(", "put(", "patch(", "delete(", "any("];
            if changes.iter().any(|method| route.contains(method)) {
                found.push(route.split('"').nth(1).expect("the path is written there"));
            }
        }
    }
    found
}

#[tokio::test]
async fn no_route_that_changes_something_works_at_a_locked_console_but_those_named() {
    let mut server = TestServer::start().await;
    let _agent = server.agent().await;
    let ada = server.browser("ada").await;
    let csrf = ada.csrf().await;
    server.database.run(IDLE).await;
    let routes = unsafe_routes();
    assert!(routes.len() > 25, "{routes:?}");
    for named in EVEN_LOCKED.iter().chain(&OF_NO_LOGIN) {
        assert!(routes.contains(named), "{named} is no route any more");
    }
    let is_named = |route: &&str| EVEN_LOCKED.contains(route) || OF_NO_LOGIN.contains(route);
    let mut tried = 2; // What is only looked at, and not given either.
    for route in routes.into_iter().filter(|route| !is_named(route)) {
        tried += 1;
        let id = if route.contains("alarms") {
            "1"
        } else {
            "gate-1"
        };
        let path = route.replace("{id}", id).replace("{point}", "plate");
        // The most that anybody sends: each route takes what it knows.
        let form = [("csrf", csrf.as_str()), ("name", "vera"), ("password", "x")];
        let answer = ada.post_with(&path, ("x-csrf-token", &csrf), &form).await;
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let is_told = text.contains("data-notice=\"locked\"")
            || text.contains("\"code\":\"locked\"")
            || path == "/oauth/authorize";
        assert!(status == 403 && is_told, "POST {route}: {status} {text}");
    }
    let answer = ada.get("/audit.csv").await;
    assert_eq!(answer.headers()["location"], "/audit?notice=locked");
    let answer = ada.get("/api/v1/audit?limit=1000").await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("\"code\":\"locked\""));
    for (path, status) in [
        ("/login/active", 200),
        ("/login/token", 200),
        ("/account/logins/end-others", 200),
        ("/language", 303),
        ("/sign-out", 303),
    ] {
        let form = [("active", "no"), ("lang", "en")];
        let answer = ada.post_with(path, ("x-csrf-token", &csrf), &form).await;
        assert_eq!(answer.status(), status, "{path}");
    }
    server.restart().await;
    let told = "select sum(case action when 'refusals' then (detail->>'attempts')::bigint else 1 end)::bigint from audit
                where actor = 'ada' and action in ('refusals', 'login.refused_while_locked')";
    assert_eq!(server.database.count(told).await, tried, "each once");
    server.stop().await;
}

#[tokio::test]
async fn an_emergency_from_a_locked_console_is_taken_and_written_down_whichever_way_it_comes() {
    let mut server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    agent.gate_is("closed").await;
    let omar = server.browser("omar").await;
    let csrf = omar.csrf().await;
    let token = server.page_token(&omar).await;
    let mut stomp = StompClient::connect(server.stomp_address(), &token).await;
    stomp.subscribe("/user/queue/errors").await;
    let api = server.bearer(token);
    server.database.run(IDLE).await;
    let rows = "select count(*) from audit where action = 'login.emergency_while_locked' and identity->>'grant' is not null and actor = 'omar'";
    for (name, taken) in [("open", false), ("evacuate", true)] {
        let key = Uuid::new_v4().to_string();
        let form = [
            ("csrf", csrf.as_str()),
            ("key", &key),
            ("name", name),
            ("confirmed", "yes"),
        ];
        let answer = omar.post("/devices/gate-1/commands", &form).await;
        let notice = if taken { "command-queued" } else { "locked" };
        let expected = format!("/devices/gate-1?notice={notice}");
        assert_eq!(answer.headers()["location"], expected.as_str());
        let command = json!({"key": Uuid::new_v4(), "name": name});
        let path = "/api/v1/devices/gate-1/commands";
        let status = if taken { 202 } else { 403 };
        assert_eq!(api.post(path, command).await.0, status, "{name}");
        let command = json!({"key": Uuid::new_v4(), "name": name}).to_string();
        let answer = omar.post_json(path, &csrf, command).await;
        assert_eq!(answer.status(), status, "{name}");
        let command = json!({"key": Uuid::new_v4(), "name": name});
        let destination = "/app/devices/gate-1/commands";
        if taken {
            stomp.send(destination, &command).await;
        } else {
            stomp.cast(destination, &command).await;
            assert_eq!(stomp.message().await.header("code"), Some("locked"));
        }
        let expected = if taken { 4 } else { 0 };
        assert_eq!(server.database.count(rows).await, expected, "{name}");
    }
    let seen = json!({"occurrence": 1});
    stomp.cast("/app/alarms/1/acknowledge", &seen).await;
    assert_eq!(stomp.message().await.header("code"), Some("locked"));
    server.restart().await;
    let refused = "select subject || ' ' || coalesce(detail->>'name', '') from audit
        where action = 'login.refused_while_locked' and identity->>'grant' is not null and actor = 'omar' order by number";
    let command = "gate-1 open";
    let expected = [
        command,
        command,
        command,
        command,
        "/app/alarms/1/acknowledge ",
    ];
    assert_eq!(server.database.texts(refused).await, expected);
    server.stop().await;
}
