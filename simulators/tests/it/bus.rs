//! Buses byte by byte: who answers, at which pace, and what each fault of the wire does to it.

use std::time::{Duration, Instant};

use simulators::{Airport, Cause, Fault, TruthEvent};
use tempfile::TempDir;

use crate::harness::{Peer, SerialPeer, start, until};

const BUSES: &str = r#"
[[bus]]
id = "bus-pty"
agent = "agent-p1"
kind = "pty"
baud = 9600
[[bus]]
id = "bus-tcp"
agent = "agent-p1"
kind = "tcp"
baud = 19200
turn_round = "30ms"
[[device]]
id = "loop-1"
kind = "loop"
zone = "p1"
bus = "bus-pty"
unit = 1
name = { ko = "루프 1", en = "Loop 1" }
[[device]]
id = "gate-7"
kind = "gate"
zone = "p1"
bus = "bus-pty"
unit = 7
name = { ko = "차단기 7", en = "Gate 7" }
[[device]]
id = "loop-2"
kind = "loop"
zone = "p1"
bus = "bus-tcp"
unit = 2
name = { ko = "루프 2", en = "Loop 2" }
[[device]]
id = "loop-3"
kind = "loop"
zone = "p1"
bus = "bus-tcp"
unit = 3
name = { ko = "루프 3", en = "Loop 3" }
"#;

// Computed with the catalogue's CRC-16/MODBUS; the frames below are whole, as a sniffer shows them.
const NODE_OF_1: [u8; 8] = [1, 3, 0, 13, 0, 1, 0x15, 0xC9];
const NODE_IS_1: [u8; 7] = [1, 3, 2, 0, 1, 0x79, 0x84];
const NODE_OF_2: [u8; 8] = [2, 3, 0, 13, 0, 1, 0x15, 0xFA];
const NODE_IS_2: [u8; 7] = [2, 3, 2, 0, 2, 0x7D, 0x85];
const NODE_OF_3: [u8; 8] = [3, 3, 0, 13, 0, 1, 0x14, 0x2B];
const NODE_IS_3: [u8; 7] = [3, 3, 2, 0, 3, 0x81, 0x85];
const STATE_OF_7: [u8; 8] = [7, 3, 0, 100, 0, 1, 0xC5, 0xB3];
const STATE_IS_17: [u8; 7] = [7, 3, 2, 0, 17, 0xF0, 0x48];

/// What a master keeps between frames, and more than any bus here needs: this is no waiting for something to happen.
async fn keep_silence() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

async fn buses() -> (Airport, TempDir) {
    start(BUSES).await
}

#[tokio::test]
async fn units_of_one_line_answer_each_for_itself_at_the_pace_of_the_bus() {
    let (airport, dir) = buses().await;
    let site = std::fs::read_to_string(dir.path().join("sites/agent-p1.toml")).unwrap();
    assert_eq!(site.matches("id = \"bus-pty\"").count(), 1, "{site}");
    let peer = SerialPeer::open(&airport, "loop-1");
    let begin = Instant::now();
    let (peer, reply) = peer.exchange(&NODE_OF_1, NODE_IS_1.len()).await;
    assert_eq!(reply, NODE_IS_1);
    // Fifteen bytes at 9,600 bits per second, the silence that ends the request, and 10 ms to turn round.
    let least = Duration::from_micros(15 * 1_145 + 4_010 + 10_000);
    assert!(
        begin.elapsed() >= least,
        "{:?} is too fast",
        begin.elapsed()
    );
    keep_silence().await;
    let (_peer, reply) = peer.exchange(&STATE_OF_7, STATE_IS_17.len()).await;
    assert_eq!(reply, STATE_IS_17);
}

#[tokio::test]
async fn a_gateway_hands_the_bus_to_whoever_connected_last() {
    let (airport, _dir) = buses().await;
    let mut first = Peer::connect(&airport, "loop-2").await;
    first.send(&NODE_OF_2).await;
    assert_eq!(first.receive(7).await, NODE_IS_2);
    let mut second = Peer::connect(&airport, "loop-3").await;
    assert!(first.is_closed().await);
    keep_silence().await;
    second.send(&NODE_OF_3).await;
    assert_eq!(second.receive(7).await, NODE_IS_3);
    let mut replies = airport.replies("loop-3").unwrap();
    until(&mut replies, |&replies| replies == 1).await;
}

/// The silence between frames is what tells them apart: without it nobody hears anything.
#[tokio::test]
async fn a_request_without_silence_before_it_is_heard_by_nobody() {
    let (airport, _dir) = buses().await;
    let requests = airport.requests("loop-2").unwrap();
    let mut peer = Peer::connect(&airport, "loop-2").await;
    peer.send(&[NODE_OF_2, NODE_OF_3].concat()).await;
    keep_silence().await;
    peer.send(&NODE_OF_3).await;
    assert_eq!(peer.receive(7).await, NODE_IS_3, "to the last one only");
    assert_eq!(*requests.borrow(), 0);
}

#[tokio::test]
async fn faults_of_the_wire_are_switched_at_run_time_and_told() {
    let (airport, _dir) = buses().await;
    let mut peer = Peer::connect(&airport, "loop-2").await;
    let shifted = [3, 3, 2, 0, 2, 0x40, 0x45];
    for (fault, expected) in [
        (Fault::WrongUnit, &shifted[..]),
        (Fault::Exception6, &[2, 0x83, 6, 0x31, 0x32]),
        (Fault::Truncated, &NODE_IS_2[..3]),
        (Fault::Duplicate, &[NODE_IS_2, NODE_IS_2].concat()),
    ] {
        airport.set_fault("loop-2", fault).await.unwrap();
        peer.send(&NODE_OF_2).await;
        assert_eq!(peer.receive(expected.len()).await, expected, "{fault}");
        keep_silence().await;
        peer.send(&NODE_OF_3).await;
        assert_eq!(peer.receive(7).await, NODE_IS_3, "beside {fault}");
        airport.clear_fault("loop-2", fault).await.unwrap();
        keep_silence().await;
    }
    let told: Vec<_> = airport
        .truth()
        .unwrap()
        .into_iter()
        .filter_map(|line| match line.event {
            TruthEvent::FaultOn { fault, cause } => {
                Some((line.device.unwrap().to_string(), fault, cause))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 4);
    assert_eq!(
        told[0],
        ("loop-2".to_owned(), Fault::WrongUnit, Cause::Control)
    );
}

#[tokio::test]
async fn faults_of_the_connection_are_switched_at_run_time() {
    let (airport, _dir) = buses().await;
    let read = [0, 7, 0, 0, 0, 6, 1, 3, 0, 100, 0, 2];
    let mut peer = Peer::connect(&airport, "gate-1").await;
    airport
        .set_fault("gate-1", Fault::OneConnection)
        .await
        .unwrap();
    peer.send(&read).await;
    peer.receive(13).await;
    let mut second = Peer::connect(&airport, "gate-1").await;
    assert!(second.is_closed().await);
    airport.set_fault("gate-1", Fault::Reset).await.unwrap();
    peer.send(&read).await;
    assert!(peer.is_closed().await);
}
