//! Bounds on what a peer can make us hold (STOMP 1.2, Size Limits). Pure.

/// Bounds that a decoder and a session check before they allocate. What exceeds one is answered with ERROR and the
/// connection closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line of the head, its end included. 16 KiB: a JSON web token with many roles is 2 to 4 KiB.
    pub line_bytes: usize,
    /// Bytes of all lines of the head. 64 KiB, as RabbitMQ allows.
    pub head_bytes: usize,
    /// Headers of one frame, `content-length` not counted. 128: real clients send fewer than 20.
    pub headers: usize,
    /// Bytes of a body. 1 MiB: the inventory of a large site is the longest message and takes a third of it.
    pub body_bytes: usize,
    /// Bytes of a whole frame before the session is open, and of what waits while CONNECT is decided. 64 KiB, as
    /// RabbitMQ allows: a stranger gets no more of our memory.
    pub frame_bytes_before_connect: usize,
    /// Subscriptions of one session. 256: a page has about ten, a program perhaps one for each device.
    pub subscriptions: usize,
    /// Bytes of a subscription's `id`. 256: clients number theirs; the broker keeps each several times.
    pub subscription_id_bytes: usize,
    /// Messages of one session that are sent and neither acknowledged nor refused yet. 1,024: a client that is
    /// further behind does not acknowledge at all.
    pub pending_acks: usize,
    /// Transactions that one session has open at once. 8: a program needs one, or one for each of its threads.
    pub transactions: usize,
    /// Frames that the open transactions of a session hold together. 128: what COMMIT publishes comes to its readers all
    /// at once, and must be a small part of what may wait for one of them.
    pub transaction_frames: usize,
    /// Bytes that they hold together, headers included. 2 MiB: one of the longest messages and as much again.
    pub transaction_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes: 16 * 1024,
            head_bytes: 64 * 1024,
            headers: 128,
            body_bytes: 1024 * 1024,
            frame_bytes_before_connect: 64 * 1024,
            subscriptions: 256,
            subscription_id_bytes: 256,
            pending_acks: 1024,
            transactions: 8,
            transaction_frames: 128,
            transaction_bytes: 2 * 1024 * 1024,
        }
    }
}
