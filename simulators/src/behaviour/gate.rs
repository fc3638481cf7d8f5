//! A barrier gate's arm and board (CAME "Modbus Register Map").
//!
//! | status | leaves it |
//! |---|---|
//! | closed 17, open 16, partial 18, stopped 19 | a coil: OPEN, PARTIAL, CLOSE, STEP (to the other end), SEQUENTIAL (the next of open-stop-close-stop) |
//! | opening 32, closing 33, partial opening 34 | the end of the way; STOP; another coil turns the arm round |
//!
//! Pure. Coils are momentary: writing one on is a pulse, writing it off is nothing, reading it gives off.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::behaviour::{
    Faults, GateState, Happening, high_word, low_word, millis_since, seed, triangle,
};
use crate::fault::Fault;
use crate::wire::modbus::pdu::Tables;

/// From closed to open: a parking barrier takes 2 to 6 seconds.
const TRAVEL: Duration = Duration::from_secs(4);

/// The board's error code while the fault `error` is on: an accessory failed its self-test.
const ERROR_CODE: u16 = 17;

/// The day's warming and cooling, shortened so that a watcher sees the value move.
const TEMPERATURE_PERIOD: Duration = Duration::from_secs(600);

/// What a gate's arm does: register 40101.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateStatus {
    /// At the open end.
    Open,
    /// At the closed end.
    Closed,
    /// At rest half-way, as asked.
    Partial,
    /// At rest anywhere, after STOP.
    Stopped,
    /// On the way to the open end.
    Opening,
    /// On the way to the closed end.
    Closing,
    /// On the way half up.
    PartialOpening,
}

impl GateStatus {
    /// The status as the register shows it.
    pub fn code(self) -> u16 {
        match self {
            Self::Open => 16,
            Self::Closed => 17,
            Self::Partial => 18,
            Self::Stopped => 19,
            Self::Opening => 32,
            Self::Closing => 33,
            Self::PartialOpening => 34,
        }
    }

    /// The status as the truth log and the control interface say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Partial => "partial",
            Self::Stopped => "stopped",
            Self::Opening => "opening",
            Self::Closing => "closing",
            Self::PartialOpening => "partial_opening",
        }
    }
}

/// A momentary coil of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Coil {
    /// Coil 1.
    Stop,
    /// Coil 2.
    Open,
    /// Coil 3: open half.
    Partial,
    /// Coil 4.
    Close,
    /// Coil 5: to the other end, turning round while moving.
    Step,
    /// Coil 6: open, stop, close, stop.
    Sequential,
    /// Coil 8: acknowledges the board's error.
    Reset,
}

impl Coil {
    /// The coil at `address`, counted from 0 as on the wire; coil 7 does not exist.
    pub fn at(address: u16) -> Option<Self> {
        match address {
            0 => Some(Self::Stop),
            1 => Some(Self::Open),
            2 => Some(Self::Partial),
            3 => Some(Self::Close),
            4 => Some(Self::Step),
            5 => Some(Self::Sequential),
            7 => Some(Self::Reset),
            _ => None,
        }
    }

    /// The coil as the truth log says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Open => "open",
            Self::Partial => "partial",
            Self::Close => "close",
            Self::Step => "step",
            Self::Sequential => "sequential",
            Self::Reset => "reset",
        }
    }
}

/// How often each coil of a gate was written on since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pulses {
    /// Coil 1.
    pub stop: u32,
    /// Coil 2.
    pub open: u32,
    /// Coil 3.
    pub partial: u32,
    /// Coil 4.
    pub close: u32,
    /// Coil 5.
    pub step: u32,
    /// Coil 6.
    pub sequential: u32,
    /// Coil 8.
    pub reset: u32,
}

impl Pulses {
    /// The pulses of one coil.
    pub fn of(&self, coil: Coil) -> u32 {
        match coil {
            Coil::Stop => self.stop,
            Coil::Open => self.open,
            Coil::Partial => self.partial,
            Coil::Close => self.close,
            Coil::Step => self.step,
            Coil::Sequential => self.sequential,
            Coil::Reset => self.reset,
        }
    }

    /// The pulses of all coils.
    pub fn total(&self) -> u32 {
        self.stop + self.open + self.partial + self.close + self.step + self.sequential + self.reset
    }

