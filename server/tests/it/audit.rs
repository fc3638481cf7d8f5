//! The audit in a real Postgres: a chain without gaps, append-only, whose harm is found; what happens while it cannot be
//! written.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::process::Command;

use crate::database::Database;
use crate::harness::{PASSWORD, PATIENCE, TestServer};
use crate::stomp_client::StompClient;

/// What the server's own role is refused.
const REFUSED: [&str; 3] = [
    "update audit set actor = 'x'",
    "delete from audit",
    "truncate audit",
];

const INSERT: &str = "insert into audit (actor, peer, action, subject, detail, outcome)
     values ('omar', '::1', 'test', '가', '{\"b\": 1.50, \"a\": [null]}', 'done')";

/// The newest row, as its head is published.
const HEAD: &str = "select to_char(at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') || ' ' || number || ' '
                        || encode(hash, 'hex') from audit order by number desc limit 1";

async fn migrated() -> Database {
    let database = Database::create().await;
    let store = server::store::Store::open(&database.url()).await.unwrap();
    store.close().await;
    database
}

async fn connection(database: &Database) -> PgConnection {
    PgConnection::connect(&database.url()).await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), String> {
    let done = sqlx::raw_sql(sql).execute(connection).await;
    done.map(drop).map_err(|error| error.to_string())
}

/// `landside-server audit verify`: its exit status, and what it says.
async fn verify(database: &Database, heads: Option<&str>) -> (Option<i32>, String) {
    let arguments: &[&str] = if heads.is_none() {
        &["--no-heads"]
    } else {
        &[]
    };
    verify_with(database, heads, arguments).await
}

async fn verify_with(
    database: &Database,
    heads: Option<&str>,
    arguments: &[&str],
) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("server.toml");
    std::fs::write(&config, "data = \"data\"").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_landside-server"));
    command.args(["audit", "verify", "--config"]).arg(&config);
    command.args(arguments);
    if let Some(heads) = heads {
        let path = directory.path().join("heads");
        std::fs::write(&path, heads).unwrap();
        command.arg("--heads").arg(path);
    }
    let output = command
        .env("DATABASE_URL", database.url())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), said)
}

#[track_caller]
fn is_found((status, said): (Option<i32>, String), words: &str) {
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(words), "{words:?} is missing in {said}");
}

