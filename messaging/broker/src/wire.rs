//! What a session needs of its connection, whatever carries it: who implements [`Transport`] brings clients to the
//! broker on a road of their own, by [`crate::Broker::serve`]. Everything here is polled: nothing waits inside, so
//! nothing is lost when a wait is given up.

use std::io;
use std::task::{Context, Poll};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;

/// A whole frame as it goes over the wire. Whether it is text is found out once, not for each of its receivers.
#[derive(Debug, Clone)]
pub struct WireFrame {
    /// Its beginning.
    pub head: Bytes,
    /// The rest of a long one, which all its receivers share, whatever the head says to each; else empty.
    pub tail: Bytes,
    /// Whether all of it is UTF-8: headers are, bodies may not be.
    pub is_text: bool,
}

impl WireFrame {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Says how a body is written that would be no text: `base64` (RFC 4648, 4).
const BODY_ENCODING: &str = "x-body-encoding";

impl WireFrame {
    /// The frame for transports that carry nothing but text. A body that is none is written in base64, with
    /// `x-body-encoding:base64` to say so: what was sent is never changed unsaid.
    pub fn into_text(self) -> String {
        let mut bytes = Vec::from(self.head);
        bytes.extend_from_slice(&self.tail);
        String::from_utf8(bytes).unwrap_or_else(|error| in_base64(error.as_bytes()))
    }
}

/// Rewrites a frame: head, empty line, body, NUL.
fn in_base64(frame: &[u8]) -> String {
    let end = frame.windows(2).position(|pair| pair == b"\n\n");
    let (head, rest) = frame.split_at(end.unwrap_or(frame.len()));
    let body = rest.get(2..).unwrap_or_default();
    let body = BASE64_STANDARD.encode(body.strip_suffix(b"\0").unwrap_or(body));
    let head = String::from_utf8_lossy(head);
    let kept = head
        .lines()
        .filter(|line| !line.starts_with("content-length:"));
    let mut text: String = kept.flat_map(|line| [line, "\n"]).collect();
    text.push_str(&format!(
        "content-length:{}\n{BODY_ENCODING}:base64\n\n{body}\0",
        body.len()
    ));
    text
}

impl From<Bytes> for WireFrame {
    fn from(bytes: Bytes) -> Self {
        Self {
            is_text: std::str::from_utf8(&bytes).is_ok(),
            head: bytes,
            tail: Bytes::new(),
        }
    }
}

/// A connection: bytes come in, frames go out.
pub trait Transport: Send + Unpin {
    /// What has come, split anyhow; empty when the transport heard from the peer and has nothing for the session; `None`
    /// when the peer has ended its side. An error of kind `InvalidData` means that the peer sent what the transport does
    /// not allow, and that it can still be told.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>>;

    /// The peer is a stranger no more: what it may send is bounded by the session's limits from here on.
    fn let_in(&mut self);

    /// Takes a whole frame, to be written by [`Self::poll_flush`]. The session pushes only while [`Self::backlog`] is
    /// below 32 KiB, so that is what a transport holds, and one frame.
    fn push(&mut self, frame: WireFrame);

    /// Bytes pushed and not flushed yet.
    fn backlog(&self) -> usize;

    /// Rises when the peer takes something: tells a slow peer from a dead one.
    fn progress(&self) -> u64;

    /// Writes everything that was pushed.
    ///
    /// # Errors
    /// The connection is lost.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Tells the peer that nothing follows.
    ///
    /// # Errors
    /// The connection is lost.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], tail: &[u8], expected: &str) {
        let frame = WireFrame {
            head: Bytes::copy_from_slice(head),
            tail: Bytes::copy_from_slice(tail),
            is_text: false,
        };
        assert_eq!(frame.into_text(), expected);
    }

    #[test]
    fn a_body_that_is_no_text_is_written_as_text() {
        check(
            b"MESSAGE\na:b\n\ntext",
            "é\0".as_bytes(),
            "MESSAGE\na:b\n\ntexté\0",
        );
        check(b"\n", b"", "\n");
        check(
            b"MESSAGE\ncontent-length:3\na:b\n\n",
            b"\xff\n\0\0",
            "MESSAGE\na:b\ncontent-length:4\nx-body-encoding:base64\n\n/woA\0",
        );
    }
}
