//! The JSON-line driver against a peer that pushes, babbles and comes late.

use std::collections::BTreeMap;
use std::time::Duration;

use device_agents::driver::{DriverErrorKind, ReadOutcome, WriteOutcome};
use device_agents::point::Raw;
use device_agents::profile::Read;
use device_agents::site::LineAddress;

use crate::harness::{Bench, in_time, profile};
use crate::peer::{Peer, Reply};

fn framing(buffer: &[u8]) -> Option<usize> {
    Some(buffer.iter().position(|&byte| byte == b'\n')? + 1)
}

async fn bench(replies: Vec<Reply>) -> (Bench, Peer) {
    let peer = Peer::start(framing, false, replies).await;
    let kiosk = profile(
        "kiosk-jsonl.toml",
        &[
            ("timeout = \"1s\"", "timeout = \"200ms\""),
            ("max = 8192", "max = 100"),
        ],
    );
    let mut bench = Bench::new(LineAddress::Tcp(peer.address.clone()), kiosk);
    bench.driver.connect().await.unwrap();
    (bench, peer)
}

async fn status(bench: &mut Bench) -> Result<i64, DriverErrorKind> {
    let (driver, target) = bench.parts();
    match driver.read(target, Read::Frame { request: 0 }).await {
        Ok(ReadOutcome::Data(Raw::Json(reply))) => Ok(reply["uptime"].as_i64().unwrap()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind),
    }
}

fn line(text: &str) -> Reply {
    Reply::Bytes(format!("{text}\n").into_bytes())
}

#[tokio::test]
async fn a_reply_is_known_by_its_id_among_pushes_and_late_ones() {
    let (mut bench, peer) = bench(vec![
        line(r#"{"id":"1","uptime":11}"#),
        line("{\"op\":\"event\"}\n{\"id\":\"1\",\"uptime\":11}\n{\"id\":2,\"uptime\":22}\n{\"op\":\"event\"}"),
        line(r#"{"id":"3","uptime":33}"#),
    ])
    .await;
    for expected in [11, 22, 33] {
        assert_eq!(status(&mut bench).await.unwrap(), expected);
    }
    let second = String::from_utf8(peer.requests()[1].clone()).unwrap();
    assert_eq!(second, "{\"op\":\"status\",\"id\":\"2\"}\n");
}

#[tokio::test]
async fn what_is_no_line_of_json_ends_the_connection() {
    let long = "x".repeat(101);
    for wrong in ["", "nonsense", "{\"id\":", long.as_str()] {
        let (mut bench, _peer) = bench(vec![line(wrong), line(r#"{"id":"2","uptime":5}"#)]).await;
        let kind = status(&mut bench).await.unwrap_err();
        assert!(matches!(kind, DriverErrorKind::BadReply { .. }), "{kind:?}");
        assert!(!bench.driver.is_connected());
        bench.driver.connect().await.unwrap();
        assert_eq!(status(&mut bench).await.unwrap(), 5);
    }
}

#[tokio::test]
async fn an_endless_line_ends_the_connection() {
    let (mut bench, _peer) = bench(vec![Reply::Bytes(vec![b'x'; 200])]).await;
    let kind = status(&mut bench).await.unwrap_err();
    assert!(matches!(kind, DriverErrorKind::BadReply { .. }), "{kind:?}");
}

#[tokio::test]
async fn silence_half_a_line_and_a_hang_up_are_errors() {
    for (reply, is_timeout) in [
        (Reply::Nothing, true),
        (Reply::Bytes(b"{\"id\":\"1\",".to_vec()), true),
        (Reply::Last(b"{\"id\":\"1\",".to_vec()), false),
    ] {
        let (mut bench, _peer) = bench(vec![reply]).await;
        let kind = status(&mut bench).await.unwrap_err();
        assert_eq!(
            matches!(kind, DriverErrorKind::Timeout { .. }),
            is_timeout,
            "{kind:?}"
        );
        assert_eq!(
            matches!(kind, DriverErrorKind::Transport(_)),
            !is_timeout,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_late_reply_is_not_taken_for_the_next_answer() {
    let (mut bench, _peer) = bench(vec![
        Reply::Late(
            Duration::from_millis(300),
            b"{\"id\":\"1\",\"uptime\":11}\n".to_vec(),
        ),
        line(r#"{"id":"2","uptime":22}"#),
    ])
    .await;
    assert!(matches!(
        status(&mut bench).await,
        Err(DriverErrorKind::Timeout { .. })
    ));
    bench.driver.connect().await.unwrap();
    assert_eq!(status(&mut bench).await.unwrap(), 22);
}

#[tokio::test]
async fn a_command_is_acknowledged_only_by_its_own_yes() {
    let (mut bench, peer) = bench(vec![
        line(r#"{"id":"c-1","ok":true}"#),
        line(r#"{"id":"c-1","ok":false}"#),
        line(r#"{"id":"c-1"}"#),
    ])
    .await;
    let action = bench.device.profile.commands[0].action.clone();
    let fill = BTreeMap::from([("cmd_id", "c-1".to_owned()), ("delay", "10".to_owned())]);
    let mut outcomes = vec![];
    for _ in 0..3 {
        let (driver, target) = bench.parts();
        let written = driver.write(target, &action, &fill, in_time()).await;
        outcomes.push(written.unwrap());
    }
    assert_eq!(outcomes[0], WriteOutcome::Acknowledged);
    for outcome in &outcomes[1..] {
        assert!(matches!(outcome, WriteOutcome::Refused(_)), "{outcome:?}");
    }
    let sent = String::from_utf8(peer.requests()[0].clone()).unwrap();
    assert_eq!(sent, "{\"op\":\"reboot\",\"id\":\"c-1\",\"delay\":10}\n");
}
