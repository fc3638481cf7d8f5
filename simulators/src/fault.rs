//! What can be made to go wrong with each kind of equipment.
//!
//! Pure. The names below are the ones that airport files, the control interface and the truth log use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of simulated equipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A barrier gate: the CAME register map over Modbus.
    Gate,
    /// A loop detector: the LD120 register map over Modbus.
    Loop,
    /// A pay kiosk: one JSON object per line over TCP.
    Kiosk,
    /// A receipt printer: ESC/POS real-time status over a serial line (a pty).
    Printer,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Gate, Self::Loop, Self::Kiosk, Self::Printer];

    /// The kind as it stands in airport files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Loop => "loop",
            Self::Kiosk => "kiosk",
            Self::Printer => "printer",
        }
    }

    /// The profile that an agent reads this kind with.
    pub fn profile(self) -> &'static str {
        match self {
            Self::Gate => "gate.came.crp",
            Self::Loop => "loop.ld120",
            Self::Kiosk => "kiosk.jsonl",
            Self::Printer => "printer.escpos",
        }
    }

    /// Whether it speaks Modbus, and so can stand on a bus.
    pub fn speaks_modbus(self) -> bool {
        matches!(self, Self::Gate | Self::Loop)
    }

    /// What equipment of this kind is reached by when it does not stand on a bus.
    pub fn own_medium(self) -> Medium {
        match self {
            Self::Gate | Self::Loop | Self::Kiosk => Medium::Tcp,
            Self::Printer => Medium::Serial,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a device is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A TCP port of its own.
    Tcp,
    /// A serial line of its own.
    Serial,
    /// A bus that it shares, in RTU framing.
    Bus,
}

/// A fault name that a device cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {kind}{} has no fault {name:?}; it has {}", place(*.medium), list(*.kind, *.medium))]
pub struct FaultError {
    kind: Kind,
    medium: Medium,
    name: String,
}

fn place(medium: Medium) -> &'static str {
    match medium {
        Medium::Bus => " on a bus",
        Medium::Tcp | Medium::Serial => "",
    }
}

fn list(kind: Kind, medium: Medium) -> String {
    let names: Vec<_> = Fault::of(kind, medium).map(Fault::as_str).collect();
    names.join(", ")
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal, of $fits:pat,)*) => {
        /// Something that can be wrong with simulated equipment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Fault {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Fault {
            /// Every fault of every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The fault as it stands in airport files and URLs.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Whether equipment of this kind, reached by this medium, can have it.
            pub fn fits(self, kind: Kind, medium: Medium) -> bool {
                use Kind::{Gate, Kiosk, Loop, Printer};
                use Medium::{Bus, Tcp};
                match self {
                    $(Self::$name => matches!((kind, medium), $fits),)*
                }
            }
        }
    };
}

