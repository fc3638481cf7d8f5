//! Checks, interlocks and verifications, with `now` set by hand.

use std::path::Path;
use std::sync::Arc;

use contract::{DeviceId, FaultCode, Quality};
use uuid::Uuid;

use super::*;
use crate::clock::Moment;
use crate::device::DeviceState;
use crate::point::Raw;

const SECOND: Duration = Duration::from_secs(1);

fn profile(id: &str) -> Arc<Profile> {
    let profiles =
        crate::profile::load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")).unwrap();
    Arc::clone(&profiles[id])
}

fn instance() -> InstanceId {
    InstanceId(Uuid::from_u128(1))
}

fn command(name: &str, params: &[(&str, Value)]) -> Command {
    Command {
        id: contract::CommandId(Uuid::from_u128(7)),
        device: "d".parse().unwrap(),
        name: name.to_owned(),
        params: params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        issued_at: chrono::DateTime::UNIX_EPOCH,
        instance: instance(),
        deadline_monotonic_ms: 10_000,
    }
}

fn order(profile: &Profile, command: Command, began: Instant) -> Result<Order, Outcome> {
    let clock = InstanceClock::new(began);
    check(command, profile, instance(), &clock, began + SECOND)
}

fn device(profile: &Arc<Profile>, now: Moment, recorded: Option<bool>) -> DeviceState {
    let id: DeviceId = "d".parse().unwrap();
    DeviceState::new(id, Arc::clone(profile), |_: &FaultCode| recorded, now)
}

/// A gate's block of state, position and flags.
fn gate_is(device: &mut DeviceState, state: u16, now: Moment) {
    device.handle_answer(0, &Raw::Registers(vec![state, 0, 0]), now);
}

fn code(outcome: &Outcome) -> (CommandState, Option<ReasonCode>) {
    let code = outcome.reason.as_ref().map(|reason| reason.code);
    (outcome.state, code)
}

#[test]
fn what_cannot_be_executed_is_refused_before_it_is_tried() {
    let began = Instant::now();
    let kiosk = profile("kiosk.jsonl");
    let number = Value::Number;
    for (command, at, expected) in [
        (
            command("dance", &[]),
            1,
            Some((CommandState::Rejected, ReasonCode::NotSupported)),
        ),
        (
            command("reboot", &[("delay", number(601.0))]),
            1,
            Some((CommandState::Rejected, ReasonCode::BadParameter)),
        ),
        (
            command("reboot", &[("delay", number(f64::NAN))]),
            1,
            Some((CommandState::Rejected, ReasonCode::BadParameter)),
        ),
        (
            command("reboot", &[("delay", Value::Text("5".to_owned()))]),
            1,
            Some((CommandState::Rejected, ReasonCode::BadParameter)),
        ),
        (
            command("reboot", &[("speed", number(5.0))]),
            1,
            Some((CommandState::Rejected, ReasonCode::BadParameter)),
        ),
        (command("reboot", &[("delay", number(600.0))]), 10, None),
        (command("reboot", &[]), 10, None),
        (
            command("reboot", &[]),
            11,
            Some((CommandState::Expired, ReasonCode::DeadlinePassed)),
        ),
        (
            Command {
                instance: InstanceId(Uuid::from_u128(2)),
                ..command("reboot", &[])
            },
            1,
            Some((CommandState::Expired, ReasonCode::DeadlinePassed)),
        ),
        (
            Command {
                deadline_monotonic_ms: u64::MAX,
                ..command("reboot", &[])
            },
            1,
            Some((CommandState::Rejected, ReasonCode::BadParameter)),
        ),
    ] {
        let clock = InstanceClock::new(began);
        let shown = format!("{command:?} at {at} s");
        let checked = check(command, &kiosk, instance(), &clock, began + SECOND * at);
        let refused = checked
            .err()
            .map(|outcome| (outcome.state, outcome.reason.unwrap().code));
        // A deadline beyond what this platform's clock can express is a matter of the platform.
        if !(shown.contains("18446744073709551615") && refused.is_none()) {
            assert_eq!(refused, expected, "{shown}");
        }
    }
}

#[test]
fn a_missing_parameter_takes_its_default_and_fills_the_request() {
    let kiosk = profile("kiosk.jsonl");
    let order = order(&kiosk, command("reboot", &[]), Instant::now()).unwrap();
    let fill = order.fill(&kiosk.commands[order.kind]);
    assert_eq!(fill["delay"], "10");
    assert_eq!(fill["cmd_id"], "00000000-0000-0000-0000-000000000007");
}

