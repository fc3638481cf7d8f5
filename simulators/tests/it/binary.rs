//! The binary: `check`, `run` until `ready`, SIGTERM.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::AIRPORT;

fn simulators(arguments: &[&str], airport: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landside-simulators"));
    command
        .arg(arguments[0])
        .arg("--airport")
        .arg(airport)
        .args(&arguments[1..]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn check_says_what_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("airport.toml");
    std::fs::write(&file, AIRPORT).unwrap();
    let output = simulators(&["check"], &file).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("1 gates, 0 loops, 1 kiosks, 1 printers, 0 buses in 1 zones for 2 agents"),
        "{text}"
    );
}

#[test]
fn a_bad_file_ends_with_64_and_one_sentence_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("airport.toml");
    std::fs::write(&file, AIRPORT.replace("lane", "lame")).unwrap();
    let data = dir.path().join("data");
    for arguments in [&["check"][..], &["run", "--data", data.to_str().unwrap()]] {
        let output = simulators(arguments, &file).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("airport.toml: line 13: unknown field `lame`"),
            "{text}"
        );
    }
    assert!(!data.exists());
}

#[test]
fn run_says_ready_and_ends_in_order_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("airport.toml");
    std::fs::write(&file, AIRPORT).unwrap();
    let data = dir.path().join("data");
    let mut child = simulators(&["run", "--data", data.to_str().unwrap()], &file)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    for name in [
        "sites/agent-p1.toml",
        "sites/agent-p2.toml",
        "control.addr",
        "tty/printer-1",
    ] {
        assert!(data.join(name).exists(), "{name}");
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "nothing but `ready`");
    let truth = simulators::truth::read(&data.join("truth.jsonl")).unwrap();
    assert_eq!(truth.last().unwrap().event, simulators::TruthEvent::Stopped);
    assert!(
        !data.join("tty/printer-1").is_symlink(),
        "no link to a pty that is gone"
    );
}
