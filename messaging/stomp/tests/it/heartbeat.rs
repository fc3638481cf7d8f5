//! What two peers agree on (STOMP 1.2, Heart-beating).

use std::time::{Duration, Instant};

use stomp::Version;
use stomp::heartbeat::{HeartBeat, HeartBeats};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn two_unsigned_numbers_and_nothing_else() {
    let parse = |text| HeartBeat::parse(Some(text)).ok();
    let beat = |send, receive| {
        Some(HeartBeat {
            send: ms(send),
            receive: ms(receive),
        })
    };
    assert_eq!(HeartBeat::parse(None), Ok(HeartBeat::default()));
    assert_eq!(parse("5000,7000"), beat(5000, 7000));
    assert_eq!(parse("0,0"), beat(0, 0));
    for bad in [
        "",
        ",",
        "1",
        "abc",
        "-1,5",
        "+1,5",
        "1, 2",
        "1,2,3",
        "1,99999999999",
    ] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}

#[test]
fn each_direction_takes_the_slower_side_or_none() {
    let now = Instant::now();
    let check = |own: (u64, u64), peer: (u64, u64), send: u64, receive: u64| {
        let side = |(send, receive)| HeartBeat {
            send: ms(send),
            receive: ms(receive),
        };
        let agreed = HeartBeats::negotiate(Version::V1_2, side(own), side(peer), 1, now);
        let some = |interval: u64| (interval > 0).then(|| ms(interval));
        assert_eq!(agreed.send_interval(), some(send), "{own:?} {peer:?}");
        assert_eq!(agreed.receive_within(), some(receive), "{own:?} {peer:?}");
    };
    check((10, 20), (30, 40), 40, 30);
    check((10, 20), (0, 40), 40, 0);
    check((10, 20), (30, 0), 0, 30);
    check((0, 0), (30, 40), 0, 0);
}

#[test]
fn version_1_0_has_no_heart_beat() {
    let beat = HeartBeat {
        send: ms(10),
        receive: ms(10),
    };
    let agreed = HeartBeats::negotiate(Version::V1_0, beat, beat, 1, Instant::now());
    assert_eq!(agreed.deadline(), None);
}

#[test]
fn a_beat_is_due_before_the_promise_is_broken_and_loss_after_the_tolerance() {
    let start = Instant::now();
    let beat = HeartBeat {
        send: ms(1000),
        receive: ms(1000),
    };
    let mut beats = HeartBeats::negotiate(Version::V1_2, beat, beat, 3, start);
    assert_eq!(beats.deadline(), Some(start + ms(750)));
    assert!(!beats.must_send(start + ms(749)));
    assert!(beats.must_send(start + ms(750)));
    beats.sent(start + ms(2900));
    assert!(!beats.is_lost(start + ms(2999)));
    assert!(beats.is_lost(start + ms(3000)));
    beats.received(start + ms(2000));
    assert!(!beats.is_lost(start + ms(4999)));
}
