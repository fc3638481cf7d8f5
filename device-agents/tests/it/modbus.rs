//! The Modbus driver against a peer that does what real ones do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use device_agents::driver::{DriverErrorKind, ReadOutcome, WriteOutcome};
use device_agents::point::Raw;
use device_agents::profile::{Action, Read, RegisterWrite, Table};
use device_agents::site::LineAddress;

use crate::harness::{Bench, in_time, profile};
use crate::peer::{Peer, Reply};

/// A Modbus TCP request: 6 bytes of header, of which the last two say how much follows.
fn framing(buffer: &[u8]) -> Option<usize> {
    let length = 6 + usize::from(u16::from_be_bytes([*buffer.get(4)?, *buffer.get(5)?]));
    (buffer.len() >= length).then_some(length)
}

fn adu(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
    let mut adu = vec![0, 0, 0, 0, length[0], length[1], unit];
    adu.extend(pdu);
    adu
}

/// A reply to a read of holding registers.
fn registers(words: &[u16]) -> Vec<u8> {
    let mut pdu = vec![3, u8::try_from(words.len() * 2).unwrap()];
    pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    adu(1, &pdu)
}

async fn bench(replies: Vec<Reply>) -> (Bench, Peer) {
    let peer = Peer::start(framing, true, replies).await;
    let short = profile(
        "gate-came-crp.toml",
        &[("timeout = \"400ms\"", "timeout = \"200ms\"")],
    );
    let mut bench = Bench::new(LineAddress::Tcp(peer.address.clone()), short);
    bench.driver.connect().await.unwrap();
    (bench, peer)
}

const TWO: Read = Read::Modbus {
    table: Table::HoldingRegister,
    addr: 100,
    count: 2,
};

async fn read(bench: &mut Bench, read: Read) -> Result<ReadOutcome, DriverErrorKind> {
    let (driver, target) = bench.parts();
    driver.read(target, read).await.map_err(|error| {
        assert_eq!(error.device, "d");
        assert!(error.address.starts_with("127.0.0.1:"));
        error.kind
    })
}

fn data(words: &[u16]) -> ReadOutcome {
    ReadOutcome::Data(Raw::Registers(words.to_vec()))
}

#[tokio::test]
async fn a_right_reply_is_data_and_an_exception_is_an_answer() {
    let (mut bench, peer) = bench(vec![
        Reply::Bytes(registers(&[17, 3])),
        Reply::Bytes(adu(1, &[0x83, 2])),
        Reply::Bytes(adu(1, &[1, 2, 0b0000_0101, 0xFF])),
    ])
    .await;
    assert_eq!(read(&mut bench, TWO).await.unwrap(), data(&[17, 3]));
    assert_eq!(
        read(&mut bench, TWO).await.unwrap(),
        ReadOutcome::Exception(2)
    );
    let coils = Read::Modbus {
        table: Table::Coil,
        addr: 0,
        count: 9,
    };
    let mut expected = vec![true, false, true, false, false, false, false, false];
    expected.push(true);
    assert_eq!(
        read(&mut bench, coils).await.unwrap(),
        ReadOutcome::Data(Raw::Bits(expected))
    );
    assert!(bench.driver.is_connected());
    assert_eq!(peer.requests()[0][6..], [1, 3, 0, 100, 0, 2]);
}

/// One wrong reply, then a right one over a new connection.
async fn check_refused(wrong: Reply, expected: fn(&DriverErrorKind) -> bool) {
    let (mut bench, _peer) = bench(vec![wrong, Reply::Bytes(registers(&[16, 100]))]).await;
    let kind = read(&mut bench, TWO).await.unwrap_err();
    assert!(expected(&kind), "{kind:?}");
    assert!(!bench.driver.is_connected(), "after {kind:?}");
    let refused = read(&mut bench, TWO).await.unwrap_err();
    assert!(matches!(refused, DriverErrorKind::Connect(_)));
    bench.driver.connect().await.unwrap();
    assert_eq!(read(&mut bench, TWO).await.unwrap(), data(&[16, 100]));
}

fn is_bad_reply(kind: &DriverErrorKind) -> bool {
    matches!(kind, DriverErrorKind::BadReply { .. })
}

fn is_transport(kind: &DriverErrorKind) -> bool {
    matches!(kind, DriverErrorKind::Transport(_))
}

fn is_timeout(kind: &DriverErrorKind) -> bool {
    matches!(kind, DriverErrorKind::Timeout { .. })
}

#[tokio::test]
async fn a_reply_of_another_length_is_never_data() {
    check_refused(Reply::Bytes(registers(&[7])), is_bad_reply).await;
    check_refused(Reply::Bytes(registers(&[7, 8, 9])), is_bad_reply).await;
    check_refused(Reply::Bytes(registers(&[])), is_bad_reply).await;
    check_refused(Reply::Bytes(adu(1, &[1, 1, 0])), is_bad_reply).await;
}

#[tokio::test]
async fn a_reply_of_another_unit_or_a_broken_one_is_never_data() {
    check_refused(Reply::Bytes(adu(2, &[3, 4, 0, 1, 0, 2])), is_bad_reply).await;
    check_refused(Reply::Bytes(adu(1, &[3, 9, 0, 1])), is_transport).await;
    check_refused(Reply::Bytes(vec![0, 0, 9, 9, 0, 3, 1, 3, 0]), is_transport).await;
}

