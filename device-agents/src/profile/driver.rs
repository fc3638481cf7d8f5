//! How devices of a type are spoken to, and what one exchange reads. Pure.

use std::time::Duration;

use super::Template;

/// How devices of the type are spoken to.
#[derive(Debug, Clone)]
pub enum DriverSettings {
    /// Modbus, in whatever framing the line has.
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
    /// How late a reply may still come. On a serial bus a reply does not say which request it answers: after a time-out
    /// its unit is asked nothing for so long.
    pub late: Duration,
    /// The most registers that the device gives in one read.
    pub max_regs: u16,
    /// The most bits.
    pub max_bits: u16,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
