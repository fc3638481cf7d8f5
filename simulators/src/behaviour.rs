//! How each kind of equipment behaves: time and requests in, answers and happenings out.
//!
//! Pure: `now` is passed in, bytes are passed in. A device's task owns one [`Equipment`], moves it with
//! `step`, and writes its happenings to the truth log before anybody outside can see their effect.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::fault::{Fault, Kind, Medium};
use crate::wire::Answer;
use crate::wire::disturbance::{self, Dice};
use crate::wire::modbus::{Call, pdu};

mod gate;
mod kiosk;
mod loop_detector;
mod printer;

pub(crate) use gate::Gate;
pub use gate::{Coil, GateStatus, Pulses};
pub(crate) use kiosk::{DELAY_MAX, Kiosk};
pub(crate) use loop_detector::LoopDetector;
pub use loop_detector::LoopState;
pub(crate) use printer::Printer;

/// How long a board is gone that lost its power.
const REBOOT: Duration = Duration::from_secs(20);

/// What a device gives in one read while the fault `max_regs` is on.
const FEW_REGISTERS: u16 = 2;

/// What a gateway says for a unit that is not there (MODBUS Application Protocol, section 7).
const TARGET_FAILED_TO_RESPOND: u8 = 11;

/// Something that really happened to a device, for the truth log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A momentary coil was written on.
    Pulse(Coil),
    /// A gate's arm came to rest at an end of its way or half-way.
    Reached(GateStatus),
    /// A vehicle came to a loop and made its counter this.
    Vehicle(u32),
    /// A kiosk or a board went down to start again.
    Rebooting,
    /// It is back.
    Rebooted,
    /// A request from outside cured a fault.
    Cured(Fault),
    /// A fault's time was over.
    Over(Fault),
}

/// What a gate is, for whoever asks the simulator and not the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GateState {
    /// What the arm does.
    pub status: GateStatus,
    /// How far open the arm really is, 0 to 100, also while the board cannot tell.
    pub position_percent: u16,
    /// What the operation counter really is.
    pub operations: u32,
    /// Coil pulses since the start.
    pub pulses: Pulses,
}

/// One simulated machine of any kind.
#[derive(Debug, Clone)]
enum Machine {
    Gate(Gate),
    Loop(LoopDetector),
    Kiosk(Kiosk),
    Printer(Printer),
}

/// A machine, and its end of the wire.
#[derive(Debug)]
pub(crate) struct Equipment {
    machine: Machine,
    medium: Medium,
    /// Its address, of what speaks Modbus.
    unit: u8,
    dice: Dice,
    /// What reads show while the fault `frozen` is on.
    frozen: Option<Machine>,
    /// When the board that lost its power is back.
    back_at: Option<Instant>,
}

impl Equipment {
    /// A healthy machine; `id` seeds what differs between two of a kind (serial number, temperature, levels, traffic).
    pub(crate) fn new(kind: Kind, medium: Medium, unit: u8, id: &str, now: Instant) -> Self {
        let machine = match kind {
            Kind::Gate => Machine::Gate(Gate::new(id, now)),
            Kind::Loop => Machine::Loop(LoopDetector::new(id, unit, now)),
            Kind::Kiosk => Machine::Kiosk(Kiosk::new(id, now)),
            Kind::Printer => Machine::Printer(Printer::new()),
        };
        Self {
            machine,
            medium,
            unit,
            dice: Dice::new(seed(id)),
            frozen: None,
            back_at: None,
        }
    }

    /// Brings the machine to `now`; `now` never goes back.
    pub(crate) fn step(&mut self, now: Instant) {
        match &mut self.machine {
            Machine::Gate(gate) => gate.step(now),
            Machine::Loop(detector) => detector.step(now),
            Machine::Kiosk(kiosk) => kiosk.step(now),
            Machine::Printer(_) => {}
        }
        if self.back_at.is_some_and(|back_at| back_at <= now) {
            self.power_on();
            self.machine.faults_mut().switch(Fault::Reboot, false);
            self.machine
                .happenings()
                .push(Happening::Over(Fault::Reboot));
        }
    }

