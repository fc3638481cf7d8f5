//! Tables: what a gate shows after each pulse, at each time.

use super::*;

/// One thing done to a gate, or the passing of time.
#[derive(Debug, Clone, Copy)]
enum Do {
    Pulse(Coil),
    Wait(u64),
    On(Fault),
    Off(Fault),
}

use Do::{Off, On, Pulse, Wait};

fn run(steps: &[Do]) -> Gate {
    let mut now = Instant::now();
    let mut gate = Gate::new("gate-1", now);
    for step in steps {
        match *step {
            Pulse(coil) => gate.pulse(coil),
            Wait(ms) => {
                now += Duration::from_millis(ms);
                gate.step(now);
            }
            On(fault) => assert!(gate.switch(fault, true)),
            Off(fault) => assert!(gate.switch(fault, false)),
        }
    }
    gate
}

#[track_caller]
fn check(steps: &[Do], status: u16, position: u16) {
    let gate = run(steps);
    assert_eq!(
        (gate.holding_register(100), gate.holding_register(101)),
        (Some(status), Some(position)),
        "{steps:?}"
    );
}

#[test]
fn coils_move_the_arm_in_four_seconds() {
    use Coil::{Close, Open, Partial, Stop};
    check(&[], 17, 0);
    check(&[Pulse(Open)], 32, 0);
    check(&[Pulse(Open), Wait(1_000)], 32, 25);
    check(&[Pulse(Open), Wait(3_999)], 32, 99);
    check(&[Pulse(Open), Wait(4_000)], 16, 100);
    check(
        &[Pulse(Open), Wait(9_000), Pulse(Close), Wait(1_000)],
        33,
        75,
    );
    check(
        &[Pulse(Open), Wait(9_000), Pulse(Close), Wait(4_000)],
        17,
        0,
    );
    check(
        &[Pulse(Open), Wait(1_000), Pulse(Stop), Wait(5_000)],
        19,
        25,
    );
    check(&[Pulse(Stop)], 17, 0);
    check(&[Pulse(Partial), Wait(1_999)], 34, 49);
    check(&[Pulse(Partial), Wait(2_000)], 18, 50);
    check(
        &[Pulse(Open), Wait(4_000), Pulse(Partial), Wait(1_000)],
        33,
        75,
    );
    check(&[Pulse(Open), Wait(4_000), Pulse(Open), Wait(1)], 16, 100);
    // Turned round on the way: the way back is as long as the way was.
    check(
        &[Pulse(Open), Wait(1_000), Pulse(Close), Wait(1_000)],
        17,
        0,
    );
}

#[test]
fn step_turns_round_and_sequential_stops_first() {
    use Coil::{Sequential, Step};
    check(&[Pulse(Step), Wait(1_000)], 32, 25);
    check(&[Pulse(Step), Wait(1_000), Pulse(Step)], 33, 25);
    check(&[Pulse(Step), Wait(4_000), Pulse(Step)], 33, 100);
    check(&[Pulse(Sequential), Wait(1_000), Pulse(Sequential)], 19, 25);
    check(
        &[
            Pulse(Sequential),
            Wait(1_000),
            Pulse(Sequential),
            Pulse(Sequential),
        ],
        33,
        25,
    );
}

#[test]
fn a_jam_is_a_movement_without_an_end() {
    use Coil::{Close, Open, Stop};
    let jam = On(Fault::Jammed);
    let free = Off(Fault::Jammed);
    check(&[jam, Wait(60_000)], 32, 0);
    check(&[Pulse(Open), Wait(1_000), jam, Wait(60_000)], 32, 25);
    check(&[jam, Wait(1_000), Pulse(Stop), Wait(1_000)], 19, 0);
    // Asked for before the jam: goes on. Begun by the jam: goes back to where it came from.
    check(
        &[
            Pulse(Open),
            Wait(1_000),
            jam,
            Wait(60_000),
            free,
            Wait(3_000),
        ],
        16,
        100,
    );
    check(&[jam, Wait(60_000), free, Wait(1)], 17, 0);
    check(
        &[Pulse(Open), Wait(4_000), jam, Wait(60_000), free, Wait(1)],
        16,
        100,
    );
    check(&[jam, Pulse(Close), Wait(60_000)], 17, 0);
    check(&[jam, Pulse(Open), Wait(1), free, Wait(4_000)], 16, 100);
}

