//! The kiosk's protocol: one JSON object per line, each request with an `op` and an `id` that the answer repeats;
//! only the `op` that answers `ping` is `pong`.
//!
//! | op | answer besides `id`, `op`, `ok` |
//! |---|---|
//! | `status` | `printer.paper` ok, low, out; `cash.level` in percent; `card.state` up, down; `uptime` in seconds; `door` |
//! | `ping` | nothing |
//! | `reboot`, with `delay` in seconds (default 0) | nothing; the kiosk goes silent when the delay is over |
//! | anything else | `ok: false`, `error` |
//!
//! Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::behaviour::{DELAY_MAX, Kiosk};
use crate::wire::FramingError;

/// Far above any request; a peer that never ends its line is no peer.
pub(crate) const MAX_LINE_BYTES: usize = 4_096;

/// How long the line at the front of `buffer` is, with its line feed.
pub(crate) fn line_length(buffer: &[u8]) -> Result<Option<usize>, FramingError> {
    match buffer.iter().position(|&byte| byte == b'\n') {
        Some(end) if end < MAX_LINE_BYTES => Ok(Some(end + 1)),
        None if buffer.len() <= MAX_LINE_BYTES => Ok(None),
        _ => Err(FramingError::Line),
    }
}

/// Answers one line; an empty one is not a request.
pub(crate) fn answer(line: &[u8], kiosk: &mut Kiosk) -> Option<Vec<u8>> {
    if line.trim_ascii().is_empty() {
        return None;
    }
    let mut reply = match serde_json::from_slice(line) {
        Ok(Value::Object(request)) => {
            let mut reply = perform(&request, kiosk)
                .unwrap_or_else(|sentence| json!({ "ok": false, "error": sentence }));
            // The id comes back as it came, number or text: the peer matches on it.
            reply["id"] = request.get("id").cloned().unwrap_or(Value::Null);
            reply["op"] = match request.get("op") {
                Some(op) if op == "ping" => Value::from("pong"),
                op => op.cloned().unwrap_or(Value::Null),
            };
            reply
        }
        Ok(_) | Err(_) => {
            json!({ "id": null, "ok": false, "error": "a request is one JSON object on one line" })
        }
    }
    .to_string();
    reply.push('\n');
    Some(reply.into_bytes())
}

fn perform(request: &Map<String, Value>, kiosk: &mut Kiosk) -> Result<Value, String> {
    match request.get("op").and_then(Value::as_str) {
        Some("status") => Ok(status(kiosk)),
        Some("ping") => Ok(json!({ "ok": true })),
        Some("reboot") => {
            let delay = match request.get("delay") {
                None => Duration::ZERO,
                Some(delay) => delay
                    .as_f64()
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    .filter(|&delay| delay <= DELAY_MAX)
                    .ok_or("delay is a number of seconds from 0 to 3600")?,
            };
            kiosk.reboot(delay);
            Ok(json!({ "ok": true }))
        }
        Some(other) => Err(format!("unknown op {other:?}")),
        None => Err("a request has a text \"op\"".to_owned()),
    }
}

fn status(kiosk: &Kiosk) -> Value {
    let tenths = u32::try_from(kiosk.cash_tenths()).expect("at most 1000");
    json!({
        "ok": true,
        "printer": { "paper": kiosk.paper() },
        "cash": { "level": f64::from(tenths) / 10.0 },
        "card": { "state": kiosk.card() },
        "uptime": kiosk.uptime(),
        "door": "closed",
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn exchange(kiosk: &mut Kiosk, line: &str) -> Value {
        let reply = answer(line.as_bytes(), kiosk).unwrap();
        assert_eq!(reply.iter().filter(|&&byte| byte == b'\n').count(), 1);
        serde_json::from_slice(&reply).unwrap()
    }

    #[track_caller]
    fn check(line: &str, expected: Value) {
        let mut kiosk = Kiosk::new("kiosk-1", Instant::now());
        assert_eq!(exchange(&mut kiosk, line), expected, "to {line}");
    }

    #[test]
    fn a_status_is_answered_with_its_id() {
        let start = Instant::now();
        let mut kiosk = Kiosk::new("kiosk-1", start);
        kiosk.step(start + Duration::from_secs(1_234));
        let reply = exchange(&mut kiosk, "{\"op\":\"status\",\"id\":\"a-1\"}\n");
        let level = reply["cash"]["level"].as_f64().unwrap();
        assert!((10.0..=70.0).contains(&level), "{level}");
        assert_eq!(
            reply,
            json!({
                "id": "a-1", "op": "status", "ok": true, "printer": { "paper": "ok" },
                "cash": { "level": level }, "card": { "state": "up" }, "uptime": 1234, "door": "closed",
            })
        );
    }

    #[test]
    fn other_requests() {
        check(
            r#"{"op":"ping","id":7}"#,
            json!({ "id": 7, "op": "pong", "ok": true }),
        );
        check(
            r#"{"op":"dance","id":"x"}"#,
            json!({ "id": "x", "op": "dance", "ok": false, "error": "unknown op \"dance\"" }),
        );
        check(
            r#"{"id":"x"}"#,
            json!({ "id": "x", "op": null, "ok": false, "error": "a request has a text \"op\"" }),
        );
        let sentence = "a request is one JSON object on one line";
        for bad in ["not json\n", "[1]\n", "{\"op\":", "\u{0}\n"] {
            check(bad, json!({ "id": null, "ok": false, "error": sentence }));
        }
        let mut kiosk = Kiosk::new("kiosk-1", Instant::now());
        assert_eq!(answer(b"\r\n", &mut kiosk), None);
    }

    #[test]
    fn a_reboot_takes_the_kiosk_down_after_its_delay() {
        let start = Instant::now();
        let mut kiosk = Kiosk::new("kiosk-1", start);
        let reply = exchange(&mut kiosk, r#"{"op":"reboot","id":"r","delay":2.5}"#);
        assert_eq!(reply, json!({ "id": "r", "op": "reboot", "ok": true }));
        assert_eq!(kiosk.deadline(), Some(start + Duration::from_millis(2_500)));
    }

    #[test]
    fn a_senseless_delay_is_refused() {
        for delay in ["-1", "3601", "1e300", "\"soon\"", "null"] {
            let mut kiosk = Kiosk::new("kiosk-1", Instant::now());
            let reply = exchange(
                &mut kiosk,
                &format!(r#"{{"op":"reboot","id":"r","delay":{delay}}}"#),
            );
            assert_eq!(reply["ok"], false, "{delay}");
            assert_eq!(kiosk.deadline(), None, "{delay}");
        }
    }
}
