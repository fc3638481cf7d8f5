//! Who asks: resolved once for each request, and found by everybody in its extensions.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use broker::Peer;

/// The client of a request: its address is the one that trusted proxies tell, with the connection's port.
#[derive(Debug, Clone)]
pub(crate) struct Asker(pub(crate) Peer);

/// The client behind this connection.
pub(super) fn resolve(connection: &Peer, headers: &HeaderMap, proxies: &[IpAddr]) -> Asker {
    let client = network::client(connection.address.ip(), headers, proxies);
    Asker(Peer {
        address: SocketAddr::new(client.address, connection.address.port()),
        is_secured: connection.is_secured || client.is_secured,
        certificate: connection.certificate.clone(),
    })
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    /// Without a listener of ours (in tests of single routes) it is whoever is connected.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let resolved = parts.extensions.get::<Self>().cloned();
        Ok(resolved.unwrap_or_else(|| {
            let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
            let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
            Self(connected.map_or(nobody, |info| info.0).into())
        }))
    }
}