#[test]
fn a_stuck_arm_takes_the_pulse_and_stays() {
    let gate = run(&[On(Fault::Stuck), Pulse(Coil::Open), Wait(10_000)]);
    assert_eq!(gate.holding_register(100), Some(17));
    assert_eq!(gate.pulses.open, 1);
    assert_eq!(gate.happenings, [Happening::Pulse(Coil::Open)]);
}

#[test]
fn an_uncalibrated_board_does_not_know_where_the_arm_is() {
    check(&[On(Fault::Uncalibrated)], 17, 255);
    assert_eq!(run(&[On(Fault::Uncalibrated)]).flags(), 1);
    check(&[On(Fault::Uncalibrated), Off(Fault::Uncalibrated)], 17, 0);
    assert_eq!(run(&[]).flags(), 0);
}

#[test]
fn reset_acknowledges_the_boards_error() {
    let gate = run(&[On(Fault::Error)]);
    assert_eq!(gate.holding_register(103), Some(17));
    let gate = run(&[On(Fault::Error), Pulse(Coil::Reset)]);
    assert_eq!(gate.holding_register(103), Some(0));
    assert_eq!(
        gate.happenings,
        [
            Happening::Pulse(Coil::Reset),
            Happening::Cured(Fault::Error)
        ]
    );
}

#[test]
fn counters_are_low_word_first_and_count_what_ended() {
    let count = |gate: &Gate, low: u16| {
        let word = |address| u32::from(gate.holding_register(address).unwrap());
        word(low) | word(low + 1) << 16
    };
    let before = run(&[]);
    let after = run(&[
        Pulse(Coil::Open),
        Wait(4_000),
        Pulse(Coil::Close),
        Wait(4_000),
        Pulse(Coil::Partial),
        Wait(2_000),
        Pulse(Coil::Open),
        Wait(1_000),
        Pulse(Coil::Stop),
    ]);
    assert!(
        before.holding_register(105) > Some(0),
        "both words are in use"
    );
    assert_eq!(count(&after, 104) - count(&before, 104), 2);
    assert_eq!(count(&after, 106) - count(&before, 106), 1);
}

#[test]
fn the_truth_knows_pulses_and_ends() {
    let gate = run(&[
        Pulse(Coil::Open),
        Wait(5_000),
        Pulse(Coil::Close),
        Wait(1_000),
    ]);
    assert_eq!(
        gate.happenings,
        [
            Happening::Pulse(Coil::Open),
            Happening::Reached(GateStatus::Open),
            Happening::Pulse(Coil::Close),
        ]
    );
}

#[test]
fn a_deadline_exists_only_while_the_arm_can_arrive() {
    let left = |steps: &[Do]| {
        let gate = run(steps);
        gate.deadline().map(|at| at - gate.stepped)
    };
    assert_eq!(left(&[]), None);
    assert_eq!(
        left(&[Pulse(Coil::Open), Wait(1_000)]),
        Some(Duration::from_secs(3))
    );
    assert_eq!(left(&[Pulse(Coil::Open), On(Fault::Jammed)]), None);
}

#[test]
fn the_temperature_drifts_and_may_be_below_zero() {
    let celsius = |gate: &Gate| gate.holding_register(109).unwrap().cast_signed();
    assert_eq!(
        celsius(&run(&[Wait(300_000)])) - celsius(&run(&[])),
        6,
        "half a period later"
    );
    let cold = (0..50)
        .map(|n| Gate::new(&format!("gate-{n}"), Instant::now()))
        .any(|gate| celsius(&gate) < 0);
    assert!(cold, "no gate of fifty hangs in the cold");
}

