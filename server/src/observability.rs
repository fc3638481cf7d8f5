//! What the server tells those who watch it: every metric is declared here and nowhere else.
//!
//! Labels come from closed sets, never from ids or paths. What is counted as it happens is a counter; what is a state
//! (devices, alarms, sessions) is read at the moment of the scrape, so that it cannot drift from the truth.

mod broker;
mod listener;
mod sockjs;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ::broker::Publisher;
use ::sockjs::SockJs;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use chrono::{DateTime, Utc};
use contract::command::CommandState;
use contract::device::Condition;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;

use crate::alarm::AlarmHandle;
use crate::live::LiveHandle;
use crate::store::Separation;
pub(crate) use listener::{Unserved, count_unserved};

const EVENTS: &str = "landside_events_total";
const READINGS: &str = "landside_reading_reports_total";
const COMMANDS: &str = "landside_command_steps_total";
const DEVICES: &str = "landside_devices";
const ALARMS: &str = "landside_open_alarms";
const AUDIT_FAILURES: &str = "landside_audit_failures_total";
const AUDIT_BROKEN: &str = "landside_audit_broken";
const AUDIT_JOURNALED: &str = "landside_audit_journal_waits";
const AUDIT_SEPARATE: &str = "landside_audit_separate";
const FILE_HANGS: &str = "landside_file_hangs";

/// What became of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EventOutcome {
    /// Stored.
    Stored,
    /// Stored before: a repetition.
    Repeated,
    /// Refused for good and kept.
    Quarantined,
}

/// An event was dealt with.
pub(crate) fn count_event(outcome: EventOutcome) {
    let outcome = match outcome {
        EventOutcome::Stored => "stored",
        EventOutcome::Repeated => "repeated",
        EventOutcome::Quarantined => "quarantined",
    };
    counter!(EVENTS, "outcome" => outcome).increment(1);
}

/// A report of readings came in.
pub(crate) fn count_readings() {
    counter!(READINGS).increment(1);
}

/// A command came to a state.
pub(crate) fn count_command(state: CommandState) {
    counter!(COMMANDS, "state" => state.as_str()).increment(1);
}

/// The audit, or its head, could not be written, or is not what it was.
pub(crate) fn count_audit_failure() {
    counter!(AUDIT_FAILURES).increment(1);
}

/// Whether what was journaled in an emergency waits to be brought into the audit.
pub(crate) fn show_journaled(waits: bool) {
    gauge!(AUDIT_JOURNALED).set(f64::from(u8::from(waits)));
}

/// Whether the file system of a file that is followed does not answer.
pub(crate) fn show_hanging(file: &'static str, hangs: bool) {
    gauge!(FILE_HANGS, "file" => file).set(f64::from(u8::from(hangs)));
}

/// Whether the database keeps this server from changing its audit.
fn show_separation(separation: Separation) {
    let is_separate = match separation {
        Separation::Login | Separation::Role => 1,
        Separation::None => 0,
    };
    gauge!(AUDIT_SEPARATE).set(f64::from(is_separate));
}

/// The process' recorder: installed once, however many servers a test runs in one process.
fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let handle = PrometheusBuilder::new()
            .install_recorder()
            .expect("nobody else installs a recorder");
        describe_counter!(EVENTS, "Events of agents, by what became of them.");
        describe_counter!(READINGS, "Reports of readings that came in.");
        describe_counter!(COMMANDS, "Steps of commands, by the state they came to.");
        describe_gauge!(DEVICES, "Devices, by condition.");
        describe_gauge!(ALARMS, "Alarms that are not normal, by state and priority.");
        describe_counter!(
            AUDIT_FAILURES,
            "Times that the audit or its head could not be written, or was not what it was."
        );
        describe_gauge!(
            AUDIT_BROKEN,
            "1 once the audit is not the one whose head was published, until somebody decided."
        );
        describe_gauge!(
            AUDIT_JOURNALED,
            "1 while rows of the audit wait in the local journal."
        );
        describe_gauge!(
            AUDIT_SEPARATE,
            "1 while the database keeps the server from changing its audit."
        );
        describe_gauge!(
            FILE_HANGS,
            "1 while the file system of a file that is followed does not answer, by file."
        );
        broker::describe();
        sockjs::describe();
        listener::describe();
        handle
    })
}

/// Where the states come from.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) separation: Separation,
    pub(crate) live: LiveHandle,
    pub(crate) alarms: AlarmHandle,
    pub(crate) publisher: Publisher,
    pub(crate) sockjs: SockJs,
    /// Whether the audit was found rewritten.
    pub(crate) audit_broken: watch::Receiver<bool>,
    /// When the certificate ends, if there is one.
    pub(crate) certificate_expires: Option<watch::Receiver<DateTime<Utc>>>,
}

/// The one route of the metrics' own listener, which is not meant for the public.
pub(crate) fn router(observed: Observed) -> Router {
    recorder(); // Before anything is counted.
    show_separation(observed.separation);
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(observed)
}

/// The text format of Prometheus, version 0.0.4.
async fn scrape(State(observed): State<Observed>) -> impl IntoResponse {
    observe(&observed).await;
    let text = recorder().render();
    recorder().run_upkeep();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of devices and alarms are far below 2^52"
)]
async fn observe(observed: &Observed) {
    let mut devices: BTreeMap<&str, usize> = Condition::ALL
        .iter()
        .map(|condition| (condition.as_str(), 0))
        .collect();
    for device in observed.live.devices().await {
        *devices.entry(device.condition.as_str()).or_default() += 1;
    }
    for (condition, count) in devices {
        gauge!(DEVICES, "condition" => condition).set(count as f64);
    }
    let mut alarms: BTreeMap<(&str, u8), usize> = BTreeMap::new();
    for state in ["unacknowledged", "acknowledged", "returned_unacknowledged"] {
        alarms.extend((1..=4).map(|priority| ((state, priority), 0)));
    }
    for alarm in observed.alarms.open().iter() {
        *alarms
            .entry((alarm.state.as_str(), alarm.priority.number()))
            .or_default() += 1;
    }
    for ((state, priority), count) in alarms {
        gauge!(ALARMS, "state" => state, "priority" => priority.to_string()).set(count as f64);
    }
    gauge!(AUDIT_BROKEN).set(f64::from(u8::from(*observed.audit_broken.borrow())));
    broker::observe(&observed.publisher);
    sockjs::observe(&observed.sockjs);
    let expires = observed.certificate_expires.as_ref();
    listener::observe(expires.map(|expires| *expires.borrow()));
}
