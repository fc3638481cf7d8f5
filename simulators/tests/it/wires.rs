//! Byte by byte, what each wire carries, healthy and with each fault of the connection.

use simulators::{Cause, Fault, GateStatus, TruthEvent};

use crate::harness::{Peer, SerialPeer, start, tcp_address, until, until_truth};

const READ_STATUS: [u8; 12] = [0, 7, 0, 0, 0, 6, 1, 3, 0, 100, 0, 2];
const OPEN: [u8; 12] = [0, 8, 0, 0, 0, 6, 1, 5, 0, 1, 0xFF, 0];

fn status(transaction: u8, status: u8, position: u8) -> Vec<u8> {
    vec![0, transaction, 0, 0, 0, 7, 1, 3, 4, 0, status, 0, position]
}

#[tokio::test]
async fn a_gate_opens_and_the_truth_says_so() {
    let (airport, _dir) = start("").await;
    let mut peer = Peer::connect(&airport, "gate-1").await;
    peer.send(&READ_STATUS).await;
    assert_eq!(peer.receive(13).await, status(7, 17, 0));

    let mut pulses = airport.pulses("gate-1").unwrap();
    peer.send(&OPEN).await;
    assert_eq!(peer.receive(12).await, OPEN, "an echo");
    assert_eq!(
        until(&mut pulses, |pulses| pulses.open == 1).await.total(),
        1
    );
    let state = airport.state("gate-1").await.unwrap().gate.unwrap();
    assert_eq!(state.status, GateStatus::Opening);

    let mut replies = airport.replies("gate-1").unwrap();
    until(&mut replies, |&replies| replies == 2).await;
    let reached = TruthEvent::Reached {
        position: "open".to_owned(),
    };
    // The arm arrives by itself: nobody has to ask for that.
    let truth = until_truth(&airport, &reached).await;
    peer.send(&READ_STATUS).await;
    assert_eq!(peer.receive(13).await, status(7, 16, 100));

    let pulse = TruthEvent::Pulse {
        coil: "open".to_owned(),
    };
    let events: Vec<_> = truth.iter().map(|line| &line.event).collect();
    assert_eq!(events, [&TruthEvent::Started, &pulse, &reached]);
    let way = truth[2].mono_ms - truth[1].mono_ms;
    assert!((3_900..8_000).contains(&way), "{way} ms");
}

#[tokio::test]
async fn requests_may_come_in_pieces_and_in_heaps() {
    let (airport, _dir) = start("").await;
    let mut peer = Peer::connect(&airport, "gate-1").await;
    peer.send(&READ_STATUS[..5]).await;
    peer.send(&READ_STATUS[5..]).await;
    assert_eq!(peer.receive(13).await, status(7, 17, 0));
    let mut heap = READ_STATUS.to_vec();
    heap.extend(READ_STATUS);
    heap[13] = 9;
    peer.send(&heap).await;
    assert_eq!(
        peer.receive(26).await,
        [status(7, 17, 0), status(9, 17, 0)].concat()
    );
}

