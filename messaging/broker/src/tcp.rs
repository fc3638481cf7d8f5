//! STOMP over TCP, and over whatever is put on TCP: TLS is the application's, see [`Broker::listen_with`].

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use websocket::Allowance;

use crate::config::KeepAlive;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::listen;
use crate::peer::Peer;
use crate::server::Broker;
use crate::wire::{Transport, WireFrame};

/// Bytes read at once: a page of frames.
const READ_BYTES: usize = 8 * 1024;

/// An empty buffer that is larger is given back: a long message is no reason to hold memory for a connection's whole life.
const KEPT_BYTES: usize = 4 * 1024;

/// Bytes that the system holds of what it has not sent yet. What is urgent can overtake in the outbox and not there, so
/// little is left to it: enough to keep a fast connection busy.
const UNSENT_BYTES: u32 = 64 * 1024;

impl<G: Guard, H: Handler<G::Principal>> Broker<G, H> {
    /// Serves one connection until it ends.
    pub fn serve_tcp(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> impl Future<Output = ()> + Send + use<G, H> {
        set_up(&stream, self.shared.publisher.config().keep_alive);
        self.serve_stream(stream, peer)
    }

    /// Serves one connection until it ends: frames over any stream of bytes, such as that of TLS. [`set_up`] is for the
    /// TCP connection below.
    pub fn serve_stream<S>(
        &self,
        stream: S,
        peer: Peer,
    ) -> impl Future<Output = ()> + Send + use<S, G, H>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let config = self.shared.publisher.config();
        let transport = StreamTransport {
            stream,
            allowance: Allowance::new(config.unauthenticated_bytes),
            outgoing: Outgoing::default(),
            unflushed: false,
            writes: 0,
        };
        self.serve(transport, peer)
    }

    /// Accepts and serves connections until the broker's shutdown, then waits for their end.
    pub async fn listen_tcp(&self, listener: TcpListener) {
        listen::accept(&listener, &self.shared.shutdown, |stream, address| {
            self.serve_tcp(stream, address.into())
        })
        .await;
    }

    /// As [`Self::listen_tcp`], with something between TCP and STOMP: `secure` makes of each accepted connection the
    /// stream that carries the frames and says who is there, usually by a TLS handshake.
    ///
    /// Who has not finished it is a stranger already, with as long for it as for CONNECT: a slow handshake holds nobody
    /// else up. One that fails is logged, and the connection is closed.
    pub async fn listen_with<S, F>(
        &self,
        listener: TcpListener,
        secure: impl Fn(TcpStream, SocketAddr) -> F,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = io::Result<(S, Peer)>> + Send + 'static,
    {
        listen::accept(&listener, &self.shared.shutdown, |stream, address| {
            set_up(&stream, self.shared.publisher.config().keep_alive);
            let (broker, handshake) = (self.clone(), secure(stream, address));
            async move {
                // Boxed, so that what a handshake needs is given back after it.
                let handshake = Box::pin(broker.while_stranger(address.ip(), handshake));
                match handshake.await {
                    Some(Ok((stream, peer))) => broker.serve_stream(stream, peer).await,
                    Some(Err(error)) => {
                        tracing::debug!(peer = %address, %error, "a handshake failed");
                    }
                    None => tracing::debug!(peer = %address, "a handshake was not finished"),
                }
            }
        })
        .await;
    }
}

/// Sets up an accepted connection, whatever it will carry: for applications that accept those of WebSockets themselves.
/// What the system refuses is logged and does no harm.
pub fn set_up(stream: &TcpStream, probing: KeepAlive) {
    // Frames are small and somebody waits for each: Nagle's algorithm would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    if let Err(error) = keep_alive(stream, probing) {
        tracing::debug!(%error, "TCP keep-alive could not be set");
    }
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
    }
}

fn keep_alive(stream: &TcpStream, probing: KeepAlive) -> io::Result<()> {
    let keep_alive = TcpKeepalive::new()
        .with_time(probing.idle)
        .with_interval(probing.interval)
        .with_retries(probing.probes);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keep_alive)?;
    // The same patience with a peer that answers probes and takes nothing: an HTTP server would wait without end for
    // one that never reads its answer. (A STOMP session ends sooner, by the broker's own clock.)
    socket.set_tcp_user_timeout(Some(probing.idle + probing.interval * probing.probes))
}

struct StreamTransport<S> {
    stream: S,
    allowance: Allowance,
    outgoing: Outgoing,
    /// The stream was given something that it may still hold: TLS does.
    unflushed: bool,
    writes: u64,
}

/// What was pushed. Bounded by the session, which pushes only while there is room.
#[derive(Default)]
struct Outgoing {
    /// Before `small`. Long parts are shared with other connections and not copied.
    parts: VecDeque<Bytes>,
    /// Many small frames go out in one write.
    small: BytesMut,
    bytes: usize,
}

impl Outgoing {
    fn push(&mut self, frame: WireFrame) {
        self.bytes += frame.len();
        self.small.extend_from_slice(&frame.head);
        if !frame.tail.is_empty() {
            self.parts.push_back(self.small.split().freeze());
            self.parts.push_back(frame.tail);
        }
    }

    fn next(&self) -> &[u8] {
        self.parts.front().map_or(&*self.small, |part| &**part)
    }

    fn written(&mut self, bytes: usize) {
        self.bytes -= bytes;
        match self.parts.front_mut() {
            Some(part) if part.len() > bytes => part.advance(bytes),
            Some(_) => {
                self.parts.pop_front();
            }
            None => self.small.advance(bytes),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for StreamTransport<S> {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let room = self.allowance.grant(READ_BYTES)?;
        // On the stack, since most connections are silent most of the time.
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space[..room]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        self.allowance.used(read.len());
        Poll::Ready(Ok((!read.is_empty()).then(|| Bytes::copy_from_slice(read))))
    }

    fn let_in(&mut self) {
        self.allowance.lift();
    }

    fn push(&mut self, frame: WireFrame) {
        self.outgoing.push(frame);
    }

    fn backlog(&self) -> usize {
        // What is not flushed counts as a byte: it is to be written, and leaves room for more.
        self.outgoing.bytes + usize::from(self.unflushed)
    }

    fn progress(&self) -> u64 {
        self.writes
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.outgoing.bytes > 0 {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write(context, self.outgoing.next()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.written(written);
            self.unflushed = true;
            self.writes += 1;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        if self.outgoing.small.capacity() > KEPT_BYTES {
            self.outgoing = Outgoing::default();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_probed_and_holds_little() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let probing = KeepAlive {
            idle: Duration::from_secs(7),
            interval: Duration::from_secs(3),
            probes: 2,
        };
        set_up(&stream, probing);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(
            socket.tcp_keepalive_time().expect("an option"),
            probing.idle
        );
        let interval = socket.tcp_keepalive_interval().expect("an option");
        assert_eq!(interval, probing.interval);
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), 2);
        let unsent = socket.tcp_notsent_lowat().expect("an option");
        assert_eq!(unsent, UNSENT_BYTES);
    }
}
