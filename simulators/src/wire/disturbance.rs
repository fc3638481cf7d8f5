//! What faults of the wire make of a reply: other content, another frame, other bytes, another time.
//!
//! Pure. Chance comes from a device's own [`Dice`], whose seed is its id: the same device does the same in every run.

use std::time::Duration;

use crate::behaviour::Faults;
use crate::fault::Fault;
use crate::wire::modbus::Call;
use crate::wire::{Answer, Part};

/// How late a late reply is: later than any shipped profile waits, no later than it keeps the unit quiet afterwards.
const LATE: Duration = Duration::from_millis(600);

/// Between two bytes of a slow reply: far more than the serial line's document allows within a frame.
const SLOW_PAUSE: Duration = Duration::from_millis(15);

/// Between a reply and its repetition: a silence that ends a frame at 9,600 bits per second and above.
const DUPLICATE_PAUSE: Duration = Duration::from_millis(5);

/// The most bytes of noise at a time.
const NOISE_BYTES_MAX: u64 = 8;

/// Numbers that look like chance and are the same in every run (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn noise(&mut self) -> Vec<u8> {
        let count = 1 + self.below(NOISE_BYTES_MAX);
        (0..count)
            .map(|_| u8::try_from(self.below(256)).expect("below 256"))
            .collect()
    }
}

/// The frame in which the PDU `reply` answers `call`.
pub(crate) fn frame(
    faults: &Faults,
    dice: &mut Dice,
    call: Call<'_>,
    mut reply: Vec<u8>,
) -> Vec<u8> {
    if faults.contains(Fault::WrongLength) {
        change_length(&mut reply, dice);
    }
    if faults.contains(Fault::WrongEcho)
        && let [5 | 6 | 15 | 16, _, low, ..] = &mut reply[..]
    {
        *low = low.wrapping_add(1);
    }
    let mut said = call;
    if faults.contains(Fault::WrongUnit) {
        said.unit = call.unit.wrapping_add(1);
    }
    if faults.contains(Fault::WrongTransaction) {
        said.transaction = call.transaction.map(|number| number.wrapping_sub(1));
    }
    let mut frame = said.seal(&reply);
    if faults.contains(Fault::WrongCrc) {
        let last = frame.len() - 3;
        let place = usize::try_from(dice.below(8)).expect("below 8");
        frame[last] ^= 1 << place;
    }
    frame
}

/// One word, or byte of bits, less or more in the reply to a read.
fn change_length(reply: &mut Vec<u8>, dice: &mut Dice) {
    let unit = match reply[0] {
        1 | 2 => 1,
        3 | 4 | 23 => 2,
        _ => return,
    };
    if dice.below(2) == 0 || reply.len() + unit > 252 {
        reply.truncate(reply.len() - unit);
    } else {
        let more = (0..unit).map(|_| u8::try_from(dice.below(256)).expect("below 256"));
        reply.extend(more);
    }
    reply[1] = u8::try_from(reply.len() - 2).expect("at most 250 bytes of data");
}

