//! One server at a time works on a database; another one stands by.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use server::store::duty::Duty;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::database::Database;
use crate::harness::{CONFIG, PASSWORD, PATIENCE, access, policy};
use crate::processes::free_address;

/// Ends the connection of whoever is on duty, as an outage does.
const CUT_OFF: &str = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'
                       and database = (select oid from pg_database where datname = current_database())";

const ON_DUTY: &str = "select pid::text from pg_locks where locktype = 'advisory'
                       and database = (select oid from pg_database where datname = current_database())";

#[tokio::test]
async fn whoever_is_on_duty_stays_so_over_an_outage_and_hears_of_another() {
    let database = Database::create().await;
    let url = database.url();
    let mut first = Duty::take(&url).await.unwrap().unwrap();
    let holder = Duty::take(&url).await.unwrap().unwrap_err().to_string();
    assert!(holder.starts_with("another server"), "{holder}");
    let before = database.texts(ON_DUTY).await;
    let lost = tokio::spawn(async move { first.lost().await });

    database.run(CUT_OFF).await;
    let taken_again = async {
        loop {
            let now = database.texts(ON_DUTY).await;
            if now.len() == 1 && now != before {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, taken_again).await.expect("in time");
    assert!(!lost.is_finished(), "nobody else was there");

    let second = take_from(&database).await;
    let told = timeout(PATIENCE, lost).await.expect("it is told").unwrap();
    assert!(told.to_string().starts_with("another server"), "{told}");
    second.end().await;
    timeout(PATIENCE, Duty::wait(&url))
        .await
        .expect("it is free");
    database.drop().await;
}

/// Takes it from whoever has it, as a server does that stands by while the database restarts.
async fn take_from(database: &Database) -> Duty {
    loop {
        database.run(CUT_OFF).await;
        if let Ok(taken) = Duty::take(&database.url()).await.unwrap() {
            return taken;
        }
    }
}

/// A server as a process; where it listens for HTTP.
fn start(root: &Path, database: &Database) -> (Child, SocketAddr) {
    std::fs::create_dir(root).unwrap();
    let (http, stomp, metrics) = (free_address(), free_address(), free_address());
    let listen = format!(
        "[http]\nlisten = \"{http}\"\n[stomp]\nlisten = \"{stomp}\"\n[metrics]\nlisten = \"{metrics}\"\n"
    );
    std::fs::write(root.join("server.toml"), format!("{CONFIG}{listen}")).unwrap();
    std::fs::write(root.join("access.toml"), access()).unwrap();
    std::fs::write(root.join("policy.toml"), policy()).unwrap();
    let process = Command::new(env!("CARGO_BIN_EXE_landside-server"))
        .args(["run", "--config"])
        .arg(root.join("server.toml"))
        .env("DATABASE_URL", database.url())
        .env("SECRET", PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (process, http)
}

/// Reads on until a line has these words.
async fn until_said(process: &mut Child, words: &str) {
    let mut said = Vec::new();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push(line);
            if said.last().is_some_and(|line| line.contains(words)) {
                return;
            }
        }
    };
    let found = timeout(PATIENCE, found).await;
    assert!(
        found.is_ok() && said.last().is_some_and(|line| line.contains(words)),
        "not {words}: {said:#?}"
    );
    process.stderr = Some(lines.into_inner().into_inner());
}

#[tokio::test]
async fn a_second_server_serves_nothing_until_the_first_one_has_ended() {
    let database = Database::create().await;
    let directory = tempfile::tempdir().unwrap();
    let (mut first, _) = start(&directory.path().join("first"), &database);
    until_said(&mut first, "the server runs").await;
    let (mut second, http) = start(&directory.path().join("second"), &database);
    until_said(&mut second, "stands by").await;
    assert!(
        TcpStream::connect(http).await.is_err(),
        "whoever comes is told at once"
    );
    // What both need: docs/access.md.
    let key = |server: &str| directory.path().join(server).join("data/identity.key");
    std::fs::create_dir(directory.path().join("second/data")).unwrap();
    std::fs::copy(key("first"), key("second")).unwrap();
    // Whoever was taken out of the file meanwhile is not let in by the one of before.
    let without = access().replacen("name = \"omar\"", "name = \"olga\"", 1);
    assert_ne!(without, access());
    std::fs::write(directory.path().join("second/access.toml"), without).unwrap();
    first.kill().await.unwrap();
    until_said(&mut second, "the server runs").await;
    let ready = reqwest::get(format!("http://{http}/readyz")).await.unwrap();
    assert_eq!(ready.status(), 200);
    let omar = "select count(*) from person where name = 'omar' and disabled_at is null";
    assert_eq!(database.count(omar).await, 0);
    second.kill().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn a_server_that_was_replaced_says_so_and_ends() {
    let database = Database::create().await;
    let directory = tempfile::tempdir().unwrap();
    let (mut replaced, _) = start(&directory.path().join("replaced"), &database);
    until_said(&mut replaced, "the server runs").await;
    let other = take_from(&database).await;
    until_said(&mut replaced, "took over while the database did not answer").await;
    let ended = timeout(PATIENCE, replaced.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(1));
    other.end().await;
    database.drop().await;
}
