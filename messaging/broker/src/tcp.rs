//! STOMP over TCP.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::guard::Guard;
use crate::handler::Handler;
use crate::server::Broker;
use crate::session;
use crate::wire::{Transport, WireFrame};

/// Bytes read at once: a page of frames.
const READ_BYTES: usize = 8 * 1024;

/// After a failed accept, usually for want of file descriptors: until some connections have ended.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl<G: Guard, H: Handler<G::Principal>> Broker<G, H> {
    /// Serves one connection until it ends.
    pub fn serve_tcp(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send + use<G, H> {
        // Frames are small and somebody waits for each: Nagle's algorithm would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
        }
        let transport = TcpTransport {
            stream,
            outgoing: BytesMut::new(),
            writes: 0,
        };
        session::serve(&self.shared, transport, peer)
    }

    /// Accepts and serves connections until the broker's shutdown, then waits for their end.
    pub async fn listen_tcp(&self, listener: TcpListener)
    where
        H: 'static,
    {
        let mut sessions = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = self.shared.shutdown.cancelled() => break,
                Some(ended) = sessions.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a session's task failed");
                    }
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let broker = self.clone();
                    sessions.spawn(broker.serve_tcp(stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "a TCP connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        while sessions.join_next().await.is_some() {}
    }
}

struct TcpTransport {
    stream: TcpStream,
    /// Many small frames go out in one write. Bounded by the session, which pushes only while there is room.
    outgoing: BytesMut,
    writes: u64,
}

impl Transport for TcpTransport {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        // On the stack, since most connections are silent most of the time.
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        Poll::Ready(Ok((!read.is_empty()).then(|| Bytes::copy_from_slice(read))))
    }

    fn push(&mut self, frame: WireFrame) {
        self.outgoing.extend_from_slice(frame.as_bytes());
    }

    fn backlog(&self) -> usize {
        self.outgoing.len()
    }

    fn progress(&self) -> u64 {
        self.writes
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write(context, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
            self.writes += 1;
        }
        Poll::Ready(Ok(()))
    }

    fn shrink(&mut self) {
        if self.outgoing.is_empty() {
            self.outgoing = BytesMut::new();
        }
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