#[test]
fn undefined_registers_and_coils_are_told_apart() {
    let gate = run(&[]);
    for address in [11, 99, 110, u16::MAX] {
        assert_eq!(gate.holding_register(address), None, "{address}");
    }
    for address in [6, 8] {
        assert_eq!(Coil::at(address), None, "{address}");
    }
    let serial: Vec<u8> = (4..=10)
        .flat_map(|address| gate.holding_register(address).unwrap().to_be_bytes())
        .collect();
    assert!(
        serial.starts_with(b"LS") && serial.len() == 14,
        "{serial:?}"
    );
}

/// What the board answers.
fn ask(gate: &mut Gate, request: &[u8]) -> Vec<u8> {
    crate::wire::modbus::pdu::answer(request, gate, u16::MAX)
}

#[test]
fn the_map_is_read_by_functions_1_to_3() {
    let mut gate = run(&[]);
    for (request, reply) in [
        (&[3, 0, 100, 0, 4][..], &[3, 8, 0, 17, 0, 0, 0, 0, 0, 0][..]),
        (&[3, 0, 0, 0, 4], &[3, 8, 3, 1, 0, 1, 0, 4, 0, 2]),
        (&[1, 0, 0, 0, 8], &[1, 1, 0]),
        (&[2, 0, 102, 0, 9], &[2, 2, 0, 0]),
        (&[2, 0, 0, 0, 1], &[0x82, 2]),
        (&[3, 0, 11, 0, 1], &[0x83, 2]),
        (&[3, 0, 109, 0, 2], &[0x83, 2]),
        (&[5, 0, 8, 0xFF, 0], &[0x85, 2]),
        (&[4, 0, 100, 0, 1], &[0x84, 1]),
        (&[6, 0, 100, 0, 1], &[0x86, 1]),
        (&[16, 0, 100, 0, 1, 2, 0, 1], &[0x90, 1]),
        (&[23, 0, 100, 0, 1, 0, 100, 0, 1, 2, 0, 1], &[0x97, 1]),
    ] {
        assert_eq!(ask(&mut gate, request), reply, "{request:02x?}");
    }
    let mut gate = run(&[On(Fault::Uncalibrated)]);
    assert_eq!(ask(&mut gate, &[2, 0, 102, 0, 9]), [2, 2, 1, 0]);
    assert_eq!(ask(&mut gate, &[2, 0, 103, 0, 1]), [2, 1, 0]);
}

#[test]
fn a_coil_that_is_written_on_pulses_once_and_one_that_is_written_off_does_not() {
    let mut gate = run(&[]);
    for value in [0xFF, 0] {
        let write = [5, 0, 1, value, 0];
        assert_eq!(ask(&mut gate, &write), write);
    }
    let pulses = gate.state().pulses;
    assert_eq!((pulses.open, pulses.total()), (1, 1));

    let reply = ask(&mut gate, &[15, 0, 0, 0, 8, 1, 0b1100_0001]);
    assert_eq!(reply, [15, 0, 0, 0, 8]);
    let pulses = gate.state().pulses;
    assert_eq!((pulses.stop, pulses.reset, pulses.total()), (1, 1, 3));
    assert_eq!(ask(&mut gate, &[15, 0, 1, 0, 8, 1, 0xFF]), [0x8F, 2]);
    assert_eq!(gate.state().pulses.total(), 3, "all or nothing");
}

#[test]
fn power_that_comes_back_finds_the_arm_where_it_was() {
    let mut gate = run(&[Pulse(Coil::Open), Wait(1_000)]);
    gate.power_on();
    assert_eq!(
        (gate.state().status, gate.state().position_percent),
        (GateStatus::Stopped, 25)
    );
    assert_eq!(gate.holding_register(106), Some(0));
}

#[test]
fn a_torn_counter_has_one_word_from_after_a_carry() {
    let right = run(&[]).holding_register(105).unwrap();
    let torn = run(&[On(Fault::TornCounter)]);
    assert_eq!(torn.holding_register(105), Some(right + 1));
    assert_eq!(torn.holding_register(104), run(&[]).holding_register(104));
}