    fn count(&mut self, coil: Coil) {
        let counter = match coil {
            Coil::Stop => &mut self.stop,
            Coil::Open => &mut self.open,
            Coil::Partial => &mut self.partial,
            Coil::Close => &mut self.close,
            Coil::Step => &mut self.step,
            Coil::Sequential => &mut self.sequential,
            Coil::Reset => &mut self.reset,
        };
        *counter += 1;
    }
}

/// Where a moving arm goes.
#[derive(Debug, Clone, Copy)]
struct Motion {
    /// Distance from the closed end, in time of travel.
    target: Duration,
    /// Set when nobody asked for the motion but a jam began it: the arm goes back there when the jam is gone.
    back_to: Option<Duration>,
}

/// Coils 1 to 8; the seventh has no meaning, and is there.
const COILS: u16 = 8;

/// Discrete inputs 10103 to 10118: the bits of the flags word.
const FLAG_INPUTS: std::ops::Range<u16> = 102..118;

/// One barrier gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    seed: u64,
    serial: [u8; 14],
    started: Instant,
    stepped: Instant,
    /// Distance from the closed end, in time of travel: exact where a percentage would round.
    position: Duration,
    status: GateStatus,
    motion: Option<Motion>,
    last_motion_opened: bool,
    operations: u32,
    partial_operations: u32,
    pulses: Pulses,
    pub(crate) faults: Faults,
    pub(crate) happenings: Vec<Happening>,
}

impl Gate {
    pub(crate) fn new(id: &str, now: Instant) -> Self {
        let seed = seed(id);
        let digits = format!("LS{:012}", seed % 1_000_000_000_000);
        Self {
            seed,
            serial: digits
                .into_bytes()
                .try_into()
                .expect("two letters and twelve digits"),
            started: now,
            stepped: now,
            position: Duration::ZERO,
            status: GateStatus::Closed,
            motion: None,
            last_motion_opened: false,
            // Above 65535, so that the counter's two registers are both in use and their order shows.
            operations: 65_536 + u32::try_from(seed % 100_000).expect("below 100000"),
            partial_operations: u32::try_from(seed % 1_000).expect("below 1000"),
            pulses: Pulses::default(),
            faults: Faults::default(),
            happenings: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.stepped);
        self.stepped = now;
        let Some(motion) = self.motion else { return };
        if self.faults.contains(Fault::Jammed) {
            return;
        }
        let left = motion.target.abs_diff(self.position);
        if elapsed < left {
            if motion.target > self.position {
                self.position += elapsed;
            } else {
                self.position -= elapsed;
            }
            return;
        }
        self.position = motion.target;
        self.motion = None;
        self.status = rest_at(self.position);
        match self.status {
            GateStatus::Partial => self.partial_operations += 1,
            _ => self.operations += 1,
        }
        self.happenings.push(Happening::Reached(self.status));
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let motion = self
            .motion
            .filter(|_| !self.faults.contains(Fault::Jammed))?;
        Some(self.stepped + motion.target.abs_diff(self.position))
    }

    pub(crate) fn switch(&mut self, fault: Fault, on: bool) -> bool {
        let changed = self.faults.switch(fault, on);
        if fault == Fault::Jammed && changed {
            if on {
                self.begin_jam();
            } else if let Some(Motion {
                back_to: Some(origin),
                ..
            }) = self.motion
            {
                self.move_to(origin);
            }
        }
        changed
    }

    /// A jam is a movement that does not end; where none is under way, the arm begins one and gets nowhere.
    fn begin_jam(&mut self) {
        if self.motion.is_some() {
            return;
        }
        let origin = self.position;
        self.move_to(if origin == TRAVEL {
            Duration::ZERO
        } else {
            TRAVEL
        });
        if let Some(motion) = &mut self.motion {
            motion.back_to = Some(origin);
        }
    }

    /// Takes a pulse on `coil`.
    pub(crate) fn pulse(&mut self, coil: Coil) {
        self.pulses.count(coil);
        self.happenings.push(Happening::Pulse(coil));
        if coil == Coil::Reset {
            if self.faults.switch(Fault::Error, false) {
                self.happenings.push(Happening::Cured(Fault::Error));
            }
            return;
        }
        if self.faults.contains(Fault::Stuck) {
            return;
        }
        let moving = self.motion.is_some();
        match coil {
            Coil::Stop => self.stop(),
            Coil::Open => self.move_to(TRAVEL),
            Coil::Partial => self.move_to(TRAVEL / 2),
            Coil::Close => self.move_to(Duration::ZERO),
            Coil::Sequential if moving => self.stop(),
            Coil::Step | Coil::Sequential if self.last_motion_opened => {
                self.move_to(Duration::ZERO);
            }
            Coil::Step | Coil::Sequential => self.move_to(TRAVEL),
            Coil::Reset => unreachable!("handled above"),
        }
    }

