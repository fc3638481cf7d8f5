//! Bytes to frames. Each line is parsed once, when it is complete, and every bound is checked before more is kept.
//! Pure.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use crate::error::ProtocolError;
use crate::frame::{Command, Frame, Headers};
use crate::limits::Limits;
use crate::version::Version;

/// As much of an unknown command as is worth showing.
const SHOWN_COMMAND_CHARS: usize = 32;

/// Cuts a stream of bytes into frames. After an error the stream means nothing any more: drop the decoder.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// `None` until the peers have agreed: nothing is unescaped and both ends of line are fine.
    version: Option<Version>,
    buffer: BytesMut,
    /// Bytes at the start of `buffer` that are known to hold nothing that is looked for.
    scanned: usize,
    state: State,
    /// The `receipt` header of the frame that is being read.
    receipt: Option<String>,
}

#[derive(Debug)]
enum State {
    /// Between frames: ends of line are heart-beats or padding.
    Idle,
    /// The command line is read, the blank line is not.
    Head(Head),
    /// The blank line is read, the NUL is not.
    Body { frame: Frame, length: Option<usize> },
}

#[derive(Debug)]
struct Head {
    frame: Frame,
    /// Lines read so far: 1 is the command.
    lines: usize,
    /// Bytes read so far.
    bytes: usize,
    /// Whether the command line ended in CRLF.
    carriage_returns: bool,
    content_length: Option<String>,
}