    /// The board starts again, whether its time was over or somebody ended the fault.
    fn power_on(&mut self) {
        self.back_at = None;
        match &mut self.machine {
            Machine::Gate(gate) => gate.power_on(),
            Machine::Loop(detector) => detector.power_on(),
            Machine::Kiosk(_) | Machine::Printer(_) => {}
        }
        self.machine.happenings().push(Happening::Rebooted);
    }

    /// When the machine will next do something by itself that belongs in the truth log.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = match &self.machine {
            Machine::Gate(gate) => gate.deadline(),
            Machine::Loop(detector) => detector.deadline(),
            Machine::Kiosk(kiosk) => kiosk.deadline(),
            Machine::Printer(_) => None,
        };
        own.into_iter().chain(self.back_at).min()
    }

    /// Answers one request as the wire's framing cut it out.
    pub(crate) fn handle_request(&mut self, request: &[u8], now: Instant) -> Answer {
        self.step(now);
        if self.is_mute() {
            return Answer::default();
        }
        let frame = match &mut self.machine {
            Machine::Gate(_) | Machine::Loop(_) => self.answer_modbus(request),
            Machine::Kiosk(kiosk) => crate::wire::json_lines::answer(request, kiosk),
            Machine::Printer(printer) => crate::wire::escpos::answer(request, printer),
        };
        match frame {
            Some(frame) => disturbance::send(self.machine.faults(), &mut self.dice, frame),
            None => Answer::default(),
        }
    }

    fn answer_modbus(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let call = Call::open(self.medium, request)?;
        let (&function, _) = call.pdu.split_first()?;
        if !call.is_for(self.unit) {
            // A bus has others; a port of its own is a gateway to nobody else.
            let refusal = pdu::exception(function, TARGET_FAILED_TO_RESPOND);
            return (self.medium == Medium::Tcp).then(|| call.seal(&refusal));
        }
        let reply = self.reply(function, call.pdu);
        if call.is_broadcast() {
            return None;
        }
        let faults = self.machine.faults();
        Some(disturbance::frame(faults, &mut self.dice, call, reply))
    }

    fn reply(&mut self, function: u8, request: &[u8]) -> Vec<u8> {
        let faults = self.machine.faults();
        if let Some(code) = faults.iter().find_map(Fault::exception) {
            return pdu::exception(function, code);
        }
        let words_max = if faults.contains(Fault::MaxRegs) {
            FEW_REGISTERS
        } else {
            u16::MAX
        };
        let reads = (1..=4).contains(&function);
        let machine = match &mut self.frozen {
            Some(frozen) if reads => frozen,
            _ => &mut self.machine,
        };
        match machine {
            Machine::Gate(gate) => pdu::answer(request, gate, words_max),
            Machine::Loop(detector) => pdu::answer(request, detector, words_max),
            Machine::Kiosk(_) | Machine::Printer(_) => unreachable!("they do not speak Modbus"),
        }
    }

    /// Whether the line stays open while nothing is answered.
    fn is_mute(&self) -> bool {
        let rebooting = matches!(&self.machine, Machine::Kiosk(kiosk) if kiosk.is_down());
        rebooting || self.back_at.is_some() || self.faults().contains(Fault::Silent)
    }

    /// Whether connections are refused.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.faults().contains(Fault::Disconnected)
    }

    /// Switches a fault; false when it already was as wished.
    pub(crate) fn switch(&mut self, fault: Fault, on: bool, now: Instant) -> bool {
        self.step(now);
        let changed = match &mut self.machine {
            Machine::Gate(gate) => gate.switch(fault, on),
            machine => machine.faults_mut().switch(fault, on),
        };
        match fault {
            Fault::Frozen if changed => self.frozen = on.then(|| self.machine.clone()),
            Fault::Reboot if changed && on => {
                self.back_at = Some(now + REBOOT);
                self.machine.happenings().push(Happening::Rebooting);
            }
            Fault::Reboot if changed => self.power_on(),
            _ => {}
        }
        changed
    }

    /// The faults that are on.
    pub(crate) fn faults(&self) -> &Faults {
        self.machine.faults()
    }

    /// What happened since the last call, in order.
    pub(crate) fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(self.machine.happenings())
    }

    /// The state of a gate's arm; `None` for what has no arm.
    pub(crate) fn gate_state(&self) -> Option<GateState> {
        match &self.machine {
            Machine::Gate(gate) => Some(gate.state()),
            Machine::Loop(_) | Machine::Kiosk(_) | Machine::Printer(_) => None,
        }
    }

    /// The state of a loop; `None` for what has none.
    pub(crate) fn loop_state(&self) -> Option<LoopState> {
        match &self.machine {
            Machine::Loop(detector) => Some(detector.state()),
            Machine::Gate(_) | Machine::Kiosk(_) | Machine::Printer(_) => None,
        }
    }
}

