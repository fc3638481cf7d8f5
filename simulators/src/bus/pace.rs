//! A bus's time: how long bytes are on the wire, and which silence ends a frame (MODBUS over Serial Line V1.02, 2.5.1).
//!
//! Pure. A pty and a TCP connection carry bytes at once; here they take as long as at the bus's bits per second. Like the
//! bus that it stands for, it carries one frame at a time: a request that begins while another frame, or the silence
//! behind it, is under way is heard by nobody.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::Part;
use crate::wire::modbus::rtu::FRAME_BYTES_MAX;

/// Start, eight of data, parity or a second stop, stop.
const BITS_PER_BYTE: u32 = 11;

/// Above this many bits per second the silence does not get shorter (section 2.5.1.1).
const FIXED_ABOVE: u32 = 19_200;
const FIXED_SILENCE: Duration = Duration::from_micros(1_750);

/// Answers that wait for the wire, late ones most of all: each unit is asked by one master, so few ever wait.
const WAITING_MAX: usize = 64;

/// The times of a bus.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    byte: Duration,
    /// Three and a half bytes.
    pub(crate) silence: Duration,
}

impl Pace {
    pub(crate) fn new(baud: u32) -> Self {
        let byte = Duration::from_secs(1) * BITS_PER_BYTE / baud;
        Self {
            byte,
            silence: if baud > FIXED_ABOVE {
                FIXED_SILENCE
            } else {
                byte * 7 / 2
            },
        }
    }

    fn bytes(&self, count: usize) -> Duration {
        self.byte * u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// What the units hear: bytes, until a silence ends the frame.
#[derive(Debug)]
pub(crate) struct Ear {
    pace: Pace,
    frame: Vec<u8>,
    /// When the last byte that came is over.
    end: Option<Instant>,
    is_spoiled: bool,
}

impl Ear {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            frame: Vec::new(),
            end: None,
            is_spoiled: false,
        }
    }

    /// Bytes came; `is_taken` says that the wire is another's.
    pub(crate) fn hear(&mut self, bytes: &[u8], now: Instant, is_taken: bool) {
        let begin = self.end.map_or(now, |end| end.max(now));
        self.end = Some(begin + self.pace.bytes(bytes.len()));
        self.is_spoiled |= is_taken;
        // What is longer than any frame is none; its first bytes are enough to know that.
        let room = (FRAME_BYTES_MAX + 1).saturating_sub(self.frame.len());
        self.frame.extend(bytes.iter().take(room));
    }

    /// When the frame that is coming is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.end.map(|end| end + self.pace.silence)
    }

    /// The frame that is over at `now`; `None` also for one that nobody heard.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.deadline().filter(|&deadline| deadline <= now)?;
        self.end = None;
        let frame = std::mem::take(&mut self.frame);
        let is_spoiled = std::mem::take(&mut self.is_spoiled);
        (!is_spoiled).then_some(frame)
    }
}

/// One frame of a unit: its bytes, each with its time from the frame's beginning.
#[derive(Debug)]
struct Utterance {
    unit: u8,
    at: Instant,
    bytes: Vec<(Duration, u8)>,
}

/// What the units say: frames in the order of their times, each byte when it has been on the wire.
#[derive(Debug)]
pub(crate) struct Voice {
    pace: Pace,
    waiting: VecDeque<Utterance>,
    /// The frame under way, when it began, and how many of its bytes are out.
    speaking: Option<(Utterance, Instant, usize)>,
    /// When the last frame's last byte was out.
    ended: Option<Instant>,
}

/// Bytes that are due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) bytes: Vec<u8>,
    /// Whose frame ends with them.
    pub(crate) ends: Option<u8>,
}

