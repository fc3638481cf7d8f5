//! One task for each connection: it owns the socket's halves, the protocol session and the session's queue.
//!
//! Frames are handled in order: the next one is looked at when the one before is done. Meanwhile messages and
//! heart-beats go out. What only waits is in [`Task::wait`]; what does something is after it.

mod dispatch;
mod open;

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp::{CloseReason, ServerSession};
use tokio::time::{sleep_until, timeout};

use self::dispatch::Done;
use self::open::{Open, Replaying};
use crate::guard::{Denied, Guard};
use crate::handler::Handler;
use crate::permits::Stranger;
use crate::router::Outbound;
use crate::server::Shared;
use crate::wire::{Reader, Writer};

/// Bytes in the writer up to which more is put there: enough for full packets, little enough that an ERROR is not far
/// behind.
const WRITER_ROOM: usize = 64 * 1024;

/// After ERROR or DISCONNECT, the peer has so long to take what was written and to close its side.
const LINGER: Duration = Duration::from_millis(900);

type Work<P> = Pin<Box<dyn Future<Output = Done<P>> + Send>>;

/// Why the loop came to its end.
enum End {
    /// The protocol session is over; what it last said is still to be written.
    Closed(CloseReason),
    /// The peer has ended its side, and all that it sent was handled.
    PeerEnded,
    /// The connection is lost, or takes nothing any more.
    Lost(&'static str),
}

/// What [`Task::wait`] waited for.
enum Wake<P> {
    Shutdown,
    Ended(Denied),
    Done(Done<P>),
    Read(io::Result<Option<Bytes>>),
    Flushed(io::Result<()>),
    Outbound(Outbound),
    Deadline,
}

struct Task<R, W, G: Guard, H: Handler<G::Principal>> {
    shared: Arc<Shared<G, H>>,
    peer: SocketAddr,
    reader: R,
    writer: W,
    protocol: ServerSession,
    /// What the guard or the handler is doing with the current frame.
    work: Option<Work<G::Principal>>,
    /// What a new subscription has missed goes out before anything newer.
    replaying: Option<Replaying>,
    open: Option<Open<G, H>>,
    /// Held until the session is open.
    stranger: Option<Stranger>,
    reason: Option<CloseReason>,
    /// The peer has ended its side; what it sent before is still handled.
    read_ended: bool,
    /// The peer takes nothing any more.
    write_failed: bool,
    /// Since when the writer has something that the peer does not take.
    writing_since: Option<Instant>,
    /// The writer's progress when that was last looked at.
    progress: u64,
}

/// Serves one connection until it ends.
pub(crate) async fn serve<R: Reader, W: Writer, G: Guard, H: Handler<G::Principal>>(
    shared: &Arc<Shared<G, H>>,
    reader: R,
    writer: W,
    peer: SocketAddr,
) {
    let stranger = Some(shared.publisher.permits().arrive(peer.ip()));
    let protocol = ServerSession::new(shared.publisher.config().stomp.clone(), now());
    let task = Task {
        shared: Arc::clone(shared),
        peer,
        reader,
        writer,
        protocol,
        work: None,
        replaying: None,
        open: None,
        stranger,
        reason: None,
        read_ended: false,
        write_failed: false,
        writing_since: None,
        progress: 0,
    };
    task.run().await;
}

/// The runtime's clock, so that tests may stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<R: Reader, W: Writer, G: Guard, H: Handler<G::Principal>> Task<R, W, G, H> {
    async fn run(mut self) {
        let end = loop {
            self.advance();
            if let Some(end) = self.end() {
                break end;
            }
            let wake = self.wait().await;
            if let Some(end) = self.wake(wake) {
                break end;
            }
        };
        self.finish(end).await;
    }

    /// Does everything that needs no waiting.
    fn advance(&mut self) {
        loop {
            self.replay();
            if self.is_busy() || !self.has_room() {
                break;
            }
            let Some(event) = self.protocol.poll_event() else {
                break;
            };
            self.dispatch(event);
            self.collect();
        }
        self.check_expiry();
        self.collect();
    }

