//! The commands beside a server that runs on its private cluster: each finds it.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

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
";

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

async fn said(config: &Path, words: &[&str]) -> String {
    let output = program(config, words).output().await.unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {wrong}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server, once it serves.
async fn start(config: &Path) -> Child {
    let log = config.with_file_name("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut server = program(config, &["run"]).stderr(file).spawn().unwrap();
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

#[tokio::test]
async fn every_command_finds_the_cluster_of_a_server_that_runs() {
    let directory = tempfile::tempdir().unwrap();
    // Postgres runs as another user where this one is root.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let config = directory.path().join("server.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let mut server = start(&config).await;

    let before = said(&config, &["keys", "list"]).await;
    assert_eq!(before.lines().count(), 2, "{before}");
    let after = said(&config, &["keys", "rotate"]).await;
    assert_eq!(after.lines().count(), 3, "{after}");
    let invite = [
        "people",
        "invite",
        "--name",
        "ada",
        "--full-name",
        "Ada",
        "--role",
        "administrator",
        "--zones",
        "*",
    ];
    let link = said(&config, &invite).await;
    let path = "https://landside.example/invitation/";
    assert!(
        link.starts_with(path),
        "a link leads where browsers find the server: {link}"
    );
    let whole = said(&config, &["audit", "verify"]).await;
    assert!(whole.contains("the audit is whole"), "{whole}");
    assert!(server.try_wait().unwrap().is_none(), "it runs on");

    let id = server.id().unwrap().to_string();
    let stopped = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(stopped.unwrap().success());
    assert!(server.wait().await.unwrap().success());
}