#[test]
fn interlocks_hold_only_on_good_and_fresh_data() {
    let now = Moment::now();
    let gate = profile("gate.came.crp");
    let open = &gate.commands[0];
    let blocked = |device: &DeviceState, at: Moment| {
        interlocks(&gate, open, device.samples(), device.faults(), at.mono)
            .err()
            .map(|outcome| outcome.reason.unwrap().detail)
    };
    let mut fresh = device(&gate, now, None);
    let expected = "whether COMM is active is not known yet";
    assert_eq!(blocked(&fresh, now).as_deref(), Some(expected));
    fresh = device(&gate, now, Some(false));
    assert_eq!(blocked(&fresh, now).as_deref(), Some("state is unknown"));
    gate_is(&mut fresh, 17, now);
    assert_eq!(blocked(&fresh, now), None);
    assert_eq!(blocked(&fresh, now.plus(SECOND * 2)), None);
    let late = now.plus(Duration::from_millis(2001));
    assert_eq!(
        blocked(&fresh, late).as_deref(),
        Some("state is older than 2s")
    );
    assert_eq!(too_old(open, fresh.samples(), late.mono), [0]);
    gate_is(&mut fresh, 3, now);
    assert_eq!(
        blocked(&fresh, now).as_deref(),
        Some("state is calibrating")
    );
    gate_is(&mut fresh, 77, now);
    assert_eq!(blocked(&fresh, now).as_deref(), Some("state is bad"));

    let printer = profile("printer.escpos");
    for (recorded, expected) in [
        (Some(true), Some("COMM is active")),
        (Some(false), Some("PRN-CUTTER is not active")),
    ] {
        let state = device(&printer, now, recorded);
        let kind = &printer.commands[0];
        let outcome = interlocks(&printer, kind, state.samples(), state.faults(), now.mono);
        let detail = outcome.err().map(|outcome| outcome.reason.unwrap().detail);
        assert_eq!(detail.as_deref(), expected);
    }
}

/// What becomes of an `open` that was written at 0, while the gate reports `states` at these milliseconds.
fn verify_open(acknowledged: bool, states: &[(u64, Option<u16>)]) -> (u64, Outcome) {
    let gate = profile("gate.came.crp");
    let start = Moment::now();
    let mut state = device(&gate, start, Some(false));
    gate_is(&mut state, 17, start);
    let order = order(&gate, command("open", &[]), start.mono).unwrap();
    let mut execution = Execution::new(order, &gate, state.samples(), acknowledged, start.mono);
    for (milliseconds, reported) in states {
        let now = start.plus(Duration::from_millis(*milliseconds));
        if let Some(reported) = reported {
            gate_is(&mut state, *reported, now);
        }
        if let Some(outcome) = execution.handle_samples(&gate, state.samples(), now.mono) {
            return (*milliseconds, outcome);
        }
        assert!(execution.deadline() > now.mono);
    }
    panic!("no end after {states:?}");
}

#[test]
fn a_command_succeeds_when_it_is_seen_to_be_done() {
    let succeeded = (CommandState::Succeeded, None);
    for states in [
        vec![
            (150, Some(17)),
            (300, Some(32)),
            (3000, Some(32)),
            (6000, Some(16)),
        ],
        vec![(150, Some(16))],
        vec![(2900, Some(32)), (14_800, Some(16))],
    ] {
        for acknowledged in [true, false] {
            let (at, outcome) = verify_open(acknowledged, &states);
            assert_eq!((at, code(&outcome)), (states.last().unwrap().0, succeeded));
        }
    }
}

#[test]
fn a_command_that_is_not_seen_to_be_done_is_not_called_done() {
    let mismatch = Some(ReasonCode::FeedbackMismatch);
    let lost = Some(ReasonCode::CommLost);
    for (acknowledged, states, expected) in [
        (
            true,
            vec![(150, Some(17)), (2999, Some(17)), (3000, None)],
            (CommandState::Unverified, mismatch),
        ),
        (
            true,
            vec![(150, Some(32)), (12_149, Some(32)), (12_150, Some(32))],
            (CommandState::Unverified, mismatch),
        ),
        (
            true,
            vec![(150, Some(99)), (3000, None)],
            (CommandState::Unverified, lost),
        ),
        (true, vec![(3000, None)], (CommandState::Unverified, lost)),
        (
            false,
            vec![(150, Some(17)), (3000, None)],
            (CommandState::Unknown, mismatch),
        ),
        (false, vec![(3000, None)], (CommandState::Unknown, lost)),
    ] {
        let (_, outcome) = verify_open(acknowledged, &states);
        assert_eq!(code(&outcome), expected, "{states:?}");
    }
    let (_, outcome) = verify_open(true, &[(150, Some(19)), (3000, None)]);
    assert_eq!(outcome.reason.unwrap().detail, "state is stopped");
    let (_, outcome) = verify_open(true, &[(3000, None)]);
    assert_eq!(outcome.reason.unwrap().detail, "", "the code says it all");
}

