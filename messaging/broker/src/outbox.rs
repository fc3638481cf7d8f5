//! What waits for one connection: messages, its end, a look at its rights. The broker puts things in and never waits;
//! the connection's task is woken and takes them out.

mod lanes;

use std::array;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use self::lanes::Lanes;
pub(crate) use self::lanes::{Allowed, Lane, Offered, Topic};
use crate::config::BrokerConfig;
use crate::guard::Denied;
use crate::router::{Outbound, Serial};

/// Messages that are taken out at once: enough to make the lock cheap, few enough for the stack.
const BATCH: usize = 16;

/// What the connection's task shall do next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for a moment, and a box would cost an allocation for each batch"
)]
pub(crate) enum Next {
    /// The session is over.
    End(Denied),
    /// Its principal's rights have changed: nothing may be delivered before they were looked at.
    LookAtRights,
    /// Write this, in order.
    Write {
        batch: [Option<Outbound>; BATCH],
        /// Nothing is left: the task is woken when more comes.
        drained: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lanes: Lanes,
    end: Option<Box<Denied>>,
    /// Set for good: what comes now is for nobody.
    ended: bool,
    look_at_rights: bool,
    /// Whom to wake.
    waker: Option<Waker>,
    waits: Waits,
}

/// What the connection's task waits for. One that cannot write is not woken for more that it could not write either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// It was woken, or was never here.
    No,
    /// For all but messages.
    ForOrders,
    /// For messages of these lanes as well.
    For(Allowed),
}

/// What may be written now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// The last message may go beyond it.
    pub(crate) bytes: usize,
    pub(crate) lanes: Allowed,
}

impl Room {
    pub(crate) const NONE: Self = Self {
        bytes: 0,
        lanes: Allowed::All,
    };
}

impl State {
    fn wait(&mut self, context: &Context<'_>, waits: Waits) {
        let known = self.waker.as_ref();
        if !known.is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
        }
        self.waits = waits;
    }

    fn wake(&mut self) {
        self.waits = Waits::No;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Outbox {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        Self {
            state: Mutex::new(State {
                lanes: Lanes::new(config.queue_messages, config.queue_bytes),
                end: None,
                ended: false,
                look_at_rights: false,
                waker: None,
                waits: Waits::No,
            }),
        }
    }

    /// Puts a message in, if there is room.
    pub(crate) fn offer(&self, outbound: Outbound, lane: Lane, conflate: Option<Topic>) -> Offered {
        let mut state = self.state();
        let offered = state.lanes.offer(outbound, lane, conflate);
        let awaited = match state.waits {
            Waits::For(Allowed::All) => true,
            Waits::For(Allowed::Urgent) => lane == Lane::Urgent,
            Waits::ForOrders | Waits::No => false,
        };
        if offered == Offered::Queued && awaited {
            state.wake();
        }
        offered
    }

    /// Tells the connection from outside that it is over. The first reason stands.
    pub(crate) fn end(&self, reason: Denied) {
        let mut state = self.state();
        if !state.ended {
            state.ended = true;
            state.end = Some(Box::new(reason));
            state.wake();
        }
    }

    /// Nothing is delivered any more before the connection has looked at its rights.
    pub(crate) fn look_at_rights(&self) {
        let mut state = self.state();
        state.look_at_rights = true;
        state.wake();
    }

    /// Drops what waits for a subscription that has ended.
    pub(crate) fn forget(&self, serial: Serial) {
        self.state().lanes.forget(serial);
    }

    /// What to do next. Messages only as long as there is room.
    pub(crate) fn poll_next(&self, context: &Context<'_>, room: Room) -> Poll<Next> {
        let mut state = self.state();
        if let Some(reason) = state.end.take() {
            return Poll::Ready(Next::End(*reason));
        }
        if std::mem::take(&mut state.look_at_rights) {
            return Poll::Ready(Next::LookAtRights);
        }
        if room.bytes == 0 {
            state.wait(context, Waits::ForOrders);
            return Poll::Pending;
        }
        if state.lanes.is_empty(room.lanes) {
            state.wait(context, Waits::For(room.lanes));
            return Poll::Pending;
        }
        let mut left = room.bytes;
        let batch = array::from_fn(|_| {
            let next = (left > 0).then(|| state.lanes.pop(room.lanes));
            let outbound = next.flatten()?;
            left = left.saturating_sub(outbound.payload.len());
            Some(outbound)
        });
        let drained = state.lanes.is_empty(room.lanes);
        if drained {
            state.wait(context, Waits::For(room.lanes));
        }
        Poll::Ready(Next::Write { batch, drained })
    }

    /// Waits until the connection is told that it is over, for one that has no session yet. Cancel-safe.
    pub(crate) async fn ended(&self) -> Denied {
        poll_fn(|context| match self.poll_next(context, Room::NONE) {
            Poll::Ready(Next::End(denied)) => Poll::Ready(denied),
            Poll::Ready(Next::LookAtRights | Next::Write { .. }) | Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no panic happened while the outbox was locked")
    }
}
