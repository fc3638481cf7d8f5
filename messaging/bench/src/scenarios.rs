//! What is measured, and what is to be reached. Each scenario runs its sides in turn, each against a fresh server.

mod sockjs;

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::report::Report;
use crate::sides::{self, Server, Side};
use crate::table::{Row, thousands};

/// Publishers of the fan-out, each with one message on its way. 64: more make ours and the bare broadcast faster, in the
/// same proportion, since more messages share a write.
const PUBLISHERS: usize = 64;

/// The same for peers, which are as fast with 4 as with 64; with more it only takes them longer to get going.
const PEER_PUBLISHERS: usize = 16;

/// Above what the server takes with everybody connected, an overload may take so much more. 128 MiB: a hundred full
/// queues of 1,024 messages of some hundred bytes, and as much again for the allocator.
const OVERLOAD_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// When other processes take more of the machine than this, the table says so: figures are not to be trusted then.
const QUIET_SHARE: f64 = 0.05;

/// Which scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// 100-byte messages to 1,000 subscribers, publishers in a closed loop.
    FanOut,
    /// One message to 1,000 subscribers of an otherwise idle server.
    Latency,
    /// 10,000 idle subscribers.
    Idle,
    /// A tenth does not read, and a publisher floods.
    Overload,
    /// 10,000 idle SockJS sessions over WebSocket, and as many raw WebSockets of the same server.
    SockjsIdle,
    /// 5,000 SockJS sessions that poll, each served one message a second.
    SockjsPolling,
}

/// All, in the order in which they run.
pub const ALL: [Scenario; 6] = [
    Scenario::FanOut,
    Scenario::Latency,
    Scenario::Idle,
    Scenario::Overload,
    Scenario::SockjsIdle,
    Scenario::SockjsPolling,
];

/// How it is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// A few seconds each.
    pub quick: bool,
    /// Who is measured.
    pub sides: Vec<Side>,
}

impl Options {
    fn sides_that(&self, are: impl Fn(Side) -> bool) -> Vec<Side> {
        self.sides
            .iter()
            .copied()
            .filter(|side| are(*side))
            .collect()
    }
}

/// All that was found.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// For people.
    pub rows: Vec<Row>,
    /// Every run, as `load` told it.
    pub runs: Vec<Finding>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Of which scenario.
    pub scenario: &'static str,
    /// Against whom.
    pub side: String,
    /// What came out.
    pub report: Report,
}

impl Findings {
    fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Peers have no targets: what they do is only to be seen.
    fn aim(&mut self, side: Side, row: Row, target: &str, met: bool) {
        self.row(if side.is_peer() {
            row
        } else {
            row.target(target, met)
        });
    }
}

/// Runs one scenario.
///
/// # Errors
/// Ours or the bare broadcast could not be measured. A peer that is missing is a row that says so.
pub fn run(scenario: Scenario, options: &Options, findings: &mut Findings) -> anyhow::Result<()> {
    let brokers = Options {
        sides: options.sides_that(Side::is_broker),
        ..options.clone()
    };
    match scenario {
        Scenario::FanOut => fan_out(&brokers, findings),
        Scenario::Latency => latency(&brokers, findings),
        Scenario::Idle => idle(&brokers, findings),
        Scenario::Overload => overload(&brokers, findings),
        Scenario::SockjsIdle => sockjs::idle(options, findings),
        Scenario::SockjsPolling => sockjs::polling(options, findings),
    }
}

/// Starts a server, runs `load` against it, ends it.
fn measure(
    scenario: &'static str,
    side: Side,
    arguments: &[(&str, usize)],
    flags: &[&str],
    findings: &mut Findings,
) -> anyhow::Result<Report> {
    let server = sides::start(side).with_context(|| format!("starting {side}"))?;
    let mut command = load("load", &server)?;
    command.args(["--speech", server.speech.argument()]);
    for (name, value) in arguments {
        command.args([*name, &value.to_string()]);
    }
    command.args(flags);
    play(scenario, &side.to_string(), server, command, findings)
}

/// A load generator for a server.
fn load(program: &str, server: &Server) -> anyhow::Result<Command> {
    let mut command = Command::new(sides::programs()?.join(program));
    command.args(["--server", &server.address.to_string()]);
    command.args(["--watch", &server.process().to_string()]);
    command.args(["--path", server.path]);
    Ok(command)
}