impl Voice {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            waiting: VecDeque::new(),
            speaking: None,
            ended: None,
        }
    }

    /// `unit` answers at `at`, or as soon as the wire is free. False: too many wait, and it will not.
    pub(crate) fn say(&mut self, unit: u8, at: Instant, parts: &[Part]) -> bool {
        if self.waiting.len() == WAITING_MAX {
            return false;
        }
        let at = at + parts.first().map_or(Duration::ZERO, |part| part.pause);
        let mut bytes = Vec::new();
        let mut offset = Duration::ZERO;
        for (n, part) in parts.iter().enumerate() {
            // The first part's pause is before the frame.
            offset += if n == 0 { Duration::ZERO } else { part.pause };
            for &byte in &part.bytes {
                offset += self.pace.byte;
                bytes.push((offset, byte));
            }
        }
        let place = self.waiting.partition_point(|other| other.at <= at);
        if !bytes.is_empty() {
            self.waiting.insert(place, Utterance { unit, at, bytes });
        }
        true
    }

    /// Whether a frame, or the silence after it, is under way.
    pub(crate) fn is_taking_the_wire(&self, now: Instant) -> bool {
        let silent = |ended: Instant| ended + self.pace.silence <= now;
        self.speaking.is_some() || !self.ended.is_none_or(silent)
    }

    /// When bytes are due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.speaking {
            Some((utterance, began, out)) => Some(*began + utterance.bytes[*out].0),
            None => self
                .waiting
                .front()
                .map(|next| next.at.max(self.free_at(next.at))),
        }
    }

    fn free_at(&self, otherwise: Instant) -> Instant {
        self.ended
            .map_or(otherwise, |ended| ended + self.pace.silence)
    }

    /// What is due at `now`.
    pub(crate) fn take(&mut self, now: Instant) -> Said {
        let nothing = Said {
            bytes: Vec::new(),
            ends: None,
        };
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return nothing;
        }
        let Some((utterance, began, out)) = &mut self.speaking else {
            let began = self.deadline();
            self.speaking = self
                .waiting
                .pop_front()
                .zip(began)
                .map(|(next, began)| (next, began, 0));
            return nothing;
        };
        let due = utterance.bytes[*out..]
            .iter()
            .take_while(|(offset, _)| *began + *offset <= now)
            .map(|(_, byte)| *byte);
        let bytes: Vec<u8> = due.collect();
        *out += bytes.len();
        let ends = (*out == utterance.bytes.len()).then_some(utterance.unit);
        if ends.is_some() {
            self.speaking = None;
            self.ended = Some(now);
        }
        Said { bytes, ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A byte is one millisecond here, and the silence three and a half.
    fn pace() -> Pace {
        Pace::new(11_000)
    }

    fn part(pause: Duration, bytes: &[u8]) -> Part {
        Part {
            pause,
            bytes: bytes.to_vec(),
        }
    }

    /// Runs the voice from deadline to deadline: which bytes came out so long after `start`.
    fn play(voice: &mut Voice, start: Instant) -> Vec<(u128, u8)> {
        let mut out = Vec::new();
        while let Some(now) = voice.deadline() {
            for byte in voice.take(now).bytes {
                out.push(((now - start).as_micros(), byte));
            }
        }
        out
    }

    #[test]
    fn times_are_the_documents() {
        for (baud, byte_us, silence_us) in [
            (9_600, 1_145, 4_010),
            (19_200, 572, 2_005),
            (38_400, 286, 1_750),
        ] {
            let pace = Pace::new(baud);
            assert_eq!(
                (pace.byte.as_micros(), pace.silence.as_micros()),
                (byte_us, silence_us),
                "{baud}"
            );
        }
    }

    #[test]
    fn a_silence_ends_a_frame_however_its_bytes_came() {
        for portion in [1, 3, 8] {
            let mut ear = Ear::new(pace());
            let now = Instant::now();
            for bytes in [1, 2, 3, 4, 5, 6, 7, 8].chunks(portion) {
                ear.hear(bytes, now, false);
            }
            let end = now + 8 * MS + 3_500 * MS / 1_000;
            assert_eq!(ear.deadline(), Some(end));
            assert_eq!(ear.take(end - Duration::from_nanos(1)), None);
            assert_eq!(ear.take(end), Some(vec![1, 2, 3, 4, 5, 6, 7, 8]));
            assert_eq!((ear.deadline(), ear.take(end)), (None, None));
        }
    }

    #[test]
    fn what_comes_while_the_wire_is_taken_is_heard_by_nobody() {
        let mut ear = Ear::new(pace());
        let now = Instant::now();
        ear.hear(&[1, 2], now, true);
        ear.hear(&[3, 4], now, false);
        assert_eq!(ear.take(now + 100 * MS), None);
        ear.hear(&[5, 6], now + 200 * MS, false);
        assert_eq!(ear.take(now + 300 * MS), Some(vec![5, 6]));
        ear.hear(&[0; 4 * FRAME_BYTES_MAX], now + 400 * MS, false);
        let babble = ear.take(now + 5_000 * MS).unwrap();
        assert_eq!(babble.len(), FRAME_BYTES_MAX + 1, "no frame, and bounded");
    }

    #[test]
    fn each_byte_comes_out_when_it_has_been_on_the_wire() {
        let (mut voice, now) = (Voice::new(pace()), Instant::now());
        assert!(voice.say(1, now + 10 * MS, &[part(Duration::ZERO, &[7, 8])]));
        assert!(!voice.is_taking_the_wire(now));
        assert_eq!(play(&mut voice, now), [(11_000, 7), (12_000, 8)]);
        assert!(voice.is_taking_the_wire(now + 15 * MS), "silence");
        assert!(!voice.is_taking_the_wire(now + 16 * MS));
    }

    #[test]
    fn one_frame_at_a_time_with_a_silence_between() {
        let (mut voice, now) = (Voice::new(pace()), Instant::now());
        let late = [part(20 * MS, &[1])];
        voice.say(1, now, &late);
        voice.say(2, now + 19 * MS, &[part(Duration::ZERO, &[2, 2])]);
        assert_eq!(
            play(&mut voice, now),
            [(20_000, 2), (21_000, 2), (25_500, 1)]
        );
    }

    #[test]
    fn pauses_within_a_frame_are_kept() {
        let (mut voice, now) = (Voice::new(pace()), Instant::now());
        voice.say(1, now, &[part(5 * MS, &[1]), part(5 * MS, &[2])]);
        assert_eq!(play(&mut voice, now), [(6_000, 1), (12_000, 2)]);
        let mut full = Voice::new(pace());
        let accepted = (0..100)
            .filter(|_| full.say(1, now, &[part(MS, &[1])]))
            .count();
        assert_eq!(accepted, WAITING_MAX);
    }
}
