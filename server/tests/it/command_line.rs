//! The commands beside a server that runs on its private cluster: each finds it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use server::identity::policy::Policy;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::harness::PATIENCE;

const CONFIG: &str = "data = \"data\"
[http]
listen = \"127.0.0.1:0\"
public_url = \"https://landside.example\"
[stomp]
listen = \"127.0.0.1:0\"
[metrics]
listen = \"127.0.0.1:0\"
[access]
file = \"access.toml\"
[policy]
file = \"policy.toml\"
";

/// A program whose secret only the server has.
const ACCESS: &str = "[[client]]\nid = \"reports\"\nroles = [\"program\"]\nzones = [\"*\"]\nsecret_env = \"REPORTS\"\n";

fn program(config: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landside-server"));
    command
        .args(words)
        .arg("--config")
        .arg(config)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The answer, and what was said beside it.
async fn told(config: &Path, words: &[&str]) -> (bool, String, String) {
    let output = program(config, words).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

async fn said(config: &Path, words: &[&str]) -> String {
    let (done, answer, beside) = told(config, words).await;
    assert!(done, "{words:?}: {beside}");
    answer
}

/// Why a command does nothing.
async fn refused(config: &Path, words: &[&str]) -> String {
    let (done, answer, beside) = told(config, words).await;
    assert!(!done && answer.is_empty(), "{words:?}: {answer}");
    beside
}

/// A directory for a configuration, which names an access file and a policy.
fn files() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    // Postgres runs as another user where this one is root.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let config = directory.path().join("server.toml");
    for (name, text) in [
        ("server.toml", CONFIG),
        ("access.toml", ACCESS),
        ("policy.toml", Policy::DEFAULT),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    (directory, config)
}

fn invite<'a>(name: &'a str, role: &'a str) -> [&'a str; 10] {
    [
        "people",
        "invite",
        "--name",
        name,
        "--full-name",
        "Somebody",
        "--role",
        role,
        "--zones",
        "*",
    ]
}

/// A server, once it serves.
async fn start(config: &Path) -> Child {
    let log = config.with_file_name("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut server = program(config, &["run"])
        .env("REPORTS", "0123456789abcdef0123456789abcdef")
        .stderr(file)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(&log).unwrap();
        if text.contains("the server runs") {
            return server;
        }
        let ended = server.try_wait().unwrap();
        assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn stop(mut server: Child) {
    let id = server.id().unwrap().to_string();
    let stopped = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(stopped.unwrap().success());
    assert!(server.wait().await.unwrap().success());
}

/// Without the secrets of others, and whatever is wrong with the files that let them in.
#[tokio::test]
async fn every_command_finds_the_cluster_of_a_server_that_runs() {
    let (_directory, config) = files();
    let mut server = start(&config).await;
    let check = refused(&config, &["check"]).await;
    assert!(check.contains("REPORTS"), "{check}");
    std::fs::write(config.with_file_name("policy.toml"), "[role.").unwrap();

    let before = said(&config, &["keys", "list"]).await;
    assert_eq!(before.lines().count(), 2, "{before}");
    let (_, after, beside) = told(&config, &["keys", "rotate"]).await;
    assert_eq!((after.lines().count(), &*beside), (3, ""), "{after}");
    let link = said(&config, &invite("ada", "administrator")).await;
    let path = "https://landside.example/invitation/";
    assert!(
        link.starts_with(path),
        "a link leads where browsers find the server: {link}"
    );
    let whole = said(&config, &["audit", "verify"]).await;
    assert!(whole.contains("the audit is whole"), "{whole}");
    assert!(server.try_wait().unwrap().is_none(), "it runs on");

    // With the database there, `check` says what only it knows.
    std::fs::write(config.with_file_name("policy.toml"), Policy::DEFAULT).unwrap();
    for (id, words) in [
        ("reports", "server.toml is good"),
        ("ada", "the person ada"),
    ] {
        let access = ACCESS.replace("reports", id);
        std::fs::write(config.with_file_name("access.toml"), access).unwrap();
        let mut check = program(&config, &["check"]);
        let output = check.env("REPORTS", "guessed").output().await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains(words), "{text}");
        assert_eq!(output.status.success(), id == "reports", "{text}");
    }
    stop(server).await;
    let log = std::fs::read_to_string(config.with_file_name("log")).unwrap();
    assert!(
        log.contains("let somebody in by `landside-server people invite`"),
        "{log}"
    );
    for frightening in [
        "already exists, skipping",
        "FATAL",
        "tokens were called back",
    ] {
        assert!(!log.contains(frightening), "{log}");
    }
}

#[tokio::test]
async fn a_command_makes_no_database_but_for_the_first_invitation_and_replaces_nobody_unasked() {
    let (directory, config) = files();
    for words in [
        &["keys", "list"][..],
        &["keys", "rotate"],
        &["keys", "remove", "-kid"],
        &["audit", "verify"],
        &["people", "withdraw", "--name", "ada"],
    ] {
        let (done, answer, beside) = told(&config, words).await;
        let all = format!("{answer}{beside}");
        assert!(
            !done && all.contains("no private cluster at"),
            "{words:?}: {all}"
        );
        assert!(!directory.path().join("data").exists(), "{words:?}");
    }
    let invitation = invite("ada", "administrator");
    let (done, link, beside) = told(&config, &invitation).await;
    assert!(done && link.lines().count() == 1, "{link}{beside}");
    let words = [
        "made a new database in",
        "ada is invited as administrator with every zone",
        "good once, until",
    ];
    for (line, words) in beside.lines().zip(words) {
        assert!(line.contains(words), "{beside}");
    }
    assert_eq!(beside.lines().count(), words.len(), "{beside}");
    let none = said(&config, &["keys", "list"]).await;
    assert!(none.contains("there are no signing keys"), "{none}");

    let wrong = refused(&config, &invite("ada", "viewer")).await;
    assert!(
        wrong.contains("there already") && wrong.contains("--replace"),
        "{wrong}"
    );
    let viewer = [&invite("ada", "viewer")[..], &["--replace"]].concat();
    let (done, _, beside) = told(&config, &viewer).await;
    assert!(
        done && beside.starts_with("ada was there, and is viewer"),
        "{beside}"
    );
    for (name, full_name, words) in [
        ("ADA", "Ada", "looks like \"ada\""),
        ("..", "Ada", "must begin with"),
        ("bea", "", "the full name is empty"),
    ] {
        let mut words_of = invite(name, "viewer");
        words_of[5] = full_name;
        let wrong = refused(&config, &words_of).await;
        assert!(wrong.contains(words), "{wrong}");
    }
    let gone = said(&config, &["people", "withdraw", "--name", "ada"]).await;
    assert!(gone.contains("not invited any more"), "{gone}");
    refused(&config, &["people", "withdraw", "--name", "ada"]).await;
}
