//! STOMP over TCP.

use std::io;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::allowance::Allowance;
use crate::config::KeepAlive;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::listen;
use crate::server::Broker;
use crate::session;
use crate::wire::{Reader, Writer};

/// Bytes read at once: a page of frames, and little enough for thousands of idle connections.
const READ_BYTES: usize = 8 * 1024;

impl<G: Guard, H: Handler<G::Principal>> Broker<G, H> {
    /// Serves one connection until it ends.
    pub async fn serve_tcp(&self, stream: TcpStream, peer: SocketAddr) {
        let config = self.shared.publisher.config();
        set_up(&stream, peer, config.keep_alive);
        let (read, write) = stream.into_split();
        let reader = TcpReader {
            half: read,
            buffer: BytesMut::new(),
            allowance: Allowance::new(config.unauthenticated_bytes),
        };
        let writer = TcpWriter {
            half: write,
            buffer: BytesMut::new(),
            writes: 0,
        };
        session::serve(&self.shared, reader, writer, peer).await;
    }

    /// Accepts and serves connections until the broker's shutdown, then waits for their end.
    pub async fn listen_tcp(&self, listener: TcpListener) {
        listen::accept(&listener, &self.shared.shutdown, |stream, peer| {
            let broker = self.clone();
            async move { broker.serve_tcp(stream, peer).await }
        })
        .await;
    }
}

/// What each accepted connection gets, whatever it carries.
pub(crate) fn set_up(stream: &TcpStream, peer: SocketAddr, probing: KeepAlive) {
    // Frames are small and somebody waits for each: Nagle's algorithm would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
    }
    if let Err(error) = keep_alive(stream, probing) {
        tracing::debug!(%peer, %error, "TCP keep-alive could not be set");
    }
}

fn keep_alive(stream: &TcpStream, probing: KeepAlive) -> io::Result<()> {
    let probing = TcpKeepalive::new()
        .with_time(probing.idle)
        .with_interval(probing.interval)
        .with_retries(probing.probes);
    SockRef::from(stream).set_tcp_keepalive(&probing)
}

struct TcpReader {
    half: OwnedReadHalf,
    buffer: BytesMut,
    allowance: Allowance,
}

impl Reader for TcpReader {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let room = self.allowance.grant(READ_BYTES)?;
        self.buffer.reserve(room);
        let read = self
            .half
            .read_buf(&mut (&mut self.buffer).limit(room))
            .await?;
        self.allowance.used(read);
        Ok((read > 0).then(|| self.buffer.split().freeze()))
    }

    fn let_in(&mut self) {
        self.allowance.lift();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_silent_connection_is_probed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let probing = KeepAlive {
            idle: Duration::from_secs(7),
            interval: Duration::from_secs(3),
            probes: 2,
        };
        set_up(&stream, address, probing);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(
            socket.tcp_keepalive_time().expect("an option"),
            probing.idle
        );
        let interval = socket.tcp_keepalive_interval().expect("an option");
        assert_eq!(interval, probing.interval);
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), 2);
    }
}
