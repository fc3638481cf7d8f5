//! A directory in which the demo finds dummy programs beside itself.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::RwLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A process that is started while another test writes a program holds that program open for writing until it runs its
/// own, and meanwhile nobody can run it (ETXTBSY). So programs are written by many at once, or one process is started.
static STARTING: RwLock<()> = RwLock::new(());

/// Says that it runs; on SIGTERM says that it ends. `$diary` is common to all programs of a stage.
pub(crate) const OBEDIENT: &str = r#"
trap 'echo "$name ends" >> "$diary"; exit 0' TERM
echo "$name runs" >> "$diary"
echo ready
while :; do sleep 0.02; done"#;

pub(crate) struct Stage {
    dir: TempDir,
}

impl Stage {
    /// A stage with the demo, and programs that obey.
    pub(crate) fn new() -> Self {
        let stage = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let nobody_starts = STARTING.read().unwrap();
        std::fs::copy(
            env!("CARGO_BIN_EXE_landside-demo"),
            stage.path("landside-demo"),
        )
        .unwrap();
        drop(nobody_starts);
        for name in ["landside-simulators", "landside-server", "landside-agent"] {
            stage.program(name, OBEDIENT);
        }
        stage
    }

    /// Replaces a program by a script.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = self.path(name);
        let diary = self.path("diary");
        let text = format!(
            "#!/bin/sh\nname={name} diary={}\n{script}\n",
            diary.display()
        );
        let _nobody_starts = STARTING.read().unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The demo, with free ports and a data directory of its own.
    pub(crate) fn demo(&self) -> Command {
        let mut command = Command::new(self.path("landside-demo"));
        // Bound at the same time, so that they differ.
        let ports = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = ports
            .each_ref()
            .map(|port| port.local_addr().unwrap().to_string());
        for (variable, address) in ["LANDSIDE_HTTP", "LANDSIDE_STOMP", "LANDSIDE_METRICS"]
            .into_iter()
            .zip(addresses)
        {
            command.env(variable, address);
        }
        command.env("LANDSIDE_DATA", self.path("data"));
        command.env("LANDSIDE_DEMO_PASSWORD", "password");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self) -> Running {
        self.start_by(self.demo())
    }

    /// Starts a demo as [`Self::demo`] gave it.
    pub(crate) fn start_by(&self, mut command: Command) -> Running {
        let mut http = command.get_envs();
        let (_, http) = http.find(|(name, _)| *name == "LANDSIDE_HTTP").unwrap();
        let http = http.unwrap().to_str().unwrap().to_owned();
        let mut child = spawn(&mut command);
        let lines = child.stdout.take().map(follow);
        Running { child, lines, http }
    }

    /// Starts a demo whose dummy server becomes ready and knows no devices, and waits until all programs run.
    pub(crate) fn start_all(&self) -> Running {
        let demo = self.start();
        self.until_diary_has("landside-server runs", 1);
        demo.serve();
        self.until_diary_has("landside-agent runs", 2);
        demo
    }

    /// Waits until the diary has `line` so many times, and gives all of its lines.
    pub(crate) fn until_diary_has(&self, line: &str, times: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.diary();
            if lines.iter().filter(|written| *written == line).count() == times {
                return lines;
            }
            assert!(Instant::now() < deadline, "no {line:?} in {lines:?}");
            std::thread::yield_now();
        }
    }

    /// What the programs have written so far.
    pub(crate) fn diary(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("diary")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Starts a process while no program is written.
fn spawn(command: &mut Command) -> Child {
    let _nobody_writes = STARTING.write().unwrap();
    command.spawn().unwrap()
}

/// Runs a process to its end.
pub(crate) fn output(mut command: Command) -> Output {
    spawn(&mut command).wait_with_output().unwrap()
}

/// A demo that was started.
pub(crate) struct Running {
    child: Child,
    lines: Option<Receiver<String>>,
    http: String,
}

impl Running {
    /// Answers every request with 200 and nothing else, where the server should; the demo has checked that the port is
    /// free when its server runs.
    pub(crate) fn serve(&self) {
        let listener = TcpListener::bind(&self.http).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while head.read_line(&mut line).is_ok_and(|length| length > 2) {
                    line.clear();
                }
                // A demo that was killed does not read its answer.
                let _gone = stream.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                );
            }
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a line that starts with `beginning`.
    pub(crate) fn until_says(&self, beginning: &str) -> String {
        loop {
            let lines = self.lines.as_ref().unwrap();
            let line = lines.recv_timeout(PATIENCE).unwrap();
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    /// How it ended.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// How it ended, and what it complained about.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut complaint = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut complaint).unwrap();
        (self.child.wait().unwrap(), complaint)
    }
}

/// Reads lines on a thread of their own, so that waiting for one can end.
fn follow(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // A test that has seen enough is gone.
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
