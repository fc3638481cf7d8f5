//! What agents report: stored once, whatever is repeated; refused for good and kept, where it cannot be stored.

use serde_json::json;

use crate::agent::event;
use crate::harness::TestServer;

const OCCURRENCES: &str = "select count(*) from alarm_occurrence";
const QUARANTINE: &str = "select count(*) from quarantine";

#[tokio::test]
async fn an_event_that_is_sent_again_happens_once() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    for _ in 0..3 {
        agent
            .events(vec![event(1, "gate-1", "BAR-ERR", true)])
            .await;
    }
    assert_eq!(server.database.count(OCCURRENCES).await, 1);
    assert_eq!(server.database.count(QUARANTINE).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn the_same_key_with_other_content_is_kept_apart() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    agent
        .events(vec![
            event(1, "kiosk-1", "BAR-ERR", true),
            event(2, "gate-1", "BAR-ERR", false),
        ])
        .await;
    assert_eq!(server.database.count(OCCURRENCES).await, 1);
    let reasons = server.database.texts("select reason from quarantine").await;
    assert_eq!(
        reasons,
        ["another event is stored under the same agent, epoch and sequence"]
    );
    assert_eq!(
        server.database.count("select count(*) from event").await,
        2,
        "the rest of the frame is stored"
    );
    server.stop().await;
}

#[tokio::test]
async fn what_can_never_be_stored_does_not_block_the_outbox() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let stranger = event(1, "gate-9", "BAR-ERR", true);
    let foreign = event(2, "kiosk-1", "BAR-ERR", true);
    agent.events(vec![stranger, foreign]).await;
    agent
        .stomp
        .send_raw("/app/events", b"{\"agent\": 1}".to_vec())
        .await;
    agent
        .stomp
        .send_raw("/app/command-results", b"not json \xff\x00".to_vec())
        .await;
    let mut timeless = event(3, "gate-1", "BAR-ERR", true);
    timeless.at = "0001-01-01T00:00:00Z".parse().unwrap();
    agent.events(vec![timeless]).await;
    assert_eq!(server.database.count(QUARANTINE).await, 4);
    assert_eq!(server.database.count(OCCURRENCES).await, 1);
    let bodies = server
        .database
        .texts("select encode(body, 'escape') from quarantine order by id")
        .await;
    assert!(bodies[0].contains("gate-9"), "kept whole: {}", bodies[0]);
    assert_eq!(bodies[2], "not json \\377\\000");
    server.stop().await;
}

#[tokio::test]
async fn a_word_that_postgres_cannot_keep_loses_no_alarm() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let nul = json!({"agent": "agent-1", "epoch": agent.epoch, "events": [{
        "sequence": 1, "device": "gate-1", "at": "2026-11-22T07:00:00Z", "kind": "fault_raised",
        "fault": "BAR-ERR", "severity": "major", "detail": "a\u{0}b",
    }]});
    agent.stomp.send("/app/events", &nul).await;
    agent.stomp.send("/app/events", &nul).await;
    let alarm = server.program("program").await.alarms().await.remove(0);
    assert_eq!(alarm["detail"], "a\u{fffd}b");
    let mut inventory = crate::agent::inventory("agent-1", agent.instance, agent.epoch);
    inventory.devices[0].name.en = "Gate\0".to_owned();
    agent.stomp.send("/app/inventory", &inventory).await;
    let browser = crate::harness::Browser::new(server.url(""));
    assert_eq!(browser.sign_in("omar\0", "x\0").await.status(), 401);
    server.stop().await;
}

