//! The policy of a server that runs: its file and the access file are edited under it.

use std::time::{Duration, Instant};

use server::identity::policy::Policy;

use crate::agent::event;
use crate::harness::{PATIENCE, TestServer, access};

/// The built-in policy with some of its text replaced everywhere.
fn edited(edits: &[(&str, &str)]) -> String {
    replaced(Policy::DEFAULT, edits)
}

fn replaced(text: &str, edits: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (before, after) in edits {
        assert!(text.contains(before), "{before}");
        text = text.replace(before, after);
    }
    text
}

/// The rule of alarms, as each role of people has it.
const ALARMS: &str = "{ to = \"/topic/alarms\", zones = \"all\" },";

const POLICIES_REFUSED: &str = "select count(*) from audit where action = 'policy.refuse'";
const ACCESS_REFUSED: &str = "select count(*) from audit where action = 'access.refuse'";
const ACCESS_TOLD: &str =
    "select outcome from audit where action = 'access.refuse' order by number";

/// Waits until so many files were refused: only then has the server seen the last one.
async fn are_refused(server: &TestServer, count: &'static str, times: i64) {
    eventually("a wrong file is refused", || async {
        server.database.count(count).await == times
    })
    .await;
}

/// Asks until the answer is yes: for what happens at the next look at a file.
async fn eventually<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !ask().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a new session of this client may subscribe.
async fn subscribes(server: &TestServer, client: &str, destination: &str) -> bool {
    let mut stomp = server.stomp(client).await;
    stomp.try_subscribe(destination).await;
    matches!(stomp.next().await, stomp::ClientEvent::Receipt(_))
}

