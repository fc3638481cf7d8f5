//! A receipt printer's status bytes (ESC/POS `DLE EOT n`, the bits on which many makers' manuals agree).
//!
//! Pure.

use crate::behaviour::{Faults, Happening};
use crate::fault::Fault;
use crate::wire::escpos::Parser;

/// Bits 1 and 4 are on, bits 0 and 7 are off in each reply: `(byte & 0x93) == 0x12`.
const FIXED: u8 = 0x12;

/// One receipt printer.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    /// Where in a command the last byte left off; bytes come in any portions.
    pub(crate) parser: Parser,
    pub(crate) faults: Faults,
    pub(crate) happenings: Vec<Happening>,
}

impl Printer {
    pub(crate) fn new() -> Self {
        Self {
            parser: Parser::default(),
            faults: Faults::default(),
            happenings: Vec::new(),
        }
    }

    /// The reply to `DLE EOT n`; `None` for a status that does not exist.
    pub(crate) fn status(&self, n: u8) -> Option<u8> {
        let has = |fault| self.faults.contains(fault);
        let when = |is: bool, bits: u8| if is { bits } else { 0 };
        let bits = match n {
            1 => when(self.is_offline(), 1 << 3),
            2 => {
                when(has(Fault::CoverOpen), 1 << 2)
                    | when(has(Fault::PaperEnd), 1 << 5)
                    | when(has(Fault::CutterError), 1 << 6)
            }
            3 => when(has(Fault::CutterError), 1 << 3),
            // Where the paper has ended, the near-end sensor sees none either.
            4 => {
                when(has(Fault::PaperNearEnd) || has(Fault::PaperEnd), 0x0C)
                    | when(has(Fault::PaperEnd), 0x60)
            }
            _ => return None,
        };
        Some(FIXED | bits)
    }

    /// A printer that cannot print is off-line, whatever the reason.
    fn is_offline(&self) -> bool {
        [
            Fault::Offline,
            Fault::CoverOpen,
            Fault::PaperEnd,
            Fault::CutterError,
        ]
        .into_iter()
        .any(|fault| self.faults.contains(fault))
    }

    /// `DLE ENQ 1` or `2`: tries the cutter again, which is all that it can cure.
    pub(crate) fn recover(&mut self) {
        if self.faults.switch(Fault::CutterError, false) {
            self.happenings.push(Happening::Cured(Fault::CutterError));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(faults: &[Fault], replies: [u8; 4]) {
        let mut printer = Printer::new();
        for &fault in faults {
            printer.faults.switch(fault, true);
        }
        let shown = [1, 2, 3, 4].map(|n| printer.status(n).unwrap());
        assert_eq!(shown, replies, "{faults:?}: {shown:02x?}");
        assert!(shown.iter().all(|byte| byte & 0x93 == 0x12), "fixed bits");
    }

    #[test]
    fn status_bytes_say_what_is_wrong() {
        check(&[], [0x12, 0x12, 0x12, 0x12]);
        check(&[Fault::Offline], [0x1A, 0x12, 0x12, 0x12]);
        check(&[Fault::CoverOpen], [0x1A, 0x16, 0x12, 0x12]);
        check(&[Fault::PaperNearEnd], [0x12, 0x12, 0x12, 0x1E]);
        check(&[Fault::PaperEnd], [0x1A, 0x32, 0x12, 0x7E]);
        check(&[Fault::CutterError], [0x1A, 0x52, 0x1A, 0x12]);
        check(
            &[Fault::CoverOpen, Fault::CutterError],
            [0x1A, 0x56, 0x1A, 0x12],
        );
    }

    #[test]
    fn recover_cures_the_cutter_and_nothing_else() {
        let mut printer = Printer::new();
        printer.faults.switch(Fault::CutterError, true);
        printer.faults.switch(Fault::CoverOpen, true);
        printer.recover();
        printer.recover();
        assert!(printer.faults.iter().eq([Fault::CoverOpen]));
        assert_eq!(
            printer.happenings,
            [Happening::Cured(Fault::CutterError)],
            "once"
        );
    }

    #[test]
    fn statuses_that_do_not_exist_are_not_answered() {
        for n in [0, 5, 7, 0xFF] {
            assert_eq!(Printer::new().status(n), None, "{n}");
        }
    }
}
