//! The Modbus driver on a bus in RTU framing, behind a gateway and on a pty.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use device_agents::driver::{DriverErrorKind, ReadOutcome, WriteOutcome};
use device_agents::point::Raw;
use device_agents::profile::{Action, Parity, Read, RegisterWrite, SerialSettings, Table};
use device_agents::site::LineAddress;
use simulators::{Address, Airport, AirportConfig, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::escpos::pty;
use crate::harness::{Bench, in_time, profile};
use crate::peer::{Peer, Reply};

/// Requests of functions 1 to 6 have eight bytes.
fn framing(buffer: &[u8]) -> Option<usize> {
    (buffer.len() >= 8).then_some(8)
}

/// A frame, with the CRC computed bit by bit as the specification's flow chart has it.
fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![unit];
    frame.extend(pdu);
    let mut crc = 0xFFFF_u16;
    for byte in &frame {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0xA001;
            }
        }
    }
    frame.extend(crc.to_le_bytes());
    frame
}

fn registers(words: &[u16]) -> Vec<u8> {
    let mut pdu = vec![3, u8::try_from(words.len() * 2).unwrap()];
    pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    frame(1, &pdu)
}

const BUS_OF_A_GATE: &str = r#"
[[zone]]
id = "p1"
name = { ko = "주차장 P1", en = "Car park P1" }
[[agent]]
id = "agent-p1"
[[bus]]
id = "bus-1"
agent = "agent-p1"
kind = "tcp"
baud = 9600
[[device]]
id = "gate-1"
kind = "gate"
zone = "p1"
bus = "bus-1"
unit = 1
name = { ko = "차단기 1", en = "Gate 1" }
"#;

/// So late, in these tests, may a reply still come.
const LATE: Duration = Duration::from_millis(300);

fn short() -> std::sync::Arc<device_agents::profile::Profile> {
    let timeout = "timeout = \"150ms\"\nlate = \"300ms\"";
    profile("gate-came-crp.toml", &[("timeout = \"400ms\"", timeout)])
}

async fn bench(replies: Vec<Reply>) -> (Bench, Peer) {
    let peer = Peer::start(framing, false, replies).await;
    let address = peer.address.clone();
    let bus = LineAddress::RtuTcp {
        address,
        baud: 115_200,
    };
    let mut bench = Bench::new(bus, short());
    bench.driver.connect().await.unwrap();
    (bench, peer)
}

async fn read(bench: &mut Bench, addr: u16) -> Result<ReadOutcome, DriverErrorKind> {
    let (driver, target) = bench.parts();
    let two = Read::Modbus {
        table: Table::HoldingRegister,
        addr,
        count: 2,
    };
    let outcome = driver.read(target, two).await;
    outcome.map_err(|error| error.kind)
}

async fn write(bench: &mut Bench) -> Result<WriteOutcome, DriverErrorKind> {
    let (driver, target) = bench.parts();
    let action = Action::Modbus(vec![RegisterWrite::Coil { addr: 2, on: true }]);
    let outcome = driver
        .write(target, &action, &BTreeMap::new(), in_time())
        .await;
    outcome.map_err(|error| error.kind)
}

fn data(words: &[u16]) -> ReadOutcome {
    ReadOutcome::Data(Raw::Registers(words.to_vec()))
}

fn is_timeout(kind: &DriverErrorKind) -> bool {
    matches!(kind, DriverErrorKind::Timeout { .. })
}

/// How many registers a request asks for.
fn count_of(request: &[u8]) -> u16 {
    u16::from_be_bytes([request[4], request[5]])
}

#[tokio::test]
async fn two_reads_in_a_row_expect_different_lengths_and_bring_what_was_asked_for() {
    let (mut bench, peer) = bench(vec![
        Reply::Bytes(registers(&[1, 2])),
        Reply::Bytes(registers(&[3, 4, 99])),
        Reply::Bytes(registers(&[5, 6])),
    ])
    .await;
    for expected in [[1, 2], [3, 4], [5, 6]] {
        assert_eq!(read(&mut bench, 100).await.unwrap(), data(&expected));
    }
    let counts: Vec<u16> = peer.requests().iter().map(|one| count_of(one)).collect();
    assert_eq!(counts, [2, 3, 2]);
    assert_eq!(peer.requests()[0], frame(1, &[3, 0, 100, 0, 2]));
}

