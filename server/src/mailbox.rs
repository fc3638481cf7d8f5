//! How others talk to a task that owns its state: a bounded queue, with answers where one is wanted.

use std::fmt;

use tokio::sync::{mpsc, oneshot};

/// The sending side. When the queue is full, whoever sends waits, and with them the socket they read from: nothing is
/// dropped.
pub(crate) struct Mailbox<R> {
    requests: mpsc::Sender<R>,
}

/// Tasks outlive their mailboxes' owners: the server stops its transports first.
const RUNNING: &str = "the task runs as long as anybody can ask it";

impl<R> Mailbox<R> {
    /// A mailbox for at most `capacity` requests, and the queue that the task works on.
    pub(crate) fn new(capacity: usize) -> (Self, mpsc::Receiver<R>) {
        let (requests, queue) = mpsc::channel(capacity);
        (Self { requests }, queue)
    }

    /// Sends a request that has no answer.
    pub(crate) async fn tell(&self, request: R) {
        assert!(self.requests.send(request).await.is_ok(), "{RUNNING}");
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> R) -> T {
        let (reply, answer) = oneshot::channel();
        self.tell(request(reply)).await;
        answer.await.expect(RUNNING)
    }
}

impl<R> Clone for Mailbox<R> {
    fn clone(&self) -> Self {
        Self {
            requests: self.requests.clone(),
        }
    }
}

impl<R> fmt::Debug for Mailbox<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("free", &self.requests.capacity())
            .finish()
    }
}
