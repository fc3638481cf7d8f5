//! One session that is carried by HTTP requests, as a machine: requests come and go, the application says and hears
//! messages, time passes (SockJS protocol 0.3, "Session URLs" and "Protocol and framing"). Pure: `now` is passed in.
//!
//! A *receiver* is a request that waits for frames: a poll takes one, a stream many. There is at most one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::frame::{self, Form, HEARTBEAT, OPEN};

/// Bytes that a waiting message holds besides its text.
const MESSAGE_OVERHEAD: usize = 32;

/// What bounds a session.
#[derive(Debug, Clone)]
pub struct Terms {
    pub response_limit: usize,
    pub heartbeat: Duration,
    pub disconnect_delay: Duration,
    pub inbox_bytes: usize,
    pub repeat_unconfirmed: bool,
}

/// How long a receiver stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// For one frame.
    Poll,
    /// Until it has brought so much that the browser should begin anew.
    Stream,
}

/// Names one receiver of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverId(u64);

/// Why somebody may not receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Somebody else does.
    Busy,
    /// The session is over and forgotten.
    Gone,
}

/// Whether messages of the client were taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// They were; or nobody listens any more, which the client is told by its receiver.
    In,
    /// The application has not taken what came before.
    NoRoom,
    /// The session is over and forgotten.
    Gone,
}

/// What a receiver gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A frame, wrapped; nothing comes after the last.
    Frame { bytes: Bytes, is_last: bool },
    /// Nothing yet; ask again then, or when the session has changed.
    Wait(Instant),
    /// Nothing ever.
    End,
}

/// What the application gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Message(String),
    /// The client was here, without a message.
    Alive,
    /// The session is over.
    Ended,
    Nothing,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// Since it was closed, or somebody took the last of what was said before. Whoever asks is told so for a while;
    /// [`Session::farewell`] says what.
    Closed(Instant),
    /// The client stayed away: nobody remembers.
    Gone,
}

#[derive(Debug)]
struct Receiver {
    id: ReceiverId,
    form: Form,
    stay: Stay,
    /// Over which connection it came, if that is known.
    via: Option<SocketAddr>,
    written: usize,
    /// When it last got something.
    served: Instant,
}

/// The messages of the last poll, of which nobody knows whether they arrived.
#[derive(Debug)]
struct Batch {
    messages: Vec<Box<str>>,
    via: Option<SocketAddr>,
}

/// What a waiting message holds.
fn weight(message: &str) -> usize {
    message.len() + MESSAGE_OVERHEAD
}

#[derive(Debug)]
pub struct Session {
    terms: Terms,
    life: Life,
    /// The frame `o` went out.
    opened: bool,
    /// The close frame.
    farewell: String,
    /// Quoted. Bounded by the application, which looks at [`Self::backlog`].
    outbox: VecDeque<Box<str>>,
    outbox_bytes: usize,
    /// Frames taken by receivers.
    progress: u64,
    inbox: VecDeque<String>,
    inbox_bytes: usize,
    /// The client was here since the application last asked.
    heard: bool,
    receiver: Option<Receiver>,
    receivers: u64,
    /// Since when there is no receiver.
    alone_since: Instant,
    unconfirmed: Option<Batch>,
    /// So many messages at the front of `outbox` come for the second time, which is the last.
    repeated: usize,
}

impl Session {
    pub fn new(terms: Terms, now: Instant) -> Self {
        Self {
            terms,
            life: Life::Open,
            opened: false,
            farewell: String::new(),
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            progress: 0,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            heard: false,
            receiver: None,
            receivers: 0,
            alone_since: now,
            unconfirmed: None,
            repeated: 0,
        }
    }

    /// A request wants to receive.
    pub fn attach(
        &mut self,
        form: Form,
        stay: Stay,
        via: Option<SocketAddr>,
        now: Instant,
    ) -> Result<ReceiverId, Refused> {
        self.pass(now);
        match self.life {
            Life::Gone => return Err(Refused::Gone),
            Life::Open if self.receiver.is_some() => return Err(Refused::Busy),
            // Who asks a closed session is told, whoever else still hangs on to it.
            Life::Open | Life::Closed(_) => {}
        }
        self.settle(via);
        self.heard = true;
        self.receivers += 1;
        let id = ReceiverId(self.receivers);
        self.receiver = Some(Receiver {
            id,
            form,
            stay,
            via,
            written: 0,
            served: now,
        });
        Ok(id)
    }

    /// The next poll is here: what the last one brought has arrived when this one comes over the same connection, since
    /// nobody asks again there before the answer is complete. Over another one, nobody knows: it is brought once more.
    fn settle(&mut self, via: Option<SocketAddr>) {
        let Some(batch) = self.unconfirmed.take() else {
            return;
        };
        if via.is_some() && batch.via.is_some() && batch.via != via {
            self.repeated += batch.messages.len();
            for message in batch.messages.into_iter().rev() {
                self.outbox_bytes += weight(&message);
                self.outbox.push_front(message);
            }
        }
    }

