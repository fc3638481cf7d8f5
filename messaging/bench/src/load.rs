//! One run: everybody connects, messages flow, what happened is told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::clients::{Board, Crowd, Plan, Seen};
use crate::process::{Watched, machine_time};
use crate::publisher::{self, Publishers};
use crate::report::{Latency, Report};
use crate::speech::Speech;

/// Whoever has not subscribed so long after the last connection was opened has failed.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(20);

/// What is on its way when a run ends has so long to arrive; what comes later is missing. RabbitMQ needs some seconds.
const ARRIVE_PATIENCE: Duration = Duration::from_secs(30);

/// A server that gives no receipts has so long to make subscriptions live; others settle in it too.
const SETTLE: Duration = Duration::from_secs(1);

/// How often the server's memory is looked at, and what else is waited for.
const TICK: Duration = Duration::from_millis(20);

/// Those that do not read may have megabytes waiting for them.
const STALLED_PATIENCE: Duration = Duration::from_secs(3);

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The next one when all have the one before.
    Loop,
    /// One of each publisher at each interval, whatever became of those before.
    Every(Duration),
}

/// What a run is.
#[derive(Debug, Clone)]
pub struct Run {
    /// Who subscribes and sends.
    pub plan: Plan,
    /// When.
    pub pace: Pace,
    /// Flows before anything is counted.
    pub warm_up: Duration,
    /// Then is counted so long.
    pub measured: Duration,
    /// Whether another publisher floods.
    pub flood: bool,
    /// The server's process, to be looked at from outside.
    pub server: Option<Watched>,
}

/// Does it.
///
/// # Errors
/// The server cannot be reached at all. What goes wrong later is in the report.
pub fn run(run: &Run) -> anyhow::Result<Report> {
    let plan = &run.plan;
    let board = Board::new(plan.threads);
    let mut report = Report {
        memory_before: memory(run)?,
        stalled: plan.stalled,
        ..Report::default()
    };
    let (flooding_ends, flooded) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let crowds: Vec<_> = (0..plan.threads)
            .map(|number| {
                let crowd = Crowd::new(plan, &board, number)?;
                Ok(scope.spawn(move || crowd.run()))
            })
            .collect::<anyhow::Result<_>>()?;
        let flood = || {
            let to = (plan.address, &plan.door);
            let flood = publisher::flood(to.0, to.1, plan.body_bytes, &flooding_ends, &flooded);
            if let Err(error) = flood {
                board.tell_error(format!("{error:#}"));
            }
        };
        let outcome = connect(run, &board, &mut report).and_then(|()| {
            if run.flood {
                scope.spawn(flood);
            }
            send(run, &board, &mut report)
        });
        flooding_ends.store(true, Ordering::Relaxed);
        board.stop.store(true, Ordering::Relaxed);
        let seen = crowds
            .into_iter()
            .map(|crowd| crowd.join().expect("a thread of clients does not panic"));
        let seen = seen.collect::<anyhow::Result<Vec<_>>>()?;
        outcome?;
        conclude(&board, &seen, &mut report);
        anyhow::Ok(())
    })?;
    report.flooded = flooded.load(Ordering::Relaxed);
    report.memory_peak = report.memory_peak.max(report.memory_connected);
    Ok(report)
}

fn memory(run: &Run) -> anyhow::Result<u64> {
    run.server.map_or(Ok(0), Watched::memory)
}

/// Waits until everybody has subscribed or failed, and connects the publishers.
fn connect(run: &Run, board: &Board, report: &mut Report) -> anyhow::Result<()> {
    let plan = &run.plan;
    let all = plan.readers + plan.stalled;
    let began = Instant::now();
    let count = u32::try_from(all).context("too many subscribers")?;
    let opening = Duration::from_secs(1) * count / plan.connects_per_second.max(1);
    loop {
        report.connected = board.subscribed.load(Ordering::Relaxed);
        report.refused = board.refused.load(Ordering::Relaxed);
        if report.connected + report.refused >= all {
            break;
        }
        if began.elapsed() > opening + SUBSCRIBE_PATIENCE {
            report.refused = all - report.connected;
            board.tell_error("the server did not answer everybody in time".to_owned());
            break;
        }
        thread::park_timeout(TICK);
    }
    report.connecting_seconds = began.elapsed().as_secs_f64();
    let publishers = Publishers::connect(
        plan.address,
        &plan.door,
        plan.publishers,
        plan.body_bytes,
        plan.threads.min(plan.readers),
    )?;
    board.publishers.get_or_init(|| publishers);
    let settle = if plan.door.speech == Speech::StompWithoutReceipts || run.server.is_some() {
        SETTLE
    } else {
        Duration::ZERO
    };
    watch_memory(run, report, settle)?;
    report.memory_connected = memory(run)?;
    Ok(())
}

