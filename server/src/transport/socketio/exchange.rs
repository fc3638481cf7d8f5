//! What Engine.IO calls when something happens, for all sockets: each gets a STOMP session as soon as it comes, so that
//! the broker's bounds on strangers hold for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use broker::{Broker, Guard, Handler, Peer};
use bytes::Bytes;
use engineioxide::handler::EngineIoHandler;
use engineioxide::socket::Sid;
use engineioxide::{DisconnectReason, Socket, Str};

use super::line::Line;
use super::road::Road;

/// What a request that opens a session brings along.
#[derive(Clone)]
pub(super) struct Opening {
    pub(super) line: Arc<Line>,
    pub(super) peer: Peer,
}

/// What Engine.IO keeps for us at each of its sessions.
pub(super) type Seat = OnceLock<Arc<Line>>;

/// The sockets by their names. Bounded by the broker's sessions and strangers: there is one for each session.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<HashMap<Sid, Arc<Line>>>>);

impl Lines {
    pub(super) fn get(&self, sid: Sid) -> Option<Arc<Line>> {
        self.all().get(&sid).cloned()
    }

    pub(super) fn remove(&self, sid: Sid) {
        self.all().remove(&sid);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Sid, Arc<Line>>> {
        self.0
            .lock()
            .expect("no panic happened while the sockets were locked")
    }
}

pub(super) struct Exchange<G, H> {
    pub(super) broker: Broker<G, H>,
    pub(super) lines: Lines,
}

impl<G, H> fmt::Debug for Exchange<G, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

impl<G: Guard, H: Handler<G::Principal>> EngineIoHandler for Exchange<G, H> {
    type Data = Seat;

    fn on_connect(self: Arc<Self>, socket: Arc<Socket<Seat>>) {
        let Some(opening) = socket.req_parts.extensions.get::<Opening>().cloned() else {
            tracing::error!("an Engine.IO session came by no request of ours");
            return socket.close(DisconnectReason::TransportError);
        };
        let line = socket.data.get_or_init(|| opening.line);
        self.lines.all().insert(socket.id, Arc::clone(line));
        let road = Road::new(Arc::clone(&socket), Arc::clone(line), self.lines.clone());
        self.broker.spawn(road, opening.peer);
    }

    fn on_disconnect(&self, socket: Arc<Socket<Seat>>, _: DisconnectReason) {
        if let Some(line) = socket.data.get() {
            line.client_ended();
        }
    }

    fn on_message(self: &Arc<Self>, message: Str, socket: Arc<Socket<Seat>>) {
        if let Some(line) = socket.data.get() {
            line.text(&message);
        }
    }

    fn on_binary(self: &Arc<Self>, data: Bytes, socket: Arc<Socket<Seat>>) {
        if let Some(line) = socket.data.get() {
            line.binary(data);
        }
    }
}
