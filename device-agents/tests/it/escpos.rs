//! The printer driver over TCP and over a pty.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use device_agents::driver::{DriverErrorKind, ReadOutcome, WriteOutcome};
use device_agents::point::Raw;
use device_agents::profile::{Action, Profile, Read};
use device_agents::site::LineAddress;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::harness::{Bench, in_time, profile};
use crate::peer::{Peer, Reply};

fn printer() -> std::sync::Arc<Profile> {
    profile(
        "printer-escpos.toml",
        &[
            ("timeout = \"500ms\"", "timeout = \"150ms\""),
            ("late = \"500ms\"", "late = \"200ms\""),
        ],
    )
}

async fn bench(replies: Vec<Reply>) -> (Bench, Peer) {
    let three_bytes = |buffer: &[u8]| (buffer.len() >= 3).then_some(3);
    let peer = Peer::start(three_bytes, false, replies).await;
    let mut bench = Bench::new(LineAddress::Tcp(peer.address.clone()), printer());
    bench.driver.connect().await.unwrap();
    (bench, peer)
}

async fn query(bench: &mut Bench, query: u8) -> Result<u8, DriverErrorKind> {
    let (driver, target) = bench.parts();
    match driver.read(target, Read::Escpos { query }).await {
        Ok(ReadOutcome::Data(Raw::Byte(byte))) => Ok(byte),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind),
    }
}

#[tokio::test]
async fn a_status_byte_is_known_by_its_fixed_bits() {
    let (mut bench, peer) = bench(vec![
        Reply::Bytes(vec![0x12]),
        Reply::Bytes(vec![0x10, 0x00, 0x0F, 0x0F, 0x1A]),
    ])
    .await;
    assert_eq!(query(&mut bench, 1).await.unwrap(), 0x12);
    assert_eq!(
        query(&mut bench, 2).await.unwrap(),
        0x1A,
        "automatic status is skipped"
    );
    assert_eq!(peer.requests(), [[0x10, 0x04, 1], [0x10, 0x04, 2]]);
}

#[tokio::test]
async fn silence_is_an_error_and_never_adequate_paper() {
    let (mut bench, _peer) = bench(vec![Reply::Nothing, Reply::Bytes(vec![0xFF; 3])]).await;
    for _ in 0..2 {
        let kind = query(&mut bench, 4).await.unwrap_err();
        assert!(matches!(kind, DriverErrorKind::Timeout { .. }), "{kind:?}");
    }
}

#[tokio::test]
async fn a_command_whose_deadline_passes_in_the_quiet_time_is_not_sent() {
    let (mut bench, peer) = bench(vec![Reply::Nothing, Reply::Bytes(vec![0x12])]).await;
    query(&mut bench, 4).await.unwrap_err();
    let (driver, target) = bench.parts();
    let recover = Action::Raw(vec![0x10, 0x05, 2]);
    let deadline = Instant::now() + Duration::from_millis(50);
    let late = driver
        .write(target, &recover, &BTreeMap::new(), deadline)
        .await
        .unwrap_err();
    assert!(matches!(late.kind, DriverErrorKind::TooLate), "{late}");
    assert_eq!(query(&mut bench, 1).await.unwrap(), 0x12);
    assert_eq!(peer.requests(), [[0x10, 0x04, 4], [0x10, 0x04, 1]]);
}

#[tokio::test]
async fn what_cannot_be_written_in_time_is_dropped_with_its_connection() {
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = deaf.local_addr().unwrap().to_string();
    let mut bench = Bench::new(LineAddress::Tcp(address), printer());
    bench.driver.connect().await.unwrap();
    let (driver, target) = bench.parts();
    let too_much = Action::Raw(vec![0; 64 << 20]);
    let stuck = driver
        .write(target, &too_much, &BTreeMap::new(), in_time())
        .await
        .unwrap_err();
    assert!(
        matches!(stuck.kind, DriverErrorKind::Timeout { .. }),
        "{stuck}"
    );
    assert!(!bench.driver.is_connected());
}