    /// The next frame for a receiver.
    pub fn next(&mut self, id: ReceiverId, now: Instant) -> Next {
        let Some(receiver) = &mut self.receiver else {
            return Next::End;
        };
        if receiver.id != id {
            return Next::End;
        }
        let (stay, via) = (receiver.stay, receiver.via);
        let mut is_last = stay == Stay::Poll;
        let frame = if !self.opened {
            self.opened = true;
            OPEN.to_owned()
        } else if !self.outbox.is_empty() {
            if let Life::Closed(since) = &mut self.life {
                *since = now;
            }
            self.batch(stay, via)
        } else if self.life != Life::Open {
            is_last = true;
            self.farewell.clone()
        } else if receiver.served + self.terms.heartbeat <= now {
            HEARTBEAT.to_owned()
        } else {
            return Next::Wait(receiver.served + self.terms.heartbeat);
        };
        self.progress += 1;
        let receiver = self.receiver.as_mut().expect("it was there");
        let bytes = receiver.form.wrap(&frame);
        receiver.served = now;
        receiver.written += bytes.len();
        is_last |= receiver.written >= self.terms.response_limit;
        if is_last {
            self.leave(now);
        }
        Next::Frame { bytes, is_last }
    }

    /// What waits, as far as one answer should be long; at least one message.
    fn batch(&mut self, stay: Stay, via: Option<SocketAddr>) -> String {
        let mut batch = Vec::new();
        let mut length = 0;
        while let Some(message) = self.outbox.front() {
            if !batch.is_empty() && length + message.len() > self.terms.response_limit {
                break;
            }
            length += message.len();
            self.outbox_bytes -= weight(message);
            batch.extend(self.outbox.pop_front());
        }
        let frame = frame::messages(batch.iter().map(AsRef::as_ref));
        let repeated = self.repeated.min(batch.len());
        self.repeated -= repeated;
        if self.terms.repeat_unconfirmed && stay == Stay::Poll {
            self.unconfirmed = Some(Batch {
                messages: batch.split_off(repeated),
                via,
            });
        }
        frame
    }

    fn leave(&mut self, now: Instant) {
        self.receiver = None;
        self.alone_since = now;
    }

    /// A receiver is gone before its last frame: its connection broke. What was on its way to it is lost, so the session
    /// is; unless a poll can be repeated.
    pub fn abort(&mut self, id: ReceiverId, now: Instant) {
        let Some(receiver) = &self.receiver else {
            return;
        };
        if receiver.id != id {
            return;
        }
        let may_come_again = receiver.stay == Stay::Poll && self.terms.repeat_unconfirmed;
        self.leave(now);
        if self.life == Life::Open && !may_come_again {
            self.outbox.clear();
            self.outbox_bytes = 0;
            self.end(1002, "Connection interrupted", now);
        }
    }

    /// The client sent messages.
    pub fn receive(&mut self, messages: &mut Vec<String>, now: Instant) -> Taken {
        self.pass(now);
        match self.life {
            Life::Gone => return Taken::Gone,
            Life::Closed(_) => return Taken::In,
            Life::Open => {}
        }
        if !self.has_room() {
            return Taken::NoRoom;
        }
        self.heard = true;
        for message in messages.drain(..) {
            self.inbox_bytes += weight(&message);
            self.inbox.push_back(message);
        }
        Taken::In
    }

    /// Whether the client's next messages would be taken. A body is taken as a whole.
    fn has_room(&self) -> bool {
        self.inbox_bytes < self.terms.inbox_bytes
    }

    /// What the application hears next.
    pub fn hear(&mut self, now: Instant) -> Heard {
        self.pass(now);
        if let Some(message) = self.inbox.pop_front() {
            self.heard = false;
            self.inbox_bytes -= weight(&message);
            return Heard::Message(message);
        }
        if self.life != Life::Open {
            return Heard::Ended;
        }
        if std::mem::take(&mut self.heard) {
            return Heard::Alive;
        }
        Heard::Nothing
    }

    /// The application says something; nothing is said after the end.
    pub fn say(&mut self, text: &str) {
        if self.life == Life::Open {
            let mut quoted = String::new();
            frame::quote(text, &mut quoted);
            self.outbox_bytes += weight(&quoted);
            self.outbox.push_back(quoted.into());
        }
    }

    /// Bytes said and not taken by a receiver yet, and some for each message.
    pub fn backlog(&self) -> usize {
        self.outbox_bytes
    }

    /// Rises when a receiver takes something.
    pub fn progress(&self) -> u64 {
        self.progress
    }

    /// Whether the application may still be heard.
    pub fn is_open(&self) -> bool {
        self.life == Life::Open
    }

    /// The application ends the session. What it said before still goes out, then the close frame.
    pub fn close(&mut self, code: u16, reason: &str, now: Instant) {
        if self.life == Life::Open {
            self.end(code, reason, now);
        }
    }

    fn end(&mut self, code: u16, reason: &str, now: Instant) {
        self.life = Life::Closed(now);
        self.farewell = frame::close(code, reason);
    }

    /// When the session changes by itself: a client that stays away is given up, a closed session forgotten.
    pub fn deadline(&self) -> Option<Instant> {
        match self.life {
            Life::Open if self.receiver.is_some() => None,
            Life::Open => Some(self.alone_since + self.terms.disconnect_delay),
            Life::Closed(since) => Some(since + self.terms.disconnect_delay),
            Life::Gone => None,
        }
    }

    /// Time has passed. Whether the session is to be forgotten.
    pub fn pass(&mut self, now: Instant) -> bool {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.life = Life::Gone;
            self.receiver = None;
            self.outbox = VecDeque::new();
            self.outbox_bytes = 0;
            self.unconfirmed = None;
        }
        self.life == Life::Gone
    }
}

#[cfg(test)]
mod tests;
