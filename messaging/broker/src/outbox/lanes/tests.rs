//! Lanes and conflation as tables, and against a plain model.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::router::{Encoded, Payload};

fn outbound(serial: u64, body: &str) -> Outbound {
    let encoded = Encoded {
        frame: Bytes::copy_from_slice(body.as_bytes()).into(),
        expires: None,
        guarded: None,
    };
    Outbound {
        serial: Serial(serial),
        payload: Payload::Encoded(Arc::new(encoded)),
    }
}

fn topic(key: &str) -> Option<Topic> {
    Some(Topic {
        destination: "/topic/a".into(),
        key: key.into(),
    })
}

fn drain(lanes: &mut Lanes) -> Vec<String> {
    std::iter::from_fn(|| lanes.pop(Allowed::All))
        .map(|outbound| match outbound.payload {
            Payload::Encoded(encoded) => String::from_utf8(encoded.frame.head.to_vec()).unwrap(),
            Payload::Frame(_) | Payload::Queued(..) => panic!("the tests make none"),
        })
        .collect()
}

#[test]
fn urgent_messages_overtake_and_each_lane_keeps_its_order() {
    let mut lanes = Lanes::new(10, 1000);
    for (body, lane) in [
        ("b1", Lane::Bulk),
        ("u1", Lane::Urgent),
        ("b2", Lane::Bulk),
        ("u2", Lane::Urgent),
    ] {
        lanes.offer(outbound(1, body), lane, None);
    }
    assert_eq!(drain(&mut lanes), ["u1", "u2", "b1", "b2"]);
    assert!(lanes.is_empty(Allowed::All));
}

#[test]
fn a_newer_message_takes_the_place_of_the_one_with_its_key() {
    let mut lanes = Lanes::new(10, 1000);
    let mut offer =
        |serial, body, conflate| lanes.offer(outbound(serial, body), Lane::Bulk, conflate);
    assert_eq!(offer(1, "a1", topic("a")), Offered::Queued);
    assert_eq!(offer(1, "b1", topic("b")), Offered::Queued);
    assert_eq!(offer(1, "plain", None), Offered::Queued);
    assert_eq!(offer(1, "a2", topic("a")), Offered::Replaced);
    // Another subscription's is its own.
    assert_eq!(offer(2, "a2", topic("a")), Offered::Queued);
    assert_eq!(drain(&mut lanes), ["a2", "b1", "plain", "a2"]);
    // What has left is replaced no more.
    let again = lanes.offer(outbound(1, "a3"), Lane::Bulk, topic("a"));
    assert_eq!(again, Offered::Queued);
}

#[test]
fn a_longer_message_in_the_place_of_a_short_one_keeps_the_bound() {
    let mut lanes = Lanes::new(10, 10);
    let mut offer = |key, body| lanes.offer(outbound(1, body), Lane::Bulk, topic(key));
    for key in ["a", "b", "c"] {
        assert_eq!(offer(key, "1"), Offered::Queued);
    }
    assert_eq!(offer("a", "12345678"), Offered::Replaced);
    assert_eq!(offer("b", "12"), Offered::Full);
    assert_eq!(drain(&mut lanes), ["12345678", "1", "1"]);
}

#[test]
fn the_urgent_lane_goes_alone_where_the_other_must_wait() {
    let mut lanes = Lanes::new(10, 100);
    lanes.offer(outbound(1, "b"), Lane::Bulk, None);
    assert!(lanes.is_empty(Allowed::Urgent));
    assert!(lanes.pop(Allowed::Urgent).is_none());
    lanes.offer(outbound(2, "u"), Lane::Urgent, None);
    assert!(lanes.pop(Allowed::Urgent).is_some());
    assert_eq!(drain(&mut lanes), ["b"]);
}

#[test]
fn bounds_hold_and_one_long_message_passes() {
    let mut lanes = Lanes::new(2, 10);
    let mut offer = |body: &str, conflate| lanes.offer(outbound(1, body), Lane::Bulk, conflate);
    assert_eq!(offer("longer than all", None), Offered::Queued);
    assert_eq!(offer("x", None), Offered::Full);
    assert_eq!(drain(&mut lanes).len(), 1);
    let mut offer = |body: &str, conflate| lanes.offer(outbound(1, body), Lane::Bulk, conflate);
    assert_eq!(offer("1234", topic("a")), Offered::Queued);
    assert_eq!(offer("1234567", None), Offered::Full);
    assert_eq!(offer("1", None), Offered::Queued);
    assert_eq!(offer("1", None), Offered::Full);
    // A replacement needs no place.
    assert_eq!(offer("12345", topic("a")), Offered::Replaced);
    assert_eq!(drain(&mut lanes), ["12345", "1"]);
    assert_eq!(lanes.bytes, 0);
}

proptest! {
    /// Whatever comes: each subscription's messages leave in order, the bytes add up, and of each key the last stays.
    #[test]
    fn what_leaves_is_what_came(
        steps in vec((0_u64..3, 0_usize..3, any::<bool>(), 0_u8..8), 0..60),
    ) {
        let mut lanes = Lanes::new(20, 200);
        let mut model: Vec<(u64, Option<usize>, Lane, String)> = Vec::new();
        for (at, (serial, key, conflating, what)) in steps.into_iter().enumerate() {
            let lane = if serial == 0 { Lane::Urgent } else { Lane::Bulk };
            let key = (conflating && serial == 2).then_some(key);
            match what {
                0 => {
                    lanes.forget(Serial(serial));
                    model.retain(|(other, ..)| *other != serial);
                }
                1 => {
                    let first = model.iter().position(|(.., lane, _)| *lane == Lane::Urgent);
                    let expected = if model.is_empty() { None } else { Some(model.remove(first.unwrap_or(0)).3) };
                    let popped = lanes.pop(Allowed::All).map(|outbound| match outbound.payload {
                        Payload::Encoded(encoded) => String::from_utf8(encoded.frame.head.to_vec()).unwrap(),
                        Payload::Frame(_) | Payload::Queued(..) => panic!("the test makes none"),
                    });
                    prop_assert_eq!(popped, expected);
                }
                _ => {
                    let body = format!("{at:04}");
                    let conflate = key.and_then(|key| topic(["a", "b", "c"][key]));
                    match lanes.offer(outbound(serial, &body), lane, conflate) {
                        Offered::Queued => model.push((serial, key, lane, body)),
                        Offered::Replaced => {
                            let place = model.iter_mut().find(|(other, k, ..)| *other == serial && *k == key && k.is_some());
                            place.expect("there was one to replace").3 = body;
                        }
                        Offered::Full => prop_assert!(model.len() >= 20 || model.len() * 4 + 4 > 200),
                    }
                }
            }
            prop_assert_eq!(lanes.bytes, model.len() * 4);
        }
    }
}
