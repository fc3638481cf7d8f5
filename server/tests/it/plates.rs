//! Number plates: masked wherever they leave the server, shown with a reason and a row in the audit, erased in time.

use serde_json::json;

use crate::agent::at;
use crate::harness::{TestServer, field};
use contract::Value;
use contract::alarm::Severity;
use contract::event::{Event, Happening};

const PLATE: &str = "12가 3456";
const MASKED: &str = "**가 **56";
const REVEAL: &str = "/api/v1/devices/gate-1/points/plate/reveal";

/// An alarm whose detail is a plate.
fn no_entry(sequence: u64) -> Event {
    Event {
        sequence,
        device: "gate-1".parse().unwrap(),
        at: at(1),
        happening: Happening::FaultRaised {
            fault: "CAM-NO-ENTRY".parse().unwrap(),
            severity: Severity::Minor,
            detail: Some(Value::Text(PLATE.to_owned())),
        },
    }
}

#[tokio::test]
async fn a_plate_leaves_the_server_masked_on_every_road() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let mut watcher = server.stomp("program").await;
    for topic in [
        "/topic/devices/gate-1",
        "/topic/alarms",
        "/topic/ui/ko/zones/p1/devices/gate-1",
    ] {
        watcher.subscribe(topic).await;
    }
    let program = server.program("program").await;
    agent.plate_is(PLATE).await;
    agent.events(vec![no_entry(1)]).await;
    let device = program
        .eventually("/api/v1/devices/gate-1", |body| {
            body["points"][2]["value"] == MASKED
        })
        .await;
    assert!(!device.to_string().contains("3456"));
    let alarm = program.alarms().await.remove(0);
    assert_eq!(alarm["detail"], MASKED);
    assert_eq!(alarm["text"]["en"], format!("No entry {MASKED}"));

    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        let message = watcher.message().await;
        let text = String::from_utf8(message.body.to_vec()).unwrap();
        assert!(!text.contains("3456") && !text.contains("12가"), "{text}");
        if text.contains(MASKED) {
            seen.insert(message.header("destination").unwrap().to_owned());
        }
    }
    let browser = server.browser("omar").await;
    for path in [
        "/devices/gate-1",
        "/alarms",
        "/",
        "/partials/alarms",
        "/partials/devices/gate-1/alarms",
    ] {
        let page = browser.page(path).await;
        assert!(!page.contains("3456") && !page.contains("12가"), "{path}");
    }
    for table in [
        "select body::text from event",
        "select detail::text from alarm_occurrence",
        "select detail::text from audit",
    ] {
        let stored = server.database.texts(table).await.join("\n");
        assert!(!stored.contains("3456"), "{table}: {stored}");
    }
    // Masked before it is compared: a repetition stays one.
    agent.events(vec![no_entry(1)]).await;
    assert_eq!(
        server
            .database
            .count("select count(*) from quarantine")
            .await,
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn a_whole_plate_takes_a_reason_a_right_and_a_row_in_the_audit() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let program = server.program("program").await;
    agent.plate_is(PLATE).await;
    let path = "/api/v1/devices/gate-1";
    program
        .eventually(path, |body| body["points"][2]["value"] == MASKED)
        .await;

    for (why, status) in [
        ("", 422),
        ("  ", 422),
        ("\u{200b}\u{3164}", 422),
        (&"x".repeat(501), 422),
        ("분실 신고", 200),
    ] {
        let (got, body) = program.post(REVEAL, json!({"reason": why})).await;
        assert_eq!(got, status, "{body}");
        assert_eq!(body.to_string().contains(PLATE), status == 200, "{body}");
    }
    let (status, _) = program
        .post(
            "/api/v1/devices/gate-1/points/state/reveal",
            json!({"reason": "x"}),
        )
        .await;
    assert_eq!(status, 404, "nothing is hidden there");
    let (status, _) = server
        .program("program-p2")
        .await
        .post(REVEAL, json!({"reason": "x"}))
        .await;
    assert_eq!(status, 404);

    let browser = server.browser("omar").await;
    let page = browser.page("/devices/gate-1").await;
    let csrf = field(&page, "csrf");
    let form = "/devices/gate-1/points/plate/reveal";
    assert!(page.contains(form), "{page}");
    let answer = browser
        .post(form, &[("csrf", &csrf), ("reason", "경찰 요청")])
        .await;
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["cache-control"].to_str().unwrap()
        ),
        (200, "no-store")
    );
    assert!(answer.text().await.unwrap().contains(PLATE));
    let forged = browser.post(form, &[("csrf", "x"), ("reason", "y")]).await;
    assert!(!forged.text().await.unwrap().contains(PLATE));
    let vera = server.browser("vera").await;
    assert!(!vera.page("/devices/gate-1").await.contains(form));
    let csrf = vera.csrf().await;
    let refused = vera
        .post(form, &[("csrf", &csrf), ("reason", "I am curious")])
        .await;
    assert_eq!(refused.status(), 303);

    let rows =
        "select concat_ws('|', actor, subject, reason, outcome, detail ->> 'shown') from audit
                where action = 'plate.reveal' and actor <> 'program-p2' order by number";
    assert_eq!(
        server.database.texts(rows).await,
        [
            format!("program|gate-1/plate|분실 신고|done|{MASKED}"),
            format!("omar|gate-1/plate|경찰 요청|done|{MASKED}"),
            "vera|gate-1/plate|I am curious|you may not do this here".to_owned(),
        ]
    );
    server
        .database
        .run("revoke insert on audit from landside_server")
        .await;
    let (status, body) = program.post(REVEAL, json!({"reason": "분실 신고"})).await;
    assert_eq!(status, 503, "no row, no plate");
    assert!(!body.to_string().contains(PLATE));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_and_may_hold_plates_is_erased_in_time() {
    let mut server = TestServer::start().await;
    let mut agent = server.agent().await;
    // An agent without devices, as one whose inventory cannot be read.
    let mut bare = server.stomp("agent-2").await;
    for plate in [PLATE, "34나 5678"] {
        let body = json!({"plate": plate});
        agent.stomp.send("/app/events", &body).await;
        bare.send("/app/events", &body).await;
    }
    // What is said again and again was first said long ago.
    let old = "update quarantine set received_at = now() - interval '31 days'
               where convert_from(body, 'UTF8') like '%3456%'";
    server.database.run(old).await;
    server.restart().await;
    let bodies = "select convert_from(body, 'UTF8') from quarantine order by id";
    let deadline = tokio::time::Instant::now() + crate::harness::PATIENCE;
    loop {
        let bodies = server.database.texts(bodies).await;
        let holding = |plate: &str| bodies.iter().filter(|body| body.contains(plate)).count();
        assert_eq!((bodies.len(), holding("5678")), (4, 2), "{bodies:?}");
        if holding("3456") == 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{bodies:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn the_audit_is_read_by_those_who_may() {
    let server = TestServer::start().await;
    server.browser("omar").await;
    // Nobody is called so; a spreadsheet must not run it all the same.
    let formula = "insert into audit (actor, peer, action, subject, detail, outcome)
                   values ('=cmd', '', 'login.begin', 'x', '{}', 'done')";
    server.database.run(formula).await;
    assert_eq!(
        server.browser("vera").await.get("/audit").await.status(),
        403
    );
    let ada = server.browser("ada").await;
    let page = ada.page("/audit").await;
    assert!(
        page.contains("login.begin") && page.contains("omar"),
        "{page}"
    );
    let page = ada.page("/audit?actor=omar&from=2020-01-01T00:00").await;
    assert!(page.contains(">omar<") && !page.contains(">ada<"), "{page}");
    assert!(
        !ada.page("/audit?action=alarm")
            .await
            .contains("login.begin")
    );
    assert!(
        !ada.page("/audit?to=2020-01-01T00:00")
            .await
            .contains("login.begin")
    );
    let table = ada.get("/audit.csv?action=login").await;
    assert_eq!(table.headers()["content-type"], "text/csv; charset=utf-8");
    let table = table.text().await.unwrap();
    assert!(table.starts_with("\u{feff}number,at,"), "{table}");
    assert!(table.contains("\"'=cmd\""), "{table}");
    assert_eq!(ada.get("/audit.csv?actor=%00").await.status(), 200);
    let taken = "select count(*) from audit where action = 'audit.export'";
    assert_eq!(server.database.count(taken).await, 2);

    let program = server.program("supervisor").await;
    let (mut next, mut numbers) = (String::new(), Vec::new());
    loop {
        let (status, body) = program.get(&format!("/api/v1/audit?limit=2{next}")).await;
        assert_eq!(status, 200, "{body}");
        let rows = body["items"].as_array().unwrap();
        numbers.extend(rows.iter().map(|row| row["number"].as_i64().unwrap()));
        match body["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    let all: Vec<i64> = (1..=numbers[0]).rev().collect();
    assert_eq!(numbers, all, "every row once, newest first");
    let told = server.database.count(taken).await;
    assert_eq!(told, 2 + 5, "the first few pages by themselves");
    let (status, _) = server.program("program").await.get("/api/v1/audit").await;
    assert_eq!(status, 403);
    let (status, _) = program.get("/api/v1/audit?from=yesterday").await;
    assert_eq!(status, 422);
    let summed =
        "select count(*) from audit where action = 'audit.exports' and actor = 'supervisor'";
    server.halt_and_drop(summed, 1).await;
}
