//! How each kind of equipment behaves: time and requests in, answers and happenings out.
//!
//! Pure: `now` is passed in, bytes are passed in. A device's task owns one [`Equipment`], moves it with
//! `step`, and writes its happenings to the truth log before anybody outside can see their effect.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::fault::{Fault, Kind};

mod gate;
mod kiosk;
mod printer;

pub(crate) use gate::Gate;
pub use gate::{Coil, GateStatus, Pulses};
pub(crate) use kiosk::{DELAY_MAX, Kiosk};
pub(crate) use printer::Printer;

/// Something that really happened to a device, for the truth log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A momentary coil was written on.
    Pulse(Coil),
    /// A gate's arm came to rest at an end of its way or half-way.
    Reached(GateStatus),
    /// A kiosk went down to start again.
    Rebooting,
    /// A kiosk is back.
    Rebooted,
    /// A request from outside cured a fault.
    Cured(Fault),
}

/// What a gate is, for whoever asks the simulator and not the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GateState {
    /// What the arm does.
    pub status: GateStatus,
    /// How far open the arm really is, 0 to 100, also while the board cannot tell.
    pub position_percent: u16,
    /// Coil pulses since the start.
    pub pulses: Pulses,
}

/// One simulated machine of any kind.
#[derive(Debug)]
pub(crate) enum Equipment {
    Gate(Gate),
    Kiosk(Kiosk),
    Printer(Printer),
}

impl Equipment {
    /// A healthy machine; `id` seeds what differs between two of a kind (serial number, temperature, levels).
    pub(crate) fn new(kind: Kind, id: &str, now: Instant) -> Self {
        match kind {
            Kind::Gate => Self::Gate(Gate::new(id, now)),
            Kind::Kiosk => Self::Kiosk(Kiosk::new(id, now)),
            Kind::Printer => Self::Printer(Printer::new()),
        }
    }

    /// Brings the machine to `now`; `now` never goes back.
    pub(crate) fn step(&mut self, now: Instant) {
        match self {
            Self::Gate(gate) => gate.step(now),
            Self::Kiosk(kiosk) => kiosk.step(now),
            Self::Printer(_) => {}
        }
    }

    /// When the machine will next do something by itself that belongs in the truth log.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Gate(gate) => gate.deadline(),
            Self::Kiosk(kiosk) => kiosk.deadline(),
            Self::Printer(_) => None,
        }
    }

    /// Answers one request as the wire's framing cut it out; `None` says nothing.
    pub(crate) fn handle_request(&mut self, request: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.step(now);
        if self.is_mute() {
            return None;
        }
        match self {
            Self::Gate(gate) => crate::wire::modbus::answer(request, gate),
            Self::Kiosk(kiosk) => crate::wire::json_lines::answer(request, kiosk),
            Self::Printer(printer) => crate::wire::escpos::answer(request, printer),
        }
    }

    /// Whether the line stays open while nothing is answered.
    pub(crate) fn is_mute(&self) -> bool {
        let rebooting = matches!(self, Self::Kiosk(kiosk) if kiosk.is_down());
        rebooting || self.faults().contains(Fault::Silent)
    }

    /// Whether connections are refused.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.faults().contains(Fault::Disconnected)
    }

    /// Switches a fault; false when it already was as wished.
    pub(crate) fn switch(&mut self, fault: Fault, on: bool, now: Instant) -> bool {
        self.step(now);
        match self {
            Self::Gate(gate) => gate.switch(fault, on),
            Self::Kiosk(kiosk) => kiosk.faults.switch(fault, on),
            Self::Printer(printer) => printer.faults.switch(fault, on),
        }
    }

    /// The faults that are on.
    pub(crate) fn faults(&self) -> &Faults {
        match self {
            Self::Gate(gate) => &gate.faults,
            Self::Kiosk(kiosk) => &kiosk.faults,
            Self::Printer(printer) => &printer.faults,
        }
    }

    /// What happened since the last call, in order.
    pub(crate) fn take_happenings(&mut self) -> Vec<Happening> {
        match self {
            Self::Gate(gate) => std::mem::take(&mut gate.happenings),
            Self::Kiosk(kiosk) => std::mem::take(&mut kiosk.happenings),
            Self::Printer(printer) => std::mem::take(&mut printer.happenings),
        }
    }

    /// The state of a gate's arm; `None` for what has no arm.
    pub(crate) fn gate_state(&self) -> Option<GateState> {
        match self {
            Self::Gate(gate) => Some(gate.state()),
            Self::Kiosk(_) | Self::Printer(_) => None,
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

    pub(crate) fn to_vec(&self) -> Vec<Fault> {
        self.0.iter().copied().collect()
    }
}

/// A number that is the same for the same id in every run (FNV-1a), so that truth stays comparable over restarts.
fn seed(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
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

    #[test]
    fn a_silent_device_neither_answers_nor_acts() {
        let now = Instant::now();
        let open = [0, 1, 0, 0, 0, 6, 1, 5, 0, 1, 0xFF, 0];
        let mut gate = Equipment::new(Kind::Gate, "gate-1", now);
        assert!(gate.switch(Fault::Silent, true, now));
        assert!(
            !gate.switch(Fault::Silent, true, now),
            "a second switch changes nothing"
        );
        assert_eq!(gate.handle_request(&open, now), None);
        assert_eq!(gate.take_happenings(), []);

        assert!(gate.switch(Fault::Silent, false, now));
        assert_eq!(gate.handle_request(&open, now).as_deref(), Some(&open[..]));
        assert_eq!(gate.take_happenings(), [Happening::Pulse(Coil::Open)]);
    }
}
