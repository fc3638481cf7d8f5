//! What is still true after a restart.

use contract::command::CommandState;
use serde_json::json;
use server::identity::rotation;
use server::store::Store;

use crate::agent::{FakeAgent, event};
use crate::harness::TestServer;

#[tokio::test]
async fn open_alarms_go_on_and_live_state_is_unknown_until_told() {
    let mut server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.gate_is("open").await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let before = server.program("program").await.alarms().await;
    server.restart().await;

    let program = server.program("program").await;
    assert_eq!(program.alarms().await, before);
    let (_, gate) = program.get("/api/v1/devices/gate-1").await;
    assert_eq!(
        (&gate["condition"], &gate["active_alarms"]),
        (&json!("unknown"), &json!(1))
    );
    assert_eq!(
        gate["points"][0]["value"],
        json!(null),
        "nothing from before is shown as now"
    );

    let epoch = agent.epoch;
    let mut agent = FakeAgent::join(server.stomp("agent-1").await, "agent-1").await;
    agent.epoch = epoch;
    agent.gate_is("open").await;
    program
        .eventually("/api/v1/devices/gate-1", |gate| {
            gate["condition"] == "faulty"
        })
        .await;
    agent
        .events(vec![
            event(1, "gate-1", "BAR-ERR", true),
            event(2, "gate-1", "BAR-ERR", false),
        ])
        .await;
    assert_eq!(
        program.alarms().await[0]["state"],
        "returned_unacknowledged"
    );
    assert_eq!(
        server
            .database
            .count("select count(*) from alarm_occurrence")
            .await,
        1
    );
    server.stop().await;
}

#[tokio::test]
async fn a_command_that_was_on_its_way_can_still_end() {
    let mut server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    server.program("program").await.command(1, "open").await;
    let command = agent.command().await;
    server.restart().await;
    let mut agent = FakeAgent::join(server.stomp("agent-1").await, "agent-1").await;
    agent.result(&command, CommandState::Succeeded, None).await;
    let commands = server
        .program("program")
        .await
        .items("/api/v1/devices/gate-1/commands")
        .await;
    assert_eq!(commands[0]["state"], "succeeded");
    server.stop().await;
}

#[tokio::test]
async fn passwords_and_tokens_outlive_a_restart() {
    let mut server = TestServer::start().await;
    let browser = server.browser("omar").await;
    let cookie = browser.csrf().await;
    let token = server.token("program").await;
    server.restart().await;
    let answer = reqwest::Client::new()
        .get(server.url("/api/v1/alarms"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "the signing key is the same");
    assert!(!cookie.is_empty());
    assert_eq!(
        server
            .database
            .count("select count(*) from signing_key")
            .await,
        2,
        "the current one and the next"
    );
    server.stop().await;
}

#[tokio::test]
async fn whoever_is_taken_out_of_the_access_file_is_out() {
    let mut server = TestServer::start().await;
    server.browser("omar").await;
    server.remove_from_access("omar");
    server.restart().await;
    let again = crate::harness::Browser::new(server.url(""));
    assert_eq!(
        again
            .sign_in("omar", crate::harness::PASSWORD)
            .await
            .status(),
        401
    );
    assert_eq!(
        again
            .sign_in("tess", crate::harness::PASSWORD)
            .await
            .status(),
        303
    );
    server.stop().await;
}

#[tokio::test]
async fn no_key_file_is_made_beside_keys_that_are_sealed_with_the_lost_one() {
    let mut server = TestServer::start().await;
    let (file, away) = (
        server.data().join("identity.key"),
        server.data().join("away"),
    );
    server.halt().await;
    std::fs::rename(&file, &away).unwrap();
    let error = server.try_another().await.unwrap_err().to_string();
    assert!(
        error.contains("identity.key is missing") && error.contains("keys remove"),
        "{error}"
    );
    assert!(!file.exists(), "nobody takes a new one for the lost one");

    // Lost for good: the keys are removed, and new ones made.
    let store = Store::open(&server.database.url()).await.unwrap();
    for key in rotation::list(&store).await.unwrap() {
        let left = rotation::remove(&store, None, &key.kid).await.unwrap();
        assert!(left.is_some());
    }
    assert!(rotation::list(&store).await.unwrap().is_empty());
    store.close().await;
    server.run().await;
    assert!(file.exists());
    server.stop().await;
}
