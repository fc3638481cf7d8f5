//! What a session needs of its connection, whatever carries it. Every call here is cancel-safe: dropping its future
//! loses nothing.

use std::future::Future;
use std::io;

use bytes::Bytes;

/// The half that bytes come from.
pub(crate) trait Reader: Send {
    /// What has come, split anyhow; empty when the transport heard from the peer and has nothing for the session; `None`
    /// when the peer has ended its side. An error of kind `InvalidData` means that
    /// the peer sent what the transport does not allow, and that it can still be told.
    fn read(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;

    /// The peer is a stranger no more: what it may send is bounded by the session's limits from here on.
    fn let_in(&mut self);
}

/// The half that frames go to.
pub(crate) trait Writer: Send {
    /// Takes a whole frame, to be written by [`Self::flush`].
    fn push(&mut self, frame: Bytes);

    /// Bytes pushed and not flushed yet.
    fn backlog(&self) -> usize;

    /// Rises when the peer takes something: tells a slow peer from a dead one.
    fn progress(&self) -> u64;

    /// Writes everything that was pushed.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Tells the peer that nothing follows.
    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}