impl Decoder {
    /// A decoder whose version is not known yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            version: None,
            buffer: BytesMut::new(),
            scanned: 0,
            state: State::Idle,
            receipt: None,
        }
    }

    /// From the next frame on, the rules of `version` hold.
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// From the next frame on, bodies may have `bytes` bytes.
    pub fn set_body_limit(&mut self, bytes: usize) {
        self.limits.body_bytes = bytes;
    }

    /// Takes what the socket read. Call [`Self::decode`] until it has no more frames before reading on: what is not
    /// decoded stays in memory.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that were pushed and belong to no decoded frame yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// After an error: the receipt that the broken frame asked for, as far as it was read.
    pub fn receipt_of_broken_frame(&self) -> Option<&str> {
        self.receipt.as_deref()
    }

    /// The next frame, or `None` when it is not complete yet.
    ///
    /// # Errors
    /// What is wrong with the bytes, and in which line of the frame.
    pub fn decode(&mut self) -> Result<Option<Frame>, ProtocolError> {
        loop {
            match std::mem::replace(&mut self.state, State::Idle) {
                State::Idle => {
                    self.skip_line_ends();
                    let Some(line) = self.take_line(1)? else {
                        return Ok(None);
                    };
                    self.state = State::Head(self.begin(&line)?);
                }
                State::Head(mut head) => {
                    let Some(line) = self.take_line(head.lines + 1)? else {
                        self.state = State::Head(head);
                        return Ok(None);
                    };
                    self.state = if self.add_line(&mut head, &line)? {
                        State::Head(head)
                    } else {
                        let length = self.content_length(&head)?;
                        State::Body {
                            frame: head.frame,
                            length,
                        }
                    };
                }
                State::Body { mut frame, length } => {
                    let Some(body) = self.take_body(frame.command, length)? else {
                        self.state = State::Body { frame, length };
                        return Ok(None);
                    };
                    // A stray body on a frame that may have none is dropped: clients send one by mistake, and the
                    // reference brokers forgive it.
                    if frame.command.may_have_body() {
                        frame.body = body;
                    }
                    return Ok(Some(frame));
                }
            }
        }
    }

    fn skip_line_ends(&mut self) {
        loop {
            let skip = match *self.buffer {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return,
            };
            self.buffer.advance(skip);
            self.scanned = 0;
        }
    }

    /// One line with its LF, or `None` when it is not complete.
    fn take_line(&mut self, line: usize) -> Result<Option<Bytes>, ProtocolError> {
        let limit = self.limits.line_bytes;
        let end = memchr(b'\n', &self.buffer[self.scanned..]).map(|at| self.scanned + at + 1);
        let available = end.unwrap_or(self.buffer.len());
        if available > limit {
            return Err(ProtocolError::LineTooLong { line, limit });
        }
        if memchr(0, &self.buffer[self.scanned..available]).is_some() {
            return Err(ProtocolError::NulInHead { line });
        }
        let Some(end) = end else {
            self.scanned = available;
            return Ok(None);
        };
        self.scanned = 0;
        Ok(Some(self.buffer.split_to(end).freeze()))
    }

    fn begin(&mut self, line: &[u8]) -> Result<Head, ProtocolError> {
        self.receipt = None;
        let content = &line[..line.len() - 1];
        let (name, carriage_returns) = match content.strip_suffix(b"\r") {
            Some(name) => (name, true),
            None => (content, false),
        };
        let command = Command::parse(name).ok_or_else(|| {
            let shown = String::from_utf8_lossy(name);
            ProtocolError::UnknownCommand(shown.chars().take(SHOWN_COMMAND_CHARS).collect())
        })?;
        Ok(Head {
            frame: Frame {
                command,
                headers: Headers::new(),
                body: Bytes::new(),
            },
            lines: 1,
            bytes: line.len(),
            carriage_returns,
            content_length: None,
        })
    }

    /// Adds a header; `false` when the line was the blank one that ends the head.
    fn add_line(&mut self, head: &mut Head, line: &[u8]) -> Result<bool, ProtocolError> {
        head.lines += 1;
        head.bytes += line.len();
        if head.bytes > self.limits.head_bytes {
            let limit = self.limits.head_bytes;
            return Err(ProtocolError::HeadTooLong { limit });
        }
        let (command, number) = (head.frame.command, head.lines);
        let content = &line[..line.len() - 1];
        let line_ends = head.carriage_returns
            || matches!(self.version, None | Some(Version::V1_2))
            || content == b"\r";
        let content = match content.strip_suffix(b"\r") {
            Some(shorter) if line_ends => shorter,
            _ => content,
        };
        if content.is_empty() {
            return Ok(false);
        }
        if self.version == Some(Version::V1_2) && memchr(b'\r', content).is_some() {
            let line = number;
            return Err(ProtocolError::BareCarriageReturn { command, line });
        }
        if head.frame.headers.len() >= self.limits.headers {
            let limit = self.limits.headers;
            return Err(ProtocolError::TooManyHeaders { limit });
        }
        let Ok(text) = std::str::from_utf8(content) else {
            return Err(ProtocolError::NotUtf8 { line: number });
        };
        let (name, value) = text
            .split_once(':')
            .ok_or(ProtocolError::HeaderWithoutColon {
                command,
                line: number,
            })?;
        let name = self.unescape(name, command, number)?;
        let value = self.unescape(value, command, number)?;
        if name.is_empty() {
            let line = number;
            return Err(ProtocolError::EmptyHeaderName { command, line });
        }
        if name == "content-length" {
            head.content_length.get_or_insert(value);
        } else {
            if name == "receipt" {
                self.receipt.get_or_insert_with(|| value.clone());
            }
            head.frame.headers.push(name, value);
        }
        Ok(true)
    }

    fn unescape(&self, text: &str, command: Command, line: usize) -> Result<String, ProtocolError> {
        let escaped = command.is_escaped() && self.version.is_some_and(|v| v > Version::V1_0);
        let mut rest = text;
        let mut plain = String::with_capacity(text.len());
        while let Some(at) = memchr(b'\\', rest.as_bytes()).filter(|_| escaped) {
            plain.push_str(&rest[..at]);
            let mut after = rest[at + 1..].chars();
            let character = after.next();
            plain.push(match character {
                Some('n') => '\n',
                Some('c') => ':',
                Some('\\') => '\\',
                Some('r') if self.version == Some(Version::V1_2) => '\r',
                _ => {
                    let escape = std::iter::once('\\').chain(character).collect();
                    return Err(ProtocolError::UndefinedEscape {
                        command,
                        line,
                        escape,
                    });
                }
            });
            rest = after.as_str();
        }
        plain.push_str(rest);
        Ok(plain)
    }

    fn content_length(&self, head: &Head) -> Result<Option<usize>, ProtocolError> {
        let Some(value) = &head.content_length else {
            return Ok(None);
        };
        let command = head.frame.command;
        let padded = matches!(self.version, None | Some(Version::V1_0));
        let digits = match value.strip_prefix(' ') {
            Some(digits) if padded => digits,
            _ => value,
        };
        // `parse` alone would take "+5".
        let length = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse::<usize>().ok())
            .flatten()
            .ok_or_else(|| ProtocolError::BadContentLength {
                command,
                value: value.clone(),
            })?;
        let limit = self.limits.body_bytes;
        if length > limit {
            return Err(ProtocolError::BodyTooLong { command, limit });
        }
        Ok(Some(length))
    }

    /// The body, with its NUL taken off the buffer, or `None` when it is not complete.
    fn take_body(
        &mut self,
        command: Command,
        length: Option<usize>,
    ) -> Result<Option<Bytes>, ProtocolError> {
        let end = match length {
            Some(length) => {
                let Some(terminator) = self.buffer.get(length) else {
                    return Ok(None);
                };
                if *terminator != 0 {
                    return Err(ProtocolError::MissingNul { command, length });
                }
                length
            }
            None => {
                let end = memchr(0, &self.buffer[self.scanned..]).map(|at| self.scanned + at);
                let limit = self.limits.body_bytes;
                if end.unwrap_or(self.buffer.len()) > limit {
                    return Err(ProtocolError::BodyTooLong { command, limit });
                }
                let Some(end) = end else {
                    self.scanned = self.buffer.len();
                    return Ok(None);
                };
                end
            }
        };
        self.scanned = 0;
        let body = self.buffer.split_to(end).freeze();
        self.buffer.advance(1);
        Ok(Some(body))
    }
}
