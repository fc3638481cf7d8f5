//! Alarms from raise to normal, as programs and the records see them.

use serde_json::json;

use crate::agent::event;
use crate::harness::TestServer;

#[tokio::test]
async fn an_alarm_is_raised_acknowledged_and_cleared() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let program = server.program("program").await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;

    let alarm = program.alarms().await.remove(0);
    assert_eq!(
        (&alarm["state"], &alarm["priority"]),
        (&json!("unacknowledged"), &json!(2))
    );
    assert_eq!(
        alarm["text"],
        json!({"ko": "Gate error 17 (ko)", "en": "Gate error 17"})
    );
    let path = format!("/api/v1/alarms/{}/acknowledge", alarm["id"]);
    let long = json!({"occurrence": alarm["occurrence"], "note": "가".repeat(501)});
    let (status, refused) = program.post(&path, long).await;
    assert_eq!((status, &refused["code"]), (422, &json!("bad-parameter")));
    let seen = json!({"occurrence": alarm["occurrence"], "note": "on my way!"});
    let (status, acknowledged) = program.post(&path, seen.clone()).await;
    assert_eq!(
        (status, &acknowledged["state"]),
        (200, &json!("acknowledged"))
    );
    assert_eq!(acknowledged["acknowledged"]["by"], "program");

    // Somebody else is told who was faster; nothing is stored twice.
    let (status, again) = server
        .program("program-p2")
        .await
        .post(&path, seen.clone())
        .await;
    assert_eq!(
        (status, &again["code"]),
        (404, &json!("not-found")),
        "not in this zone"
    );
    let nobodys = "/api/v1/alarms/999/acknowledge";
    let program_p2 = server.program("program-p2").await;
    let (status, none) = program_p2.post(nobodys, seen.clone()).await;
    let told = none["detail"].as_str().unwrap();
    let (number, told) = (alarm["id"].to_string(), told.replace("999", "N"));
    assert_eq!(
        (
            status,
            again["detail"].as_str().unwrap().replace(&number, "N")
        ),
        (404, told)
    );
    let mut stomp = server.stomp("program-p2").await;
    stomp.subscribe("/user/queue/errors").await;
    for number in [&number, "999"] {
        let destination = format!("/app/alarms/{number}/acknowledge");
        stomp.cast(&destination, &seen).await;
        assert_eq!(stomp.message().await.header("code"), Some("not-open"));
    }
    let (status, again) = program.post(&path, seen).await;
    assert_eq!(
        (status, &again["acknowledged"]),
        (200, &acknowledged["acknowledged"])
    );

    agent
        .events(vec![event(2, "gate-1", "BAR-ERR", false)])
        .await;
    assert!(program.alarms().await.is_empty());
    let journal = "select action || ' ' || state || ' ' || actor from alarm_transition order by id";
    let steps = [
        "raise unacknowledged agent-1",
        "acknowledge acknowledged program",
        "clear normal agent-1",
    ];
    assert_eq!(server.database.texts(journal).await, steps);
    let nobodys = "program-p2 alarm.acknowledge 999 there is no open alarm with the number 999: it may have been acknowledged and ended meanwhile";
    let audit = "select actor || ' ' || action || ' ' || subject || ' ' || outcome from audit where action like 'alarm.%' order by number";
    assert_eq!(
        server.database.texts(audit).await,
        [
            "program alarm.acknowledge gate-1/BAR-ERR done",
            "program-p2 alarm.acknowledge gate-1/BAR-ERR you may not acknowledge alarms of the zone p1",
            nobodys,
            "program-p2 alarm.acknowledge gate-1/BAR-ERR you may not acknowledge alarms of the zone p1",
            nobodys,
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn an_alarm_that_ended_unseen_waits_to_be_seen() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let program = server.program("program").await;
    agent
        .events(vec![
            event(1, "gate-1", "BAR-ERR", true),
            event(2, "gate-1", "BAR-ERR", false),
        ])
        .await;
    let first = program.alarms().await.remove(0);
    assert_eq!(first["state"], "returned_unacknowledged");

    agent
        .events(vec![event(3, "gate-1", "BAR-ERR", true)])
        .await;
    let second = program.alarms().await.remove(0);
    assert_eq!(
        (&second["state"], &second["count"]),
        (&json!("unacknowledged"), &json!(2))
    );
    assert_eq!(second["id"], first["id"], "one alarm, two occurrences");
    assert_ne!(second["occurrence"], first["occurrence"]);

    let path = format!("/api/v1/alarms/{}/acknowledge", first["id"]);
    let (status, refused) = program
        .post(&path, json!({"occurrence": first["occurrence"]}))
        .await;
    assert_eq!((status, &refused["code"]), (409, &json!("superseded")));
    agent
        .events(vec![event(4, "gate-1", "BAR-ERR", false)])
        .await;
    let (status, done) = program
        .post(&path, json!({"occurrence": second["occurrence"]}))
        .await;
    assert_eq!((status, &done["state"]), (200, &json!("normal")));
    assert!(program.alarms().await.is_empty());
    let seen = "select count(*) from alarm_occurrence where acknowledged_by = 'program'";
    assert_eq!(
        server.database.count(seen).await,
        2,
        "the earlier occurrence is seen along with the later one"
    );
    let (status, _) = program
        .post(&path, json!({"occurrence": second["occurrence"]}))
        .await;
    assert_eq!(status, 404);
    server.stop().await;
}

#[tokio::test]
async fn alarms_come_in_the_order_in_which_to_act() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let program = server.program("program").await;
    agent
        .events(vec![
            event(1, "gate-1", "BAR-ERR", true),
            event(2, "kiosk-1", "BAR-ERR", true),
        ])
        .await;
    let newest = program.alarms().await.remove(0);
    assert_eq!(newest["device"], "kiosk-1");
    let path = format!("/api/v1/alarms/{}/acknowledge", newest["id"]);
    program
        .post(&path, json!({"occurrence": newest["occurrence"]}))
        .await;
    assert_eq!(
        program.alarms().await[0]["device"],
        "gate-1",
        "unacknowledged first"
    );
    server.stop().await;
}

#[tokio::test]
async fn alarms_are_told_live_to_programs_and_pages() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let mut program = server.stomp("program").await;
    program.subscribe("/topic/zones/p1/alarms").await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let told: serde_json::Value = serde_json::from_slice(&program.message().await.body).unwrap();
    assert_eq!(
        (&told["device"], &told["state"]),
        (&json!("gate-1"), &json!("unacknowledged"))
    );

    // Acknowledged over STOMP: the same handlers as over HTTP.
    let destination = format!("/app/alarms/{}/acknowledge", told["id"]);
    program
        .cast(&destination, &json!({"occurrence": told["occurrence"]}))
        .await;
    let told: serde_json::Value = serde_json::from_slice(&program.message().await.body).unwrap();
    assert_eq!(
        (&told["state"], &told["acknowledged"]["by"]),
        (&json!("acknowledged"), &json!("program"))
    );

    let mut page = server.stomp("program").await;
    page.subscribe("/topic/ui/en/zones/p1/**").await;
    agent
        .events(vec![event(2, "gate-1", "BAR-ERR", false)])
        .await;
    // Other notices may come before: what the device can be told changes with its condition.
    let notice = br#"{"topics":["alarms"]}"#.as_slice();
    while page.message().await.body != notice {}
    server.stop().await;
}
