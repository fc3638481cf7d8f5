//! What a session needs of its connection, whatever carries it. Everything here is polled: nothing waits inside, so
//! nothing is lost when a wait is given up.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

/// A connection: bytes come in, frames go out.
pub(crate) trait Transport: Send + Unpin {
    /// What has come, split anyhow; `None` when the peer has ended its side. An error of kind `InvalidData` means that
    /// the peer sent what the transport does not allow, and that it can still be told.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>>;

    /// Takes a whole frame, to be written by [`Self::poll_flush`].
    fn push(&mut self, frame: Bytes);

    /// Bytes pushed and not flushed yet.
    fn backlog(&self) -> usize;

    /// Rises when the peer takes something: tells a slow peer from a dead one.
    fn progress(&self) -> u64;

    /// Writes everything that was pushed.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Tells the peer that nothing follows.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}
