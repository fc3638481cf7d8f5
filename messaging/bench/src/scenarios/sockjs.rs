//! SockJS: what a session costs in memory beyond a raw WebSocket, and what polling costs beside the server of npm.

use std::ops::RangeInclusive;

use anyhow::Context as _;

use super::{Findings, Options, Runs, load, note, play, wrong};
use crate::report::Report;
use crate::sides::{self, Side};
use crate::table::{Row, thousands};

/// Sessions that do nothing.
const IDLE_SESSIONS: u32 = 10_000;

/// Sessions that poll; each gets a message a second.
const POLLING_SESSIONS: u32 = 5000;

/// A session may take so many times the memory of a raw WebSocket.
const MEMORY_RATIO_MAX: f64 = 1.5;

/// A message may take so many times the processor time that it takes the server of npm.
const COST_RATIO_MAX: f64 = 3.0;

/// A rate is sustained when it was reached so nearly while it was measured: what comes at the edges is not counted. More
/// than was due makes up for what the time before fell behind.
const SUSTAINED: RangeInclusive<f64> = 0.98..=1.02;

/// The load generator is what is measured when it takes more of its processor than this.
const LOAD_SHARE_MAX: f64 = 0.9;

/// Raw and framed, of the same program.
pub(super) fn idle(options: &Options, findings: &mut Findings) -> anyhow::Result<()> {
    const NAME: &str = "sockjs-idle";
    if !options.sides.contains(&Side::Ours) {
        return Ok(());
    }
    let raw = measure_idle(NAME, "raw", findings)?;
    let framed = measure_idle(NAME, "sockjs", findings)?;
    for (side, report) in [("ours, raw", &raw), ("ours, sockjs", &framed)] {
        let text = format!(
            "{} bytes of server each, {} when each had carried a message",
            report.memory_per_subscriber(),
            used(report)
        );
        let row = Row::plain(NAME, side, text);
        findings.row(if side == "ours, raw" {
            row
        } else {
            let ratio = in_proportion(report.memory_per_subscriber(), raw.memory_per_subscriber());
            let ratio = ratio.max(in_proportion(used(report), used(&raw)));
            let target = format!("both at most {MEMORY_RATIO_MAX:.2} of raw");
            row.ratio(ratio).target(target, ratio <= MEMORY_RATIO_MAX)
        });
        let text = format!(
            "{} of {IDLE_SESSIONS} connected in {:.1} s, {} of {} messages came back{}",
            report.connected,
            report.connecting_seconds,
            report.deliveries,
            report.sent,
            wrong(report)
        );
        let all = report.is_right() && report.deliveries == u64::from(IDLE_SESSIONS);
        findings.row(Row::plain(NAME, side, text).target("all, each once", all));
    }
    // The broker's sessions are WebSockets of the same crate, and have STOMP and a subscription besides.
    let of_broker = |run: &&super::Finding| run.scenario == "idle" && run.side == "ours";
    if let Some(broker) = findings.runs.iter().find(of_broker) {
        let bytes = broker.report.memory_per_subscriber();
        let text = format!("a subscriber of the broker takes {bytes} bytes, in scenario idle");
        let ratio = in_proportion(raw.memory_per_subscriber(), bytes);
        findings.row(Row::plain(NAME, "ours, raw", text).ratio(ratio));
    }
    Ok(())
}

fn measure_idle(
    scenario: &'static str,
    framing: &str,
    findings: &mut Findings,
) -> anyhow::Result<Report> {
    let server = sides::start_sockjs(Side::Ours).context("starting protocol_server")?;
    let mut command = load("load_sockjs", &server)?;
    command.args(["--sessions", &IDLE_SESSIONS.to_string()]);
    command.args(["--opens-per-second", "2000", "idle", "--framing", framing]);
    play(
        scenario,
        &format!("ours, {framing}"),
        server,
        command,
        findings,
    )
}

/// Bytes of the server's memory for one session that has carried a message.
fn used(report: &Report) -> u64 {
    let sessions = u64::try_from(report.connected.max(1)).unwrap_or(u64::MAX);
    report.memory_used.saturating_sub(report.memory_before) / sessions
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn in_proportion(one: u64, other: u64) -> f64 {
    one as f64 / other.max(1) as f64
}

/// Ours and that of npm.
pub(super) fn polling(options: &Options, findings: &mut Findings) -> anyhow::Result<()> {
    const NAME: &str = "sockjs-polling";
    let (rounds, measured) = if options.quick {
        (1, 5000)
    } else {
        (3, 10_000)
    };
    let takes_part = |side| matches!(side, Side::Ours | Side::SockjsNode);
    let none = |side| Runs {
        side,
        reports: Vec::new(),
    };
    let mut all: Vec<Runs> = options
        .sides_that(takes_part)
        .into_iter()
        .map(none)
        .collect();
    for _ in 0..rounds {
        for Runs { side, reports } in &mut all {
            match measure_polling(NAME, *side, measured, findings) {
                Err(error) if side.is_peer() => {
                    findings.row(Row::plain(NAME, side, format!("not measured: {error:#}")));
                }
                result => reports.push(result?),
            }
        }
        all.retain(|runs| !runs.reports.is_empty());
    }
    let ours = all.iter().find(|runs| runs.is(Side::Ours));
    for runs in &all {
        let report = runs.middle(Report::cost);
        let text = format!(
            "{:.1} us of server for each message{}",
            report.cost(),
            note(runs)
        );
        let row = Row::plain(NAME, runs.side, text);
        match ours.filter(|_| runs.is(Side::SockjsNode)) {
            Some(ours) => {
                let ratio = ours.ratio(runs, Report::cost);
                let target = format!("below {COST_RATIO_MAX:.2}");
                findings.row(row.ratio(ratio).target(target, ratio < COST_RATIO_MAX));
            }
            None => {
                let right = runs.reports.iter().all(Report::is_right);
                findings.aim(runs.side, row, "all right", right);
            }
        }
        tell_rate(NAME, runs, findings);
    }
    Ok(())
}

fn measure_polling(
    scenario: &'static str,
    side: Side,
    measured: u32,
    findings: &mut Findings,
) -> anyhow::Result<Report> {
    let server = sides::start_sockjs(side).with_context(|| format!("starting {side}"))?;
    let mut command = load("load_sockjs", &server)?;
    command.args(["--sessions", &POLLING_SESSIONS.to_string(), "poll"]);
    command.args(["--every", "1000", "--measured", &measured.to_string()]);
    play(scenario, &side.to_string(), server, command, findings)
}

/// Whether everybody was served in time: a server, or a load generator, at its limit says so.
fn tell_rate(scenario: &'static str, runs: &Runs, findings: &mut Findings) {
    let due = f64::from(POLLING_SESSIONS);
    let report = runs.middle(Report::rate);
    let sustained = SUSTAINED.contains(&(report.rate() / due));
    let busy = |seconds: f64| seconds / report.seconds.max(f64::EPSILON);
    let limit = if sustained {
        ""
    } else if busy(report.load_seconds) > LOAD_SHARE_MAX {
        "; NOT SUSTAINED, the load generator is at its limit"
    } else {
        "; NOT SUSTAINED"
    };
    let text = format!(
        "{} of {} messages/s, half back after {} us (p99 {}), server {:.0} % and load {:.0} % of a processor{limit}",
        thousands(report.rate()),
        thousands(due),
        report.latency.median,
        report.latency.p99,
        busy(report.server_seconds) * 100.0,
        busy(report.load_seconds) * 100.0,
    );
    let row = Row::plain(scenario, runs.side, text);
    findings.aim(runs.side, row, "sustained", sustained);
}