// The table: name, whose it is (kind and medium), and, as its text, what it does. `wire/disturbance.rs` and the machines
// in `behaviour` do it.
faults! {
    /// The board reports error 17; the arm still moves.
    Error = "error", of (Gate, _),
    /// A movement starts and never ends.
    Jammed = "jammed", of (Gate, _),
    /// Bit 0 of the flags; the position is unknown (255).
    Uncalibrated = "uncalibrated", of (Gate, _),
    /// Takes the coil write and does not move.
    Stuck = "stuck", of (Gate, _),
    /// The loop's wire is broken: fault and open circuit are reported, and a vehicle, to be safe.
    LoopOpen = "loop_open", of (Loop, _),
    /// The loop's wire is shorted: fault and short circuit are reported, and a vehicle, to be safe.
    LoopShort = "loop_short", of (Loop, _),
    /// Detects a vehicle that is not there, and none that comes.
    StuckOn = "stuck_on", of (Loop, _),
    /// The paper sensor says low.
    PaperLow = "paper_low", of (Kiosk, _),
    /// The paper sensor says out.
    PaperOut = "paper_out", of (Kiosk, _),
    /// The card reader is down.
    CardDown = "card_down", of (Kiosk, _),
    /// The cash box is full (100 %).
    CashFull = "cash_full", of (Kiosk, _),
    /// The cover is open.
    CoverOpen = "cover_open", of (Printer, _),
    /// The near-end sensor sees the core of the roll.
    PaperNearEnd = "paper_near_end", of (Printer, _),
    /// No paper; the near-end sensor sees none either.
    PaperEnd = "paper_end", of (Printer, _),
    /// The autocutter is blocked; a recover request clears it.
    CutterError = "cutter_error", of (Printer, _),
    /// Off-line for no reason that it names.
    Offline = "offline", of (Printer, _),
    /// Loses its power: 20 s without an answer, then what it counted since its start begins again. Ends by itself.
    Reboot = "reboot", of (Gate | Loop, _),
    /// Connections are taken and requests are read; nothing is answered and nothing is done.
    Silent = "silent", of _,
    /// Connections are closed and refused.
    Disconnected = "disconnected", of (_, Tcp),
    /// Each request is answered with a reset of its connection.
    Reset = "reset", of (_, Tcp),
    /// One connection at a time; a second one is closed at once.
    OneConnection = "one_connection", of (_, Tcp),
    /// Answers, rightly, 600 ms after it was asked.
    LateReply = "late_reply", of (Gate | Loop | Kiosk, _),
    /// Answers byte by byte with pauses.
    SlowBytes = "slow_bytes", of (Gate | Loop | Kiosk, _),
    /// Half of the reply, and no more.
    Truncated = "truncated", of (Gate | Loop | Kiosk, _),
    /// The reply twice.
    Duplicate = "duplicate", of (Gate | Loop | Kiosk, _),
    /// Bytes of no meaning before the reply.
    NoiseBefore = "noise_before", of (Gate | Loop | Kiosk, _),
    /// Bytes of no meaning after the reply.
    NoiseAfter = "noise_after", of (Gate | Loop | Kiosk, _),
    /// One bit of the reply is another one, and its CRC is that of the right one.
    WrongCrc = "wrong_crc", of (Gate | Loop, Bus),
    /// The reply says that it is from the unit after this one.
    WrongUnit = "wrong_unit", of (Gate | Loop, _),
    /// The reply has the number of another request.
    WrongTransaction = "wrong_transaction", of (Gate | Loop, Tcp),
    /// By turns one word (or byte of bits) less and one more than was asked for, well framed.
    WrongLength = "wrong_length", of (Gate | Loop, _),
    /// What was written is done, and its echo names the address after it.
    WrongEcho = "wrong_echo", of (Gate | Loop, _),
    /// Reads show what was there when the fault began; writes are done.
    Frozen = "frozen", of (Gate | Loop, _),
    /// Counters of two registers: the high word is already that after the next carry, the low word is not.
    TornCounter = "torn_counter", of (Gate | Loop, _),
    /// Gives at most two registers in one read, and refuses more as a wrong value.
    MaxRegs = "max_regs", of (Gate | Loop, _),
    /// Refuses everything: illegal function.
    Exception1 = "exception_1", of (Gate | Loop, _),
    /// Refuses everything: illegal data address.
    Exception2 = "exception_2", of (Gate | Loop, _),
    /// Refuses everything: illegal data value.
    Exception3 = "exception_3", of (Gate | Loop, _),
    /// Refuses everything: device failure.
    Exception4 = "exception_4", of (Gate | Loop, _),
    /// Puts everything off: acknowledge.
    Exception5 = "exception_5", of (Gate | Loop, _),
    /// Puts everything off: busy.
    Exception6 = "exception_6", of (Gate | Loop, _),
    /// Refuses everything: memory parity error.
    Exception8 = "exception_8", of (Gate | Loop, _),
    /// As a gateway without a path to the device.
    Exception10 = "exception_10", of (Gate | Loop, _),
    /// As a gateway whose device does not answer.
    Exception11 = "exception_11", of (Gate | Loop, _),
}

impl Fault {
    /// The faults that a device can have.
    pub fn of(kind: Kind, medium: Medium) -> impl Iterator<Item = Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(move |fault| fault.fits(kind, medium))
    }

    /// The fault called `name`, if a device can have it.
    ///
    /// # Errors
    /// It cannot.
    pub fn parse(name: &str, kind: Kind, medium: Medium) -> Result<Self, FaultError> {
        Self::of(kind, medium)
            .find(|fault| fault.as_str() == name)
            .ok_or_else(|| FaultError {
                kind,
                medium,
                name: name.to_owned(),
            })
    }

    /// The Modbus exception that everything is answered with while it is on.
    pub(crate) fn exception(self) -> Option<u8> {
        self.as_str().strip_prefix("exception_")?.parse().ok()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_fits_something_and_is_found_by_its_name() {
        for &fault in Fault::ALL {
            let mut places = Kind::ALL.into_iter().flat_map(|kind| {
                [Medium::Tcp, Medium::Serial, Medium::Bus].map(|medium| (kind, medium))
            });
            assert!(
                places
                    .any(|(kind, medium)| Fault::parse(fault.as_str(), kind, medium) == Ok(fault)),
                "{fault}"
            );
            assert_eq!(
                serde_json::to_string(&fault).unwrap(),
                format!("\"{fault}\"")
            );
        }
    }

    #[test]
    fn a_fault_of_another_kind_is_refused_with_the_list() {
        let sentence =
            |name, kind, medium| Fault::parse(name, kind, medium).unwrap_err().to_string();
        let kiosk = sentence("jammed", Kind::Kiosk, Medium::Tcp);
        assert!(
            kiosk.starts_with(
                "a kiosk has no fault \"jammed\"; it has paper_low, paper_out, card_down"
            ),
            "{kiosk}"
        );
        let gate = sentence("disconnected", Kind::Gate, Medium::Bus);
        assert!(gate.starts_with("a gate on a bus has no fault"), "{gate}");
        assert!(Fault::parse("disconnected", Kind::Gate, Medium::Tcp).is_ok());
    }

    #[test]
    fn exceptions_are_known_by_their_numbers() {
        let codes: Vec<u8> = Fault::ALL
            .iter()
            .filter_map(|fault| fault.exception())
            .collect();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 8, 10, 11]);
    }
}
