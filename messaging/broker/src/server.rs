//! What serves connections: the router's handle, the guard, the handler and the shutdown, together.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connections::Connections;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::peer::Peer;
use crate::publisher::Publisher;
use crate::session;
use crate::wire::Transport;

/// Serves connections. Cheap to clone: all clones are one broker.
pub struct Broker<G, H> {
    pub(crate) shared: Arc<Shared<G, H>>,
}

pub(crate) struct Shared<G, H> {
    pub(crate) publisher: Publisher,
    pub(crate) guard: G,
    pub(crate) handler: H,
    pub(crate) shutdown: CancellationToken,
    pub(crate) connections: Connections,
    /// Tasks of connections that came through an HTTP server of the application.
    pub(crate) upgraded: TaskTracker,
}

impl<G: Guard, H: Handler<G::Principal>> Broker<G, H> {
    /// A broker that serves until `shutdown` is cancelled: then each session gets ERROR `shutting-down`, and the
    /// `serve_*` calls return within [`crate::BrokerConfig::handler_grace`] and a second.
    pub fn new(publisher: Publisher, guard: G, handler: H, shutdown: CancellationToken) -> Self {
        Self {
            shared: Arc::new(Shared {
                publisher,
                guard,
                handler,
                connections: Connections::new(shutdown.clone()),
                upgraded: TaskTracker::new(),
                shutdown,
            }),
        }
    }

    /// Serves one connection, whatever carries it, until it ends. `peer` is whom its bounds count for.
    pub fn serve<T: Transport>(
        &self,
        transport: T,
        peer: Peer,
    ) -> impl Future<Output = ()> + Send + use<T, G, H> {
        session::serve(&self.shared, transport, peer)
    }

    /// As [`Self::serve`], in a task of its own: [`Self::ended`] waits for it.
    pub fn spawn<T: Transport + 'static>(&self, transport: T, peer: Peer) {
        self.shared.upgraded.spawn(self.serve(transport, peer));
    }

    /// After the shutdown: waits until the connections of [`Self::upgrade_websocket`] and [`Self::spawn`] have ended.
    /// Those of `listen_*` and `serve_*` are waited for there.
    pub async fn ended(&self) {
        self.shared.upgraded.close();
        self.shared.upgraded.wait().await;
    }

    /// The handle to publish with.
    pub fn publisher(&self) -> &Publisher {
        &self.shared.publisher
    }

    /// The guard, for applications that tell it of changes.
    pub fn guard(&self) -> &G {
        &self.shared.guard
    }

    /// The handler, for applications that keep their state there.
    pub fn handler(&self) -> &H {
        &self.shared.handler
    }
}

impl<G, H> Clone for Broker<G, H> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<G, H> fmt::Debug for Broker<G, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("publisher", &self.shared.publisher)
            .finish_non_exhaustive()
    }
}
