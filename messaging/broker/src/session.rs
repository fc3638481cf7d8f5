//! One task for each connection: it owns the transport, the protocol session and what is open.
//!
//! Frames are handled in order: the next one is looked at when the one before is done. Meanwhile messages and
//! heart-beats go out. A turn of the task looks at everything that may have happened, does it, and writes once; it never
//! waits in the middle, so nothing is lost when the task is dropped.

mod answers;
mod asking;
mod dispatch;
mod open;
mod rights;
mod validity;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use stomp::{CloseReason, ServerSession};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until, timeout};

use self::dispatch::Done;
use self::open::{Open, Replaying};
use crate::connections::Connection;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::outbox::{Allowed, Lane, Next, Room};
use crate::peer::Peer;
use crate::permits::Stranger;
use crate::server::Shared;
use crate::wire::{Transport, WireFrame};

/// Bytes in the transport up to which more is put there: enough for full packets, little enough that what is urgent is
/// not far behind.
const WRITER_ROOM: usize = 32 * 1024;

/// Messages that one turn may put into others' outboxes: then the task lets others run, so that those who read get what
/// it published before it publishes more.
const FAN_OUT_OF_A_TURN: u64 = 4096;

/// Frames that one turn handles: few of them, compared with what may wait in an outbox.
const FRAMES_OF_A_TURN: usize = 64;

/// After ERROR or DISCONNECT, the peer has so long to take what was written and to close its side.
const LINGER: Duration = Duration::from_millis(900);

type Work<P> = Pin<Box<dyn Future<Output = Done<P>> + Send>>;

/// Why the task came to its end.
enum End {
    /// The protocol session is over; what it last said is still to be written.
    Closed(CloseReason),
    /// The peer has ended its side, and all that it sent was handled.
    PeerEnded,
    /// The connection is lost, or takes nothing any more.
    Lost(&'static str),
}

/// How a turn ended.
enum Turn {
    Over(End),
    /// Others shall run before it goes on.
    LetOthersRun,
}

struct Task<T, G: Guard, H: Handler<G::Principal>> {
    shared: Arc<Shared<G, H>>,
    peer: Peer,
    transport: T,
    protocol: ServerSession,
    /// What comes from outside; registered as long as the task lives.
    connection: Connection,
    /// What the guard or the handler is doing with the current frame.
    work: Option<Work<G::Principal>>,
    /// What a new subscription has missed goes out before anything newer.
    replaying: Option<Box<Replaying>>,
    open: Option<Box<Open<G, H>>>,
    /// Held until the session is open.
    stranger: Option<Stranger>,
    reason: Option<CloseReason>,
    /// When this turn began.
    now: Instant,
    /// Fires at [`Self::deadline`] or before.
    alarm: Pin<Box<Sleep>>,
    /// Messages that this turn has offered to outboxes, and places it has looked at for the past of subscriptions.
    fanned_out: u64,
    /// Frames that this turn has handled.
    handled: usize,
    /// What was read may hold frames that were not looked at yet: they come before anything that is read now.
    unhandled: bool,
    /// The peer has ended its side; what it sent before is still handled.
    read_ended: bool,
    /// The peer takes nothing any more.
    write_failed: bool,
    /// Since when the transport has something that the peer does not take.
    writing_since: Option<Instant>,
    /// The transport's progress when that was last looked at.
    progress: u64,
}

/// Serves one connection until it ends. Everything is in one allocation of its own: futures within futures would each
/// keep room for it.
pub(crate) fn serve<T, G, H>(
    shared: &Arc<Shared<G, H>>,
    transport: T,
    peer: Peer,
) -> impl Future<Output = ()> + Send + use<T, G, H>
where
    T: Transport,
    G: Guard,
    H: Handler<G::Principal>,
{
    let config = shared.publisher.config();
    let connection = shared.connections.register(config);
    let outbox = Arc::clone(connection.outbox());
    let stranger = shared.publisher.permits().arrive(peer.address.ip(), outbox);
    let now = now();
    let protocol = ServerSession::new(shared.publisher.stomp(), now);
    let alarm = protocol.deadline().unwrap_or(now);
    let mut task = Box::new(Task {
        shared: Arc::clone(shared),
        peer,
        transport,
        protocol,
        connection,
        work: None,
        replaying: None,
        open: None,
        stranger: Some(stranger),
        reason: None,
        now,
        alarm: Box::pin(sleep_until(alarm.into())),
        fanned_out: 0,
        handled: 0,
        unhandled: false,
        read_ended: false,
        write_failed: false,
        writing_since: None,
        progress: 0,
    });
    async move { task.run().await }
}

/// The runtime's clock, so that tests may stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<T: Transport, G: Guard, H: Handler<G::Principal>> Task<T, G, H> {
    async fn run(&mut self) {
        let end = loop {
            match poll_fn(|context| self.poll_turn(context)).await {
                Turn::Over(end) => break end,
                Turn::LetOthersRun => yield_now().await,
            }
        };
        self.finish(end).await;
    }

