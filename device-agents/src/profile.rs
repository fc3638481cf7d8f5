//! Profiles: what a type of device measures, what can be wrong with it, and what it can be told.
//!
//! A [`Profile`] that exists is right: every name in it refers to something, every address is within the limits of its
//! protocol, every `sample` decodes to the value that its file states. The file's shape is in `raw`, the checks are in
//! `validate`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contract::alarm::Severity;
use contract::command::Risk;
use contract::reading::PollClass;
use contract::{FaultCode, PointId, ProfileId, Text, Value};
use sha2::{Digest, Sha256};

use crate::config::{ConfigError, parse_toml, read_text};

pub mod condition;
mod group;
mod inventory;
mod raw;
mod span;
pub mod template;
mod validate;

pub use condition::{Condition, Test};
pub use template::Template;

/// A type of device.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Which type.
    pub id: ProfileId,
    /// The version its file states.
    pub version: u32,
    /// SHA-256 of its file, in hexadecimal.
    pub hash: String,
    /// What people call it.
    pub name: Text,
    /// The kind of machine, for example `barrier`.
    pub class: String,
    /// How it is spoken to.
    pub driver: DriverSettings,
    /// How often each class is read.
    pub periods: Periods,
    /// When a silent device is taken off the schedule.
    pub demote: Demote,
    /// What it measures, in the order of the file.
    pub points: Vec<Point>,
    /// The reads that fetch all points.
    pub blocks: Vec<Block>,
    /// What can be wrong, in the order of the file.
    pub faults: Vec<FaultRule>,
    /// What it can be told.
    pub commands: Vec<CommandType>,
}

/// The periods of the poll classes; a class without one is not used by any point.
#[derive(Debug, Clone, Copy, Default)]
pub struct Periods {
    /// Of [`PollClass::Fast`].
    pub fast: Option<Duration>,
    /// Of [`PollClass::Normal`].
    pub normal: Option<Duration>,
    /// Of [`PollClass::Slow`].
    pub slow: Option<Duration>,
}

impl Periods {
    /// The period of `class`; `None` for [`PollClass::Once`] and for classes that the profile does not use.
    pub fn of(&self, class: PollClass) -> Option<Duration> {
        match class {
            PollClass::Fast => self.fast,
            PollClass::Normal => self.normal,
            PollClass::Slow => self.slow,
            PollClass::Once => None,
        }
    }
}

/// When a silent device is demoted to a probe now and then, so that it does not starve the others on its line.
#[derive(Debug, Clone, Copy)]
pub struct Demote {
    /// After so many failed polls in a row.
    pub after: u32,
    /// The pause before the first probe.
    pub first: Duration,
    /// The longest pause between probes.
    pub max: Duration,
    /// Each pause is so many times the one before.
    pub factor: u32,
}

/// How devices of the type are spoken to.
#[derive(Debug, Clone)]
pub enum DriverSettings {
    /// Modbus TCP.
    Modbus(ModbusSettings),
    /// ESC/POS real-time status.
    Escpos(EscposSettings),
    /// Lines of JSON, request and reply.
    Frame(FrameSettings),
}

impl DriverSettings {
    /// The word that a profile's `driver.kind` has for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Modbus(_) => "modbus",
            Self::Escpos(_) => "escpos",
            Self::Frame(_) => "frame",
        }
    }
}

/// Modbus.
#[derive(Debug, Clone, Copy)]
pub struct ModbusSettings {
    /// The longest wait for a reply.
    pub timeout: Duration,
    /// The least pause between a reply and the next request.
    pub min_gap: Duration,
}

/// ESC/POS.
#[derive(Debug, Clone, Copy)]
pub struct EscposSettings {
    /// Of the serial port; unused on TCP.
    pub serial: SerialSettings,
    /// The longest wait for a reply byte.
    pub timeout: Duration,
    /// How late a reply may still come: after a time-out nothing is asked for so long, since a status byte does not
    /// say which query it answers.
    pub late: Duration,
    /// Bits of a reply byte that are fixed.
    pub valid_mask: u8,
    /// What they are fixed to.
    pub valid_value: u8,
}

/// A serial port's settings.
#[derive(Debug, Clone, Copy)]
pub struct SerialSettings {
    /// Bits per second.
    pub baud: u32,
    /// Data bits, 7 or 8.
    pub data_bits: u8,
    /// Parity.
    pub parity: Parity,
    /// Stop bits, 1 or 2.
    pub stop_bits: u8,
}

/// Parity of a serial port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// None.
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

/// Lines of JSON.
#[derive(Debug, Clone)]
pub struct FrameSettings {
    /// What ends a line.
    pub end: String,
    /// The longest line that is taken, in bytes without its end.
    pub max_line_bytes: usize,
    /// JSON pointer to the member that a reply repeats from its request.
    pub correlate: String,
    /// The longest wait for a reply.
    pub timeout: Duration,
    /// What is asked, by number: [`Read::Frame`] refers to it.
    pub requests: Vec<Template>,
}

/// A Modbus table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Coils: bits, read and written.
    Coil,
    /// Discrete inputs: bits, read only.
    DiscreteInput,
    /// Input registers: words, read only.
    InputRegister,
    /// Holding registers: words, read and written.
    HoldingRegister,
}

impl Table {
    /// Whether it holds bits rather than words.
    pub fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::DiscreteInput)
    }
}

/// One exchange that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Read {
    /// `count` bits or registers from `addr`.
    Modbus {
        /// Where.
        table: Table,
        /// The first, 0-based.
        addr: u16,
        /// How many.
        count: u16,
    },
    /// `DLE EOT query`.
    Escpos {
        /// 1 to 4.
        query: u8,
    },
    /// A request of [`FrameSettings::requests`].
    Frame {
        /// Its number.
        request: usize,
    },
}

