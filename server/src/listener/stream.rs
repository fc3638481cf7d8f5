//! A connection's bytes, with a clock for whoever is slow to ask: the head of a request, and the time until the next one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::door::Seat;
use super::limits::Limits;

/// What carries HTTP.
pub(super) enum Carrier {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! either {
    ($carrier:expr, $stream:ident => $call:expr) => {
        match $carrier {
            Carrier::Plain(plain) => {
                let $stream = Pin::new(plain);
                $call
            }
            Carrier::Tls(tls) => {
                let $stream = Pin::new(tls);
                $call
            }
        }
    };
}

impl AsyncRead for Carrier {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => stream.poll_shutdown(context))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => stream.poll_write_vectored(context, bytes))
    }
}

/// What a connection's requests and its bytes tell each other.
#[derive(Debug)]
pub(super) struct Course {
    seat: Seat,
    /// Odd while a request is under way: each beginning and each end counts.
    turns: AtomicU64,
}

impl Course {
    pub(super) fn new(seat: Seat) -> Self {
        Self {
            seat,
            turns: AtomicU64::new(0),
        }
    }

    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// A request has come, until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.turns.fetch_add(1, Ordering::AcqRel);
        self.seat.work();
        UnderWay(Some(Arc::clone(self)))
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }
}

/// A request and its answer.
#[derive(Debug)]
pub(super) struct UnderWay(Option<Arc<Course>>);

impl UnderWay {
    /// The connection is no more HTTP's: nothing is awaited of it here.
    pub(super) fn for_good(mut self) {
        self.0 = None;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(course) = self.0.take() {
            course.turns.fetch_add(1, Ordering::AcqRel);
            course.seat.wait();
        }
    }
}

/// A stream that fails when a head does not come whole in time, or no next one begins.
pub(super) struct Watched {
    carrier: Carrier,
    course: Arc<Course>,
    arrival: Duration,
    idle: Duration,
    /// The turn for which the clock runs.
    turn: u64,
    /// Something of a head has come in this turn.
    is_in_head: bool,
    clock: Pin<Box<Sleep>>,
}

impl Watched {
    pub(super) fn new(carrier: Carrier, course: Arc<Course>, limits: &Limits) -> Self {
        Self {
            carrier,
            course,
            arrival: limits.arrival,
            idle: limits.idle,
            turn: 0,
            is_in_head: false,
            clock: Box::pin(sleep(limits.arrival)),
        }
    }

    /// Whether a head was begun and did not come whole in time.
    pub(super) fn is_late(&self) -> bool {
        self.is_in_head && self.clock.is_elapsed() && self.course.turns() == self.turn
    }

    /// What carries it, for a last word.
    pub(super) fn into_carrier(self) -> Carrier {
        self.carrier
    }

    fn restart(&mut self, time: Duration) {
        self.clock.as_mut().reset(Instant::now() + time);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let turn = this.course.turns();
        let is_waiting = turn.is_multiple_of(2);
        if is_waiting && turn != this.turn {
            this.turn = turn;
            this.is_in_head = false;
            this.restart(this.idle);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.carrier).poll_read(context, buffer);
        if !is_waiting {
            return read;
        }
        if read.is_pending() {
            ready!(this.clock.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if buffer.filled().len() > before && !this.is_in_head {
            this.is_in_head = true;
            // The first head has had its time since the connection was made.
            if turn > 0 {
                this.restart(this.arrival);
            }
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.carrier).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.carrier).poll_write_vectored(context, bytes)
    }
}
