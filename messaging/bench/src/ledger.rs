//! Who has received what: each subscriber shall get each publisher's messages once, in order, byte for byte. Pure.
//!
//! A message's body is made from its publisher and its sequence number alone, so any side can say what it has to be. A
//! ledger belongs to one thread of the load generator and knows that thread's subscribers.

/// Messages of one publisher that may be on their way. 1,024: seconds of the paced scenarios.
pub const WINDOW: usize = 1024;

/// The shortest body: publisher, sequence and separators.
pub const BODY_BYTES_MIN: usize = SEQUENCE.end + 1;

/// Publishers are told apart by three digits.
pub const PUBLISHERS_MAX: usize = 1000;

const PUBLISHER: std::ops::Range<usize> = 1..4;
const SEQUENCE: std::ops::Range<usize> = 5..15;
const FILLER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The body of a message: `p007-0000000042-abc…`.
#[must_use]
pub fn body(publisher: usize, sequence: u32, bytes: usize) -> Vec<u8> {
    let mut body = format!("p{publisher:03}-{sequence:010}-").into_bytes();
    let filler = FILLER.iter().cycle().take(bytes.saturating_sub(body.len()));
    body.extend(filler);
    body
}

/// Writes the sequence number into a body made by [`body`].
pub fn renumber(body: &mut [u8], sequence: u32) {
    let mut left = sequence;
    for digit in body[SEQUENCE].iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).expect("a digit");
        left /= 10;
    }
}

fn number(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0_u32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Deliveries that were not as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Messages that a subscriber never got although a later one came.
    pub lost: u64,
    /// Messages that came again, or after a later one.
    pub doubled: u64,
    /// Bodies that nobody sent.
    pub corrupt: u64,
}

/// What some subscribers have received.
#[derive(Debug)]
pub struct Ledger {
    publishers: usize,
    subscribers: u32,
    /// By subscriber and publisher: the sequence number that is due.
    due: Vec<u32>,
    /// By publisher: the body that was due last, since most subscribers get the same ones at about the same time.
    expected: Vec<(u32, Vec<u8>)>,
    /// By publisher and sequence modulo [`WINDOW`]: subscribers that have it.
    have: Vec<u32>,
    /// All messages that came.
    pub deliveries: u64,
    /// Those that were wrong.
    pub faults: Faults,
}

/// A message that all subscribers of a ledger have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Complete {
    /// Who sent it.
    pub publisher: usize,
    /// Which of its messages it is.
    pub sequence: u32,
}

impl Ledger {
    /// Nobody has received anything.
    #[must_use]
    pub fn new(subscribers: usize, publishers: usize, body_bytes: usize) -> Self {
        Self {
            publishers,
            subscribers: u32::try_from(subscribers).expect("fewer than 2^32 subscribers"),
            due: vec![0; subscribers * publishers],
            expected: (0..publishers)
                .map(|publisher| (0, body(publisher, 0, body_bytes)))
                .collect(),
            have: vec![0; publishers * WINDOW],
            deliveries: 0,
            faults: Faults::default(),
        }
    }

    /// A subscriber got `bytes`. Returns the message if all have it now.
    pub fn deliver(&mut self, subscriber: usize, bytes: &[u8]) -> Option<Complete> {
        self.deliveries += 1;
        let publisher = number(bytes.get(PUBLISHER))
            .and_then(|number| usize::try_from(number).ok())
            .filter(|publisher| *publisher < self.publishers);
        let Some(publisher) = publisher else {
            self.faults.corrupt += 1;
            return None;
        };
        let due = &mut self.due[subscriber * self.publishers + publisher];
        let (sequence, expected) = &mut self.expected[publisher];
        if *sequence != *due {
            *sequence = *due;
            renumber(expected, *due);
        }
        if bytes != expected.as_slice() {
            // Now it is worth to look closer: is it another one of the same publisher?
            let Some(came) = number(bytes.get(SEQUENCE)) else {
                self.faults.corrupt += 1;
                return None;
            };
            *sequence = came;
            renumber(expected, came);
            if bytes != expected.as_slice() {
                self.faults.corrupt += 1;
                return None;
            }
            if came < *due {
                self.faults.doubled += 1;
                return None;
            }
            self.faults.lost += u64::from(came - *due);
        }
        let came = *sequence;
        *due = came + 1;
        let have = &mut self.have[publisher * WINDOW + slot(came)];
        *have += 1;
        if *have < self.subscribers {
            return None;
        }
        *have = 0;
        Some(Complete {
            publisher,
            sequence: came,
        })
    }

    /// Messages that have not come, when each publisher has sent as many as `sent` says.
    #[must_use]
    pub fn outstanding(&self, sent: &[u32]) -> u64 {
        self.due
            .chunks(self.publishers)
            .flat_map(|due| due.iter().zip(sent))
            .map(|(due, sent)| u64::from(sent.saturating_sub(*due)))
            .sum()
    }
}

/// Where a message's bookkeeping is.
#[must_use]
pub fn slot(sequence: u32) -> usize {
    usize::try_from(sequence).map_or(0, |sequence| sequence % WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two subscribers, two publishers; deliveries as (subscriber, publisher, sequence).
    fn check(
        deliveries: &[(usize, usize, u32)],
        faults: Faults,
        outstanding: u64,
        complete: usize,
    ) {
        let mut ledger = Ledger::new(2, 2, 100);
        let completed = deliveries
            .iter()
            .filter(|(subscriber, publisher, sequence)| {
                let done = ledger.deliver(*subscriber, &body(*publisher, *sequence, 100));
                done.is_some_and(|done| (done.publisher, done.sequence) == (*publisher, *sequence))
            })
            .count();
        assert_eq!(ledger.faults, faults, "{deliveries:?}");
        assert_eq!(ledger.outstanding(&[2, 1]), outstanding, "{deliveries:?}");
        assert_eq!(completed, complete, "{deliveries:?}");
    }

    #[test]
    fn each_once_and_in_order() {
        let none = Faults::default();
        check(&[], none, 6, 0);
        check(&[(0, 0, 0), (1, 0, 0)], none, 4, 1);
        check(
            &[
                (0, 0, 0),
                (0, 0, 1),
                (0, 1, 0),
                (1, 1, 0),
                (1, 0, 0),
                (1, 0, 1),
            ],
            none,
            0,
            3,
        );
    }

    #[test]
    fn what_is_lost_or_doubled_is_counted() {
        let lost = Faults {
            lost: 1,
            ..Faults::default()
        };
        check(
            &[(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0)],
            lost,
            0,
            2,
        );
        let doubled = Faults {
            doubled: 2,
            ..Faults::default()
        };
        check(&[(0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 0, 0)], doubled, 4, 0);
    }

    #[test]
    fn a_body_that_differs_in_one_byte_is_corrupt() {
        for at in 0..100 {
            let mut ledger = Ledger::new(1, 1, 100);
            let mut bytes = body(0, 0, 100);
            bytes[at] = b'?';
            assert_eq!(ledger.deliver(0, &bytes), None, "byte {at}");
            assert_eq!(ledger.faults.corrupt, 1, "byte {at}");
            let right = ledger.deliver(0, &body(0, 0, 100));
            assert!(right.is_some(), "byte {at}: the right one is still taken");
        }
        let mut ledger = Ledger::new(1, 1, 100);
        ledger.deliver(0, &body(0, 0, 101));
        ledger.deliver(0, b"");
        assert_eq!(ledger.faults.corrupt, 2, "of another length");
    }
}