/// Runs a load generator against its server, and ends the server.
fn play(
    scenario: &'static str,
    side: &str,
    mut server: Server,
    mut command: Command,
    findings: &mut Findings,
) -> anyhow::Result<Report> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting load: has it been built?")?;
    if !output.status.success() {
        bail!("{scenario} against {side}: load failed, see above");
    }
    let report: Report =
        serde_json::from_slice(&output.stdout).context("reading what load says")?;
    if !server.is_alive() {
        bail!(
            "{scenario}: {side} did not survive; {:?}",
            report.first_error
        );
    }
    findings.runs.push(Finding {
        scenario,
        side: side.to_string(),
        report: report.clone(),
    });
    Ok(report)
}

/// The same, where a peer that cannot be measured is a row that says so.
fn try_measure(
    scenario: &'static str,
    side: Side,
    arguments: &[(&str, usize)],
    flags: &[&str],
    findings: &mut Findings,
) -> anyhow::Result<Option<Report>> {
    match measure(scenario, side, arguments, flags, findings) {
        Err(error) if side.is_peer() => {
            let why = format!("not measured: {error:#}");
            findings.row(Row::plain(scenario, side, why));
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// The runs of one side, in the order in which they were.
struct Runs {
    side: Side,
    reports: Vec<Report>,
}

impl Runs {
    fn is(&self, side: Side) -> bool {
        self.side == side
    }

    /// The run that is in the middle by some figure.
    fn middle(&self, figure: impl Fn(&Report) -> f64) -> &Report {
        let mut sorted: Vec<&Report> = self.reports.iter().collect();
        sorted.sort_by(|one, other| figure(one).total_cmp(&figure(other)));
        sorted[sorted.len() / 2]
    }

    /// In what proportion a figure stands to that of `other`: the middle of the rounds, since what disturbs one round
    /// disturbs both sides.
    fn ratio(&self, other: &Self, figure: impl Fn(&Report) -> f64) -> f64 {
        if self.reports.len() != other.reports.len() {
            return figure(self.middle(&figure)) / figure(other.middle(&figure));
        }
        let rounds = self.reports.iter().zip(&other.reports);
        let mut ratios: Vec<f64> = rounds
            .map(|(own, other)| figure(own) / figure(other))
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }
}

/// Runs each side several times in turn.
fn measure_in_turn(
    scenario: &'static str,
    options: &Options,
    arguments: impl Fn(Side) -> Vec<(&'static str, usize)>,
    findings: &mut Findings,
) -> anyhow::Result<Vec<Runs>> {
    let rounds = if options.quick { 1 } else { 5 };
    let none = |side: &Side| Runs {
        side: *side,
        reports: Vec::new(),
    };
    let mut all: Vec<Runs> = options.sides.iter().map(none).collect();
    for _ in 0..rounds {
        for Runs { side, reports } in &mut all {
            // Peers are far away from their targets and slow to start: one round shows it.
            if !side.is_peer() || reports.is_empty() {
                let arguments = arguments(*side);
                reports.extend(try_measure(scenario, *side, &arguments, &[], findings)?);
            }
        }
        all.retain(|runs| !runs.reports.is_empty());
    }
    Ok(all)
}

fn wrong(report: &Report) -> String {
    if report.is_right() {
        return String::new();
    }
    format!(
        "; WRONG: {} missing, {:?}, {} disconnected, {} refused: {}",
        report.missing,
        report.faults,
        report.disconnected,
        report.refused,
        report.first_error.as_deref().unwrap_or_default()
    )
}

/// What disturbed the runs of a side, and what went wrong in them.
fn note(runs: &Runs) -> String {
    let disturbed = |report: &Report| report.others_share;
    let most = runs.reports.iter().map(disturbed).fold(0.0, f64::max);
    let noise = if most > QUIET_SHARE {
        format!("; others took up to {:.0} %", most * 100.0)
    } else {
        String::new()
    };
    let wrongs: String = runs.reports.iter().map(wrong).collect();
    noise + &wrongs
}

fn fan_out(options: &Options, findings: &mut Findings) -> anyhow::Result<()> {
    const NAME: &str = "fan-out";
    let measured = if options.quick { 2000 } else { 3000 };
    let arguments = |side: Side| {
        let (publishers, warm_up) = if side.is_peer() {
            (PEER_PUBLISHERS, 5000)
        } else {
            (PUBLISHERS, 1000)
        };
        vec![
            ("--readers", 1000),
            ("--publishers", publishers),
            ("--warm-up", warm_up),
            ("--measured", measured),
        ]
    };
    let all = measure_in_turn(NAME, options, arguments, findings)?;
    let ours = all.iter().find(|runs| runs.is(Side::Ours));
    for runs in &all {
        let report = runs.middle(Report::rate);
        let text = format!(
            "{} deliveries/s, {:.2} us of server each{}",
            thousands(report.rate()),
            runs.middle(Report::cost).cost(),
            note(runs)
        );
        let row = Row::plain(NAME, runs.side, text);
        let Some(ours) = ours.filter(|_| !runs.is(Side::Ours)) else {
            let right = runs.reports.iter().all(Report::is_right);
            findings.aim(runs.side, row, "all right", right);
            continue;
        };
        let least = runs.side.fan_out_target();
        let ratio = ours.ratio(runs, Report::rate);
        let row = row.ratio(ratio);
        findings.row(row.target(format!("at least {least:.2}"), ratio >= least));
        if runs.is(Side::Bare) {
            let text = "server time of ours for each, in proportion".to_owned();
            let ratio = ours.ratio(runs, Report::cost);
            findings.row(Row::plain(NAME, runs.side, text).ratio(ratio));
        }
    }
    Ok(())
}

fn latency(options: &Options, findings: &mut Findings) -> anyhow::Result<()> {
    const NAME: &str = "latency";
    let measured = if options.quick { 2000 } else { 6000 };
    let arguments = |side: Side| {
        // Long enough for the server to be idle again before the next one.
        let every = if side.is_peer() { 500 } else { 50 };
        vec![
            ("--readers", 1000),
            ("--publishers", 1),
            ("--every", every),
            ("--measured", measured),
        ]
    };
    let median = |report: &Report| f64::from(report.latency.median);
    let all = measure_in_turn(NAME, options, arguments, findings)?;
    let ours = all.iter().find(|runs| runs.is(Side::Ours));
    for runs in &all {
        let report = runs.middle(median);
        let text = format!(
            "last has it after {} us (p99 {}), {} messages{}",
            report.latency.median,
            report.latency.p99,
            report.latency.messages * runs.reports.len(),
            note(runs)
        );
        let row = Row::plain(NAME, runs.side, text);
        let Some(ours) = ours.filter(|_| !runs.is(Side::Ours)) else {
            let right = runs.reports.iter().all(Report::is_right);
            findings.aim(runs.side, row, "all right", right);
            continue;
        };
        let ratio = ours.ratio(runs, median);
        let row = row.ratio(ratio);
        findings.row(if runs.is(Side::Bare) {
            row.target("at most 2.00", ratio <= 2.0)
        } else {
            row
        });
    }
    Ok(())
}

fn idle(options: &Options, findings: &mut Findings) -> anyhow::Result<()> {
    const NAME: &str = "idle";
    for side in &options.sides {
        // A peer takes hundreds of KiB for each: fewer show it as well.
        let readers: u32 = if side.is_peer() { 2000 } else { 10_000 };
        let arguments = [
            ("--readers", usize::try_from(readers)?),
            ("--publishers", 1),
            ("--connects-per-second", 2000),
            ("--warm-up", 0),
            // One message: the next one would be due after the end.
            ("--every", 1000),
            ("--measured", 500),
        ];
        let Some(report) = try_measure(NAME, *side, &arguments, &[], findings)? else {
            continue;
        };
        let bytes = report.memory_per_subscriber();
        let text = format!(
            "{bytes} bytes of server each, {} at the peak",
            report.memory_peak.saturating_sub(report.memory_before) / u64::from(readers)
        );
        let row = Row::plain(NAME, side, text);
        findings.row(if *side == Side::Ours {
            row.target("at most 8192", bytes <= 8192)
        } else {
            row
        });
        let text = format!(
            "{} of {readers} connected in {:.1} s, {} refused",
            report.connected, report.connecting_seconds, report.refused
        );
        let row = Row::plain(NAME, side, text);
        findings.aim(*side, row, "none refused", report.refused == 0);
        let text = format!(
            "{} message to all: {} lost, {} doubled, last after {} us{}",
            report.sent,
            report.missing + report.faults.lost,
            report.faults.doubled,
            report.latency.max,
            wrong(&report)
        );
        let row = Row::plain(NAME, side, text);
        let once = report.is_right() && report.sent == 1;
        findings.aim(*side, row, "each once", once);
    }
    Ok(())
}

fn overload(options: &Options, findings: &mut Findings) -> anyhow::Result<()> {
    const NAME: &str = "overload";
    let (rounds, measured) = if options.quick { (1, 3000) } else { (3, 6000) };
    let calm = [
        ("--readers", 900),
        ("--publishers", 1),
        ("--every", 10),
        ("--measured", measured),
    ];
    let loaded = [&calm[..], &[("--stalled", 100)]].concat();
    // The bare broadcast has no policy; RabbitMQ's backlog would outlive the run by minutes.
    let unfit = [Side::Bare, Side::Rabbitmq];
    for side in options.sides.iter().filter(|side| !unfit.contains(side)) {
        let none = || Runs {
            side: *side,
            reports: Vec::new(),
        };
        let (mut without, mut with) = (none(), none());
        for _ in 0..if side.is_peer() { 1 } else { rounds } {
            let one = try_measure(NAME, *side, &calm, &[], findings)?;
            let other = try_measure(NAME, *side, &loaded, &["--flood"], findings)?;
            if let (Some(one), Some(other)) = (one, other) {
                without.reports.push(one);
                with.reports.push(other);
            }
        }
        if !with.reports.is_empty() {
            tell_overload(NAME, &without, &with, findings);
        }
    }
    Ok(())
}

fn tell_overload(scenario: &'static str, without: &Runs, with: &Runs, findings: &mut Findings) {
    let side = with.side;
    let row = |text: String| Row::plain(scenario, side, text);
    let median = |report: &Report| f64::from(report.latency.median);
    let (calm, loaded) = (without.middle(median), with.middle(median));
    let text = format!(
        "readers wait {} us (p99 {}); calm {} (p99 {}){}",
        loaded.latency.median,
        loaded.latency.p99,
        calm.latency.median,
        calm.latency.p99,
        note(with)
    );
    let ratio = with.ratio(without, median);
    findings.aim(side, row(text).ratio(ratio), "at most 2.00", ratio <= 2.0);
    let missed: u64 = with.reports.iter().map(|report| report.missing).sum();
    let right = with.reports.iter().all(Report::is_right);
    let text = format!("readers that keep up miss {missed}");
    findings.aim(side, row(text), "nothing", right);
    let sum = |count: fn(&Report) -> usize| with.reports.iter().map(count).sum::<usize>();
    let (stalled, cut_off) = (sum(|report| report.stalled), sum(|report| report.cut_off));
    let text = format!(
        "{cut_off} of {stalled} that do not read cut off, {} could read slow-consumer; flood of {} messages",
        sum(|report| report.told_slow_consumer),
        loaded.flooded
    );
    findings.aim(side, row(text), "all cut off", cut_off == stalled);
    let grown = |report: &Report| report.memory_peak.saturating_sub(report.memory_connected);
    let most = with.reports.iter().map(grown).max().unwrap_or_default();
    let text = format!("memory grows by at most {} KiB", most / 1024);
    let bound = format!("at most {} MiB", OVERLOAD_BYTES_MAX / 1024 / 1024);
    findings.aim(side, row(text), &bound, most <= OVERLOAD_BYTES_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(seconds: &[u32]) -> Runs {
        let report = |seconds: &u32| Report {
            seconds: f64::from(*seconds),
            ..Report::default()
        };
        Runs {
            side: Side::Ours,
            reports: seconds.iter().map(report).collect(),
        }
    }

    fn check(own: &[u32], other: &[u32], ratio: f64) {
        let found = runs(own).ratio(&runs(other), |report| report.seconds);
        assert!(
            (found - ratio).abs() < 1e-9,
            "{own:?} to {other:?}: {found}"
        );
    }

    #[test]
    fn rounds_are_compared_one_by_one() {
        check(&[4], &[2], 2.0);
        // The second round was disturbed on both sides.
        check(&[4, 40, 6], &[2, 20, 2], 2.0);
        // A peer that was measured once is compared with the middle.
        check(&[9, 1, 4], &[2], 2.0);
    }
}
