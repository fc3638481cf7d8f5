//! What the program says to people.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{TestServer, profiles_dir};

pub(crate) const SITE: &str = "[[line]]\nid = \"l\"\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n[[device]]\nid = \"gate-1\"\nname = { ko = \"차단기\", en = \"Gate\" }\nprofile = \"gate.came.crp\"\nline = \"l\"\nunit = 1\nzone = \"p1\"\n";

fn write_config(directory: &Path, site: &str) {
    write_config_with(directory, site, "http://127.0.0.1:1", "");
}

/// The server's URL, and what else is in its section.
pub(crate) fn write_config_with(directory: &Path, site: &str, url: &str, more: &str) {
    std::fs::write(directory.join("site.toml"), site).unwrap();
    let config = format!(
        "id = \"agent-p1\"\ndata = \"data\"\nsite = \"site.toml\"\nprofiles = {:?}\n[server]\nurl = \"{url}\"\n{more}",
        profiles_dir()
    );
    std::fs::write(directory.join("agent.toml"), config).unwrap();
}

pub(crate) fn agent(directory: &Path, action: &str, secret: Option<&str>) -> Output {
    command(directory, action, secret).output().unwrap()
}

pub(crate) fn command(directory: &Path, action: &str, secret: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landside-agent"));
    command
        .args([action, "--config"])
        .arg(directory.join("agent.toml"))
        .env("RUST_LOG", "off")
        .env_remove("LANDSIDE_AGENT_SECRET")
        .envs(secret.map(|secret| ("LANDSIDE_AGENT_SECRET", secret)));
    command
}

pub(crate) fn complaint(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "one sentence: {text}");
    text
}

#[test]
fn check_says_what_would_be_served() {
    let directory = tempfile::tempdir().unwrap();
    write_config(directory.path(), SITE);
    let output = agent(directory.path(), "check", None);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("agent-p1 serves 1 device(s)") && said.contains("gate.came.crp"),
        "{said}"
    );
    assert!(said.contains("LANDSIDE_AGENT_SECRET is not set"), "{said}");
    let output = agent(directory.path(), "check", Some("x"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains("LANDSIDE_AGENT_SECRET"), "{said}");
    assert!(
        !directory.path().join("data").exists(),
        "check starts nothing"
    );
}

#[test]
fn a_mistake_ends_with_64_and_a_sentence_before_anything_is_started() {
    let directory = tempfile::tempdir().unwrap();
    write_config(directory.path(), &SITE.replace("unit = 1", "unit = 300"));
    for action in ["check", "run"] {
        let output = agent(directory.path(), action, Some("x"));
        assert_eq!(output.status.code(), Some(64));
        let said = complaint(&output);
        assert!(said.contains("site.toml: line 10"), "{said}");
        assert!(!directory.path().join("data").exists());
    }
    write_config(directory.path(), SITE);
    let output = agent(directory.path(), "run", None);
    assert_eq!(output.status.code(), Some(64));
    assert!(complaint(&output).contains("LANDSIDE_AGENT_SECRET"));
}

#[test]
fn a_second_agent_on_the_same_data_ends_with_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    write_config(directory.path(), SITE);
    let first = device_agents::store::Store::open(&directory.path().join("data")).unwrap();
    let output = agent(directory.path(), "run", Some("x"));
    assert_eq!(output.status.code(), Some(69));
    assert!(complaint(&output).contains("in use by another agent"));
    drop(first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_ends_with_77_and_a_sentence() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let address = server.address.to_string();
    write_config_with(directory.path(), SITE, &format!("http://{address}"), "");
    let path = directory.path().to_owned();
    let run = tokio::task::spawn_blocking(move || agent(&path, "run", Some("wrong")));
    let output = run.await.unwrap();
    assert_eq!(output.status.code(), Some(77));
    let said = complaint(&output);
    for expected in ["LANDSIDE_AGENT_SECRET", "\"agent-p1\"", &address] {
        assert!(said.contains(expected), "{said}");
    }
}