/// What is sent, and when, where `frame` is the reply.
pub(crate) fn send(faults: &Faults, dice: &mut Dice, mut frame: Vec<u8>) -> Answer {
    if faults.contains(Fault::Reset) {
        return Answer {
            parts: Vec::new(),
            resets: true,
        };
    }
    if faults.contains(Fault::Truncated) {
        frame.truncate(frame.len() / 2);
    }
    if faults.contains(Fault::NoiseBefore) {
        frame = [dice.noise(), frame].concat();
    }
    if faults.contains(Fault::NoiseAfter) {
        frame.extend(dice.noise());
    }
    let mut answer = Answer::whole(frame.clone());
    if faults.contains(Fault::SlowBytes) {
        let slow = frame.iter().map(|&byte| Part {
            pause: SLOW_PAUSE,
            bytes: vec![byte],
        });
        answer.parts = slow.collect();
    }
    if faults.contains(Fault::Duplicate) {
        answer.parts.push(Part {
            pause: DUPLICATE_PAUSE,
            bytes: frame,
        });
    }
    if faults.contains(Fault::LateReply)
        && let Some(first) = answer.parts.first_mut()
    {
        first.pause += LATE;
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::modbus::rtu;

    const RIGHT: [u8; 6] = [3, 4, 0, 17, 0, 100];

    fn faults(on: &[Fault]) -> Faults {
        let mut faults = Faults::default();
        for fault in on {
            assert!(faults.switch(*fault, true));
        }
        faults
    }

    /// The frame of `reply` on a bus (no transaction) or in Modbus TCP, with one fault on.
    fn framed(fault: Fault, transaction: Option<u16>, reply: &[u8]) -> Vec<u8> {
        let call = Call {
            transaction,
            unit: 5,
            pdu: &[3, 0, 100, 0, 2],
        };
        frame(&faults(&[fault]), &mut Dice::new(1), call, reply.to_vec())
    }

    #[test]
    fn each_fault_changes_what_it_says_and_nothing_else() {
        let tcp = |transaction: u8, unit: u8, pdu: &[u8]| {
            let length = u8::try_from(pdu.len() + 1).unwrap();
            [&[0, transaction, 0, 0, 0, length, unit], pdu].concat()
        };
        let echo = [5, 0, 1, 0xFF, 0];
        for (fault, transaction, reply, expected) in [
            (Fault::Silent, None, &RIGHT[..], rtu::seal(5, &RIGHT)),
            (Fault::WrongUnit, None, &RIGHT, rtu::seal(6, &RIGHT)),
            (
                Fault::WrongEcho,
                None,
                &echo,
                rtu::seal(5, &[5, 0, 2, 0xFF, 0]),
            ),
            (Fault::WrongEcho, None, &RIGHT, rtu::seal(5, &RIGHT)),
            (Fault::WrongUnit, Some(9), &RIGHT, tcp(9, 6, &RIGHT)),
            (Fault::WrongTransaction, Some(9), &RIGHT, tcp(8, 5, &RIGHT)),
            (
                Fault::WrongLength,
                None,
                &[0x83, 2],
                rtu::seal(5, &[0x83, 2]),
            ),
        ] {
            assert_eq!(framed(fault, transaction, reply), expected, "{fault}");
        }
        let broken = framed(Fault::WrongCrc, None, &RIGHT);
        assert_eq!(broken.len(), RIGHT.len() + 3);
        assert_eq!(rtu::open(&broken), None);
    }

    #[test]
    fn a_wrong_length_is_one_less_or_one_more_and_well_framed() {
        let mut dice = Dice::new(7);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..64 {
            for (right, unit) in [(&RIGHT[..], 2), (&[1, 1, 0xFF], 1)] {
                let mut reply = right.to_vec();
                change_length(&mut reply, &mut dice);
                assert_eq!(usize::from(reply[1]), reply.len() - 2);
                assert_eq!(reply.len().abs_diff(right.len()), unit);
                seen.insert(reply.len());
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [2, 4, 8]);
    }

    #[test]
    fn the_bytes_and_their_times_are_those_of_the_fault() {
        let sent = |on: &[Fault]| send(&faults(on), &mut Dice::new(3), RIGHT.to_vec());
        let bytes = |answer: &Answer| {
            answer
                .parts
                .iter()
                .flat_map(|part| part.bytes.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(sent(&[]), Answer::whole(RIGHT.to_vec()));
        assert_eq!(bytes(&sent(&[Fault::Truncated])), RIGHT[..3]);
        assert_eq!(bytes(&sent(&[Fault::Duplicate])), [RIGHT, RIGHT].concat());
        let noisy = bytes(&sent(&[Fault::NoiseBefore]));
        assert!(
            noisy.len() > RIGHT.len() && noisy.ends_with(&RIGHT),
            "{noisy:?}"
        );
        let noisy = bytes(&sent(&[Fault::NoiseAfter]));
        assert!(
            noisy.len() > RIGHT.len() && noisy.starts_with(&RIGHT),
            "{noisy:?}"
        );
        let slow = sent(&[Fault::SlowBytes]);
        assert_eq!((slow.parts.len(), bytes(&slow)), (6, RIGHT.to_vec()));
        assert!(slow.parts.iter().all(|part| part.pause == SLOW_PAUSE));
        let late = sent(&[Fault::LateReply]);
        assert_eq!((late.parts[0].pause, bytes(&late)), (LATE, RIGHT.to_vec()));
        let reset = sent(&[Fault::Reset]);
        assert!(reset.resets && reset.parts.is_empty());
    }

    #[test]
    fn the_same_seed_makes_the_same_noise() {
        let noise = |seed| {
            std::iter::repeat_with({
                let mut dice = Dice::new(seed);
                move || dice.noise()
            })
            .take(20)
            .collect::<Vec<_>>()
        };
        assert_eq!(noise(1), noise(1));
        assert_ne!(noise(1), noise(2));
    }
}
