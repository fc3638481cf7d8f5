//! A Socket.IO socket as the road of a STOMP session.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use broker::{Transport, WireFrame};
use bytes::Bytes;
use engineioxide::{DisconnectReason, Socket};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::exchange::{Lines, Seat};
use super::line::Line;
use super::packet::Revision;

/// Packets that Engine.IO holds for a client.
pub(super) const PACKETS: usize = 32;

/// Of these, ours: Engine.IO gives a client up when it finds no room for one of its own, which are a ping, and a word at
/// an upgrade and at the end.
const OUR_PACKETS: usize = PACKETS - 8;

/// Bytes of ours that Engine.IO holds; one packet may be longer, and then it is alone. 64 KiB: a full write.
const OUR_BYTES: usize = 64 * 1024;

pub(super) struct Road {
    socket: Arc<Socket<Seat>>,
    /// What the client is told that it is called. Whoever knows Engine.IO's own name can be the client, and pages show
    /// this one around; old clients take Engine.IO's, whatever they are told.
    name: String,
    line: Arc<Line>,
    lines: Lines,
    /// The lengths of what Engine.IO has and the client has not taken.
    on_the_way: VecDeque<usize>,
    on_the_way_bytes: usize,
    taken: u64,
}

impl Road {
    pub(super) fn new(socket: Arc<Socket<Seat>>, line: Arc<Line>, lines: Lines) -> Self {
        let name = match line.revision {
            Revision::Old => socket.id.to_string(),
            Revision::New => Uuid::new_v4().simple().to_string(),
        };
        Self {
            socket,
            name,
            line,
            lines,
            on_the_way: VecDeque::new(),
            on_the_way_bytes: 0,
            taken: 0,
        }
    }

    fn settle(&mut self, context: &Context<'_>) {
        let taken = self.line.messages_taken(context);
        for length in self.on_the_way.drain(..taken.min(self.on_the_way.len())) {
            self.on_the_way_bytes -= length;
        }
        self.taken += taken as u64;
    }

    /// Gives Engine.IO as much as it may hold.
    fn hand_over(&mut self) -> io::Result<()> {
        loop {
            // A packet with an attachment is two.
            let has_room = self.on_the_way.len() + 2 <= OUR_PACKETS;
            let bytes = self.on_the_way_bytes;
            let is_wanted = |length| has_room && (bytes == 0 || bytes + length <= OUR_BYTES);
            let Some(packet) = self.line.take_for_client(is_wanted) else {
                return Ok(());
            };
            let attachment = packet.attachment;
            self.note(packet.text.len());
            self.socket.emit(packet.text).map_err(|_full| lost())?;
            if let Some(bytes) = attachment {
                self.note(bytes.len());
                self.socket.emit_binary(bytes).map_err(|_full| lost())?;
            }
        }
    }

    fn note(&mut self, length: usize) {
        self.on_the_way.push_back(length);
        self.on_the_way_bytes += length;
    }
}

fn lost() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl Transport for Road {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.line.poll_read(context)
    }

    fn let_in(&mut self) {
        self.line.let_in();
    }

    fn push(&mut self, frame: WireFrame) {
        self.line.push(&frame, &self.name);
    }

    fn backlog(&self) -> usize {
        self.line.backlog() + self.on_the_way_bytes
    }

    fn progress(&self) -> u64 {
        self.taken + self.line.bytes_taken()
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.settle(context);
        if self.socket.is_closed() || self.line.client_has_ended() {
            return Poll::Ready(Err(lost()));
        }
        self.hand_over()?;
        if self.on_the_way.is_empty() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.close(DisconnectReason::ClosingServer);
        self.line.client_ended();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.line.session_ended();
        self.lines.remove(self.socket.id);
        // Closing spawns a task, which a runtime that is going down does not take.
        if Handle::try_current().is_ok() {
            self.socket.close(DisconnectReason::ClosingServer);
        }
    }
}
