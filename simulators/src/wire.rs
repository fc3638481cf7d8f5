//! The wires: how bytes become requests, and requests become answers.
//!
//! Pure. Written from the protocols' own documents and sharing nothing with the agent's drivers: a mistake made
//! on one side must not cancel itself out on the other.

use std::time::Duration;

use crate::fault::Kind;

pub(crate) mod disturbance;
pub(crate) mod escpos;
pub(crate) mod json_lines;
pub(crate) mod modbus;

/// How requests are told apart in a stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Modbus TCP: a header with the length.
    Modbus,
    /// One request per line.
    Lines,
    /// Each portion of bytes as it comes; the machine behind keeps its place.
    Portions,
}

/// The stream is not what the framing says; the connection cannot be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("protocol id {0} instead of 0 in a Modbus TCP header")]
    Protocol(u16),
    #[error("a length of {0} in a Modbus TCP header, outside 2 to 254")]
    Length(u16),
    #[error("a line longer than {} bytes", json_lines::MAX_LINE_BYTES)]
    Line,
}

impl Framing {
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Gate | Kind::Loop => Self::Modbus,
            Kind::Kiosk => Self::Lines,
            Kind::Printer => Self::Portions,
        }
    }

    /// Cuts the next request off the front of `buffer`; `None` until it is complete.
    pub(crate) fn next_request(
        self,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Vec<u8>>, FramingError> {
        let end = match self {
            Self::Modbus => modbus::adu_length(buffer)?,
            Self::Lines => json_lines::line_length(buffer)?,
            Self::Portions if buffer.is_empty() => None,
            Self::Portions => Some(buffer.len()),
        };
        Ok(end
            .filter(|&end| end <= buffer.len())
            .map(|end| buffer.drain(..end).collect()))
    }
}

/// What leaves a device for one request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What is sent, in order; nothing, where the device says nothing.
    pub(crate) parts: Vec<Part>,
    /// Whether the connection is reset.
    pub(crate) resets: bool,
}

/// Bytes that are sent in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// How long after the part before, or after the request.
    pub(crate) pause: Duration,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// All of `bytes`, at once.
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        let part = Part {
            pause: Duration::ZERO,
            bytes,
        };
        Self {
            parts: vec![part],
            resets: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        framing: Framing,
        stream: &[u8],
        expected: Result<&[&[u8]], FramingError>,
        left: usize,
    ) {
        // Whole, and byte by byte: portions of a stream mean nothing.
        for portion in [stream.len().max(1), 1] {
            let mut buffer = Vec::new();
            let mut requests = Vec::new();
            let outcome = stream.chunks(portion).try_for_each(|bytes| {
                buffer.extend_from_slice(bytes);
                while let Some(request) = framing.next_request(&mut buffer)? {
                    requests.push(request);
                }
                Ok(())
            });
            match expected {
                Ok(expected) => {
                    assert_eq!(outcome, Ok(()));
                    assert_eq!(requests, expected, "in portions of {portion}");
                    assert_eq!(buffer.len(), left);
                }
                Err(error) => assert_eq!(outcome, Err(error)),
            }
        }
    }

    #[test]
    fn modbus_requests_are_cut_by_their_length() {
        let request = [0, 1, 0, 0, 0, 6, 1, 3, 0, 100, 0, 10];
        check(Framing::Modbus, &request, Ok(&[&request]), 0);
        check(Framing::Modbus, &request[..11], Ok(&[]), 11);
        let mut two = request.to_vec();
        two.extend_from_slice(&request);
        two.push(9);
        check(Framing::Modbus, &two, Ok(&[&request, &request]), 1);
        check(
            Framing::Modbus,
            b"GET / HT",
            Err(FramingError::Protocol(u16::from_be_bytes(*b"T "))),
            0,
        );
        for length in [0, 1, 255] {
            check(
                Framing::Modbus,
                &[0, 1, 0, 0, 0, length, 1, 3],
                Err(FramingError::Length(length.into())),
                0,
            );
        }
    }

    #[test]
    fn lines_are_cut_at_line_feeds() {
        check(Framing::Lines, b"a\nbc\r\nd", Ok(&[b"a\n", b"bc\r\n"]), 1);
        let endless = vec![b'x'; json_lines::MAX_LINE_BYTES + 1];
        check(Framing::Lines, &endless, Err(FramingError::Line), 0);
    }
}
