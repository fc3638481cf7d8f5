//! What a type of device can be told. Pure.

use std::time::Duration;

use contract::command::Risk;
use contract::{Text, Value};

use super::{Condition, FaultRule, Template};

/// A parameter of a command: a number within limits.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name in the command's `params`.
    pub name: String,
    /// What people call it.
    pub text: Text,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The value that is taken when none is given.
    pub default: f64,
    /// The unit; empty for none.
    pub unit: String,
}

/// One Modbus write. No longer than the specification lets it be: 1,968 coils, 123 registers, 121 where some are read as
/// well (MODBUS Application Protocol V1.1b3, sections 6.11, 6.12, 6.17).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterWrite {
    /// Function 5.
    Coil {
        /// 0-based.
        addr: u16,
        /// On or off.
        on: bool,
    },
    /// Function 6.
    Register {
        /// 0-based.
        addr: u16,
        /// The word.
        word: u16,
    },
    /// Function 15.
    Coils {
        /// The first, 0-based.
        addr: u16,
        /// At least one.
        on: Vec<bool>,
    },
    /// Function 16.
    Registers {
        /// The first, 0-based.
        addr: u16,
        /// At least one.
        words: Vec<u16>,
    },
    /// Function 23: registers are written and then others are read, in one exchange.
    Exchange {
        /// The first that is read, 0-based.
        read: u16,
        /// How many are read.
        count: u16,
        /// The first that is written, 0-based.
        addr: u16,
        /// At least one.
        words: Vec<u16>,
    },
}

/// What goes to the wire.
#[derive(Debug, Clone)]
pub enum Action {
    /// Modbus writes, in order.
    Modbus(Vec<RegisterWrite>),
    /// Bytes.
    Raw(Vec<u8>),
    /// A request and the test of its reply.
    Frame {
        /// The request.
        request: Template,
        /// JSON pointer into the reply.
        ok_path: String,
        /// What must stand there.
        ok_value: Value,
        /// The longest wait for the reply.
        within: Duration,
    },
}

/// What must hold before a command is executed.
#[derive(Debug, Clone)]
pub enum Interlock {
    /// A point's reading, of good quality and fresh, passes a test.
    Reading {
        /// The test.
        condition: Condition,
        /// An older reading does not count.
        max_age: Duration,
    },
    /// A fault is known to be active, or known not to be.
    Fault {
        /// Which; `None` is the built-in loss of contact.
        rule: Option<usize>,
        /// Which way.
        active: bool,
    },
}

/// What is read back after a command.
#[derive(Debug, Clone)]
pub enum Feedback {
    /// A point's reading passes a test.
    Holds(Condition),
    /// A point's reading passes one test, or it passes another one and is what it was before the write.
    HoldsOrStill {
        /// What the command brings about.
        condition: Condition,
        /// Where it has nothing to do. The same point.
        still: Condition,
    },
    /// A rule's condition does not hold, whatever its delays.
    NoFault(usize),
    /// A point that counts seconds since start counts less than passed since the write.
    Restarted(usize),
}

impl Feedback {
    /// The point that must be read for it, given the profile's rules.
    pub fn point(&self, faults: &[FaultRule]) -> usize {
        match self {
            Self::Holds(condition) | Self::HoldsOrStill { condition, .. } => condition.point,
            Self::NoFault(rule) => faults[*rule].when.point,
            Self::Restarted(point) => *point,
        }
    }
}

/// One step of a verification.
#[derive(Debug, Clone)]
pub struct VerifyStep {
    /// What must be read back.
    pub feedback: Feedback,
    /// Within so long.
    pub within: Duration,
}

/// How a command is seen to be done.
#[derive(Debug, Clone)]
pub struct Verify {
    /// What must be seen, in order; the last one alone is enough, since devices can be quicker than polls.
    pub steps: Vec<VerifyStep>,
    /// A parameter, in seconds, that each step's time grows by.
    pub plus_param: Option<usize>,
}

/// A command that devices of the type take.
#[derive(Debug, Clone)]
pub struct CommandType {
    /// Its name.
    pub name: String,
    /// What people read on the button.
    pub text: Text,
    /// Who may give it.
    pub risk: Risk,
    /// Whether a person is asked once more.
    pub confirm: bool,
    /// Whether it is executed though the device executes another command, which ends then.
    pub preempts: bool,
    /// What it takes.
    pub params: Vec<Parameter>,
    /// What goes to the wire.
    pub action: Action,
    /// What must hold before.
    pub interlocks: Vec<Interlock>,
    /// What must be seen after.
    pub verify: Verify,
    /// Time to live.
    pub expire: Duration,
}