#[tokio::test]
async fn a_device_that_grants_no_register_more_is_asked_as_the_profile_says() {
    let (mut bench, peer) = bench(vec![
        Reply::Bytes(registers(&[1, 2])),
        Reply::Bytes(frame(1, &[0x83, 2])),
        Reply::Bytes(registers(&[3, 4])),
        Reply::Bytes(registers(&[5, 6])),
    ])
    .await;
    for expected in [[1, 2], [3, 4], [5, 6]] {
        assert_eq!(read(&mut bench, 100).await.unwrap(), data(&expected));
    }
    let counts: Vec<u16> = peer.requests().iter().map(|one| count_of(one)).collect();
    assert_eq!(counts, [2, 3, 2, 2]);
}

/// The fault that makes others show one register's value as another's from then on.
#[tokio::test]
async fn a_late_reply_is_never_the_next_ones_value() {
    let late = Duration::from_millis(250);
    let (mut bench, _peer) = bench(vec![
        Reply::Late(late, registers(&[1, 1])),
        Reply::Bytes(registers(&[2, 2, 2])),
        Reply::Bytes(registers(&[3, 3])),
    ])
    .await;
    assert!(is_timeout(&read(&mut bench, 0).await.unwrap_err()));
    assert!(bench.driver.is_connected(), "the bus has other units");
    let (driver, target) = bench.parts();
    assert!(driver.quiet_until(target).unwrap() > Instant::now());
    let asked = Instant::now();
    assert_eq!(read(&mut bench, 2).await.unwrap(), data(&[2, 2]));
    assert!(asked.elapsed() > LATE / 2, "after the unit's quiet time");
    assert_eq!(read(&mut bench, 3).await.unwrap(), data(&[3, 3]));
}

/// Later than the profile allows for: the next read expects another length.
#[tokio::test]
async fn a_reply_that_is_later_than_late_is_skipped() {
    let both = [registers(&[1, 1]), registers(&[2, 2, 2])].concat();
    let (mut bench, _peer) = bench(vec![Reply::Nothing, Reply::Bytes(both)]).await;
    assert!(is_timeout(&read(&mut bench, 0).await.unwrap_err()));
    assert_eq!(read(&mut bench, 2).await.unwrap(), data(&[2, 2]));
}

#[tokio::test]
async fn a_reply_that_comes_twice_is_taken_once() {
    let twice = [registers(&[1, 1]), registers(&[1, 1])].concat();
    let (mut bench, _peer) = bench(vec![
        Reply::Bytes(twice),
        Reply::Bytes([registers(&[1, 1]), registers(&[2, 2, 2])].concat()),
    ])
    .await;
    assert_eq!(read(&mut bench, 0).await.unwrap(), data(&[1, 1]));
    assert_eq!(read(&mut bench, 2).await.unwrap(), data(&[2, 2]));
}

/// Of two that speak at once on a pair of wires, nobody is heard.
#[tokio::test]
async fn a_request_waits_until_the_bus_is_silent() {
    let directory = tempfile::tempdir().unwrap();
    let config = AirportConfig::parse(BUS_OF_A_GATE, "airport.toml").unwrap();
    let airport = Airport::start(config, directory.path()).await.unwrap();
    airport
        .set_fault("gate-1", Fault::NoiseAfter)
        .await
        .unwrap();
    let Address::RtuTcp { address, baud } = airport.address("gate-1").unwrap() else {
        panic!("a bus behind a gateway");
    };
    let bus = LineAddress::RtuTcp {
        address: address.to_string(),
        baud: *baud,
    };
    let mut bench = Bench::new(bus, profile("gate-came-crp.toml", &[]));
    bench.driver.connect().await.unwrap();
    for _ in 0..6 {
        assert_eq!(read(&mut bench, 100).await.unwrap(), data(&[17, 0]));
    }
}

