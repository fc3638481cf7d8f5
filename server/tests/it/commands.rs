//! Commands: stored before they are sent, sent to who lives now, followed to their end.

use contract::command::{CommandState, Reason, ReasonCode};
use serde_json::json;

use crate::agent::FakeAgent;
use crate::harness::TestServer;

const COMMANDS: &str = "/api/v1/devices/gate-1/commands";

#[tokio::test]
async fn a_command_is_followed_to_its_end() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    agent.heartbeat(50_000).await;
    let mut progress = server.stomp("program").await;
    progress.subscribe("/user/queue/command-progress").await;
    let program = server.program("program").await;

    let (status, sent) = program.command(1, "open").await;
    assert_eq!((status, &sent["state"]), (202, &json!("sent")));
    let command = agent.command().await;
    assert_eq!(json!(command.id), sent["id"]);
    assert_eq!(command.instance, agent.instance);
    let room = command
        .deadline_monotonic_ms
        .checked_sub(50_000 + 5_000)
        .unwrap();
    assert!(
        room < 5_000,
        "the deadline is the agent's clock at its heart-beat, what passed since, and 5 s: {room} too much"
    );

    for state in [
        CommandState::Delivered,
        CommandState::Accepted,
        CommandState::Executing,
        CommandState::Succeeded,
    ] {
        agent.result(&command, state, None).await;
    }
    agent.result(&command, CommandState::Failed, None).await; // Nonsense after the end changes nothing.
    assert_eq!(program.items(COMMANDS).await[0]["state"], "succeeded");
    let journal = "select state from command_transition order by id";
    let steps = [
        "queued",
        "sent",
        "delivered",
        "accepted",
        "executing",
        "succeeded",
    ];
    assert_eq!(server.database.texts(journal).await, steps);
    let mut told = Vec::new();
    while told.last() != Some(&json!("succeeded")) {
        let message = progress.message().await;
        told.push(
            serde_json::from_slice::<serde_json::Value>(&message.body).unwrap()["state"].clone(),
        );
    }
    assert_eq!(
        told,
        ["sent", "delivered", "accepted", "executing", "succeeded"]
    );
    server.stop().await;
}

#[tokio::test]
async fn the_same_key_is_the_same_command() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    let program = server.program("program").await;
    let (_, first) = program.command(1, "open").await;
    let (status, second) = program.command(1, "open").await;
    assert_eq!((status, &second["id"]), (202, &first["id"]));
    let body = json!({"key": uuid::Uuid::from_u128(1), "name": "open"});
    let (status, other) = program.post("/api/v1/devices/kiosk-1/commands", body).await;
    assert_eq!((status, &other["code"]), (409, &json!("key-reused")));
    let (_, third) = program.command(2, "open").await;
    assert_ne!(third["id"], first["id"]);
    assert_eq!(json!(agent.command().await.id), first["id"]);
    assert_eq!(
        json!(agent.command().await.id),
        third["id"],
        "the repetition was not sent"
    );
    server.stop().await;
}

#[tokio::test]
async fn nothing_waits_for_an_agent_to_come_back() {
    let mut server = TestServer::start().await;
    let agent = server.agent().await;
    let program = server.program("program").await;
    let (status, refused) = program.command(1, "open").await;
    assert_eq!(
        (status, &refused["state"], &refused["reason"]["code"]),
        (202, &json!("rejected"), &json!("comm_lost")),
        "it is connected, but does not take commands"
    );
    drop(agent);
    server.restart().await;
    let program = server.program("program").await;
    let (_, refused) = program.command(2, "open").await;
    assert_eq!(refused["state"], "rejected");

    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    let (_, sent) = program.command(3, "open").await;
    assert_eq!(
        json!(agent.command().await.id),
        sent["id"],
        "neither of the earlier ones"
    );
    server.stop().await;
}

#[tokio::test]
async fn who_may_not_is_refused_and_written_down() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    let program = server.program("program").await;
    let (status, body) = program.command(1, "reset").await;
    assert_eq!(
        (status, &body["code"]),
        (403, &json!("forbidden")),
        "critical is for technicians"
    );
    let (status, body) = program.command(2, "explode").await;
    assert_eq!((status, &body["code"]), (422, &json!("not-supported")));
    let body = json!({"key": uuid::Uuid::new_v4(), "name": "open", "params": {"speed": 1}});
    let (status, body) = program.post(COMMANDS, body).await;
    assert_eq!((status, &body["code"]), (422, &json!("bad-parameter")));
    let (status, _) = server.program("program-p2").await.command(3, "open").await;
    assert_eq!(
        status, 404,
        "a device of another zone does not exist for it"
    );
    let audit = "select outcome from audit where action = 'command.give' order by number";
    let outcomes = server.database.texts(audit).await;
    assert_eq!(outcomes.len(), 4);
    let first = "you may not give the command \"reset\"";
    assert!(outcomes[0].contains(first), "{outcomes:?}");
    assert_eq!(outcomes[3], "there is no device gate-1 that you may see");
    assert_eq!(
        server.database.count("select count(*) from command").await,
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn commands_go_to_the_newest_instance_of_an_agent_only() {
    let server = TestServer::start().await;
    let mut older = server.agent().await;
    older.stomp.subscribe("/user/queue/commands").await;
    let mut newer = FakeAgent::join(server.stomp("agent-1").await, "agent-1").await;
    newer.stomp.subscribe("/user/queue/commands").await;
    older.heartbeat(9_000).await; // Still alive, and still not the one.
    let (_, sent) = server.program("program").await.command(1, "open").await;
    let command = newer.command().await;
    assert_eq!(json!(command.id), sent["id"]);
    assert_eq!(command.instance, newer.instance);
    server.stop().await;
}

#[tokio::test]
async fn a_result_that_was_not_asked_for_changes_nothing() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    let mut stranger = FakeAgent::join(server.stomp("agent-2").await, "agent-2").await;
    let program = server.program("program").await;
    program.command(1, "open").await;
    let command = agent.command().await;
    stranger
        .result(&command, CommandState::Succeeded, None)
        .await;
    assert_eq!(program.items(COMMANDS).await[0]["state"], "sent");
    let reason = Reason {
        code: ReasonCode::Interlock,
        detail: "loop occupied".to_owned(),
    };
    agent
        .result(&command, CommandState::Rejected, Some(reason))
        .await;
    let refused = program.items(COMMANDS).await.remove(0);
    assert_eq!(
        (&refused["state"], &refused["reason"]["detail"]),
        (&json!("rejected"), &json!("loop occupied"))
    );
    server.stop().await;
}
