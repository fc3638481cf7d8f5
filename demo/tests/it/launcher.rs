//! From the environment to the exit code.

use std::net::TcpListener;

use rustix::process::Signal;

use crate::stage::{OBEDIENT, Stage};

/// Exit code and standard error of a demo that does not get far.
fn refused(stage: &Stage, variable: &str, value: &str) -> (Option<i32>, String) {
    let output = stage.demo().env(variable, value).output().unwrap();
    assert_eq!(output.stdout, b"", "nothing was started");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn help_names_every_variable() {
    let output = Stage::new().demo().arg("--help").output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in ["DEMO_PASSWORD", "HTTP", "STOMP", "METRICS", "DATA"] {
        assert!(help.contains(&format!("LANDSIDE_{variable}")), "{help}");
    }
}

#[test]
fn mistakes_end_with_64_and_one_sentence() {
    let stage = Stage::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let check = |variable: &str, value: &str, part: &str| {
        let (code, complaint) = refused(&stage, variable, value);
        assert_eq!(code, Some(64), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(
            complaint.contains(variable) && complaint.contains(part),
            "{complaint}"
        );
    };
    check("LANDSIDE_HTTP", "0.0.0.0:8080", "not a loopback address");
    check("LANDSIDE_STOMP", "somewhere", "no address with a port");
    check(
        "LANDSIDE_DATA",
        "/dev/null/data",
        "cannot make the data directory",
    );
    check("LANDSIDE_METRICS", &taken, "is taken by another program");

    std::fs::remove_file(stage.path("landside-agent")).unwrap();
    let (code, complaint) = refused(&stage, "LANDSIDE_DATA", "unused");
    assert_eq!(code, Some(64));
    assert!(
        complaint.contains("landside-agent is missing: build"),
        "{complaint}"
    );
}

#[test]
fn a_signal_stops_everything_and_is_no_failure() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let stage = Stage::new();
        let demo = stage.start();
        // The dummy server never answers: the demo waits for it.
        stage.until_diary_has("landside-server runs");
        demo.signal(signal);
        demo.until_says("stopping");
        let (status, complaint) = demo.end();
        assert!(status.success(), "{status}: {complaint}");
        assert_eq!(complaint, "");
        let diary = stage.until_diary_has("landside-server ends");
        let ends = &diary[2..];
        assert_eq!(ends, ["landside-simulators ends", "landside-server ends"]);
    }
}

#[test]
fn a_second_demo_on_the_same_data_is_refused() {
    let stage = Stage::new();
    let demo = stage.start();
    stage.until_diary_has("landside-server runs");
    let data = stage.path("data");
    let (code, complaint) = refused(&stage, "LANDSIDE_DATA", data.to_str().unwrap());
    assert_eq!(code, Some(64));
    assert!(
        complaint.contains("another demo is running on"),
        "{complaint}"
    );
    demo.signal(Signal::TERM);
    demo.end();
}

#[test]
fn a_program_that_dies_ends_the_demo_with_its_last_words() {
    let stage = Stage::new();
    stage.program("landside-server", "echo 'no database today' >&2; exit 7");
    let demo = stage.start();
    demo.until_says("a part of the demo failed");
    let (status, complaint) = demo.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        complaint.contains("server ended (exit status: 7). Its last lines:\n  no database today\n"),
        "{complaint}"
    );
    assert!(complaint.contains("data/logs/server.log"), "{complaint}");
    stage.until_diary_has("landside-simulators ends");
}

#[test]
fn programs_do_not_outlive_a_demo_that_is_killed() {
    let stage = Stage::new();
    stage.program(
        "landside-server",
        &OBEDIENT.replace("echo \"$name ends", "sleep 1; echo \"$name ends"),
    );
    let demo = stage.start();
    stage.until_diary_has("landside-server runs");
    demo.signal(Signal::KILL);
    demo.end();

    // The next demo on the same data waits for them, then comes up.
    let demo = stage.start();
    demo.until_says("the demo before this one was killed");
    demo.until_says("server …");
    let diary = stage.until_diary_has("landside-server ends");
    let first = |line: &str| diary.iter().position(|written| written == line);
    assert!(first("landside-simulators ends") < first("landside-server ends"));
    demo.signal(Signal::TERM);
    assert!(demo.end().0.success());
}