#[tokio::test]
async fn parallel_inserts_and_rollbacks_leave_no_gap() {
    let database = migrated().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let mut connection = connection(&database).await;
        writers.spawn(async move {
            for turn in 0..10 {
                let mut unit = connection.begin().await.unwrap();
                sqlx::raw_sql(INSERT).execute(&mut *unit).await.unwrap();
                if (writer + turn) % 3 == 0 {
                    unit.rollback().await.unwrap();
                } else {
                    unit.commit().await.unwrap();
                }
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let rows = database.count("select count(*) from audit").await;
    let last = database.count("select max(number) from audit").await;
    assert_eq!((rows, last), (53, 53));
    let (status, said) = verify(&database, None).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("rows: 53"), "{said}");
    database.drop().await;
}

#[tokio::test]
async fn neither_the_server_nor_the_owner_changes_a_row() {
    let database = migrated().await;
    let mut owner = connection(&database).await;
    run(&mut owner, INSERT).await.unwrap();
    for sql in REFUSED {
        let error = run(&mut owner, sql).await.unwrap_err();
        assert!(error.contains("only ever appended"), "{sql}: {error}");
    }
    run(&mut owner, "set role landside_server").await.unwrap();
    for sql in REFUSED {
        let error = run(&mut owner, sql).await.unwrap_err();
        assert!(error.contains("permission denied"), "{sql}: {error}");
    }
    let error = run(&mut owner, "alter table audit disable trigger all").await;
    assert!(error.unwrap_err().contains("must be owner"));
    run(&mut owner, INSERT).await.unwrap();
    // What comes with later migrations is the server's as well.
    run(&mut owner, "reset role; create table later (a int); set role landside_server; insert into later values (1)")
        .await
        .unwrap();
    assert_eq!(verify(&database, None).await.0, Some(0));
    owner.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn the_server_works_as_the_role_that_cannot() {
    let server = TestServer::start().await;
    let browser = server.browser("omar").await;
    assert_eq!(browser.get("/").await.status(), 200);
    server
        .database
        .run("revoke insert on audit from landside_server")
        .await;
    let answer = browser.sign_in("omar", PASSWORD).await;
    assert_eq!(
        answer.status(),
        503,
        "the right of the role decides, not the login's"
    );
    server.stop().await;
}

#[tokio::test]
async fn what_somebody_does_with_the_triggers_off_is_found() {
    for (harm, words) in [
        ("update audit set outcome = 'x' where number = 3", "row 3 was changed"),
        ("update audit set at = at + interval '1 microsecond' where number = 3", "row 3 was changed"),
        ("update audit set detail = '{\"b\": 1.5, \"a\": [null]}' where number = 3", "row 3 was changed"),
        ("delete from audit where number = 3", "row 3 was removed"),
        ("delete from audit where number = 5", "rows after 4 were removed"),
        ("truncate audit", "rows after 0 were removed"),
        ("update audit set number = -number where number in (2, 3);
          update audit set number = case number when -2 then 3 else 2 end where number < 0", "row 2 was changed"),
        ("alter table audit drop constraint audit_number;
          insert into audit select * from audit where number = 3", "row 3 was put in"),
        ("update audit a set actor = 'ada' where number = 3;
          update audit a set hash = sha256(audit_canonical(a)) where number = 3", "row 4 does not follow"),
        ("update audit set actor = 'ada' where number = 3;
          do $$ declare e audit; before bytea := decode(repeat('00', 32), 'hex'); begin
            for e in select * from audit order by number loop
              e.previous_hash := before; e.hash := sha256(audit_canonical(e)); before := e.hash;
              update audit set previous_hash = e.previous_hash, hash = e.hash where number = e.number;
            end loop; end $$", "the chain was rewritten"),
    ] {
        let database = migrated().await;
        let mut owner = connection(&database).await;
        for _ in 0..5 {
            run(&mut owner, INSERT).await.unwrap();
        }
        let head = database.texts(HEAD).await.remove(0);
        let (status, said) = verify(&database, Some(&head)).await;
        assert_eq!(status, Some(0), "{said}");
        run(&mut owner, "alter table audit disable trigger all").await.unwrap();
        run(&mut owner, harm).await.unwrap();
        is_found(verify(&database, Some(&head)).await, words);
        owner.close().await.unwrap();
        database.drop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_verified_is_neither_whole_nor_broken() {
    let database = Database::create().await;
    let (status, said) = verify(&database, None).await;
    assert_eq!(status, Some(2), "{said}: there is no audit yet");
    database.drop().await;
}

#[tokio::test]
async fn what_no_head_vouches_for_is_not_called_whole() {
    let database = migrated().await;
    let none = verify_with(&database, None, &[]).await;
    assert_eq!(none.0, Some(0), "nothing was written: {}", none.1);
    let mut owner = connection(&database).await;
    run(&mut owner, INSERT).await.unwrap();
    let head = database.texts(HEAD).await.remove(0);
    let cut = &head[..40];
    let (at, _) = head.rsplit_once(' ').unwrap();
    let wrong = format!("{at} {}", "07".repeat(32));
    let log = "Nov 23 01:02:03 tower landside-server[7]: audit head";
    for (heads, arguments, status) in [
        (None, &[][..], 2),
        (None, &["--no-heads"], 0),
        (Some(String::new()), &[], 2),
        (Some("garbled\n".to_owned()), &[], 2),
        (Some("garbled".to_owned()), &[], 2),
        (Some(format!("{head}\n")), &[], 0),
        (Some(format!("{head}\ngarbled\n")), &[], 2),
        (Some(format!("{cut}\n{head}\n")), &[], 2),
        (Some(format!("{head}\n{cut}")), &[], 0),
        (Some(format!("{log} {head}\n")), &[], 0),
        (Some(format!("{log} {wrong}\n")), &[], 1),
        (Some(format!("garbled\n{wrong}\n")), &[], 1),
        (Some(head.clone()), &["--no-heads"], 2), // Which of the two?
    ] {
        let (got, said) = verify_with(&database, heads.as_deref(), arguments).await;
        assert_eq!(got, Some(status), "{heads:?} {arguments:?}: {said}");
        let is_whole = status == 0 && arguments.is_empty();
        assert_eq!(said.contains("the audit is whole"), is_whole, "{said}");
    }
    // A schema that is called like the login would come first.
    run(
        &mut owner,
        "create schema authorization current_user; create table audit (like public.audit)",
    )
    .await
    .unwrap();
    let (status, said) = verify(&database, Some(&head)).await;
    assert_eq!(status, Some(0), "{said}");
    owner.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn what_becomes_of_the_published_heads_is_told_and_they_are_published_again() {
    let failures = |metrics: String| {
        let line = metrics
            .lines()
            .find(|line| line.starts_with("landside_audit_failures_total"));
        line.map_or(0, |line| {
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        })
    };
    let mut server = TestServer::start().await;
    server.browser("omar").await;
    server.restart().await;
    let published = server.file("data/audit-head.log");
    let last = published.lines().last().unwrap().to_owned();
    let before = failures(server.metrics().await);
    std::fs::remove_file(server.data().join("audit-head.log")).unwrap();
    server.browser("omar").await;
    server.restart().await;
    let again = server.file("data/audit-head.log");
    let lines: Vec<&str> = again.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, last.as_str()));
    let gone = failures(server.metrics().await);
    assert!(gone > before, "{gone}");
    server.write("data/audit-head.log", &again.replace(&last, "garbled"));
    server.restart().await;
    let begun = std::time::Instant::now();
    while failures(server.metrics().await) < gone + 2 {
        assert!(
            begun.elapsed() < PATIENCE,
            "once when it stopped, once when it started"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_journaled_row_that_is_never_taken_keeps_no_other_waiting() {
    let mut server = TestServer::start().await;
    server
        .database
        .run("alter table audit add constraint refused check (subject <> 'gate-9')")
        .await;
    let row = |number: u128, subject: &str| {
        let row = json!({
            "id": uuid::Uuid::from_u128(number), "at": "2026-11-22T07:00:00Z", "actor": "omar", "identity": {"azp": "a\0"},
            "peer": "::1", "action": "command.give", "subject": subject, "reason": null, "detail": {}, "outcome": "done",
        });
        format!("{row}\n")
    };
    let rows = [row(1, "gate-1"), row(2, "gate-9"), row(3, "gate-3")].concat();
    server.write("data/audit-journal.jsonl", &rows);
    server.restart().await;
    assert_eq!(server.file("data/audit-journal.jsonl"), "");
    let brought = "select subject from audit where detail ? 'journaled' order by number";
    let expected = ["gate-1", "unreadable line", "gate-3"];
    assert_eq!(server.database.texts(brought).await, expected);
    server.stop().await;
}

#[tokio::test]
async fn a_table_ends_with_the_login_of_whoever_asked_for_it() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    let csrf = ada.csrf().await;
    server
        .database
        .run("insert into audit (actor, peer, action, subject, detail, outcome)
              select 'omar', '', 'test', '', jsonb_build_object('long', repeat('x', 4000)), 'done' from generate_series(1, 8000)")
        .await;
    let mut table = ada.get("/audit.csv").await;
    assert_eq!(table.status(), 200);
    assert!(table.chunk().await.unwrap().is_some());
    assert_eq!(
        ada.post("/sign-out", &[("csrf", &csrf)]).await.status(),
        303
    );
    let broken_off = tokio::time::timeout(PATIENCE, async {
        loop {
            match table.chunk().await {
                Ok(Some(_)) => {}
                end => return end.is_err(),
            }
        }
    });
    assert!(broken_off.await.unwrap(), "the whole table came");
    server.stop().await;
}

#[tokio::test]
async fn a_rewritten_audit_stays_told_and_nothing_is_published_over_it() {
    let mut server = TestServer::start().await;
    server.browser("omar").await;
    server.restart().await;
    let published = server.file("data/audit-head.log");
    let rewrite = "alter table audit disable trigger all;
        update audit set hash = sha256('x') where number = (select max(number) from audit);
        alter table audit enable trigger all";
    server.database.run(rewrite).await;
    // Once at its first look and once more after a restart: only a person decides.
    for _ in 0..2 {
        server.restart().await;
        let begun = std::time::Instant::now();
        while !server.metrics().await.contains("landside_audit_broken 1") {
            assert!(begun.elapsed() < PATIENCE, "nobody is told");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        server.browser("omar").await;
    }
    server.restart().await;
    assert_eq!(server.file("data/audit-head.log"), published);
    server.stop().await;
}

#[tokio::test]
async fn the_head_is_published_when_the_server_stops() {
    let mut server = TestServer::start().await;
    server.browser("omar").await;
    server.restart().await;
    let published = server.file("data/audit-head.log");
    let last = published.lines().last().unwrap().to_owned();
    let (status, said) = verify(&server.database, Some(&published)).await;
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(
        server
            .database
            .texts("select encode(hash, 'hex') from audit order by number desc limit 1")
            .await,
        [last.split(' ').nth(2).unwrap()]
    );
    server.stop().await;
}

#[tokio::test]
async fn without_an_audit_only_emergencies_go_on_and_are_told_of_later() {
    let mut server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    let program = server.program("program").await;
    server
        .database
        .run("revoke insert on audit from landside_server")
        .await;

    let (status, body) = program.command(1, "open").await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("unavailable")),
        "{body}"
    );
    assert!(body["detail"].as_str().unwrap().contains("audit"), "{body}");
    assert_eq!(
        server.database.count("select count(*) from command").await,
        0
    );
    assert_eq!(
        server.browser_answer("omar").await,
        503,
        "nobody signs in unseen"
    );

    let (status, sent) = program.command(2, "evacuate").await;
    assert_eq!((status, &sent["state"]), (202, &json!("sent")), "{sent}");
    assert_eq!(json!(agent.command().await.id), sent["id"]);
    assert_eq!(server.file("data/audit-journal.jsonl").lines().count(), 1);
    let metrics = server.metrics().await;
    assert!(
        metrics.contains("landside_audit_failures_total"),
        "{metrics}"
    );
    assert_eq!(
        server
            .database
            .count("select count(*) from audit where action = 'command.give'")
            .await,
        0
    );

    // A crash between the commit and the emptying of the file brings the same lines again.
    let journal = server.file("data/audit-journal.jsonl");
    server
        .database
        .run("grant insert on audit to landside_server")
        .await;
    server.restart().await;
    server.write("data/audit-journal.jsonl", &journal);
    server.restart().await;
    assert_eq!(server.file("data/audit-journal.jsonl"), "");
    let given = "select detail::text from audit where action = 'command.give'";
    let given = server.database.texts(given).await;
    assert_eq!(given.len(), 1, "{given:?}");
    let detail: serde_json::Value = serde_json::from_str(&given[0]).unwrap();
    assert_eq!(detail["journaled"]["id"], sent["id"]);
    assert_eq!(
        server.database.count("select count(*) from command").await,
        1
    );
    assert_eq!(verify(&server.database, None).await.0, Some(0));
    server.stop().await;
}

#[tokio::test]
async fn an_emergency_goes_on_while_the_database_is_away() {
    let mut server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    let program = server.program("program").await;
    server.database.lock_out().await;

    let (status, sent) = program.command(2, "evacuate").await;
    assert_eq!((status, &sent["state"]), (202, &json!("sent")), "{sent}");
    assert_eq!(json!(agent.command().await.id), sent["id"]);
    let (status, again) = program.command(2, "evacuate").await;
    assert_eq!(
        (status, &again["id"]),
        (202, &sent["id"]),
        "the same key is the same command"
    );
    let (status, _) = program.command(3, "open").await;
    assert_eq!(status, 503);

    server.database.let_in().await;
    program
        .eventually("/api/v1/devices/gate-1/commands", |body| {
            body["items"][0]["id"] == sent["id"]
        })
        .await;
    server.restart().await;
    let given = "select detail ->> 'command' from audit where action = 'command.give'";
    assert_eq!(
        json!(server.database.texts(given).await),
        json!([sent["id"]])
    );
    server.stop().await;
}

#[tokio::test]
async fn audits_that_wait_for_each_other_all_come_through() {
    let server = TestServer::start().await;
    let _agent = server.agent().await;
    let browser = server.browser("tess").await;
    let csrf = browser.csrf().await;
    let server = std::sync::Arc::new(server);
    let mut people = tokio::task::JoinSet::new();
    for turn in 0..12u128 {
        let (server, csrf) = (std::sync::Arc::clone(&server), csrf.clone());
        people.spawn(async move {
            match turn % 3 {
                0 => drop(server.browser("omar").await),
                1 => drop(server.program("program").await.command(turn, "open").await),
                _ => {
                    let form = [("csrf", csrf.as_str())];
                    drop(
                        crate::harness::Browser::new(server.url(""))
                            .post("/sign-out", &form)
                            .await,
                    );
                }
            }
        });
    }
    tokio::time::timeout(PATIENCE, async {
        while people.join_next().await.is_some() {}
    })
    .await
    .unwrap();
    let numbers = server
        .database
        .texts("select number::text from audit order by number")
        .await;
    let distinct: BTreeSet<_> = numbers.iter().collect();
    assert_eq!(distinct.len(), numbers.len());
    assert!(numbers.len() >= 8);
    std::sync::Arc::into_inner(server).unwrap().stop().await;
}

#[tokio::test]
async fn who_may_not_stands_in_the_audit_whichever_way_they_tried() {
    let mut server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.gate_is("closed").await;
    let vera = server.browser("vera").await;
    let csrf = vera.csrf().await;
    let person = [
        ("csrf", csrf.as_str()),
        ("name", "kim"),
        ("full_name", "Kim"),
        ("role", "administrator"),
        ("zones", "*"),
    ];
    assert_eq!(vera.post("/people/invite", &person).await.status(), 303);
    for path in ["/audit.csv", "/api/v1/audit"] {
        assert_eq!(vera.get(path).await.status(), 403, "{path}");
    }
    let token = server.page_token(&vera).await;
    let command = json!({"key": uuid::Uuid::from_u128(9), "name": "open"});
    for (destination, body) in [
        ("/app/devices/gate-1/commands", &command),
        ("/app/alarms/7/acknowledge", &json!({"occurrence": 1})),
    ] {
        let mut stomp = StompClient::connect(server.stomp_address(), &token).await;
        stomp.cast(destination, body).await;
        assert_eq!(stomp.error().await, "forbidden");
    }
    let program = server.program("program-p2").await;
    for (path, body, status) in [
        ("/api/v1/revocations", json!({"subject": "ada"}), 403),
        ("/api/v1/devices/gate-1/commands", command, 404),
        (
            "/api/v1/devices/gate-1/points/plate/reveal",
            json!({"reason": "x"}),
            404,
        ),
    ] {
        assert_eq!(program.post(path, body).await.0, status, "{path}");
    }
    // A row that is never taken keeps no other waiting.
    server
        .database
        .run("alter table audit add constraint refused check (subject <> 'nemo')")
        .await;
    let nemo = json!({"subject": "nemo"});
    assert_eq!(program.post("/api/v1/revocations", nemo).await.0, 403);
    let mut stomp = server.stomp("program-p2").await;
    stomp.try_subscribe("/topic/zones/p1/alarms").await;
    assert_eq!(stomp.error().await, "forbidden");
    server.restart().await;
    let refused = "select concat_ws(' ', actor, peer, action, subject) from audit
        where outcome <> 'done' and actor in ('vera', 'program-p2') order by actor desc, detail->>'at', number";
    let expected = [
        "vera 127.0.0.1 people.manage kim",
        "vera 127.0.0.1 audit.read audit",
        "vera 127.0.0.1 audit.read audit",
        "vera 127.0.0.1 command.give gate-1",
        "vera 127.0.0.1 alarm.acknowledge 7",
        "program-p2 127.0.0.1 token.revoke ada",
        "program-p2 127.0.0.1 plate.reveal gate-1/plate",
        "program-p2 127.0.0.1 message.subscribe /topic/zones/p1/alarms",
        "program-p2 127.0.0.1 command.give gate-1",
    ];
    assert_eq!(server.database.texts(refused).await, expected);
    let unreadable = "select count(*) from audit where subject = 'unreadable line' and detail->>'action' = 'token.revoke'";
    assert_eq!(server.database.count(unreadable).await, 1);
    server.stop().await;
}
