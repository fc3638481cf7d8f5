//! A WebSocket's bytes on their way through Engine.IO: what a stranger sends is bounded, what the client takes is seen,
//! and nobody writes for ever to a client whose session is over.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::line::Line;
use super::tally::Frames;

pub(super) struct Watched<S> {
    stream: S,
    line: Arc<Line>,
    frames: Frames,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, line: Arc<Line>) -> Self {
        Self {
            stream,
            line,
            frames: Frames::default(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        Poll::Ready(self.line.client_sends(read).map_err(io::Error::from))
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// What a session that is over still has to say is written as far as the client takes it.
    fn unless_over<T>(
        &self,
        context: &Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_pending() && self.line.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &poll {
            self.line.client_took_bytes(*written);
            let messages = self.frames.count(&bytes[..*written]);
            self.line.client_took(messages);
        }
        self.unless_over(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.unless_over(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.unless_over(context, poll)
    }
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        self.line.client_ended();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::packet::Revision;
    use super::*;

    #[tokio::test]
    async fn nobody_writes_for_ever_to_who_never_reads() {
        let line = Arc::new(Line::new(Revision::New, None, None));
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut stream = Watched::new(ours, Arc::clone(&line));
        let writing = tokio::spawn(async move { stream.write_all(b"123456789").await });
        // It fills what there is of room, and waits.
        let mut first = [0; 1];
        theirs.read_exact(&mut first).await.expect("a byte");
        line.session_ended();
        let error = writing.await.expect("no panic").expect_err("it gives up");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.expect("an end");
        assert!(b"2345678".starts_with(&rest));
    }
}
