//! What a type of device measures. Pure.

use std::collections::BTreeMap;

use contract::inventory::Personal;
use contract::reading::PollClass;
use contract::{PointId, Text};

use super::Table;

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
        /// Index into [`super::FrameSettings::requests`].
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
    /// Whether its values are personal data, which the server masks.
    pub personal: Option<Personal>,
}
