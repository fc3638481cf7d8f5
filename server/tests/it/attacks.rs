//! What somebody with a good token tries next: other zones, other people's queues, the topics themselves. What is tried
//! without one, or with a bad one, is in `oauth.rs`; at the door, in `listener.rs` and `people.rs`.

use serde_json::Value;
use stomp::{Command, Frame};

use crate::agent::event;
use crate::harness::TestServer;

/// Exactly this is answered to a SUBSCRIBE: another code may tell what exists.
async fn is_refused(server: &TestServer, client: &str, code: &str, destinations: &[&str]) {
    for destination in destinations {
        let mut stomp = server.stomp(client).await;
        stomp.try_subscribe(destination).await;
        let got = stomp.error().await;
        assert_eq!(got, code, "{client} SUBSCRIBE {destination}");
    }
}

/// `gate-1` stands in zone p1; the program may see p2 only.
#[tokio::test]
async fn nobody_sees_beyond_their_zone_whatever_they_call_it() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    // The same for what is elsewhere as for what is nowhere.
    let forbidden = [
        // Directly.
        "/topic/zones/p1/alarms",
        "/topic/zones/p9/alarms",
        "/topic/devices/gate-1",
        "/topic/devices/gate-9",
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
        // By what might be taken for the same.
        "/topic/zones/P1/alarms",
        "/topic/zones/ p1/alarms",
        "/topic/zones/p1/alarms\u{200b}",
        "/topic/zones/p2,p1/alarms",
    ];
    is_refused(&server, "program-p2", "forbidden", &forbidden).await;
    let misspelt = [
        "/topic//zones/p1/alarms",
        "/topic/zones/p2/../p1/alarms",
        "/topic/zones/p2/alarms/../../p1/alarms",
        "/topic/zones/p2%2f..%2fp1/alarms",
        "/topic/zones/%70%31/alarms",
        "/topic/zones/p1/alarms/",
        "/topic/zones/p1/./alarms",
        "/topic/zones/{zone}/alarms",
    ];
    is_refused(&server, "program-p2", "bad-destination", &misspelt).await;
    let elsewhere = [
        "/**",
        "//topic/zones/p1/alarms",
        "/TOPIC/zones/p1/alarms",
        "topic/zones/p1/alarms",
        "/topic.zones.p1.alarms",
        "/exchange/topic/zones.p1.alarms",
    ];
    is_refused(&server, "program-p2", "unsupported-destination", &elsewhere).await;
    server.stop().await;
}

#[tokio::test]
async fn nobody_reads_what_is_for_another() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    let of_others = [
        "/user/agent-1/queue/commands",
        "/user/omar/queue/errors",
        "/user/omar/queue/command-progress",
        "/user/**",
        "/user/*/queue/errors",
        "/reply-queue/1",
        "/reply-queue/**",
        "/amq/queue/commands",
        "/app/events",
    ];
    is_refused(&server, "program", "unsupported-destination", &of_others).await;
    let wider = ["/user/queue/**", "/queue/**"];
    is_refused(&server, "program", "bad-destination", &wider).await;
    let of_machines = [
        "/user/queue/commands",
        "/queue/commands",
        "/queue/errors-useromar",
    ];
    is_refused(&server, "program", "forbidden", &of_machines).await;
    server.stop().await;
}

/// Not directly, not by a transaction, not as the answer to something else.
#[tokio::test]
async fn nobody_speaks_past_the_handlers() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    for client in ["program", "agent-2"] {
        for (destination, code) in [
            ("/topic/alarms", "forbidden"),
            ("/topic/zones/p1/alarms", "forbidden"),
            ("/topic/devices/gate-1", "forbidden"),
            ("/topic/ui/ko/zones/p1/tile", "forbidden"),
            ("/topic/anything", "unknown-destination"),
            ("/user/agent-1/queue/commands", "unsupported-destination"),
            ("/user/omar/queue/errors", "unsupported-destination"),
            ("/user/queue/commands", "unsupported-destination"),
            ("/queue/commands", "forbidden"),
            ("/reply-queue/1", "forbidden"),
            ("/app/../topic/alarms", "bad-destination"),
            ("/app//events", "bad-destination"),
            ("/app/events/", "bad-destination"),
            ("/app/nothing", "unknown-destination"),
        ] {
            let mut stomp = server.stomp(client).await;
            stomp.cast(destination, &Value::Null).await;
            let got = stomp.error().await;
            assert_eq!(got, code, "{client} SEND {destination}");

            let mut stomp = server.stomp(client).await;
            let begin = Frame::new(Command::Begin).with_header("transaction", "t");
            stomp.send_frame(begin).await;
            let send = Frame::new(Command::Send)
                .with_header("destination", destination)
                .with_header("transaction", "t");
            stomp.send_frame(send).await;
            let got = stomp.error().await;
            assert_eq!(got, code, "{client} SEND {destination} in a transaction");
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
    assert_eq!(stomp.message().await.header("code"), Some("not-open"));
    let command =
        serde_json::json!({"key": uuid::Uuid::from_u128(1), "name": "open", "params": {}});
    stomp.cast("/app/devices/gate-1/commands", &command).await;
    // Not even that it is there is told.
    assert_eq!(stomp.message().await.header("code"), Some("no-such-device"));

    let api = server.program("program-p2").await;
    let path = format!("/api/v1/alarms/{alarm}/acknowledge");
    assert_eq!(api.post(&path, acknowledge).await.0, 404);
    let path = "/api/v1/devices/gate-1/commands";
    assert_eq!(api.post(path, command).await.0, 404);
    assert_eq!(api.get("/api/v1/devices/gate-1").await.0, 404);
    assert!(api.alarms().await.is_empty());
    assert_eq!(everywhere.alarms().await[0]["state"], "unacknowledged");
    server.stop().await;
}