#[tokio::test]
async fn an_agent_speaks_for_itself_only() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/errors").await;
    let mut other = event(1, "gate-1", "BAR-ERR", true);
    other.sequence = 1;
    agent
        .stomp
        .cast(
            "/app/events",
            &json!({"agent": "agent-2", "epoch": agent.epoch, "events": [other]}),
        )
        .await;
    let refusal = agent.stomp.message().await;
    assert_eq!(refusal.header("code"), Some("not-yours"));
    assert_eq!(server.database.count("select count(*) from event").await, 0);

    // Another agent cannot raise alarms on our devices either.
    let mut second = crate::agent::FakeAgent::join(server.stomp("agent-2").await, "agent-2").await;
    second
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    assert_eq!(server.database.count(OCCURRENCES).await, 0);
    assert_eq!(server.database.count(QUARANTINE).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn an_agent_is_not_heard_before_it_is_approved() {
    let server = TestServer::start().await;
    let _agent = crate::agent::FakeAgent::join(server.stomp("agent-3").await, "agent-3").await;
    let program = server.program("program").await;
    let devices = program.items("/api/v1/devices").await;
    assert_eq!(devices[0]["condition"], "unregistered");
    let key = uuid::Uuid::new_v4();
    let (status, body) = program
        .post(
            "/api/v1/devices/gate-3/commands",
            json!({"key": key, "name": "open"}),
        )
        .await;
    assert_eq!((status, &body["code"]), (409, &json!("unregistered")));
    server.stop().await;
}

#[tokio::test]
async fn a_device_that_moves_to_another_agent_must_be_approved_anew() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    let mut thief = crate::agent::FakeAgent::join(server.stomp("agent-3").await, "agent-3").await;
    let mut inventory = crate::agent::inventory("agent-1", thief.instance, thief.epoch);
    inventory.agent = "agent-3".parse().unwrap();
    thief.stomp.send("/app/inventory", &inventory).await;
    let (_, gate) = server
        .program("program")
        .await
        .get("/api/v1/devices/gate-1")
        .await;
    assert_eq!(
        (&gate["agent"], &gate["condition"]),
        (&json!("agent-3"), &json!("unregistered"))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_broken_inventory_changes_nothing() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/errors").await;
    let mut inventory = crate::agent::inventory("agent-1", agent.instance, agent.epoch);
    inventory.profiles.clear();
    agent.stomp.cast("/app/inventory", &inventory).await;
    let refusal = agent.stomp.message().await;
    assert_eq!(refusal.header("code"), Some("bad-inventory"));
    assert!(refusal.header("message").unwrap().contains("gate.test"));
    assert_eq!(
        server
            .program("program")
            .await
            .items("/api/v1/devices")
            .await
            .len(),
        2
    );
    server.stop().await;
}

#[tokio::test]
async fn readings_are_live_and_a_silent_device_is_unknown() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.gate_is("open").await;
    let program = server.program("program").await;
    let (_, gate) = program.get("/api/v1/devices/gate-1").await;
    assert_eq!(gate["condition"], "ok");
    assert_eq!(
        (&gate["points"][0]["value"], &gate["points"][0]["quality"]),
        (&json!("open"), &json!("good"))
    );
    assert_eq!(
        (&gate["points"][1]["value"], &gate["points"][1]["quality"]),
        (&json!(null), &json!("unknown"))
    );
    let (_, kiosk) = program.get("/api/v1/devices/kiosk-1").await;
    assert_eq!(kiosk["condition"], "unknown", "it never spoke");

    agent.events(vec![event(1, "gate-1", "COMM", true)]).await;
    let gate = program
        .eventually("/api/v1/devices/gate-1", |gate| {
            gate["condition"] == "unknown"
        })
        .await;
    assert_eq!(gate["points"][0]["quality"], "comm_lost");
    let metrics = server.metrics().await;
    for line in [
        "landside_devices{condition=\"unknown\"} 2",
        "landside_open_alarms{state=\"unacknowledged\",priority=\"2\"} 1",
        "landside_broker_sessions 1",
    ] {
        assert!(
            metrics.lines().any(|known| known == line),
            "{line} is missing in {metrics}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_device_that_is_no_longer_announced_is_gone() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let mut inventory = crate::agent::inventory("agent-1", agent.instance, agent.epoch);
    inventory.devices.pop();
    agent.stomp.send("/app/inventory", &inventory).await;
    let devices = server
        .program("program")
        .await
        .items("/api/v1/devices")
        .await;
    assert_eq!(
        devices
            .iter()
            .map(|device| &device["id"])
            .collect::<Vec<_>>(),
        ["gate-1"]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_commit_that_fails_is_taken_back() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'disk full'; end $$;
                  create constraint trigger refuse after insert on event deferrable initially deferred
                  for each row execute function refuse()";
    server.database.run(refuse).await;
    let body = contract::event::Events {
        agent: agent.id.clone(),
        epoch: agent.epoch,
        events: vec![event(1, "gate-1", "BAR-ERR", true)],
    };
    agent.stomp.cast("/app/events", &body).await;
    assert_eq!(agent.stomp.error().await, "unavailable", "no receipt");
    let program = server.program("program").await;
    assert!(program.alarms().await.is_empty());

    server.database.run("drop trigger refuse on event").await;
    let epoch = agent.epoch;
    let mut agent = server.agent().await;
    agent.epoch = epoch;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    assert_eq!(program.alarms().await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn agents_that_announce_at_once_are_all_heard() {
    let server = TestServer::start().await;
    let rounds = ["agent-1", "agent-2"].map(|id| {
        let server = &server;
        async move {
            let mut agent = crate::agent::FakeAgent::join(server.stomp(id).await, id).await;
            for round in 1..=10 {
                let mut inventory = crate::agent::inventory(id, agent.instance, agent.epoch);
                inventory.profiles[0].version = round;
                agent.stomp.send("/app/inventory", &inventory).await;
                let gate = inventory.devices[0].id.to_string();
                let sequence = u64::from(round);
                agent
                    .events(vec![event(sequence, &gate, "BAR-ERR", round % 2 == 1)])
                    .await;
            }
        }
    });
    futures_util::future::join_all(rounds).await;
    assert_eq!(server.database.count(QUARANTINE).await, 0);
    assert_eq!(server.database.count(OCCURRENCES).await, 10);
    server.stop().await;
}

#[tokio::test]
async fn times_beyond_any_calendar_do_no_harm() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/errors").await;
    let far = "+262142-12-31T23:59:59Z";
    let reading = json!({"point": "state", "value": "open", "quality": "good", "at": far});
    let report = json!({"agent": "agent-1", "instance": agent.instance, "sequence": 1, "sent_at": "2026-11-22T07:00:00Z",
        "monotonic_ms": 5000, "devices": [{"device": "gate-1", "readings": [reading]}]});
    agent.stomp.cast("/app/readings", &report).await;
    assert_eq!(agent.stomp.message().await.header("code"), Some("bad-time"));
    agent.gate_is("open").await;
    assert_eq!(
        server
            .program("program")
            .await
            .get("/api/v1/devices/gate-1")
            .await
            .1["condition"],
        "ok"
    );
    server.stop().await;
}

#[tokio::test]
async fn the_alarms_of_a_device_that_is_no_longer_announced_stay_until_they_end() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.gate_is("open").await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let whole = crate::agent::inventory("agent-1", agent.instance, agent.epoch);
    let mut less = whole.clone();
    less.devices.remove(0);
    agent.stomp.send("/app/inventory", &less).await;

    let pia = server.browser("pia").await;
    let list = pia.page("/alarms").await;
    assert!(list.contains("BAR-ERR"), "seen by those of its zone");
    agent.stomp.send("/app/inventory", &whole).await;
    // What was read before may be old by now, on a machine with much to do.
    agent.gate_is("open").await;
    let program = server.program("program").await;
    let (_, gate) = program.get("/api/v1/devices/gate-1").await;
    assert_eq!(
        (&gate["condition"], &gate["active_alarms"]),
        (&json!("faulty"), &json!(1)),
        "and back with the device"
    );

    agent.stomp.send("/app/inventory", &less).await;
    let alarm = program.alarms().await.remove(0);
    let path = format!("/api/v1/alarms/{}/acknowledge", alarm["id"]);
    assert_eq!(
        program
            .post(&path, json!({"occurrence": alarm["occurrence"]}))
            .await
            .0,
        200
    );
    agent
        .events(vec![event(2, "gate-1", "BAR-ERR", false)])
        .await;
    assert!(program.alarms().await.is_empty());
    assert_eq!(server.database.count(QUARANTINE).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn an_agent_announces_in_its_own_zones_only() {
    let server = TestServer::start().await;
    let mut agent = server.stomp("agent-p2").await;
    agent.subscribe("/user/queue/errors").await;
    let mut inventory = crate::agent::inventory(
        "agent-p2",
        contract::InstanceId(uuid::Uuid::new_v4()),
        contract::Epoch(uuid::Uuid::new_v4()),
    );
    agent.cast("/app/inventory", &inventory).await;
    let refusal = agent.message().await;
    assert_eq!(refusal.header("code"), Some("bad-inventory"));
    assert!(refusal.header("message").unwrap().contains("zone p1"));
    for device in &mut inventory.devices {
        device.zone = "p2".parse().unwrap();
    }
    agent.send("/app/inventory", &inventory).await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_refused_again_and_again_is_counted() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    for _ in 0..3 {
        agent
            .stomp
            .send_raw("/app/events", b"nonsense".to_vec())
            .await;
    }
    let times = server
        .database
        .texts("select times::text from quarantine")
        .await;
    assert_eq!(times, ["3"]);
    server.stop().await;
}
