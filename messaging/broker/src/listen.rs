//! Accepts connections, each for a task of its own, and bounds what they do before they speak STOMP.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::guard::Guard;
use crate::handler::Handler;
use crate::server::Broker;

/// After a failed accept, usually for want of file descriptors: until some connections have ended.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `shutdown`, then waits for the end of what is served.
pub(crate) async fn accept<F>(
    listener: &TcpListener,
    shutdown: &CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(serve(stream, peer));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

impl<G: Guard, H: Handler<G::Principal>> Broker<G, H> {
    /// What `handshake` comes to, if it does within the time that CONNECT has as well. Until then the connection is a
    /// stranger: it may have to go for another one, and it goes with the broker's shutdown.
    pub(crate) async fn while_stranger<F: Future>(
        &self,
        address: IpAddr,
        handshake: F,
    ) -> Option<F::Output> {
        let config = self.shared.publisher.config();
        let entry = self.shared.connections.register(config);
        let outbox = Arc::clone(entry.outbox());
        let _stranger = self.shared.publisher.permits().arrive(address, outbox);
        tokio::select! {
            _ = entry.outbox().ended() => None,
            done = timeout(config.stomp.connect_timeout, handshake) => done.ok(),
        }
    }
}
