//! While the database is away, an emergency waits for nobody: neither for commands that are open, nor for those that
//! are refused, nor for other emergencies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::command::CommandState;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::TestServer;

/// The first one waits a second for the database, the others do not; the machine may be busy.
const SOON: Duration = Duration::from_millis(2_500);

#[tokio::test]
async fn an_emergency_waits_for_no_other_command_while_the_database_swallows() {
    let (server, road) = TestServer::start_on_a_road().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    let program = Arc::new(server.program("program").await);
    let (status, open) = program.command(1, "open").await;
    assert_eq!(status, 202, "{open}");
    let open = agent.command().await;

    road.swallow();
    // Its record is waited for, then those of ten that nobody may give.
    agent.cast_result(&open, CommandState::Accepted).await;
    let mut refused = JoinSet::new();
    for key in 100..110 {
        let program = Arc::clone(&program);
        refused.spawn(async move { program.command(key, "nonsense").await.0 });
    }
    let since = Instant::now();
    for key in 2..7 {
        let (status, sent) = program.command(key, "evacuate").await;
        assert_eq!((status, &sent["state"]), (202, &json!("sent")), "{sent}");
        assert_eq!(json!(agent.command().await.id), sent["id"]);
    }
    let taken = since.elapsed();
    assert!(taken < SOON, "five emergencies took {taken:?}");
    while let Some(status) = refused.join_next().await {
        assert_eq!(status.unwrap(), 503, "what cannot be written down");
    }

    road.open();
    let given = "select count(*) from audit where action = 'command.give' and detail ->> 'name' = 'evacuate'";
    program
        .eventually("/api/v1/devices/gate-1/commands", |body| {
            body["items"]
                .as_array()
                .is_some_and(|items| items.len() == 6)
        })
        .await;
    server.halt_and_drop(given, 5).await;
}

#[tokio::test]
async fn what_is_refused_is_cut_before_it_is_written_down() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    let program = server.program("program").await;
    let long = "가\0".repeat(2_000);
    let (status, _) = program
        .post(
            "/api/v1/devices/gate-1/commands",
            json!({"key": uuid::Uuid::nil(), "name": long, "params": {"delay": long}}),
        )
        .await;
    assert_eq!(status, 422);
    let longest =
        "select max(octet_length(detail::text) + octet_length(outcome))::bigint from audit
                   where action = 'command.give'";
    let longest = server.database.count(longest).await;
    assert!(longest < 8 * 1024, "{longest} bytes of one refused command");
    server.stop().await;
}
