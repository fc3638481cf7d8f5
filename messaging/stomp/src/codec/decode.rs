//! Bytes to frames. Each line is parsed once, when it is complete, and every bound is checked before more is kept.
//! Pure.
//!
//! # Memory
//! What is pushed is copied once, into a buffer that is given back when all of it is decoded. Heads are copied out of
//! it line by line. A body that is long, and most of the buffer, takes the buffer over; any other is copied out, so that
//! whoever keeps a frame does not keep all that was read along with it. A long body that comes in pieces is neither
//! searched nor copied again for each of them.

mod head;

use std::mem;
use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memchr2};

use self::head::Head;
use crate::error::ProtocolError;
use crate::frame::Frame;
use crate::limits::Limits;
use crate::version::Version;

/// From this length on, a body may take the buffer over. Copying less costs no more than sharing it.
const SHARED_BODY_BYTES: usize = 4 * 1024;

/// Room after a long body: the read that brings its end may bring the beginning of the next frame. So much, and an
/// eighth of the body: who sends long bodies may send long pieces.
const NEXT_FRAME_BYTES: usize = 8 * 1024;

/// Cuts a stream of bytes into frames. After an error the stream means nothing any more: drop the decoder.
#[derive(Debug)]
pub struct Decoder {
    bounds: Bounds,
    /// `None` until the peers have agreed: nothing is unescaped and both ends of line are fine.
    version: Option<Version>,
    /// What was pushed; what is before `read` is decoded.
    buffer: Vec<u8>,
    read: usize,
    /// Bytes from `read` on that are known to hold nothing that is looked for.
    scanned: usize,
    phase: Phase,
    /// The frame that is being read.
    head: Head,
}

/// The limits that a decoder checks.
#[derive(Debug)]
struct Bounds {
    line: usize,
    head: usize,
    headers: usize,
    body: usize,
    /// Head, body and NUL together.
    frame: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between frames: ends of line are heart-beats or padding.
    Idle,
    /// The command line is read, the blank line is not.
    Head,
    /// The blank line is read, the NUL is not.
    Body,
}

