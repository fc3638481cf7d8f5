//! The open transactions of one session and the frames that they hold (STOMP 1.2, BEGIN). Pure.
//!
//! Nothing survives the session: dropping it aborts what is open.

use std::collections::BTreeMap;

use crate::error::ProtocolError;
use crate::frame::{Command, Frame};
use crate::limits::Limits;
use crate::server::required;

#[derive(Debug)]
pub(crate) struct Transactions {
    /// The frames that each holds, in the order in which they came. Bounded by [`Limits::transactions`], and all
    /// together by [`Limits::transaction_frames`] and [`Limits::transaction_bytes`].
    open: BTreeMap<String, Vec<Frame>>,
    frames: usize,
    bytes: usize,
    transactions_max: usize,
    frames_max: usize,
    bytes_max: usize,
}

impl Transactions {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            open: BTreeMap::new(),
            frames: 0,
            bytes: 0,
            transactions_max: limits.transactions,
            frames_max: limits.transaction_frames,
            bytes_max: limits.transaction_bytes,
        }
    }

    /// BEGIN. An id is free again when its transaction has ended: remembering all of them would have no bound.
    pub(crate) fn begin(&mut self, frame: &Frame) -> Result<(), ProtocolError> {
        let id = required(frame, "transaction")?;
        if self.open.contains_key(id) {
            let id = id.to_owned();
            return Err(ProtocolError::DuplicateTransaction { id });
        }
        if self.open.len() >= self.transactions_max {
            let limit = self.transactions_max;
            return Err(ProtocolError::TooManyTransactions { limit });
        }
        self.open.insert(id.to_owned(), Vec::new());
        Ok(())
    }

    /// Whether `frame` may be held: its transaction is open and has room.
    pub(crate) fn check(&self, id: &str, frame: &Frame) -> Result<(), ProtocolError> {
        if !self.open.contains_key(id) {
            return Err(unknown(frame.command, id));
        }
        let fits = self.frames < self.frames_max
            && self.bytes.saturating_add(weight(frame)) <= self.bytes_max;
        if fits {
            return Ok(());
        }
        Err(ProtocolError::TransactionTooLarge {
            frames: self.frames_max,
            bytes: self.bytes_max,
        })
    }

    /// Holds a SEND, ACK or NACK until COMMIT.
    pub(crate) fn hold(&mut self, id: &str, frame: Frame) -> Result<(), ProtocolError> {
        self.check(id, &frame)?;
        self.frames += 1;
        self.bytes += weight(&frame);
        self.open
            .get_mut(id)
            .expect("the transaction was just found to be open")
            .push(frame);
        Ok(())
    }

    /// COMMIT or ABORT: the transaction is over, and these are the frames that it held.
    pub(crate) fn end(&mut self, frame: &Frame) -> Result<Vec<Frame>, ProtocolError> {
        let id = required(frame, "transaction")?;
        let Some(frames) = self.open.remove(id) else {
            return Err(unknown(frame.command, id));
        };
        self.frames -= frames.len();
        self.bytes -= frames.iter().map(weight).sum::<usize>();
        Ok(frames)
    }

    /// Aborts all of them.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
        (self.frames, self.bytes) = (0, 0);
    }
}

fn unknown(command: Command, id: &str) -> ProtocolError {
    let id = id.to_owned();
    ProtocolError::UnknownTransaction { command, id }
}

/// Bytes that holding a frame takes, about.
fn weight(frame: &Frame) -> usize {
    /// Bookkeeping of one header.
    const HEADER: usize = 32;
    /// Bookkeeping of one frame, and room that it did not use.
    const FRAME: usize = 256;
    let headers: usize = frame
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + HEADER)
        .sum();
    headers + frame.body.len() + FRAME
}
