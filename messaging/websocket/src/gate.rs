//! The bytes under a WebSocket: an asynchronous stream as the protocol wants it (it reads and writes until it would
//! block), with what a stranger may send counted.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::allowance::Allowance;

/// One stream. All calls come from one task, which [`Self::wake`] names.
#[derive(Debug)]
pub(crate) struct Gate<S> {
    stream: S,
    waker: Waker,
    allowance: Allowance,
    heard: bool,
    written: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    pub(crate) fn new(stream: S, allowance: Allowance) -> Self {
        Self {
            stream,
            waker: Waker::noop().clone(),
            allowance,
            heard: false,
            written: 0,
        }
    }

    /// Who is woken when what would block now no longer would.
    pub(crate) fn wake(&mut self, context: &Context<'_>) {
        self.waker.clone_from(context.waker());
    }

    /// What is read is counted no more: the peer is let in, or what it sends is dropped.
    pub(crate) fn lift(&mut self) {
        self.allowance.lift();
    }

    /// Whether anything was read since the last call.
    pub(crate) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Bytes that the stream has taken.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}

impl<S: AsyncRead + Unpin> Read for Gate<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.allowance.grant(buffer.len())?;
        let mut buffer = ReadBuf::new(&mut buffer[..room]);
        let mut context = Context::from_waker(&self.waker);
        no_wait(Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer))?;
        let read = buffer.filled().len();
        self.allowance.used(read);
        self.heard |= read > 0;
        Ok(read)
    }
}

impl<S: AsyncWrite + Unpin> Write for Gate<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut context = Context::from_waker(&self.waker);
        let written = no_wait(Pin::new(&mut self.stream).poll_write(&mut context, bytes))?;
        self.written += u64::try_from(written).expect("a length fits 64 bits");
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut context = Context::from_waker(&self.waker);
        no_wait(Pin::new(&mut self.stream).poll_flush(&mut context))
    }
}

fn no_wait<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