#[tokio::test]
async fn what_is_no_reply_ends_in_a_time_out_and_never_in_a_value() {
    let mut broken = registers(&[7, 8]);
    broken[4] ^= 1;
    let wrong = [
        frame(2, &[3, 4, 0, 7, 0, 8]),
        frame(1, &[4, 4, 0, 7, 0, 8]),
        registers(&[7]),
        registers(&[7, 8, 9]),
        broken,
        registers(&[7, 8])[..6].to_vec(),
        vec![0xFF; 64],
    ];
    for bytes in wrong {
        let told = format!("{bytes:02X?}");
        let (mut bench, _peer) = bench(vec![Reply::Bytes(bytes)]).await;
        let kind = read(&mut bench, 0).await.unwrap_err();
        assert!(is_timeout(&kind), "{told}: {kind}");
    }
}

#[tokio::test]
async fn a_write_is_granted_by_its_own_echo_only_and_sent_once() {
    let echo = |coil| frame(1, &[5, 0, coil, 0xFF, 0]);
    let (mut bench, peer) = bench(vec![
        Reply::Bytes(echo(2)),
        Reply::Bytes(frame(1, &[0x85, 3])),
        Reply::Bytes(frame(1, &[0x85, 4])),
        Reply::Bytes(echo(3)),
    ])
    .await;
    assert_eq!(write(&mut bench).await.unwrap(), WriteOutcome::Acknowledged);
    let refused = write(&mut bench).await.unwrap();
    assert!(
        matches!(&refused, WriteOutcome::Refused(why) if why.contains("illegal data value")),
        "{refused:?}"
    );
    let doubtful = write(&mut bench).await.unwrap();
    assert!(
        matches!(&doubtful, WriteOutcome::Doubtful(_)),
        "{doubtful:?}"
    );
    assert!(is_timeout(&write(&mut bench).await.unwrap_err()));
    assert_eq!(peer.requests().len(), 4);
    assert_eq!(peer.requests()[0], frame(1, &[5, 0, 2, 0xFF, 0]));
}

#[tokio::test]
async fn a_gateway_that_hangs_up_is_connected_again() {
    let (mut bench, _peer) = bench(vec![
        Reply::Last(vec![]),
        Reply::Bytes(registers(&[1, 2, 3])),
    ])
    .await;
    let kind = read(&mut bench, 0).await.unwrap_err();
    assert!(matches!(kind, DriverErrorKind::Transport(_)), "{kind}");
    assert!(!bench.driver.is_connected());
    bench.driver.connect().await.unwrap();
    assert_eq!(read(&mut bench, 0).await.unwrap(), data(&[1, 2]));
}

#[tokio::test]
async fn a_bus_on_a_serial_port_is_read_and_written() {
    let (device, path) = pty();
    let settings = SerialSettings {
        baud: 115_200,
        data_bits: 8,
        parity: Parity::None,
        stop_bits: 1,
    };
    let mut bench = Bench::new(LineAddress::RtuSerial { path, settings }, short());
    bench.driver.connect().await.unwrap();
    let mut device = tokio::fs::File::from_std(device);
    let served = tokio::spawn(async move {
        let mut request = [0; 8];
        device.read_exact(&mut request).await.unwrap();
        assert_eq!(request.to_vec(), frame(1, &[3, 0, 100, 0, 2]));
        device.write_all(&registers(&[17, 100])).await.unwrap();
        device.flush().await.unwrap();
        device.read_exact(&mut request).await.unwrap();
        device.write_all(&request).await.unwrap();
        device.flush().await.unwrap();
        device
    });
    assert_eq!(read(&mut bench, 100).await.unwrap(), data(&[17, 100]));
    assert_eq!(write(&mut bench).await.unwrap(), WriteOutcome::Acknowledged);
    drop(served.await.unwrap());
    let kind = read(&mut bench, 100).await.unwrap_err();
    assert!(matches!(kind, DriverErrorKind::Transport(_)), "{kind}");
    assert!(!bench.driver.is_connected());
}