impl Machine {
    fn faults(&self) -> &Faults {
        match self {
            Self::Gate(gate) => &gate.faults,
            Self::Loop(detector) => &detector.faults,
            Self::Kiosk(kiosk) => &kiosk.faults,
            Self::Printer(printer) => &printer.faults,
        }
    }

    fn faults_mut(&mut self) -> &mut Faults {
        match self {
            Self::Gate(gate) => &mut gate.faults,
            Self::Loop(detector) => &mut detector.faults,
            Self::Kiosk(kiosk) => &mut kiosk.faults,
            Self::Printer(printer) => &mut printer.faults,
        }
    }

    fn happenings(&mut self) -> &mut Vec<Happening> {
        match self {
            Self::Gate(gate) => &mut gate.happenings,
            Self::Loop(detector) => &mut detector.happenings,
            Self::Kiosk(kiosk) => &mut kiosk.happenings,
            Self::Printer(printer) => &mut printer.happenings,
        }
    }
}

/// The faults of one device that are on.
#[derive(Debug, Default, Clone)]
pub(crate) struct Faults(BTreeSet<Fault>);

impl Faults {
    pub(crate) fn contains(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// Switches `fault`; false when it already was as wished.
    pub(crate) fn switch(&mut self, fault: Fault, on: bool) -> bool {
        if on {
            self.0.insert(fault)
        } else {
            self.0.remove(&fault)
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Fault> {
        self.0.iter().copied()
    }
}

/// A number that is the same for the same id in every run (FNV-1a), so that truth stays comparable over restarts.
fn seed(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn low_word(value: u32) -> u16 {
    u16::try_from(value & 0xFFFF).expect("masked")
}

fn high_word(value: u32) -> u16 {
    u16::try_from(value >> 16).expect("shifted")
}

/// Milliseconds from `start` to `now`, for arithmetic with periods.
fn millis_since(start: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX)
}

/// A value that goes evenly from 0 up to `height` and down again within each `period`.
fn triangle(elapsed_ms: u64, period: Duration, height: u64) -> u64 {
    let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX).max(2);
    let half = period_ms / 2;
    let phase = elapsed_ms % period_ms;
    let distance = if phase <= half {
        phase
    } else {
        period_ms - phase
    };
    distance * height / half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::modbus::rtu;

    #[test]
    fn a_triangle_goes_up_and_comes_down() {
        let period = Duration::from_secs(10);
        let check = |elapsed_ms, expected| {
            assert_eq!(
                triangle(elapsed_ms, period, 4),
                expected,
                "at {elapsed_ms} ms"
            );
        };
        check(0, 0);
        check(2_500, 2);
        check(5_000, 4);
        check(7_500, 2);
        check(10_000, 0);
        check(12_500, 2);
    }

    const OPEN: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 5, 0, 1, 0xFF, 0];
    const COUNTER: [u8; 5] = [3, 0, 9, 0, 2];

    fn gate(now: Instant) -> Equipment {
        Equipment::new(Kind::Gate, Medium::Tcp, 1, "gate-1", now)
    }

    /// A detector that is unit 7 of a bus.
    fn detector(now: Instant) -> Equipment {
        Equipment::new(Kind::Loop, Medium::Bus, 7, "loop-1", now)
    }

    /// What comes back from the bus for `pdu` to `unit`, without frame.
    fn call(equipment: &mut Equipment, unit: u8, pdu: &[u8], now: Instant) -> Option<Vec<u8>> {
        let answer = equipment.handle_request(&rtu::seal(unit, pdu), now);
        let bytes: Vec<u8> = answer
            .parts
            .into_iter()
            .flat_map(|part| part.bytes)
            .collect();
        let (answering, reply) = rtu::open(&bytes)?;
        assert_eq!(answering, unit);
        Some(reply.to_vec())
    }

    #[test]
    fn a_silent_device_neither_answers_nor_acts() {
        let now = Instant::now();
        let mut gate = gate(now);
        assert!(gate.switch(Fault::Silent, true, now));
        assert!(
            !gate.switch(Fault::Silent, true, now),
            "a second switch changes nothing"
        );
        assert_eq!(gate.handle_request(&OPEN, now), Answer::default());
        assert_eq!(gate.take_happenings(), []);

        assert!(gate.switch(Fault::Silent, false, now));
        assert_eq!(
            gate.handle_request(&OPEN, now),
            Answer::whole(OPEN.to_vec())
        );
        assert_eq!(gate.take_happenings(), [Happening::Pulse(Coil::Open)]);
    }

    #[test]
    fn a_port_of_its_own_is_a_gateway_to_nobody_and_a_bus_has_others() {
        let now = Instant::now();
        let mut other = OPEN;
        other[6] = 2;
        let refused = [0, 1, 0, 0, 0, 3, 2, 0x85, TARGET_FAILED_TO_RESPOND];
        assert_eq!(
            gate(now).handle_request(&other, now),
            Answer::whole(refused.to_vec())
        );

        let mut detector = detector(now);
        assert!(call(&mut detector, 7, &COUNTER, now).is_some());
        assert_eq!(call(&mut detector, 8, &COUNTER, now), None);
        let to_all = call(&mut detector, 0, &[6, 0, 9, 0, 2], now);
        assert_eq!(to_all, None, "a broadcast is obeyed and not answered");
        assert_eq!(
            call(&mut detector, 7, &COUNTER, now).unwrap()[..4],
            [3, 4, 0, 2]
        );
    }

    #[test]
    fn an_exception_is_all_that_comes_and_nothing_is_done() {
        let now = Instant::now();
        let mut gate = gate(now);
        gate.switch(Fault::Exception6, true, now);
        let busy = [0, 1, 0, 0, 0, 3, 1, 0x85, 6];
        assert_eq!(
            gate.handle_request(&OPEN, now),
            Answer::whole(busy.to_vec())
        );
        assert_eq!(gate.take_happenings(), []);
    }

    #[test]
    fn few_registers_are_given_while_the_device_has_that_fault() {
        let now = Instant::now();
        let mut detector = detector(now);
        detector.switch(Fault::MaxRegs, true, now);
        assert_eq!(
            call(&mut detector, 7, &[3, 0, 2, 0, 3], now),
            Some(vec![0x83, 3])
        );
        assert_eq!(call(&mut detector, 7, &COUNTER, now).unwrap()[0], 3);
    }

    #[test]
    fn what_is_frozen_shows_the_past_and_goes_on_behind_it() {
        let now = Instant::now();
        let mut detector = detector(now);
        let shown = call(&mut detector, 7, &COUNTER, now).unwrap();
        detector.switch(Fault::Frozen, true, now);
        let later = now + Duration::from_secs(60);
        assert_eq!(call(&mut detector, 7, &COUNTER, later).unwrap(), shown);
        let counted = detector.loop_state().unwrap().vehicles;
        detector.switch(Fault::Frozen, false, later);
        let thawed = call(&mut detector, 7, &COUNTER, later).unwrap();
        assert_eq!(thawed[2..], counted.to_be_bytes());
        assert_ne!(thawed, shown);
    }

    #[test]
    fn a_board_that_lost_its_power_is_mute_and_comes_back_by_itself() {
        let now = Instant::now();
        let mut detector = detector(now);
        detector.take_happenings();
        assert!(detector.switch(Fault::Reboot, true, now));
        let end = now + REBOOT;
        assert_eq!(
            call(&mut detector, 7, &COUNTER, end - Duration::from_millis(1)),
            None
        );
        assert_eq!(
            call(&mut detector, 7, &COUNTER, end),
            Some(vec![3, 4, 0, 0, 0, 0])
        );
        let power: Vec<_> = detector
            .take_happenings()
            .into_iter()
            .filter(|happening| !matches!(happening, Happening::Vehicle(_)))
            .collect();
        assert_eq!(
            power,
            [
                Happening::Rebooting,
                Happening::Rebooted,
                Happening::Over(Fault::Reboot)
            ]
        );
        assert_eq!(detector.faults().iter().count(), 0);
    }
}
