//! The load generators as processes, against the bare broadcast and a small SockJS server. No times are asserted.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod sockjs;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use bench::report::{Report, Wrong};

/// A server that ends with the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bare_broadcast"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let address = line.split("ws://").nth(1).unwrap().trim().to_owned();
        Self { child, address }
    }

    fn load(&self, arguments: &[&str]) -> Report {
        let output = Command::new(env!("CARGO_BIN_EXE_load"))
            .args(["--server", &self.address, "--speech", "bare"])
            .args(["--watch", &self.child.id().to_string()])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn every_subscriber_gets_every_message_once() {
    let server = Server::start();
    for pace in [&[][..], &["--every", "5"]] {
        let fixed = ["--readers", "10", "--publishers", "3", "--warm-up", "0"];
        let report = server.load(&[&fixed[..], &["--measured", "100"], pace].concat());
        assert_eq!(report.connected, 10);
        assert!(report.sent > 3, "{report:?}");
        assert!(report.deliveries >= 10, "{report:?}");
        assert!(report.latency.messages > 0, "{report:?}");
        assert!(report.memory_before > 0, "{report:?}");
        assert_eq!(report.faults, Wrong::default());
        assert!(report.is_right(), "{report:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_load"))
        .args([
            "--server",
            "127.0.0.1:1",
            "--readers",
            "2",
            "--publishers",
            "1",
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("connecting publisher 0"), "{said}");
}
