//! What can be made to go wrong with each kind of equipment.
//!
//! Pure. The names below are the ones that airport files, the control interface and the truth log use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of simulated equipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A barrier gate: the CAME register map over Modbus TCP.
    Gate,
    /// A pay kiosk: one JSON object per line over TCP.
    Kiosk,
    /// A receipt printer: ESC/POS real-time status over a serial line (a pty).
    Printer,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Gate, Self::Kiosk, Self::Printer];

    /// The kind as it stands in airport files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Kiosk => "kiosk",
            Self::Printer => "printer",
        }
    }

    /// The profile that an agent reads this kind with.
    pub fn profile(self) -> &'static str {
        match self {
            Self::Gate => "gate.came.crp",
            Self::Kiosk => "kiosk.jsonl",
            Self::Printer => "printer.escpos",
        }
    }

    /// The Modbus unit id, for what speaks Modbus.
    pub fn unit_id(self) -> Option<u8> {
        match self {
            Self::Gate => Some(1),
            Self::Kiosk | Self::Printer => None,
        }
    }

    /// The faults that make sense for this kind.
    pub fn faults(self) -> &'static [Fault] {
        use Fault::{
            CardDown, CashFull, CoverOpen, CutterError, Disconnected, Error, Jammed, Offline,
            PaperEnd, PaperLow, PaperNearEnd, PaperOut, Silent, Stuck, Uncalibrated,
        };
        match self {
            Self::Gate => &[Error, Jammed, Uncalibrated, Silent, Disconnected, Stuck],
            Self::Kiosk => &[PaperLow, PaperOut, CardDown, CashFull, Silent, Disconnected],
            // A serial line has no connection to refuse, so there is no `disconnected` here.
            Self::Printer => &[
                CoverOpen,
                PaperNearEnd,
                PaperEnd,
                CutterError,
                Offline,
                Silent,
            ],
        }
    }

    /// The fault called `name`, if equipment of this kind can have it.
    pub fn fault(self, name: &str) -> Result<Fault, FaultError> {
        self.faults()
            .iter()
            .copied()
            .find(|fault| fault.as_str() == name)
            .ok_or_else(|| FaultError {
                kind: self,
                name: name.to_owned(),
            })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault name that a kind of equipment does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {kind} has no fault {name:?}; it has {}", list(.kind.faults()))]
pub struct FaultError {
    kind: Kind,
    name: String,
}

fn list(faults: &[Fault]) -> String {
    let names: Vec<_> = faults.iter().map(|fault| fault.as_str()).collect();
    names.join(", ")
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Something that can be wrong with simulated equipment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every fault of every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The fault as it stands in airport files and URLs.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

faults! {
    /// Gate: the board reports error 17; the arm still moves.
    Error = "error",
    /// Gate: a movement starts and never ends.
    Jammed = "jammed",
    /// Gate: bit 0 of the flags; the position is unknown (255).
    Uncalibrated = "uncalibrated",
    /// Gate: takes the coil write and does not move.
    Stuck = "stuck",
    /// Kiosk: the paper sensor says low.
    PaperLow = "paper_low",
    /// Kiosk: the paper sensor says out.
    PaperOut = "paper_out",
    /// Kiosk: the card reader is down.
    CardDown = "card_down",
    /// Kiosk: the cash box is full (100 %).
    CashFull = "cash_full",
    /// Printer: the cover is open.
    CoverOpen = "cover_open",
    /// Printer: the near-end sensor sees the core of the roll.
    PaperNearEnd = "paper_near_end",
    /// Printer: no paper; the near-end sensor sees none either.
    PaperEnd = "paper_end",
    /// Printer: the autocutter is blocked; a recover request clears it.
    CutterError = "cutter_error",
    /// Printer: off-line for no reason that it names.
    Offline = "offline",
    /// All: the line is open, requests are read, nothing is answered and nothing is done.
    Silent = "silent",
    /// Gate and kiosk: connections are closed and refused.
    Disconnected = "disconnected",
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
    fn every_fault_belongs_to_a_kind_and_is_found_by_its_name() {
        for &fault in Fault::ALL {
            assert!(
                Kind::ALL
                    .iter()
                    .any(|kind| kind.fault(fault.as_str()) == Ok(fault)),
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
        let sentence = Kind::Kiosk.fault("jammed").unwrap_err().to_string();
        assert!(
            sentence.contains("kiosk") && sentence.contains("\"jammed\""),
            "{sentence}"
        );
        assert!(
            sentence.contains("paper_low, paper_out, card_down"),
            "{sentence}"
        );
    }
}
