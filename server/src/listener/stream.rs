//! A connection's bytes, with a clock for whoever is slow to ask (the head of a request, and the time until the next one), and
//! one for whoever is slow to take the answer.
//!
//! hyper drops the body of an answer before it calls the service for the next request, so the turns of [`Course`] are odd
//! exactly while one is under way. The answer may still be on its way then: [`Watched`] tells while it is not taken.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::door::Seat;
use super::limits::{ANSWER_PIECE, Limits};

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
    doing: Mutex<Doing>,
}

/// What decides whether a connection is at work.
#[derive(Debug, Default)]
struct Doing {
    /// The whole of the request that is under way has come.
    is_asked: bool,
    /// An answer is not taken.
    is_stuck: bool,
    /// It is no more HTTP's.
    is_upgraded: bool,
}

impl Course {
    pub(super) fn new(seat: Seat) -> Self {
        Self {
            seat,
            turns: AtomicU64::new(0),
            doing: Mutex::default(),
        }
    }

    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The head of a request has come, until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.turns.fetch_add(1, Ordering::AcqRel);
        UnderWay(Some(Arc::clone(self)))
    }

    /// Changes what decides, and what is decided by it.
    fn settle(&self, change: impl FnOnce(&mut Doing)) {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut doing);
        if doing.is_upgraded || (doing.is_asked && !doing.is_stuck) {
            self.seat.work();
        } else {
            self.seat.wait();
        }
    }

    fn is_upgraded(&self) -> bool {
        let doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        doing.is_upgraded
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }
}

/// A request and its answer.
#[derive(Debug)]
pub(super) struct UnderWay(Option<Arc<Course>>);

impl UnderWay {
    /// Whoever reads the body tells by this when it has come.
    pub(super) fn asking(&self) -> Asking {
        let course = self.0.clone().expect("it was not given away for good");
        Asking {
            turn: course.turns(),
            course,
        }
    }

    /// The connection is no more HTTP's: nothing is awaited of it here.
    pub(super) fn for_good(mut self) {
        if let Some(course) = self.0.take() {
            course.settle(|doing| doing.is_upgraded = true);
        }
    }
}

/// A request whose body is not whole.
#[derive(Debug)]
pub(super) struct Asking {
    course: Arc<Course>,
    turn: u64,
}

impl Asking {
    /// All of it has come: from here on the connection is at work. A request that is over already stays so.
    pub(super) fn came_whole(self) {
        let Self { course, turn } = self;
        course.settle(|doing| doing.is_asked |= course.turns() == turn);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(course) = self.0.take() {
            course.settle(|doing| {
                course.turns.fetch_add(1, Ordering::AcqRel);
                doing.is_asked = false;
            });
        }
    }
}

/// A stream that fails when a head does not come whole in time, or no next one begins, or an answer is not taken.
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
    answer: Duration,
    /// Runs while bytes stand in line.
    stuck: Option<Stuck>,
    is_abandoned: bool,
}

/// An answer that the client has not taken yet.
struct Stuck {
    clock: Pin<Box<Sleep>>,
    /// Bytes that were taken since the clock was set.
    taken: usize,
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
            answer: limits.answer,
            stuck: None,
            is_abandoned: false,
        }
    }

    /// Whether an answer was not taken in time.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Bytes stand in line: for how long they may, and that the connection makes room meanwhile.
    fn hold<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.course.is_upgraded() {
            return Poll::Pending;
        }
        if self.stuck.is_none() {
            self.course.settle(|doing| doing.is_stuck = true);
        }
        let answer = self.answer;
        let stuck = self.stuck.get_or_insert_with(|| Stuck {
            clock: Box::pin(sleep(answer)),
            taken: 0,
        });
        ready!(stuck.clock.as_mut().poll(context));
        self.is_abandoned = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn count(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.hold(context),
            written => {
                if let Poll::Ready(Ok(bytes)) = &written {
                    self.took(*bytes);
                }
                written
            }
        }
    }

    /// So many bytes could be written. A few now and then give no more time.
    fn took(&mut self, bytes: usize) {
        if let Some(stuck) = &mut self.stuck {
            stuck.taken += bytes;
            if stuck.taken >= ANSWER_PIECE {
                stuck.taken = 0;
                stuck.clock.as_mut().reset(Instant::now() + self.answer);
            }
        }
    }

    /// Nothing stands in line any more.
    fn is_taken(&mut self) {
        if self.stuck.take().is_some() {
            self.course.settle(|doing| doing.is_stuck = false);
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
        let written = Pin::new(&mut self.carrier).poll_write(context, bytes);
        self.count(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.carrier).poll_flush(context) {
            Poll::Pending => self.hold(context),
            flushed => {
                self.is_taken();
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.carrier).poll_shutdown(context) {
            Poll::Pending => self.hold(context),
            done => done,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.carrier).poll_write_vectored(context, bytes);
        self.count(context, written)
    }
}