/// Waits, and notes how much memory the server takes meanwhile.
fn watch_memory(run: &Run, report: &mut Report, time: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        thread::park_timeout(TICK.min(end - Instant::now()));
        report.memory_peak = report.memory_peak.max(memory(run)?);
    }
    Ok(())
}

fn send(run: &Run, board: &Board, report: &mut Report) -> anyhow::Result<()> {
    let publishers = board
        .publishers
        .get()
        .context("the publishers are connected")?;
    if run.pace == Pace::Loop {
        publishers.start_loop();
    }
    flow(run, publishers, report, run.warm_up)?;
    let (before, delivered) = (Times::now(run.server)?, board.delivered());
    publishers.measure(true);
    flow(run, publishers, report, run.measured)?;
    publishers.measure(false);
    report.deliveries = board.delivered() - delivered;
    Times::now(run.server)?.tell_since(&before, report);
    publishers.stop_loop();
    let ends = Instant::now() + ARRIVE_PATIENCE;
    while !publishers.are_done() && Instant::now() < ends {
        watch_memory(run, report, TICK)?;
    }
    if run.plan.stalled > 0 {
        board.look_at_stalled.store(true, Ordering::Relaxed);
        watch_memory(run, report, STALLED_PATIENCE)?;
    }
    // What comes a second time comes soon.
    watch_memory(run, report, TICK * 5)
}

/// What clocks show at one moment.
pub(crate) struct Times {
    at: Instant,
    server: Duration,
    own: Duration,
    machine: (Duration, Duration),
}

impl Times {
    pub(crate) fn now(server: Option<Watched>) -> anyhow::Result<Self> {
        let server = server.map_or(Ok(Duration::ZERO), Watched::processor_time);
        Ok(Self {
            server: server?,
            own: Watched::own().processor_time()?,
            machine: machine_time()?,
            at: Instant::now(),
        })
    }

    pub(crate) fn tell_since(&self, before: &Self, report: &mut Report) {
        let (server, own) = (self.server - before.server, self.own - before.own);
        report.seconds = (self.at - before.at).as_secs_f64();
        report.server_seconds = server.as_secs_f64();
        report.load_seconds = own.as_secs_f64();
        let busy = self.machine.0.saturating_sub(before.machine.0);
        let all = self.machine.1.saturating_sub(before.machine.1);
        let others = busy.saturating_sub(server + own);
        report.others_share = others.as_secs_f64() / all.as_secs_f64().max(f64::EPSILON);
    }
}

/// Lets messages flow for a while.
fn flow(
    run: &Run,
    publishers: &Publishers,
    report: &mut Report,
    time: Duration,
) -> anyhow::Result<()> {
    let Pace::Every(interval) = run.pace else {
        return watch_memory(run, report, time);
    };
    let began = Instant::now();
    let mut due = began;
    while began.elapsed() < time {
        publishers.send_from_all();
        due += interval;
        while let Some(rest) = due.checked_duration_since(Instant::now()) {
            thread::park_timeout(rest);
        }
        report.memory_peak = report.memory_peak.max(memory(run)?);
    }
    Ok(())
}

fn conclude(board: &Board, seen: &[Seen], report: &mut Report) {
    for seen in seen {
        report.faults.add(seen.ledger.faults);
        report.cut_off += seen.cut_off;
        report.told_slow_consumer += seen.told_slow_consumer;
    }
    report.disconnected = board.disconnected.load(Ordering::Relaxed);
    if let Some(publishers) = board.publishers.get() {
        let sent = publishers.sent();
        let outstanding = seen.iter().map(|seen| seen.ledger.outstanding(&sent));
        report.missing = outstanding.sum();
        report.sent = sent.into_iter().map(u64::from).sum();
        report.latency = Latency::of(publishers.microseconds());
        if let Some(failure) = publishers.failure() {
            board.tell_error(failure);
        }
    }
    report.first_error = board.first_error();
}