    /// Moves what the protocol session wants to say to the writer.
    fn collect(&mut self) {
        let now = now();
        while let Some(frame) = self.protocol.poll_transmit(now) {
            if !self.write_failed {
                self.writer.push(frame);
                self.writing_since.get_or_insert(now);
            }
        }
    }

    fn replay(&mut self) {
        while let Some(mut replaying) = self.replaying.take() {
            let Some(outbound) = replaying.messages.pop_front() else {
                self.protocol.receipt(&replaying.subscribe);
                self.collect();
                return;
            };
            self.deliver(&outbound);
            self.collect();
            self.replaying = Some(replaying);
            if !self.has_room() {
                return;
            }
        }
    }

    fn end(&mut self) -> Option<End> {
        // The reason is an event of the protocol session, which is not asked for events while a handler works.
        if self.protocol.is_closed() {
            if let Some(stomp::ServerEvent::Closed(reason)) = self.protocol.poll_event() {
                self.reason = Some(reason);
            }
            let reason = self.reason.take().unwrap_or(CloseReason::Disconnected);
            return Some(End::Closed(reason));
        }
        (self.read_ended && !self.is_busy() && self.has_room()).then_some(End::PeerEnded)
    }

    /// Waits, and does nothing else: every branch is cancel-safe.
    async fn wait(&mut self) -> Wake<G::Principal> {
        let may_read = !self.is_busy() && self.has_room() && !self.read_ended;
        let may_deliver = self.has_room() && self.replaying.is_none();
        let must_write = self.writer.backlog() > 0 && !self.write_failed;
        let deadline = self.deadline();
        let Self {
            shared,
            reader,
            writer,
            work,
            open,
            stranger,
            ..
        } = self;
        let (inlet, end) = match open {
            Some(open) => {
                let end = Arc::clone(&open.inlet.end);
                (Some(&mut open.inlet), Some(end))
            }
            None => {
                let end = stranger.as_ref().map(|stranger| Arc::clone(stranger.end()));
                (None, end)
            }
        };
        // Fair among those that carry traffic: none of them may starve another.
        let traffic = async {
            tokio::select! {
                done = async { match work {
                    Some(work) => work.await,
                    None => pending().await,
                } } => Wake::Done(done),
                read = reader.read(), if may_read => Wake::Read(read),
                flushed = writer.flush(), if must_write => Wake::Flushed(flushed),
                Some(outbound) = async { match inlet {
                    Some(inlet) => inlet.recv().await,
                    None => None,
                } }, if may_deliver => Wake::Outbound(outbound),
            }
        };
        tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => Wake::Shutdown,
            denied = async { match end {
                Some(end) => end.wait().await,
                None => pending().await,
            } } => Wake::Ended(denied),
            // Before the deadline: bytes that have come are proof of life, however late they are looked at.
            wake = traffic => wake,
            () = async { match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => pending().await,
            } } => Wake::Deadline,
        }
    }

    fn wake(&mut self, wake: Wake<G::Principal>) -> Option<End> {
        match wake {
            Wake::Shutdown => {
                let message = "the server is going down: connect again soon";
                self.protocol.error("shutting-down", message, None);
            }
            Wake::Ended(denied) => self.protocol.error(&denied.code, &denied.message, None),
            Wake::Done(done) => {
                self.work = None;
                self.finish_work(done);
            }
            Wake::Read(Ok(Some(bytes))) => {
                let now = now();
                self.protocol.handle_bytes(&bytes, now);
                // A flood of input must not keep our own heart-beats from going out.
                self.protocol.handle_deadline(now);
            }
            Wake::Read(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                self.protocol
                    .error("malformed-message", &error.to_string(), None);
            }
            Wake::Read(Ok(None) | Err(_)) => self.read_ended = true,
            Wake::Flushed(Ok(())) => self.writing_since = None,
            Wake::Flushed(Err(_)) => {
                // What was received before is still handled (STOMP 1.2, RECEIPT); the reader will see the end.
                self.write_failed = true;
                self.writing_since = None;
            }
            Wake::Outbound(outbound) => self.deliver_all(outbound),
            Wake::Deadline => return self.on_deadline(),
        }
        None
    }

    /// What waits in the queue goes out together, as far as there is room.
    fn deliver_all(&mut self, first: Outbound) {
        let mut next = Some(first);
        while let Some(outbound) = next {
            self.deliver(&outbound);
            self.collect();
            if !self.has_room() {
                break;
            }
            next = self.open.as_mut().and_then(|open| open.inlet.try_recv());
        }
    }

    fn on_deadline(&mut self) -> Option<End> {
        let now = now();
        if self.writer.progress() != self.progress {
            self.progress = self.writer.progress();
            self.writing_since = self.writing_since.map(|_| now);
        }
        if self
            .writing_since
            .is_some_and(|since| since + self.write_timeout() <= now)
        {
            return Some(End::Lost("the peer took nothing for too long"));
        }
        if self.is_busy() || !self.has_room() {
            self.protocol.reading_paused(now);
        }
        self.protocol.handle_deadline(now);
        None
    }

    fn deadline(&self) -> Option<Instant> {
        let write = self.writing_since.map(|since| since + self.write_timeout());
        let expiry = self.open.as_ref().and_then(Open::look_at_expiry);
        [write, expiry, self.protocol.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_busy(&self) -> bool {
        self.work.is_some() || self.replaying.is_some()
    }

    fn has_room(&self) -> bool {
        self.write_failed || self.writer.backlog() < WRITER_ROOM
    }

    fn write_timeout(&self) -> Duration {
        self.shared.publisher.config().write_timeout
    }

    /// Says the last word, lets the peer take it, and lets the handler finish.
    async fn finish(mut self, end: End) {
        self.collect();
        // From here on no message is put into a queue that nobody reads.
        if let Some(open) = &self.open {
            self.shared.publisher.close(open.info.id);
        }
        let reason = match &end {
            End::Closed(reason) => reason.to_string(),
            End::PeerEnded => "the peer closed the connection".to_owned(),
            End::Lost(why) => (*why).to_owned(),
        };
        let session = self.open.as_ref().map(|open| open.info.id.to_string());
        tracing::debug!(peer = %self.peer, session, reason, "connection ended");
        let grace = self.shared.publisher.config().handler_grace;
        let displaced = self.stranger.as_ref().is_some_and(Stranger::is_displaced);
        // Who has to go for others must not take up their place a moment longer.
        let work = self.work.take().filter(|_| !displaced);
        let linger = if displaced { Duration::ZERO } else { LINGER };
        let finish_work = async {
            if let Some(work) = work
                && timeout(grace, work).await.is_err()
            {
                tracing::warn!(session, "a handler did not finish after its session's end");
            }
        };
        let say_goodbye = async {
            if !matches!(end, End::Lost(_)) && !self.write_failed {
                let goodbye = goodbye(&mut self.reader, &mut self.writer, &end);
                // Whether the peer waits for our last word or not: it is gone afterwards.
                if timeout(linger, goodbye).await.is_err() {
                    tracing::trace!(peer = %self.peer, "the peer did not close its side in time");
                }
            }
        };
        tokio::join!(finish_work, say_goodbye);
    }
}

/// Writes what is left and closes. A peer that said DISCONNECT closes first; others see our end at once. Either way
/// what they still send is read and dropped: closing a socket with unread bytes would destroy what was written.
async fn goodbye<R: Reader, W: Writer>(
    reader: &mut R,
    writer: &mut W,
    end: &End,
) -> io::Result<()> {
    writer.flush().await?;
    match end {
        End::Closed(CloseReason::Disconnected) => {
            drain(reader).await?;
            writer.close().await
        }
        End::Closed(_) => {
            writer.close().await?;
            drain(reader).await
        }
        End::PeerEnded | End::Lost(_) => writer.close().await,
    }
}

async fn drain<R: Reader>(reader: &mut R) -> io::Result<()> {
    while reader.read().await?.is_some() {}
    Ok(())
}
