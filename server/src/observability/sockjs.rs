//! Counts of SockJS as metrics, by transport.

use ::sockjs::{SockJs, Statistics, Transport, TransportStatistics};
use metrics::{counter, describe_counter, describe_gauge, gauge};

const OPEN: &str = "landside_sockjs_sessions";
const REFUSED: &str = "landside_sockjs_refused_total";

type Counter = (&'static str, &'static str, fn(&TransportStatistics) -> u64);

const COUNTERS: [Counter; 5] = [
    (
        "landside_sockjs_opened_total",
        "SockJS sessions begun, by the transport they began with.",
        |transport| transport.opened,
    ),
    (
        "landside_sockjs_messages_in_total",
        "Messages of SockJS clients.",
        |transport| transport.messages_in,
    ),
    (
        "landside_sockjs_bytes_in_total",
        "Bytes of messages of SockJS clients, without framing.",
        |transport| transport.bytes_in,
    ),
    (
        "landside_sockjs_messages_out_total",
        "Messages to SockJS clients.",
        |transport| transport.messages_out,
    ),
    (
        "landside_sockjs_bytes_out_total",
        "Bytes of messages to SockJS clients, without framing.",
        |transport| transport.bytes_out,
    ),
];

type Refused = (&'static str, fn(&Statistics) -> u64);

const REASONS: [Refused; 7] = [
    ("sessions", |sockjs| sockjs.too_many),
    ("address", |sockjs| sockjs.too_many_of_address),
    ("origin", |sockjs| sockjs.foreign_origin),
    ("owner", |sockjs| sockjs.not_the_owner),
    ("too-long", |sockjs| sockjs.too_long),
    ("broken", |sockjs| sockjs.broken),
    ("too-slow", |sockjs| sockjs.too_slow),
];

pub(super) fn describe() {
    describe_gauge!(
        OPEN,
        "Open SockJS sessions, by the transport they began with."
    );
    for (name, meaning, _) in COUNTERS {
        describe_counter!(name, meaning);
    }
    describe_counter!(
        REFUSED,
        "Requests of SockJS that were refused, by the reason."
    );
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating point, and none of these comes near 2^53"
)]
pub(super) fn observe(sockjs: &SockJs) {
    let statistics = sockjs.statistics();
    for (transport, counts) in Transport::ALL.into_iter().zip(&statistics.transports) {
        // `/sockjs/websocket` is the broker's own WebSocket, and counted there.
        if transport == Transport::RawWebSocket {
            continue;
        }
        gauge!(OPEN, "transport" => transport.name()).set(counts.open as f64);
        for (name, _, figure) in COUNTERS {
            counter!(name, "transport" => transport.name()).absolute(figure(counts));
        }
    }
    for (reason, figure) in REASONS {
        counter!(REFUSED, "reason" => reason).absolute(figure(&statistics));
    }
}