#[tokio::test]
async fn what_is_no_modbus_ends_its_connection_and_no_other() {
    let (airport, _dir) = start("").await;
    let mut good = Peer::connect(&airport, "gate-1").await;
    let mut bad = Peer::connect(&airport, "gate-1").await;
    bad.send(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(bad.is_closed().await);
    good.send(&READ_STATUS).await;
    assert_eq!(good.receive(13).await, status(7, 17, 0));
}

#[tokio::test]
async fn a_ninth_connection_is_closed() {
    let (airport, _dir) = start("").await;
    let mut peers = Vec::new();
    for _ in 0..8 {
        let mut peer = Peer::connect(&airport, "gate-1").await;
        peer.send(&READ_STATUS).await;
        peer.receive(13).await;
        peers.push(peer);
    }
    let mut ninth = Peer::connect(&airport, "gate-1").await;
    assert!(ninth.is_closed().await);
}

#[tokio::test]
async fn a_silent_gate_drops_what_it_is_told_and_keeps_its_connections() {
    let (airport, _dir) = start("").await;
    let mut requests = airport.requests("gate-1").unwrap();
    let mut peer = Peer::connect(&airport, "gate-1").await;
    airport.set_fault("gate-1", Fault::Silent).await.unwrap();
    peer.send(&OPEN).await;
    until(&mut requests, |&requests| requests == 1).await;
    airport.clear_fault("gate-1", Fault::Silent).await.unwrap();
    peer.send(&READ_STATUS).await;
    assert_eq!(
        peer.receive(13).await,
        status(7, 17, 0),
        "nothing came for the first request"
    );
    assert_eq!(airport.pulses("gate-1").unwrap().borrow().total(), 0);
}

#[tokio::test]
async fn a_disconnected_kiosk_closes_refuses_and_comes_back_at_its_address() {
    let (airport, _dir) = start("").await;
    let address = tcp_address(&airport, "kiosk-1");
    let mut peer = Peer::connect(&airport, "kiosk-1").await;
    peer.send(b"{\"op\":\"ping\",\"id\":1}\n").await;
    peer.receive_line().await;
    airport
        .set_fault("kiosk-1", Fault::Disconnected)
        .await
        .unwrap();
    assert!(peer.is_closed().await);
    let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    airport
        .clear_fault("kiosk-1", Fault::Disconnected)
        .await
        .unwrap();
    let mut peer = Peer::connect(&airport, "kiosk-1").await;
    peer.send(b"{\"op\":\"ping\",\"id\":\"a\"}\n").await;
    let pong = serde_json::json!({ "id": "a", "op": "pong", "ok": true });
    assert_eq!(peer.receive_line().await, pong);
}

#[tokio::test]
async fn a_kiosk_shows_its_faults() {
    let (airport, _dir) = start("").await;
    let mut peer = Peer::connect(&airport, "kiosk-1").await;
    for (fault, pointer, sick) in [
        (Fault::PaperLow, "/printer/paper", serde_json::json!("low")),
        (Fault::PaperOut, "/printer/paper", serde_json::json!("out")),
        (Fault::CardDown, "/card/state", serde_json::json!("down")),
        (Fault::CashFull, "/cash/level", serde_json::json!(100.0)),
    ] {
        let mut shown = Vec::new();
        for on in [false, true, false] {
            if on {
                airport.set_fault("kiosk-1", fault).await.unwrap();
            } else {
                airport.clear_fault("kiosk-1", fault).await.unwrap();
            }
            peer.send(b"{\"op\":\"status\",\"id\":\"1\"}\n").await;
            let status = peer.receive_line().await;
            shown.push(status.pointer(pointer) == Some(&sick));
        }
        assert_eq!(shown, [false, true, false], "{fault}");
    }
}

#[tokio::test]
async fn a_printer_answers_on_its_serial_line_untouched_by_the_terminal() {
    let (airport, _dir) = start("").await;
    let peer = SerialPeer::open(&airport, "printer-1");
    // 0x03, 0x04, 0x0A, 0x11 and 0x13 mean something to a terminal that is not raw.
    let (peer, replies) = peer
        .exchange(
            b"\x03\x11\x13 RECEIPT \n\x10\x04\x01\x10\x04\x02\x10\x04\x03\x10\x04\x04",
            4,
        )
        .await;
    assert_eq!(replies, [0x12; 4]);

    airport
        .set_fault("printer-1", Fault::PaperEnd)
        .await
        .unwrap();
    let (peer, replies) = peer.exchange(b"\x10\x04\x01\x10\x04\x04", 2).await;
    assert_eq!(replies, [0x1A, 0x7E]);

    airport
        .set_fault("printer-1", Fault::CutterError)
        .await
        .unwrap();
    airport
        .clear_fault("printer-1", Fault::PaperEnd)
        .await
        .unwrap();
    let (_peer, replies) = peer
        .exchange(b"\x10\x04\x03\x10\x05\x02\x10\x04\x03", 2)
        .await;
    assert_eq!(replies, [0x1A, 0x12], "recover cures the cutter");
    let last = airport.truth().unwrap().pop().unwrap();
    let cured = TruthEvent::FaultOff {
        fault: Fault::CutterError,
        cause: Cause::Command,
    };
    assert_eq!(last.event, cured);
}

#[tokio::test]
async fn a_serial_line_opens_again_after_an_agent_that_locked_it() {
    use rustix::termios::ioctl_tiocexcl;

    let (airport, _dir) = start("").await;
    let simulators::Address::Serial { path } = airport.address("printer-1").unwrap() else {
        panic!("a printer is serial");
    };
    let first = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    ioctl_tiocexcl(&first).unwrap();
    drop(first);
    // Root may open a locked line; for anybody else the lock has to go first.
    let deadline = tokio::time::Instant::now() + crate::harness::PATIENCE;
    let second = loop {
        match std::fs::File::options().read(true).write(true).open(path) {
            Ok(_) => break SerialPeer::open_path(path),
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    let (_second, reply) = second.exchange(b"\x10\x04\x01", 1).await;
    assert_eq!(reply, [0x12]);
}