    /// Looks at everything that may have happened, until nothing more does.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        self.now = now();
        (self.fanned_out, self.handled) = (0, 0);
        loop {
            self.poll_outbox(context);
            let mut progress = self.poll_work(context);
            progress |= self.poll_read(context);
            progress |= self.advance();
            if let Some(end) = self.end() {
                return Poll::Ready(Turn::Over(end));
            }
            progress |= self.poll_flush(context);
            progress |= match self.poll_deadline(context) {
                Poll::Ready(Some(end)) => return Poll::Ready(Turn::Over(end)),
                Poll::Ready(None) => true,
                Poll::Pending => false,
            };
            if self.has_done_enough() {
                return Poll::Ready(Turn::LetOthersRun);
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Takes what the broker has for this connection, as far as there is room for it. It needs no second look in the
    /// same turn: room comes with a flush, and the rest with work or with reading, which each call for one.
    fn poll_outbox(&mut self, context: &Context<'_>) {
        loop {
            let room = self.room_for_messages();
            match self.connection.outbox().poll_next(context, room) {
                Poll::Pending => return,
                Poll::Ready(Next::End(denied)) => {
                    self.protocol.error(&denied.code, &denied.message, None);
                    return;
                }
                Poll::Ready(Next::LookAtRights) => self.look_at_rights(),
                Poll::Ready(Next::Write { batch, drained }) => {
                    self.check_expiry();
                    for outbound in batch.into_iter().flatten() {
                        self.deliver(&outbound);
                    }
                    self.protocol.sent(self.now);
                    if drained {
                        return;
                    }
                }
            }
        }
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> bool {
        let Some(work) = &mut self.work else {
            return false;
        };
        let Poll::Ready(done) = work.as_mut().poll(context) else {
            return false;
        };
        self.work = None;
        self.now = now();
        self.finish_work(done);
        true
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> bool {
        let may_read = !self.is_busy() && self.room() > 0 && !self.read_ended && !self.unhandled;
        if !may_read {
            return false;
        }
        let Poll::Ready(read) = self.transport.poll_read(context) else {
            return false;
        };
        match read {
            Ok(Some(bytes)) => {
                self.protocol.handle_bytes(&bytes, self.now);
                // A flood of input must not keep our own heart-beats from going out.
                self.protocol.handle_deadline(self.now);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.protocol
                    .error("malformed-message", &error.to_string(), None);
            }
            Ok(None) | Err(_) => self.read_ended = true,
        }
        true
    }

    /// Does everything that needs no waiting. Whether something was done, so that what waits now must be looked at.
    fn advance(&mut self) -> bool {
        self.check_expiry();
        let mut progress = false;
        loop {
            progress |= self.replay();
            if self.is_busy() || self.room() == 0 || self.has_done_enough() {
                self.unhandled = true;
                break;
            }
            let Some(event) = self.protocol.poll_event() else {
                // Reading was put off for what is done now.
                progress |= std::mem::take(&mut self.unhandled);
                break;
            };
            self.dispatch(event);
            self.collect();
            self.handled += 1;
            progress = true;
        }
        self.collect();
        progress
    }

    /// Moves what the protocol session wants to say to the transport.
    fn collect(&mut self) {
        while let Some(frame) = self.protocol.poll_transmit(self.now) {
            self.write(frame.into());
        }
    }

    fn write(&mut self, frame: WireFrame) {
        if !self.write_failed {
            self.transport.push(frame);
        }
    }

    /// Whether it came to its end.
    fn replay(&mut self) -> bool {
        while self.room() > 0
            && let Some(replaying) = &mut self.replaying
        {
            let Some(outbound) = replaying.messages.pop_front() else {
                self.protocol.receipt(&replaying.subscribe);
                self.replaying = None;
                self.collect();
                return true;
            };
            self.deliver(&outbound);
        }
        false
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
        (self.read_ended && !self.is_busy() && !self.unhandled).then_some(End::PeerEnded)
    }

    /// Whether others shall run before more is handled.
    fn has_done_enough(&self) -> bool {
        self.fanned_out >= FAN_OUT_OF_A_TURN || self.handled >= FRAMES_OF_A_TURN
    }

    /// Writes what waits; whether that made room for what could not go on without.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> bool {
        if self.transport.backlog() == 0 || self.write_failed {
            return false;
        }
        let was_full = self.room() == 0;
        match self.transport.poll_flush(context) {
            Poll::Pending => {
                self.writing_since.get_or_insert(self.now);
                // What was written in part has made room as well.
                return was_full && self.room() > 0;
            }
            Poll::Ready(Ok(())) => {}
            // What was received before is still handled (STOMP 1.2, RECEIPT). The reader will see the end, or the peer
            // takes nothing for too long.
            Poll::Ready(Err(_)) => {
                self.write_failed = true;
                self.writing_since.get_or_insert(self.now);
                return was_full;
            }
        }
        self.writing_since = None;
        was_full
    }

    /// Ready when something was due and is done.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Option<End>> {
        let Some(deadline) = self.deadline() else {
            return Poll::Pending;
        };
        // Deadlines move on with each frame: the alarm is set again when it goes off early, not each time.
        let alarm = self.alarm.deadline().into_std();
        if deadline < alarm || self.alarm.is_elapsed() {
            self.alarm.as_mut().reset(deadline.into());
        }
        ready!(self.alarm.as_mut().poll(context));
        self.now = now();
        Poll::Ready(if deadline <= self.now {
            self.on_deadline()
        } else {
            None
        })
    }

    fn on_deadline(&mut self) -> Option<End> {
        if !self.write_failed && self.transport.progress() != self.progress {
            self.progress = self.transport.progress();
            self.writing_since = self.writing_since.map(|_| self.now);
        }
        if self
            .writing_since
            .is_some_and(|since| since + self.write_timeout() <= self.now)
        {
            return Some(End::Lost("the peer took nothing for too long"));
        }
        if self.is_busy() || self.room() == 0 || self.unhandled {
            self.protocol.reading_paused(self.now);
        }
        self.protocol.handle_deadline(self.now);
        None
    }

    fn deadline(&self) -> Option<Instant> {
        let write = self.writing_since.map(|since| since + self.write_timeout());
        let expiry = self.open.as_ref().and_then(|open| open.look_at_validity());
        [write, expiry, self.protocol.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_busy(&self) -> bool {
        self.work.is_some() || self.replaying.is_some()
    }

    /// Bytes that may be put into the transport now.
    fn room(&self) -> usize {
        if self.write_failed {
            return WRITER_ROOM;
        }
        WRITER_ROOM.saturating_sub(self.transport.backlog())
    }

    /// What may be taken out of the outbox now: while a subscription is given what it has missed, only what overtakes it.
    fn room_for_messages(&self) -> Room {
        let bytes = self.room();
        match (&self.open, &self.replaying) {
            (None, _) => Room::NONE,
            (Some(_), None) => Room {
                bytes,
                lanes: Allowed::All,
            },
            (Some(_), Some(replaying)) if replaying.lane == Lane::Bulk => Room {
                bytes,
                lanes: Allowed::Urgent,
            },
            (Some(_), Some(_)) => Room::NONE,
        }
    }

    fn write_timeout(&self) -> Duration {
        self.shared.publisher.config().write_timeout
    }

    /// Says the last word, lets the peer take it, and lets the handler finish.
    async fn finish(&mut self, end: End) {
        self.collect();
        // From here on no message is put into an outbox that nobody empties.
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
                let goodbye = goodbye(&mut self.transport, &end);
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
async fn goodbye<T: Transport>(transport: &mut T, end: &End) -> io::Result<()> {
    poll_fn(|context| transport.poll_flush(context)).await?;
    match end {
        End::Closed(CloseReason::Disconnected) => {
            drain(transport).await?;
            poll_fn(|context| transport.poll_close(context)).await
        }
        End::Closed(_) => {
            poll_fn(|context| transport.poll_close(context)).await?;
            drain(transport).await
        }
        End::PeerEnded | End::Lost(_) => poll_fn(|context| transport.poll_close(context)).await,
    }
}

async fn drain<T: Transport>(transport: &mut T) -> io::Result<()> {
    while poll_fn(|context| transport.poll_read(context))
        .await?
        .is_some()
    {}
    Ok(())
}
