//! STOMP over TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::guard::Guard;
use crate::handler::Handler;
use crate::server::Broker;
use crate::session;
use crate::wire::{Reader, Writer};

/// Bytes read at once: a page of frames, and little enough for thousands of idle connections.
const READ_BYTES: usize = 8 * 1024;

/// After a failed accept, usually for want of file descriptors: until some connections have ended.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl<G: Guard, H: Handler<G::Principal>> Broker<G, H> {
    /// Serves one connection until it ends.
    pub async fn serve_tcp(&self, stream: TcpStream, peer: SocketAddr) {
        // Frames are small and somebody waits for each: Nagle's algorithm would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
        }
        let (read, write) = stream.into_split();
        let reader = TcpReader {
            half: read,
            buffer: BytesMut::new(),
        };
        let writer = TcpWriter {
            half: write,
            buffer: BytesMut::new(),
            writes: 0,
        };
        session::serve(&self.shared, reader, writer, peer).await;
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
                    sessions.spawn(async move { broker.serve_tcp(stream, peer).await });
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

struct TcpReader {
    half: OwnedReadHalf,
    buffer: BytesMut,
}

impl Reader for TcpReader {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        self.buffer.reserve(READ_BYTES);
        let read = self.half.read_buf(&mut self.buffer).await?;
        Ok((read > 0).then(|| self.buffer.split().freeze()))
    }
}

struct TcpWriter {
    half: OwnedWriteHalf,
    /// Many small frames go out in one write. Bounded by the session, which pushes only while there is room.
    buffer: BytesMut,
    writes: u64,
}

impl Writer for TcpWriter {
    fn push(&mut self, frame: Bytes) {
        self.buffer.extend_from_slice(&frame);
    }

    fn backlog(&self) -> usize {
        self.buffer.len()
    }

    fn progress(&self) -> u64 {
        self.writes
    }

    async fn flush(&mut self) -> io::Result<()> {
        while !self.buffer.is_empty() {
            if self.half.write_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.writes += 1;
        }
        Ok(())
    }

    async fn close(&mut self) -> io::Result<()> {
        self.half.shutdown().await
    }
}