/// A read and the points it fetches.
#[derive(Debug, Clone)]
pub struct Block {
    /// How often.
    pub class: PollClass,
    /// What is read.
    pub read: Read,
    /// Indices into [`Profile::points`].
    pub points: Vec<usize>,
}

/// Which byte of a value stands where in its registers: `A` is the most significant byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Most significant word first, most significant byte first: the standard's own.
    Abcd,
    /// Everything the other way round.
    Dcba,
    /// Most significant word first, bytes swapped.
    Badc,
    /// Least significant word first.
    Cdab,
}

/// How registers or bits become a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterType {
    /// One bit.
    Bool,
    /// One register, unsigned.
    U16,
    /// One register, two's complement.
    I16,
    /// Two registers, unsigned.
    U32,
    /// Two registers, two's complement.
    I32,
    /// One register of 16 flags.
    Bits16,
}

impl RegisterType {
    /// How many registers (or bits, for [`Self::Bool`]) a value takes.
    pub fn width(self) -> u16 {
        match self {
            Self::Bool | Self::U16 | Self::I16 | Self::Bits16 => 1,
            Self::U32 | Self::I32 => 2,
        }
    }
}

/// What a member of a JSON reply must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
}

/// Where a point's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Registers or bits.
    Modbus {
        /// Where.
        table: Table,
        /// The first, 0-based.
        addr: u16,
        /// How they become a number.
        kind: RegisterType,
        /// The order of their bytes.
        order: ByteOrder,
    },
    /// The byte that answers `DLE EOT query`.
    Escpos {
        /// 1 to 4.
        query: u8,
    },
    /// A member of a JSON reply.
    Frame {
        /// Index into [`FrameSettings::requests`].
        request: usize,
        /// JSON pointer.
        path: String,
        /// What it must be.
        kind: JsonType,
    },
}

/// One word of an enumeration.
#[derive(Debug, Clone)]
pub struct EnumLabel {
    /// The reading's value.
    pub id: String,
    /// What people read.
    pub label: Text,
}

/// The words of an enumeration, by what the wire has for them.
#[derive(Debug, Clone)]
pub enum Enumeration {
    /// Numbers.
    ByNumber(BTreeMap<u64, EnumLabel>),
    /// Strings.
    ByText(BTreeMap<String, EnumLabel>),
}

impl Enumeration {
    /// Every word.
    pub fn labels(&self) -> Box<dyn Iterator<Item = &EnumLabel> + '_> {
        match self {
            Self::ByNumber(labels) => Box::new(labels.values()),
            Self::ByText(labels) => Box::new(labels.values()),
        }
    }
}

/// One measured quantity.
#[derive(Debug, Clone)]
pub struct Point {
    /// Which.
    pub id: PointId,
    /// What people call it.
    pub name: Text,
    /// The unit; empty for none.
    pub unit: String,
    /// How often it is read.
    pub class: PollClass,
    /// Where its value comes from.
    pub source: Source,
    /// Bits of the raw value that belong to it.
    pub mask: Option<u64>,
    /// The words for its values.
    pub enumeration: Option<Enumeration>,
    /// Values that mean "no value".
    pub invalid: Vec<f64>,
    /// The plausible range.
    pub range: Option<(f64, f64)>,
    /// The least change that is worth a report; 0 reports every change.
    pub deadband: f64,
    /// Whether it says what the device is doing.
    pub is_state: bool,
}

/// Finds one thing that can be wrong.
#[derive(Debug, Clone)]
pub struct FaultRule {
    /// Its code.
    pub code: FaultCode,
    /// How bad.
    pub severity: Severity,
    /// What people read.
    pub text: Text,
    /// What must hold.
    pub when: Condition,
    /// The point whose value tells more.
    pub detail: Option<usize>,
    /// How long it must hold before the fault is raised.
    pub on_delay: Duration,
    /// How long it must not hold before the fault is cleared.
    pub off_delay: Duration,
}

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

/// One Modbus write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// A rule's condition does not hold, whatever its delays.
    NoFault(usize),
    /// A point that counts seconds since start counts less than passed since the write.
    Restarted(usize),
}

impl Feedback {
    /// The point that must be read for it, given the profile's rules.
    pub fn point(&self, faults: &[FaultRule]) -> usize {
        match self {
            Self::Holds(condition) => condition.point,
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

/// Parses one profile. `path` is for messages only.
///
/// # Errors
/// A sentence that names the file, the key and what to do.
pub fn parse(path: &Path, text: &str) -> Result<Profile, ConfigError> {
    let raw: raw::RawProfile = parse_toml(path, text)?;
    let hash = Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    validate::profile(raw, hash).map_err(|what| ConfigError::new(path, what))
}

/// Reads every `*.toml` of `dir` as a profile.
///
/// # Errors
/// The first file that cannot be read or is not right; two files with the same profile id.
pub fn load_dir(dir: &Path) -> Result<BTreeMap<ProfileId, Arc<Profile>>, ConfigError> {
    let entries = std::fs::read_dir(dir).map_err(|error| {
        ConfigError::new(
            dir,
            format!("cannot be listed ({error}): set `profiles` to a directory of profile files"),
        )
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| ConfigError::new(dir, format!("cannot be listed: {error}")))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut profiles = BTreeMap::new();
    for path in files {
        let profile = parse(&path, &read_text(&path)?)?;
        let id = profile.id.clone();
        if profiles.insert(id.clone(), Arc::new(profile)).is_some() {
            return Err(ConfigError::new(
                &path,
                format!("profile id \"{id}\" is also that of an earlier file: give each its own"),
            ));
        }
    }
    Ok(profiles)
}

#[cfg(test)]
mod tests;
