//! Bodies of requests, which come in time or not at all, and of answers, after which a connection waits again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::stream::{Asking, UnderWay};

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Whether a body did not come in time.
#[derive(Debug, Clone, Default)]
pub(super) struct Late(Arc<AtomicBool>);

impl Late {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A request's body with a deadline for the whole of it.
pub(super) struct Timed {
    body: Incoming,
    deadline: Instant,
    /// Made when the first piece is not there yet: most bodies come with their heads.
    clock: Option<Pin<Box<Sleep>>>,
    late: Late,
    /// `None`: it is whole.
    asking: Option<Asking>,
}

impl Timed {
    pub(super) fn new(body: Incoming, deadline: Instant, late: Late, asking: Asking) -> Self {
        let mut timed = Self {
            body,
            deadline,
            clock: None,
            late,
            asking: Some(asking),
        };
        timed.tell(http_body::Body::is_end_stream(&timed.body));
        timed
    }

    fn tell(&mut self, is_whole: bool) {
        if is_whole && let Some(asking) = self.asking.take() {
            asking.came_whole();
        }
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = Boxed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Boxed>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                this.tell(frame.is_none() || this.body.is_end_stream());
                Poll::Ready(frame.map(|frame| frame.map_err(Boxed::from)))
            }
            Poll::Pending => {
                let deadline = this.deadline;
                let clock = this
                    .clock
                    .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                ready!(clock.as_mut().poll(context));
                this.late.0.store(true, Ordering::Release);
                let late = io::Error::new(io::ErrorKind::TimedOut, "the body is late");
                Poll::Ready(Some(Err(late.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: when it is dropped, the request is over.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) _under_way: UnderWay,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
