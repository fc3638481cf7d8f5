//! From the environment to the exit code.

use std::fs::File;
use std::net::TcpListener;

use rustix::process::Signal;

use crate::stage::{OBEDIENT, Stage, output};

/// Exit code and standard error of a demo that does not get far.
fn refused(stage: &Stage, variable: &str, value: &str) -> (Option<i32>, String) {
    let mut demo = stage.demo();
    demo.env(variable, value);
    let output = output(demo);
    assert_eq!(output.stdout, b"", "nothing was started");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn help_names_every_variable() {
    let stage = Stage::new();
    let mut demo = stage.demo();
    demo.arg("--help");
    let output = output(demo);
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
        let demo = stage.start_all();
        demo.signal(signal);
        demo.until_says("stopping");
        let (status, complaint) = demo.end();
        assert!(status.success(), "{status}: {complaint}");
        assert_eq!(complaint, "");
        let diary = stage.diary();
        assert_eq!(
            diary,
            [
                "landside-server runs",
                "landside-simulators runs",
                "landside-agent runs",
                "landside-agent runs",
                "landside-agent ends",
                "landside-agent ends",
                "landside-simulators ends",
                "landside-server ends"
            ]
        );
    }
}

#[test]
fn a_terminal_that_is_gone_is_no_failure() {
    let stage = Stage::new();
    let mut command = stage.demo();
    // Whatever is written there fails, as on a terminal that was closed.
    let full = || File::options().write(true).open("/dev/full").unwrap();
    command.stdout(full()).stderr(full());
    let demo = stage.start_by(command);
    stage.until_diary_has("landside-server runs", 1);
    demo.serve();
    stage.until_diary_has("landside-agent runs", 2);
    demo.signal(Signal::HUP);
    assert!(demo.ended().success());
    stage.until_diary_has("landside-server ends", 1);
}

#[test]
fn a_server_that_cannot_start_is_told_in_its_own_words_before_anything_else_runs() {
    let stage = Stage::new();
    stage.program(
        "landside-server",
        "echo 'INFO looking for Postgres'; echo 'landside-server: no Postgres: install one' >&2; exit 1",
    );
    let (status, complaint) = stage.start().end();
    assert_eq!(status.code(), Some(64));
    assert_eq!(complaint, "landside-demo: no Postgres: install one\n");
    assert_eq!(stage.diary(), [""; 0]);
}

#[test]
fn a_database_is_announced_only_when_there_is_none() {
    let stage = Stage::new();
    for (made_before, line) in [
        (false, "server … (the first start makes a database)"),
        (true, "server …"),
    ] {
        if made_before {
            std::fs::create_dir_all(stage.path("data/server/postgres/data")).unwrap();
        }
        let demo = stage.start();
        assert_eq!(demo.until_says("server"), line);
        demo.signal(Signal::TERM);
        demo.end();
    }
}

#[test]
fn a_second_demo_on_the_same_data_is_refused() {
    let stage = Stage::new();
    let demo = stage.start();
    stage.until_diary_has("landside-server runs", 1);
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
    stage.program("landside-simulators", "echo 'no airport today' >&2; exit 7");
    let demo = stage.start();
    stage.until_diary_has("landside-server runs", 1);
    demo.serve();
    demo.until_says("a part of the demo failed");
    let (status, complaint) = demo.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        complaint
            .contains("simulators ended (exit status: 7). Its last lines:\n  no airport today\n"),
        "{complaint}"
    );
    assert!(
        complaint.contains("data/logs/simulators.log"),
        "{complaint}"
    );
    assert_eq!(
        stage.diary(),
        ["landside-server runs", "landside-server ends"]
    );
}

#[test]
fn programs_do_not_outlive_a_demo_that_is_killed() {
    let stage = Stage::new();
    stage.program(
        "landside-server",
        &OBEDIENT.replace("echo \"$name ends", "sleep 1; echo \"$name ends"),
    );
    let demo = stage.start_all();
    demo.signal(Signal::KILL);
    demo.end();

    // The next demo on the same data waits for them, then comes up.
    let demo = stage.start();
    demo.until_says("the demo before this one was killed");
    demo.until_says("server …");
    let diary = stage.diary();
    for (program, count) in [("agent", 2), ("simulators", 1), ("server", 1)] {
        let line = format!("landside-{program} ends");
        assert_eq!(
            diary.iter().filter(|written| **written == line).count(),
            count,
            "{diary:?}"
        );
    }
    demo.signal(Signal::TERM);
    assert!(demo.end().0.success());
}
