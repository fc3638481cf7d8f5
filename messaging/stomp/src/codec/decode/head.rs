//! The head of one frame, line by line. Pure.

use std::mem;

use bytes::Bytes;
use memchr::{memchr, memchr2};

use crate::error::ProtocolError;
use crate::frame::{Command, Frame, Headers};
use crate::version::Version;

/// As much of an unknown command as is worth showing.
const SHOWN_COMMAND_CHARS: usize = 32;

/// Room for the headers of a frame before it is known how many there are: most frames have no more.
const USUAL_HEADERS: usize = 8;
const USUAL_HEADER_BYTES: usize = 160;

/// The head of the frame that is being read.
#[derive(Debug)]
pub(super) struct Head {
    command: Command,
    headers: Headers,
    /// Lines read so far: 1 is the command.
    lines: usize,
    /// Bytes read so far.
    bytes: usize,
    /// Whether the command line ended in CRLF.
    carriage_returns: bool,
    /// The first `content-length`. It is judged at the head's end, when the receipt is known that an ERROR quotes.
    length: Option<Length>,
}

#[derive(Debug)]
enum Length {
    Octets(usize),
    Bad(String),
}

impl Length {
    fn parse(value: &str, version: Option<Version>) -> Self {
        let digits = match value.strip_prefix(' ') {
            Some(digits) if matches!(version, None | Some(Version::V1_0)) => digits,
            _ => value,
        };
        // `parse` alone would take "+5".
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()
            .map_or_else(|| Self::Bad(value.to_owned()), Self::Octets)
    }
}

impl Head {
    /// None, before the first frame.
    pub(super) fn new() -> Self {
        Self {
            command: Command::Send,
            headers: Headers::new(),
            lines: 0,
            bytes: 0,
            carriage_returns: false,
            length: None,
        }
    }

    pub(super) fn command(&self) -> Command {
        self.command
    }

    /// Lines read so far.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Bytes read so far, ends of line included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The receipt that the frame asks for, as far as it is read.
    pub(super) fn receipt(&self, version: Option<Version>) -> Option<&str> {
        let may_ask = !matches!(self.command, Command::Connect | Command::Stomp);
        let receipt = self.headers.get("receipt").filter(|_| may_ask)?;
        let padded = version == Some(Version::V1_0);
        Some(
            receipt
                .strip_prefix(' ')
                .filter(|_| padded)
                .unwrap_or(receipt),
        )
    }

    /// Reads a command line, its LF included.
    pub(super) fn begin(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        let content = &line[..line.len() - 1];
        let (name, carriage_returns) = match content.strip_suffix(b"\r") {
            Some(name) => (name, true),
            None => (content, false),
        };
        let command = Command::parse(name).ok_or_else(|| {
            let shown = String::from_utf8_lossy(name);
            ProtocolError::UnknownCommand(shown.chars().take(SHOWN_COMMAND_CHARS).collect())
        })?;
        *self = Self {
            command,
            headers: Headers::with_capacity(USUAL_HEADERS, USUAL_HEADER_BYTES),
            lines: 1,
            bytes: line.len(),
            carriage_returns,
            length: None,
        };
        Ok(())
    }

    /// Reads a header line, its LF included; `false` when it was the blank one that ends the head.
    pub(super) fn add_line(
        &mut self,
        line: &[u8],
        version: Option<Version>,
        headers_max: usize,
    ) -> Result<bool, ProtocolError> {
        self.lines += 1;
        self.bytes += line.len();
        let (command, line_number) = (self.command, self.lines);
        let content = &line[..line.len() - 1];
        let line_ends = self.carriage_returns
            || matches!(version, None | Some(Version::V1_2))
            || content == b"\r";
        let content = match content.strip_suffix(b"\r") {
            Some(shorter) if line_ends => shorter,
            _ => content,
        };
        if content.is_empty() {
            return Ok(false);
        }
        // One search for both octets that need a closer look: most lines have neither.
        let special = memchr2(b'\r', b'\\', content).is_some();
        if special && version == Some(Version::V1_2) && content.contains(&b'\r') {
            return Err(ProtocolError::BareCarriageReturn {
                command,
                line: line_number,
            });
        }
        let Ok(text) = std::str::from_utf8(content) else {
            return Err(ProtocolError::NotUtf8 { line: line_number });
        };
        let Some(colon) = memchr(b':', content) else {
            return Err(ProtocolError::HeaderWithoutColon {
                command,
                line: line_number,
            });
        };
        let (name, value) = (&text[..colon], &text[colon + 1..]);
        if name.is_empty() {
            return Err(ProtocolError::EmptyHeaderName {
                command,
                line: line_number,
            });
        }
        let escaped = command.is_escaped() && version.is_some_and(|v| v > Version::V1_0);
        if special && escaped {
            let name = self.unescape(name, version)?;
            let value = self.unescape(value, version)?;
            self.add(&name, &value, version, headers_max)?;
        } else {
            self.add(name, value, version, headers_max)?;
        }
        Ok(true)
    }

    fn add(
        &mut self,
        name: &str,
        value: &str,
        version: Option<Version>,
        headers_max: usize,
    ) -> Result<(), ProtocolError> {
        if name == "content-length" {
            // Framing, so it does not count, wherever it stands.
            self.length
                .get_or_insert_with(|| Length::parse(value, version));
        } else if self.headers.len() < headers_max {
            self.headers.push(name, value);
        } else {
            return Err(ProtocolError::TooManyHeaders { limit: headers_max });
        }
        Ok(())
    }

    fn unescape(&self, text: &str, version: Option<Version>) -> Result<String, ProtocolError> {
        let mut rest = text;
        let mut plain = String::with_capacity(text.len());
        while let Some(at) = memchr(b'\\', rest.as_bytes()) {
            plain.push_str(&rest[..at]);
            let mut after = rest[at + 1..].chars();
            let character = after.next();
            plain.push(match character {
                Some('n') => '\n',
                Some('c') => ':',
                Some('\\') => '\\',
                Some('r') if version == Some(Version::V1_2) => '\r',
                _ => {
                    return Err(ProtocolError::UndefinedEscape {
                        command: self.command,
                        line: self.lines,
                        escape: std::iter::once('\\').chain(character).collect(),
                    });
                }
            });
            rest = after.as_str();
        }
        plain.push_str(rest);
        Ok(plain)
    }

    /// How many octets of body the head announces, if it does.
    pub(super) fn content_length(&self) -> Result<Option<usize>, ProtocolError> {
        match &self.length {
            None => Ok(None),
            Some(Length::Octets(octets)) => Ok(Some(*octets)),
            Some(Length::Bad(value)) => Err(ProtocolError::BadContentLength {
                command: self.command,
                value: value.clone(),
            }),
        }
    }

    /// The frame without its body; the next one begins anew.
    pub(super) fn finish(&mut self) -> Frame {
        let head = mem::replace(self, Self::new());
        Frame {
            command: head.command,
            headers: head.headers,
            body: Bytes::new(),
        }
    }
}