#[tokio::test]
async fn a_right_that_is_taken_away_ends_a_live_subscription() {
    let server = TestServer::start_with_policy(&edited(&[])).await;
    let mut agent = server.agent().await;
    let mut alarms = server.stomp("program").await;
    alarms.subscribe("/topic/alarms").await;
    let mut zone = server.stomp("program").await;
    zone.subscribe("/topic/zones/p1/alarms").await;
    server.write("policy.toml", &edited(&[(ALARMS, "")]));
    assert_eq!(alarms.error().await, "forbidden");
    assert!(!subscribes(&server, "program", "/topic/alarms").await);
    // A broken file changes nothing, and neither does one that grants what nobody may have, or an empty one.
    for (times, broken) in [
        (1, "[role.operator".to_owned()),
        (2, edited(&[("\"/app/auth\"", "\"/topic/**\"")])),
        (3, String::new()),
        (4, edited(&[("\"people.manage\", ", "")])),
    ] {
        server.write("policy.toml", &broken);
        are_refused(&server, POLICIES_REFUSED, times).await;
        assert!(subscribes(&server, "program", "/topic/zones/p1/alarms").await);
    }
    // Rights come back the same way, and whoever kept theirs never noticed.
    server.write(
        "policy.toml",
        &edited(&[("# Programs", "# Other programs")]),
    );
    eventually("the right comes back", || {
        subscribes(&server, "program", "/topic/alarms")
    })
    .await;
    agent
        .events(vec![event(1, "gate-1", "BAR-STUCK", true)])
        .await;
    let message = zone.message().await;
    assert_eq!(
        message.header("destination"),
        Some("/topic/zones/p1/alarms")
    );
    let changes = "select subject from audit where action = 'policy.change' and detail->>'new' <> coalesce(detail->>'old', '') and outcome = 'done'";
    assert_eq!(server.database.texts(changes).await.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn what_a_role_may_do_on_pages_and_in_the_api_is_asked_of_the_policy_of_now() {
    let server = TestServer::start_with_policy(&edited(&[])).await;
    let mut agent = server.agent().await;
    agent
        .events(vec![event(1, "gate-1", "BAR-STUCK", true)])
        .await;
    let (program, omar) = (
        server.program("program").await,
        server.browser("omar").await,
    );
    assert_eq!(program.alarms().await.len(), 1);
    assert!(
        omar.page("/alarms")
            .await
            .contains("data-may-acknowledge=\"yes\"")
    );
    let taken = [(
        "[\"alarm.acknowledge\", \"command.view\", \"command.normal\", \"command.emergency\", \"plate.reveal\"]",
        "[\"see\"]",
    )];
    server.write("policy.toml", &edited(&taken));
    eventually("the page offers no acknowledging", || async {
        !omar
            .page("/alarms")
            .await
            .contains("data-may-acknowledge=\"yes\"")
    })
    .await;
    let alarm = program.alarms().await[0]["id"].clone();
    let path = format!("/api/v1/alarms/{alarm}/acknowledge");
    let seen = serde_json::json!({"occurrence": 1});
    assert_eq!(program.post(&path, seen).await.0, 403);
    assert_eq!(program.command(1, "open").await.0, 403);
    server.write("policy.toml", &edited(&[("[\"see\"]", "[]")]));
    eventually("nobody sees anything", || async {
        program.alarms().await.is_empty()
    })
    .await;
    assert_eq!(program.get("/api/v1/devices/gate-1").await.0, 404);
    assert_eq!(program.command(2, "open").await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_delivered_is_left_out_of_a_subscription_that_lives() {
    let alarms_only = (
        "  \"/topic/ui/{language}/zones/{zone}/**\",\n]\n",
        "]\ndeliver = [\"/topic/zones/{zone}/alarms\"]\n",
    );
    let server = TestServer::start_with_policy(&edited(&[alarms_only])).await;
    let mut agent = server.agent().await;
    let mut stomp = server.stomp("program").await;
    stomp.subscribe("/topic/alarms").await;
    stomp.subscribe("/topic/zones/p1/alarms").await;
    for (sequence, raised) in [(1, true), (2, false)] {
        agent
            .events(vec![event(sequence, "gate-1", "BAR-STUCK", raised)])
            .await;
        let message = stomp.message().await;
        let destination = message.header("destination");
        assert_eq!(destination, Some("/topic/zones/p1/alarms"), "{sequence}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_edited_access_file_is_applied_to_whoever_is_connected() {
    let server = TestServer::start().await;
    let vera = server.browser("vera").await;
    let mut removed = server.stomp("program-p2").await;
    removed.subscribe("/topic/zones/p2/alarms").await;
    let mut lowered = server.stomp("program").await;
    lowered.subscribe("/user/queue/errors").await;
    let mut raised = server.stomp("agent-p2").await;
    raised.subscribe("/user/queue/errors").await;
    let everybody = access();
    // The last table is that of program-p2.
    let (rest, _) = everybody.rsplit_once("[[client]]").unwrap();
    let rest = replaced(
        rest,
        &[
            (
                "roles = [\"program\", \"operator\"]\nzones = [\"*\"]",
                "roles = [\"program\", \"operator\"]\nzones = [\"p1\"]",
            ),
            (
                "roles = [\"agent\"]\nzones = [\"p2\"]",
                "roles = [\"agent\"]\nzones = [\"p2\", \"p1\"]",
            ),
            ("name = \"vera\"", "name = \"vera-2\""),
            ("role = \"technician\"", "role = \"supervisor\""),
        ],
    );
    server.write("access.toml", &rest);
    assert_eq!(removed.error().await, "token-revoked");
    assert_eq!(lowered.error().await, "token-revoked");
    assert_eq!(server.ask_for_token("program-p2").await.status(), 401);
    assert!(!subscribes(&server, "program", "/topic/alarms").await);
    assert!(subscribes(&server, "program", "/topic/zones/p1/alarms").await);
    assert_eq!(vera.get("/").await.status(), 303, "signed out");
    assert_eq!(server.browser("vera-2").await.get("/").await.status(), 200);
    raised.renew(&server.token("agent-p2").await).await;
    // Neither a broken file throws somebody out, nor one that is empty as if it were just being written, nor one that names
    // nobody who could let others in.
    let (people, _) = rest.split_once("name = \"ada\"").unwrap();
    let (nobody_left, _) = people.rsplit_once("[[user]]").unwrap();
    for (times, wrong) in [(1, "[[user]]\nname = 7"), (2, ""), (3, nobody_left)] {
        server.write("access.toml", wrong);
        are_refused(&server, ACCESS_REFUSED, times).await;
        assert!(subscribes(&server, "program", "/topic/zones/p1/alarms").await);
    }
    let told = server.database.texts(ACCESS_TOLD).await;
    assert!(
        told[1].contains("beside it") && told[2].contains("people.manage"),
        "{told:?}"
    );
    server.write("access.toml", &everybody);
    eventually("everybody is back", || async {
        server.ask_for_token("program-p2").await.status() == 200
    })
    .await;
    assert!(subscribes(&server, "program", "/topic/alarms").await);
    assert_eq!(vera.get("/").await.status(), 303, "that login has ended");
    let changes = "select subject || ' ' || (detail->>'change') from audit where action = 'access.change' and detail->>'change' <> 'added' order by number";
    assert_eq!(
        server.database.texts(changes).await,
        [
            "vera removed",
            "program-p2 removed",
            "tess raised",
            "agent-p2 raised",
            "program lowered",
            "vera-2 removed",
            "tess lowered",
            "agent-p2 lowered",
            "program raised",
        ]
    );
    let promoted = "select concat(detail->'from', detail->'to') from audit where action = 'access.change' and subject = 'tess' and detail->>'change' = 'raised'";
    assert_eq!(
        server.database.texts(promoted).await,
        [r#"{"roles": ["technician"], "zones": ["*"]}{"roles": ["supervisor"], "zones": ["*"]}"#]
    );
    server.stop().await;
}

#[tokio::test]
async fn what_was_edited_while_the_server_was_off_counts_as_well() {
    let mut server = TestServer::start_with_policy(&edited(&[])).await;
    let (kept, lost) = (
        server.token("program").await,
        server.token("program-p2").await,
    );
    let file = access();
    let last = file.rfind("\"operator\"").unwrap();
    let lowered = format!(
        "{}\"viewer\"{}",
        &file[..last],
        &file[last + "\"operator\"".len()..]
    );
    server.write("access.toml", &lowered);
    server.write("policy.toml", &edited(&[(ALARMS, "")]));
    server.restart().await;
    let address = server.stomp_address();
    let mut old = crate::stomp_client::StompClient::begin(address, &lost).await;
    assert_eq!(old.error().await, "token-revoked");
    let mut stomp = crate::stomp_client::StompClient::connect(address, &kept).await;
    stomp.try_subscribe("/topic/alarms").await;
    assert_eq!(stomp.error().await, "forbidden");
    let changes = "select detail->>'new' from audit where action = 'policy.change'";
    assert_eq!(server.database.texts(changes).await.len(), 2);
    server.restart().await;
    assert_eq!(
        server.database.texts(changes).await.len(),
        2,
        "nothing changed"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_critical_command_of_a_person_needs_a_second_factor() {
    let server = TestServer::start_with_policy(Policy::DEFAULT).await;
    let _agent = server.agent().await;
    let tess = server.browser("tess").await;
    let csrf = tess.csrf().await;
    let key = uuid::Uuid::from_u128(1).to_string();
    let form = [
        ("key", key.as_str()),
        ("name", "reset"),
        ("confirmed", "yes"),
    ];
    let answer = tess
        .post_with("/devices/gate-1/commands", ("x-csrf-token", &csrf), &form)
        .await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("2단계 인증"));
    let mut stomp = crate::stomp_client::StompClient::connect(
        server.stomp_address(),
        &server.page_token(&tess).await,
    )
    .await;
    stomp.subscribe("/user/queue/errors").await;
    let request = serde_json::json!({"key": uuid::Uuid::from_u128(2), "name": "reset"});
    stomp.cast("/app/devices/gate-1/commands", &request).await;
    let refusal = stomp.message().await;
    assert_eq!(refusal.header("code"), Some("second-factor-needed"));
    let refused = "select count(*) from audit where action = 'command.give' and outcome like '%second%factor%'";
    server.halt_and_drop(refused, 2).await;
}