#[tokio::test]
async fn a_late_byte_is_not_taken_for_the_next_answer() {
    let (mut bench, _peer) = bench(vec![
        Reply::Late(Duration::from_millis(250), vec![0x1E]),
        Reply::Bytes(vec![0x12]),
        Reply::Bytes(vec![0x16]),
    ])
    .await;
    assert!(matches!(
        query(&mut bench, 2).await,
        Err(DriverErrorKind::Timeout { .. })
    ));
    assert_eq!(query(&mut bench, 3).await.unwrap(), 0x12);
    assert_eq!(query(&mut bench, 4).await.unwrap(), 0x16);
}

#[tokio::test]
async fn bytes_that_come_unasked_are_thrown_away() {
    let (mut bench, _peer) = bench(vec![
        Reply::Bytes(vec![0x12, 0x7E, 0x7E]),
        Reply::Bytes(vec![0x16]),
    ])
    .await;
    assert_eq!(query(&mut bench, 1).await.unwrap(), 0x12);
    assert_eq!(query(&mut bench, 4).await.unwrap(), 0x16);
}

#[tokio::test]
async fn a_hang_up_drops_the_port() {
    let (mut bench, _peer) = bench(vec![Reply::Last(vec![]), Reply::Bytes(vec![0x12])]).await;
    let kind = query(&mut bench, 1).await.unwrap_err();
    assert!(matches!(kind, DriverErrorKind::Transport(_)), "{kind:?}");
    assert!(!bench.driver.is_connected());
    bench.driver.connect().await.unwrap();
    assert_eq!(query(&mut bench, 1).await.unwrap(), 0x12);
}

/// The printer's end of a serial line; the other end is at the path.
pub(crate) fn pty() -> (File, PathBuf) {
    let device = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&device).unwrap();
    unlockpt(&device).unwrap();
    let name = ptsname(&device, Vec::new()).unwrap();
    let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())).to_owned();
    let mut termios = tcgetattr(&device).unwrap();
    termios.make_raw();
    tcsetattr(&device, OptionalActions::Now, &termios).unwrap();
    (File::from(device), path)
}

#[tokio::test]
async fn a_serial_line_works_hangs_up_and_is_opened_again() {
    let (mut device, path) = pty();
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("tty");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut bench = Bench::new(LineAddress::Serial(link.clone()), printer());
    bench.driver.connect().await.unwrap();
    let serve = std::thread::spawn(move || {
        let mut requests = vec![];
        for reply in [0x12, 0x16] {
            let mut request = [0; 3];
            device.read_exact(&mut request).unwrap();
            requests.push(request);
            device.write_all(&[reply]).unwrap();
        }
        let mut recover = [0; 3];
        device.read_exact(&mut recover).unwrap();
        requests.push(recover);
        requests // Dropping the device's end here is the hang-up.
    });
    assert_eq!(query(&mut bench, 1).await.unwrap(), 0x12);
    assert_eq!(query(&mut bench, 4).await.unwrap(), 0x16);
    let (driver, target) = bench.parts();
    let recover = Action::Raw(vec![0x10, 0x05, 2]);
    let written = driver
        .write(target, &recover, &BTreeMap::new(), in_time())
        .await
        .unwrap();
    assert_eq!(written, WriteOutcome::Acknowledged);
    let requests = serve.join().unwrap();
    assert_eq!(
        requests,
        [[0x10, 0x04, 1], [0x10, 0x04, 4], [0x10, 0x05, 2]]
    );

    let kind = query(&mut bench, 1).await.unwrap_err();
    assert!(matches!(kind, DriverErrorKind::Transport(_)), "{kind:?}");
    assert!(!bench.driver.is_connected());
    assert!(bench.driver.connect().await.unwrap_err().nothing_was_sent());

    let (mut device, path) = pty();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    bench.driver.connect().await.unwrap();
    let serve = std::thread::spawn(move || {
        let mut request = [0; 3];
        device.read_exact(&mut request).unwrap();
        device.write_all(&[0x1A]).unwrap();
        device
    });
    assert_eq!(query(&mut bench, 1).await.unwrap(), 0x1A);
    drop(serve.join().unwrap());
}
