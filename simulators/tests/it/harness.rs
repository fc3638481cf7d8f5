//! A small airport, and peers that speak bytes.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use simulators::{Address, Airport, AirportConfig, TruthEvent, TruthLine};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// Far beyond anything that works; reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const AIRPORT: &str = r#"
[[zone]]
id = "p1"
name = { ko = "주차장 P1", en = "Car park P1" }
[[agent]]
id = "agent-p1"
[[agent]]
id = "agent-p2"
[[device]]
id = "gate-1"
kind = "gate"
zone = "p1"
lane = "in-1"
agent = "agent-p1"
name = { ko = "차단기", en = "Gate" }
[[device]]
id = "kiosk-1"
kind = "kiosk"
zone = "p1"
agent = "agent-p2"
name = { ko = "정산기", en = "Kiosk" }
[[device]]
id = "printer-1"
kind = "printer"
zone = "p1"
lane = "in-1"
agent = "agent-p1"
name = { ko = "프린터", en = "Printer" }
"#;

/// Starts [`AIRPORT`], with `more` appended, in a directory of its own.
pub(crate) async fn start(more: &str) -> (Airport, TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let airport = start_in(&dir, more).await;
    (airport, dir)
}

pub(crate) async fn start_in(dir: &TempDir, more: &str) -> Airport {
    let config = AirportConfig::parse(&format!("{AIRPORT}{more}"), "airport.toml")
        .expect("the test's airport is right");
    Airport::start(config, dir.path())
        .await
        .expect("the airport starts")
}

pub(crate) fn tcp_address(airport: &Airport, device: &str) -> SocketAddr {
    match airport.address(device).expect("the device exists") {
        Address::Tcp { address } | Address::RtuTcp { address, .. } => *address,
        Address::Serial { path } | Address::RtuSerial { path, .. } => {
            panic!("{device} is serial at {}", path.display())
        }
    }
}

/// Waits until what a counter shows is as wished.
pub(crate) async fn until<T: Clone>(
    receiver: &mut watch::Receiver<T>,
    wished: impl FnMut(&T) -> bool,
) -> T {
    timeout(PATIENCE, receiver.wait_for(wished))
        .await
        .expect("in time")
        .expect("the device lives")
        .clone()
}

/// Waits until the truth log has `event`, and gives the whole log.
pub(crate) async fn until_truth(airport: &Airport, event: &TruthEvent) -> Vec<TruthLine> {
    let mut lines = airport.truth_lines();
    timeout(PATIENCE, async {
        loop {
            let truth = airport.truth().expect("the log can be read");
            if truth.iter().any(|line| line.event == *event) {
                return truth;
            }
            lines.changed().await.expect("the airport runs");
        }
    })
    .await
    .expect("in time")
}

/// A TCP peer.
pub(crate) struct Peer(TcpStream);

impl Peer {
    pub(crate) async fn connect(airport: &Airport, device: &str) -> Self {
        let address = tcp_address(airport, device);
        Self(
            TcpStream::connect(address)
                .await
                .expect("the device takes connections"),
        )
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the device reads");
    }

    /// Exactly `count` bytes.
    pub(crate) async fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, self.0.read_exact(&mut bytes))
            .await
            .expect("the device answers in time")
            .expect("the connection holds");
        bytes
    }

    pub(crate) async fn receive_line(&mut self) -> serde_json::Value {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.extend(self.receive(1).await);
        }
        serde_json::from_slice(&line).expect("one JSON object per line")
    }

    /// Whether the device has closed the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let read = timeout(PATIENCE, self.0.read(&mut [0; 16]))
            .await
            .expect("a close is seen in time");
        // A reset is a close as well.
        read.unwrap_or(0) == 0
    }
}

/// A peer on a serial line; blocking, so used from a thread of its own.
pub(crate) struct SerialPeer(File);

impl SerialPeer {
    pub(crate) fn open(airport: &Airport, device: &str) -> Self {
        match airport.address(device).expect("the device exists") {
            Address::Serial { path } | Address::RtuSerial { path, .. } => Self::open_path(path),
            Address::Tcp { .. } | Address::RtuTcp { .. } => panic!("{device} is not serial"),
        }
    }

    pub(crate) fn open_path(path: &std::path::Path) -> Self {
        let file = File::options().read(true).write(true).open(path);
        Self(file.expect("the line can be opened"))
    }

    /// Sends `bytes` and waits for `count` bytes back.
    pub(crate) async fn exchange(self, bytes: &[u8], count: usize) -> (Self, Vec<u8>) {
        let bytes = bytes.to_vec();
        let exchanged = tokio::task::spawn_blocking(move || {
            let Self(mut file) = self;
            file.write_all(&bytes).expect("the line takes bytes");
            let mut reply = vec![0; count];
            file.read_exact(&mut reply).expect("the line holds");
            (Self(file), reply)
        });
        timeout(PATIENCE, exchanged)
            .await
            .expect("the device answers in time")
            .expect("the peer's thread")
    }
}
