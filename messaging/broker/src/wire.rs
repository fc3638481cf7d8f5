//! What a session needs of its connection, whatever carries it: who implements [`Transport`] brings clients to the
//! broker on a road of their own, by [`crate::Broker::serve`]. Everything here is polled: nothing waits inside, so
//! nothing is lost when a wait is given up.

use std::io;
use std::task::{Context, Poll};

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