#[test]
fn what_was_read_before_the_write_proves_nothing() {
    let gate = profile("gate.came.crp");
    let start = Moment::now();
    let mut state = device(&gate, start, Some(false));
    gate_is(&mut state, 16, start);
    let order = order(&gate, command("open", &[]), start.mono).unwrap();
    let mut execution = Execution::new(order, &gate, state.samples(), true, start.mono);
    assert_eq!(
        execution.handle_samples(&gate, state.samples(), start.mono),
        None
    );
    let later = start.plus(Duration::from_millis(150));
    assert_eq!(
        execution.handle_samples(&gate, state.samples(), later.mono),
        None
    );
    gate_is(&mut state, 16, later);
    let outcome = execution
        .handle_samples(&gate, state.samples(), later.mono)
        .unwrap();
    assert_eq!(
        outcome.state,
        CommandState::Succeeded,
        "already open is open"
    );
}

#[test]
fn a_stop_is_done_when_the_arm_rests_and_not_when_it_went_to_its_end() {
    for (before, after, done) in [
        (32, 19, true),
        (32, 18, true),
        (16, 16, true),
        (17, 17, true),
        (32, 16, false),
        (33, 17, false),
        (17, 16, false),
        (32, 32, false),
    ] {
        let gate = profile("gate.came.crp");
        let start = Moment::now();
        let mut state = device(&gate, start, Some(false));
        gate_is(&mut state, before, start);
        let order = order(&gate, command("stop", &[]), start.mono).unwrap();
        let mut execution = Execution::new(order, &gate, state.samples(), true, start.mono);
        let now = start.plus(SECOND);
        gate_is(&mut state, after, now);
        let outcome = execution.handle_samples(&gate, state.samples(), now.mono);
        let succeeded = Outcome::plain(CommandState::Succeeded);
        assert_eq!(outcome, done.then_some(succeeded), "{before} {after}");
    }
}

#[test]
fn a_reboot_is_done_when_the_uptime_is_shorter_than_the_wait() {
    let kiosk = profile("kiosk.jsonl");
    let start = Moment::now();
    let mut state = device(&kiosk, start, Some(false));
    let order = order(
        &kiosk,
        command("reboot", &[("delay", Value::Number(5.0))]),
        start.mono,
    )
    .unwrap();
    let mut execution = Execution::new(order, &kiosk, state.samples(), true, start.mono);
    assert_eq!(execution.deadline(), start.mono + SECOND * 185);
    for (seconds, uptime, done) in [(1, 1, false), (5, 5, false), (12, 11, false), (20, 3, true)] {
        let now = start.plus(SECOND * seconds);
        let reply = serde_json::json!({ "uptime": uptime });
        state.handle_answer(0, &Raw::Json(reply), now);
        let outcome = execution.handle_samples(&kiosk, state.samples(), now.mono);
        assert_eq!(outcome.is_some(), done, "at {seconds} s");
    }
}

#[test]
fn recovery_is_seen_on_the_rule_itself_before_its_off_delay_is_over() {
    let printer = profile("printer.escpos");
    let start = Moment::now();
    let mut state = device(&printer, start, Some(false));
    let block = 2;
    state.handle_answer(block, &Raw::Byte(0x1A), start);
    assert_eq!(state.samples()[2].quality, Quality::Good);
    let order = order(&printer, command("recover", &[]), start.mono).unwrap();
    let mut execution = Execution::new(order, &printer, state.samples(), true, start.mono);
    let now = start.plus(SECOND);
    state.handle_answer(block, &Raw::Byte(0x1A), now);
    assert_eq!(
        execution.handle_samples(&printer, state.samples(), now.mono),
        None
    );
    let now = start.plus(SECOND * 2);
    state.handle_answer(block, &Raw::Byte(0x12), now);
    let outcome = execution
        .handle_samples(&printer, state.samples(), now.mono)
        .unwrap();
    assert_eq!(outcome.state, CommandState::Succeeded);
}
