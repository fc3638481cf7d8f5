//! The broker's counts as metrics: one table says the name, the meaning and where the figure is.

use ::broker::{Publisher, Statistics};
use metrics::{counter, describe_counter, describe_gauge, gauge};

type Gauge = (&'static str, &'static str, fn(&Statistics) -> usize);
type Counter = (&'static str, &'static str, fn(&Statistics) -> u64);

const GAUGES: [Gauge; 7] = [
    (
        "landside_broker_sessions",
        "Open STOMP sessions.",
        |broker| broker.sessions,
    ),
    (
        "landside_broker_strangers",
        "STOMP connections that nobody has let in yet.",
        |broker| broker.strangers,
    ),
    (
        "landside_broker_subscriptions",
        "Subscriptions of the open sessions.",
        |broker| broker.subscriptions,
    ),
    (
        "landside_broker_queued",
        "Messages that queues hold.",
        |broker| broker.queued,
    ),
    (
        "landside_broker_retained",
        "Last values that topics keep.",
        |broker| broker.retained,
    ),
    (
        "landside_broker_durable_subscriptions",
        "Durable subscriptions, those that nobody is attached to included.",
        |broker| broker.durable_subscriptions,
    ),
    (
        "landside_broker_durable_queued",
        "Messages that durable subscriptions hold.",
        |broker| broker.durable_queued,
    ),
];

const COUNTERS: [Counter; 13] = [
    (
        "landside_broker_published_total",
        "Messages published to topics.",
        |broker| broker.published,
    ),
    (
        "landside_broker_delivered_total",
        "Messages put into sessions' outboxes.",
        |broker| broker.delivered,
    ),
    (
        "landside_broker_withheld_total",
        "Messages left out since their receiver may not be given them.",
        |broker| broker.withheld,
    ),
    (
        "landside_broker_slow_consumers_total",
        "Sessions ended because their outbox was full.",
        |broker| broker.slow_consumers,
    ),
    (
        "landside_broker_conflated_total",
        "Messages that took the place of an older one for a subscriber that conflates.",
        |broker| broker.conflated,
    ),
    (
        "landside_broker_expired_total",
        "Messages dropped because their time had passed.",
        |broker| broker.expired,
    ),
    (
        "landside_broker_redelivered_total",
        "Messages given to a consumer after another one had them.",
        |broker| broker.redelivered,
    ),
    (
        "landside_broker_dead_lettered_total",
        "Messages moved to a dead-letter queue.",
        |broker| broker.dead_lettered,
    ),
    (
        "landside_broker_dead_letters_dropped_total",
        "Dead letters dropped for want of room.",
        |broker| broker.dead_letters_dropped,
    ),
    (
        "landside_broker_replayed_total",
        "Messages given again to subscriptions that resumed.",
        |broker| broker.replayed,
    ),
    (
        "landside_broker_gaps_total",
        "Gap notices: somebody was told that messages are missing.",
        |broker| broker.gaps,
    ),
    (
        "landside_broker_retained_refused_total",
        "Last values that were published and not kept, for want of room.",
        |broker| broker.retained_refused,
    ),
    (
        "landside_broker_durable_dropped_total",
        "Messages that durable subscriptions lost, and told so.",
        |broker| broker.durable_dropped,
    ),
];

const TURNED_AWAY: &str = "landside_broker_turned_away_total";

pub(super) fn describe() {
    for (name, meaning, _) in GAUGES {
        describe_gauge!(name, meaning);
    }
    for (name, meaning, _) in COUNTERS {
        describe_counter!(name, meaning);
    }
    describe_counter!(
        TURNED_AWAY,
        "STOMP sessions and connections that were turned away, by the bound that was met."
    );
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating point, and none of these comes near 2^53"
)]
pub(super) fn observe(publisher: &Publisher) {
    let statistics = publisher.statistics();
    for (name, _, figure) in GAUGES {
        gauge!(name).set(figure(&statistics) as f64);
    }
    for (name, _, figure) in COUNTERS {
        counter!(name).absolute(figure(&statistics));
    }
    let turned_away = statistics.turned_away;
    for (bound, count) in [
        ("sessions", turned_away.sessions),
        ("unreserved", turned_away.unreserved),
        ("subject", turned_away.subject),
        ("address", turned_away.address),
        ("strangers", turned_away.strangers),
    ] {
        counter!(TURNED_AWAY, "bound" => bound).absolute(count);
    }
}