    fn stop(&mut self) {
        if self.motion.take().is_some() {
            self.status = GateStatus::Stopped;
        }
    }

    fn move_to(&mut self, target: Duration) {
        if target == self.position {
            // Already there: the arm rests, or a jam's motion that had not left its origin is over.
            self.motion = None;
            self.status = rest_at(target);
            return;
        }
        self.last_motion_opened = target > self.position;
        self.motion = Some(Motion {
            target,
            back_to: None,
        });
        self.status = if target < self.position {
            GateStatus::Closing
        } else if target == TRAVEL {
            GateStatus::Opening
        } else {
            GateStatus::PartialOpening
        };
    }

    /// The power comes back: an arm that moved rests where it was, and the partial counter begins anew.
    pub(crate) fn power_on(&mut self) {
        self.stop();
        self.partial_operations = 0;
    }

    pub(crate) fn state(&self) -> GateState {
        GateState {
            status: self.status,
            position_percent: self.position_percent(),
            operations: self.operations,
            pulses: self.pulses,
        }
    }

    fn position_percent(&self) -> u16 {
        let percent = self.position.as_millis() * 100 / TRAVEL.as_millis();
        u16::try_from(percent).expect("the arm is never beyond its end")
    }

    /// Degrees Celsius; some boards hang in the cold, so that negative values are on the wire too.
    fn temperature(&self) -> i16 {
        let base = i16::try_from(self.seed % 30).expect("below 30") - 5;
        let drift = triangle(
            millis_since(self.started, self.stepped),
            TEMPERATURE_PERIOD,
            6,
        );
        base + i16::try_from(drift).expect("at most 6")
    }

    /// Bits of register 40103, which are discrete inputs 10103 to 10118 as well.
    fn flags(&self) -> u16 {
        u16::from(self.faults.contains(Fault::Uncalibrated))
    }

    /// Bit 0: limit switch open; bit 1: limit switch closed.
    fn inputs(&self) -> u16 {
        u16::from(self.position == TRAVEL) | u16::from(self.position.is_zero()) << 1
    }
}

/// Register 40001 is holding register 0.
impl Tables for Gate {
    fn functions(&self) -> &'static [u8] {
        &[1, 2, 3, 5, 15]
    }

    /// Momentary coils have fallen back before anybody can read them.
    fn coil(&self, address: u16) -> Option<bool> {
        (address < COILS).then_some(false)
    }

    fn discrete_input(&self, address: u16) -> Option<bool> {
        let bit = address.checked_sub(FLAG_INPUTS.start)?;
        FLAG_INPUTS
            .contains(&address)
            .then(|| self.flags() >> bit & 1 == 1)
    }

    fn holding_register(&self, address: u16) -> Option<u16> {
        const BOARD_ID: u16 = 0x0301;
        const FIRMWARE: [u16; 3] = [1, 4, 2];
        let torn = u16::from(self.faults.contains(Fault::TornCounter));
        let value = match address {
            0 => BOARD_ID,
            1..=3 => FIRMWARE[usize::from(address - 1)],
            4..=10 => {
                let first = usize::from(address - 4) * 2;
                u16::from_be_bytes([self.serial[first], self.serial[first + 1]])
            }
            100 => self.status.code(),
            101 if self.faults.contains(Fault::Uncalibrated) => 255,
            101 => self.position_percent(),
            102 => self.flags(),
            103 if self.faults.contains(Fault::Error) => ERROR_CODE,
            103 => 0,
            104 => low_word(self.operations),
            105 => high_word(self.operations).wrapping_add(torn),
            106 => low_word(self.partial_operations),
            107 => high_word(self.partial_operations).wrapping_add(torn),
            108 => self.inputs(),
            109 => self.temperature().cast_unsigned(),
            _ => return None,
        };
        Some(value)
    }

    fn write_coil(&mut self, address: u16, on: bool) {
        if on && let Some(coil) = Coil::at(address) {
            self.pulse(coil);
        }
    }
}

fn rest_at(position: Duration) -> GateStatus {
    if position == TRAVEL {
        GateStatus::Open
    } else if position.is_zero() {
        GateStatus::Closed
    } else if position == TRAVEL / 2 {
        GateStatus::Partial
    } else {
        GateStatus::Stopped
    }
}

#[cfg(test)]
mod tests;