impl Decoder {
    /// A decoder whose version is not known yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            bounds: Bounds {
                line: limits.line_bytes,
                head: limits.head_bytes,
                headers: limits.headers,
                body: limits.body_bytes,
                frame: usize::MAX,
            },
            version: None,
            buffer: Vec::new(),
            read: 0,
            scanned: 0,
            phase: Phase::Idle,
            head: Head::new(),
        }
    }

    /// From the next frame on, the rules of `version` hold.
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// From the next frame on, a frame may have `bytes` bytes from its command to its NUL; `None` for as many as its
    /// parts may have.
    pub fn set_frame_limit(&mut self, bytes: Option<usize>) {
        self.bounds.frame = bytes.unwrap_or(usize::MAX);
    }

    /// Takes what the socket read. Call [`Self::decode`] until it has no more frames before reading on: what is not
    /// decoded stays in memory.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that were pushed and belong to no decoded frame or line yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.read
    }

    /// After an error: the receipt that the broken frame asked for, as far as it was read.
    pub fn receipt_of_broken_frame(&self) -> Option<&str> {
        match self.phase {
            Phase::Idle => None,
            Phase::Head | Phase::Body => self.head.receipt(self.version),
        }
    }

    /// The next frame, or `None` when it is not complete yet.
    ///
    /// # Errors
    /// What is wrong with the bytes, and in which line of the frame.
    pub fn decode(&mut self) -> Result<Option<Frame>, ProtocolError> {
        let frame = self.advance()?;
        if self.read == self.buffer.len() {
            self.buffer = Vec::new();
            self.read = 0;
        } else if frame.is_none() {
            self.compact();
        }
        Ok(frame)
    }

    fn advance(&mut self) -> Result<Option<Frame>, ProtocolError> {
        if self.phase == Phase::Idle {
            self.skip_line_ends();
            let Some(line) = self.take_line()? else {
                return Ok(None);
            };
            self.head.begin(&self.buffer[line])?;
            self.phase = Phase::Head;
        }
        while self.phase == Phase::Head {
            let Some(line) = self.take_line()? else {
                return Ok(None);
            };
            let line = &self.buffer[line];
            if !self
                .head
                .add_line(line, self.version, self.bounds.headers)?
            {
                self.phase = Phase::Body;
                if let Some(length) = self.head.content_length()? {
                    self.check_body(length)?;
                }
            }
        }
        let Some(length) = self.find_body()? else {
            return Ok(None);
        };
        let mut frame = self.head.finish();
        // A stray body on a frame that may have none is dropped: clients send one by mistake, and the reference
        // brokers forgive it.
        if frame.command.may_have_body() {
            frame.body = self.take_body(length);
        } else {
            self.read += length;
        }
        self.read += 1;
        self.scanned = 0;
        self.phase = Phase::Idle;
        Ok(Some(frame))
    }

    fn skip_line_ends(&mut self) {
        loop {
            let skip = match self.buffer[self.read..] {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return,
            };
            self.read += skip;
            self.scanned = 0;
        }
    }

    /// Where the next line with its LF is, or `None` when it is not complete. What comes first in it decides which
    /// error it is, so that it is the same however the bytes were split.
    fn take_line(&mut self) -> Result<Option<Range<usize>>, ProtocolError> {
        let waiting = &self.buffer[self.read..];
        let found = memchr2(b'\n', 0, &waiting[self.scanned..]).map(|at| self.scanned + at);
        let length = found.map_or(waiting.len(), |at| at + 1);
        if length > self.line_room() {
            return Err(self.line_too_long());
        }
        let Some(at) = found else {
            self.scanned = length;
            return Ok(None);
        };
        if waiting[at] == 0 {
            let line = self.head.lines() + 1;
            return Err(ProtocolError::NulInHead { line });
        }
        let start = self.read;
        self.read += length;
        self.scanned = 0;
        Ok(Some(start..self.read))
    }

    /// Bytes that the next line may have.
    fn line_room(&self) -> usize {
        let Bounds {
            line, head, frame, ..
        } = self.bounds;
        line.min(head.min(frame).saturating_sub(self.head.bytes()))
    }

    /// Which of the bounds on a line is the narrowest.
    fn line_too_long(&self) -> ProtocolError {
        let Bounds {
            line, head, frame, ..
        } = self.bounds;
        if self.line_room() == line {
            let number = self.head.lines() + 1;
            ProtocolError::LineTooLong {
                line: number,
                limit: line,
            }
        } else if head <= frame {
            ProtocolError::HeadTooLong { limit: head }
        } else {
            ProtocolError::FrameTooLong { limit: frame }
        }
    }

    /// Whether a body may have `length` bytes.
    fn check_body(&self, length: usize) -> Result<(), ProtocolError> {
        let Bounds { body, frame, .. } = self.bounds;
        // The NUL belongs to the frame as well.
        let room = frame.saturating_sub(self.head.bytes() + 1);
        if length <= body.min(room) {
            Ok(())
        } else if body <= room {
            let command = self.head.command();
            Err(ProtocolError::BodyTooLong {
                command,
                limit: body,
            })
        } else {
            Err(ProtocolError::FrameTooLong { limit: frame })
        }
    }

    /// How long the body is whose NUL is there, or `None` when it is not.
    fn find_body(&mut self) -> Result<Option<usize>, ProtocolError> {
        let waiting = &self.buffer[self.read..];
        match self.head.content_length()? {
            Some(length) => match waiting.get(length) {
                Some(0) => Ok(Some(length)),
                Some(_) => {
                    let command = self.head.command();
                    Err(ProtocolError::MissingNul { command, length })
                }
                None => Ok(None),
            },
            None => {
                let found = memchr(0, &waiting[self.scanned..]).map(|at| self.scanned + at);
                let length = waiting.len();
                self.check_body(found.unwrap_or(length))?;
                self.scanned = length;
                Ok(found)
            }
        }
    }

    /// The next `length` bytes: those of the body.
    fn take_body(&mut self, length: usize) -> Bytes {
        let body = self.read..self.read + length;
        if length < SHARED_BODY_BYTES || length < self.buffer.capacity() / 2 {
            self.read = body.end;
            return Bytes::copy_from_slice(&self.buffer[body]);
        }
        // What follows is shorter than the body, so moving it costs less.
        let rest = self.buffer[body.end..].to_vec();
        self.read = 0;
        Bytes::from(mem::replace(&mut self.buffer, rest)).slice(body)
    }

    /// Forgets what is decoded, and makes room for the rest of a body whose length is known.
    fn compact(&mut self) {
        let waiting = self.buffered();
        let needed = match self.head.content_length() {
            Ok(Some(length)) if self.phase == Phase::Body && length >= SHARED_BODY_BYTES => {
                length.saturating_add(length / 8 + NEXT_FRAME_BYTES)
            }
            _ => waiting,
        };
        if self.read > 0 {
            let mut rest = Vec::with_capacity(needed.max(waiting));
            rest.extend_from_slice(&self.buffer[self.read..]);
            self.buffer = rest;
            self.read = 0;
        } else {
            self.buffer.reserve_exact(needed.saturating_sub(waiting));
        }
    }
}