#[tokio::test]
async fn silence_half_a_reply_and_a_hang_up_are_errors() {
    check_refused(Reply::Nothing, is_timeout).await;
    let half = registers(&[17, 3])[..9].to_vec();
    check_refused(Reply::Bytes(half.clone()), is_timeout).await;
    check_refused(Reply::Last(half), is_transport).await;
    check_refused(Reply::Last(vec![]), is_transport).await;
}

#[tokio::test]
async fn a_late_reply_is_not_taken_for_the_next_answer() {
    let late = Duration::from_millis(300);
    let (mut bench, peer) = bench(vec![
        Reply::Late(late, registers(&[1, 1])),
        Reply::Bytes(registers(&[2, 2])),
        Reply::Bytes(registers(&[3, 3])),
    ])
    .await;
    assert!(is_timeout(&read(&mut bench, TWO).await.unwrap_err()));
    for expected in [[2, 2], [3, 3]] {
        if !bench.driver.is_connected() {
            bench.driver.connect().await.unwrap();
        }
        // The peer serves one connection at a time, so the first new attempt can run out of time as well.
        let outcome = match read(&mut bench, TWO).await {
            Err(kind) => panic!("{kind}"),
            Ok(outcome) => outcome,
        };
        assert_eq!(outcome, data(&expected));
    }
    assert_eq!(peer.requests().len(), 3);
}

async fn write(bench: &mut Bench) -> Result<WriteOutcome, DriverErrorKind> {
    write_until(bench, in_time()).await
}

async fn write_until(
    bench: &mut Bench,
    deadline: Instant,
) -> Result<WriteOutcome, DriverErrorKind> {
    let (driver, target) = bench.parts();
    let action = Action::Modbus(vec![RegisterWrite::Coil { addr: 1, on: true }]);
    let written = driver
        .write(target, &action, &BTreeMap::new(), deadline)
        .await;
    written.map_err(|error| error.kind)
}

#[tokio::test]
async fn a_write_is_sent_once_and_another_writes_echo_is_no_echo() {
    let echo = adu(1, &[5, 0, 1, 0xFF, 0]);
    let echo_of_another_coil = adu(1, &[5, 0, 3, 0xFF, 0]);
    let (mut bench, peer) = bench(vec![
        Reply::Bytes(echo),
        Reply::Bytes(echo_of_another_coil),
        Reply::Nothing,
    ])
    .await;
    assert_eq!(write(&mut bench).await.unwrap(), WriteOutcome::Acknowledged);
    assert!(is_bad_reply(&write(&mut bench).await.unwrap_err()));
    bench.driver.connect().await.unwrap();
    assert!(is_timeout(&write(&mut bench).await.unwrap_err()));
    assert_eq!(peer.requests().len(), 3);
    assert_eq!(peer.requests()[0][6..], [1, 5, 0, 1, 0xFF, 0]);
}

#[tokio::test]
async fn only_an_illegal_first_write_is_known_to_have_done_nothing() {
    for code in [1, 2, 3, 4, 5, 6, 10, 11] {
        let (mut bench, _peer) = bench(vec![Reply::Bytes(adu(1, &[0x85, code]))]).await;
        let outcome = write(&mut bench).await.unwrap();
        let (is_refusal, why) = match &outcome {
            WriteOutcome::Refused(why) => (true, why),
            WriteOutcome::Doubtful(why) => (false, why),
            WriteOutcome::Acknowledged => panic!("{code} is no yes"),
        };
        assert_eq!(is_refusal, code <= 3, "{outcome:?}");
        assert!(why.contains(&format!("exception {code}")), "{why}");
    }
    let echo = adu(1, &[5, 0, 1, 0xFF, 0]);
    let refusal = adu(1, &[0x85, 2]);
    let (mut bench, peer) = bench(vec![Reply::Bytes(echo), Reply::Bytes(refusal)]).await;
    let (driver, target) = bench.parts();
    let coil = |addr| RegisterWrite::Coil { addr, on: true };
    let action = Action::Modbus(vec![coil(1), coil(2), coil(3)]);
    let second = driver
        .write(target, &action, &BTreeMap::new(), in_time())
        .await
        .unwrap();
    assert!(matches!(second, WriteOutcome::Doubtful(_)), "{second:?}");
    assert_eq!(peer.requests().len(), 2, "the third is not sent");
}

#[tokio::test]
async fn a_write_whose_deadline_passes_during_the_pause_between_exchanges_is_not_sent() {
    let replies = vec![
        Reply::Bytes(registers(&[17, 3])),
        Reply::Bytes(registers(&[17, 3])),
    ];
    let peer = Peer::start(framing, true, replies).await;
    let slow = profile(
        "gate-came-crp.toml",
        &[("min_gap = \"5ms\"", "min_gap = \"200ms\"")],
    );
    let mut bench = Bench::new(LineAddress::Tcp(peer.address.clone()), slow);
    bench.driver.connect().await.unwrap();
    read(&mut bench, TWO).await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(100);
    let late = write_until(&mut bench, deadline).await.unwrap_err();
    assert!(matches!(late, DriverErrorKind::TooLate), "{late:?}");
    assert!(bench.driver.is_connected());
    read(&mut bench, TWO).await.unwrap();
    assert_eq!(peer.requests().len(), 2, "two reads");
}

#[tokio::test]
async fn nobody_listening_is_an_error_in_which_nothing_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let gate = profile("gate-came-crp.toml", &[]);
    let mut bench = Bench::new(LineAddress::Tcp(address), gate);
    let error = bench.driver.connect().await.unwrap_err();
    assert!(error.nothing_was_sent());
}
