//! What one session sends and has to get back: each message once, in order, byte for byte. Pure.
//!
//! A message is made from its session and its number alone, so that one which reaches another session is noticed.

use crate::ledger::Faults;

/// The shortest message: session, number and separators.
pub const MESSAGE_BYTES_MIN: usize = SEQUENCE.end + 1;

/// Sessions are told apart by five digits.
pub const SESSIONS_MAX: u32 = 100_000;

const SEQUENCE: std::ops::Range<usize> = 7..17;
const FILLER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

/// A message: `s00042-0000000017-abc…`. Nothing in it needs to be escaped in JSON.
#[must_use]
pub fn message(session: u32, sequence: u32, bytes: usize) -> String {
    let mut text = format!("s{session:05}-{sequence:010}-");
    let filler = FILLER
        .chars()
        .cycle()
        .take(bytes.saturating_sub(text.len()));
    text.extend(filler);
    text
}

/// One session's messages.
#[derive(Debug)]
pub struct Echo {
    session: u32,
    bytes: usize,
    sent: u32,
    due: u32,
    /// Those that came back wrong.
    pub faults: Faults,
}

impl Echo {
    /// Nothing was sent. Messages have `bytes` bytes.
    #[must_use]
    pub fn new(session: u32, bytes: usize) -> Self {
        Self {
            session,
            bytes,
            sent: 0,
            due: 0,
            faults: Faults::default(),
        }
    }

    /// The next message, which counts as sent.
    pub fn send(&mut self) -> String {
        let text = message(self.session, self.sent, self.bytes);
        self.sent += 1;
        text
    }

    /// A message came back. Says whether it was the one that was due.
    pub fn take(&mut self, text: &str) -> bool {
        if self.due < self.sent && text == message(self.session, self.due, self.bytes) {
            self.due += 1;
            return true;
        }
        let number = text.get(SEQUENCE).and_then(|digits| digits.parse().ok());
        match number {
            Some(came) if came < self.sent && text == message(self.session, came, self.bytes) => {
                if came < self.due {
                    self.faults.doubled += 1;
                } else {
                    self.faults.lost += u64::from(came - self.due);
                    self.due = came + 1;
                }
            }
            _ => self.faults.corrupt += 1,
        }
        false
    }

    /// Messages that have not come back.
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.sent - self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four messages were sent; those numbers come back.
    fn check(numbers: &[u32], lost: u64, doubled: u64, corrupt: u64, outstanding: u32) {
        let mut echo = Echo::new(7, 40);
        for number in 0..4 {
            assert_eq!(echo.send(), message(7, number, 40));
        }
        for number in numbers {
            echo.take(&message(7, *number, 40));
        }
        let faults = Faults {
            lost,
            doubled,
            corrupt,
        };
        assert_eq!(
            (echo.faults, echo.outstanding()),
            (faults, outstanding),
            "{numbers:?}"
        );
    }

    #[test]
    fn each_once_and_in_order() {
        check(&[], 0, 0, 0, 4);
        check(&[0, 1, 2, 3], 0, 0, 0, 0);
        check(&[0, 0], 0, 1, 0, 3);
        check(&[0, 2, 1], 1, 1, 0, 1);
        check(&[3], 3, 0, 0, 0);
        // Nobody has sent it yet.
        check(&[0, 4], 0, 0, 1, 3);
    }

    #[test]
    fn what_is_not_of_this_session_is_corrupt() {
        let right = message(7, 0, 40);
        let mut wrong = vec![
            message(8, 0, 40),
            message(7, 0, 41),
            message(7, 0, 39),
            String::new(),
        ];
        wrong.extend((0..right.len()).map(|at| {
            let mut text = right.clone();
            text.replace_range(at..=at, "?");
            text
        }));
        for text in wrong {
            let mut echo = Echo::new(7, 40);
            echo.send();
            assert!(!echo.take(&text), "{text}");
            assert_eq!(echo.faults.corrupt, 1, "{text}");
            assert!(echo.take(&right), "{text}: the right one is still taken");
        }
    }
}
