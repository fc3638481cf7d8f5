//! `landside-postgres exec`, as `make test` uses it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{eventually, open_directory, processes_in};

fn exec(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landside-postgres"));
    command
        .arg("exec")
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null());
    command
}

fn output(temporary: &Path, arguments: &[&str]) -> Output {
    exec(temporary, arguments).output().unwrap()
}

#[test]
fn the_commands_exit_code_comes_through_and_nothing_is_left() {
    let temporary = open_directory();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        assert_eq!(
            output(temporary.path(), &["--", "sh", "-c", script])
                .status
                .code(),
            Some(code),
            "{script}"
        );
    }
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let temporary = open_directory();
    let output = output(temporary.path(), &["--", "no-such-command"]);
    assert_eq!(output.status.code(), Some(70));
    assert!(String::from_utf8_lossy(&output.stderr).contains("running `no-such-command`"));
}

#[test]
fn migrations_are_applied_and_a_bad_one_is_named() {
    let temporary = open_directory();
    let migrations = open_directory();
    fs::write(
        migrations.path().join("1_good.sql"),
        "create table gates (id text primary key);",
    )
    .unwrap();
    let directory = migrations.path().to_str().unwrap();
    let check = ["--migrations", directory, "--", "printenv", "DATABASE_URL"];
    let url = String::from_utf8(output(temporary.path(), &check).stdout).unwrap();
    assert!(url.contains("/landside?host="), "{url}");

    fs::write(
        migrations.path().join("2_bad.sql"),
        "create table gates (id text);",
    )
    .unwrap();
    let output = output(temporary.path(), &check);
    assert_eq!(output.status.code(), Some(70));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains(directory) && message.contains("already exists"),
        "{message}"
    );
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// A running `exec` around a command that waits, and its cluster's data directory.
fn waiting(temporary: &Path) -> (Child, PathBuf) {
    let mut child = exec(
        temporary,
        &["--", "sh", "-c", "printenv DATABASE_URL; exec sleep 600"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    let socket = url
        .split("host=")
        .nth(1)
        .and_then(|rest| rest.split('&').next())
        .expect("a socket directory");
    (child, Path::new(socket).with_file_name("data"))
}

#[tokio::test]
async fn being_told_to_end_ends_the_command_and_cleans_up() {
    let temporary = open_directory();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (mut child, data) = waiting(temporary.path());
        assert!(processes_in(&data) > 0);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(processes_in(&data), 0);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn postgres_does_not_survive_a_parent_that_is_killed() {
    let temporary = open_directory();
    let (mut child, data) = waiting(temporary.path());
    let sleeping = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("Postgres ends", || async { processes_in(&data) == 0 }).await;
    // The command is not ours to end when we are killed; here it is.
    for pid in sleeping
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter_map(Pid::from_raw)
    {
        let _ = kill_process(pid, Signal::KILL);
    }
}
