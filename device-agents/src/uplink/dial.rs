//! Connections to the server: TCP, and TLS over it when the address says so.
//!
//! The files of TLS are read for each connection, so that new ones are taken without a restart; while they are broken, those
//! before are used.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tracing::warn;
use url::{Host, Url};

use crate::config::ServerAddress;
use crate::tls::{self, TlsFiles};

/// Bytes to the server and back, however they are secured.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection.
pub(super) type Connection = Box<dyn Stream>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{server} cannot be connected: {source}")]
    Unreachable {
        server: String,
        #[source]
        source: io::Error,
    },
    #[error("{0}")]
    Tls(String),
}

/// Makes connections to one server.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    base: Url,
    tls: Option<Tls>,
}

#[derive(Debug, Clone)]
struct Tls {
    files: TlsFiles,
    held: Arc<Mutex<Held>>,
}

/// What the files said when they were good, and what was last wrong with them.
#[derive(Debug, Default)]
struct Held {
    config: Option<Arc<ClientConfig>>,
    wrong: Option<tls::TlsError>,
}

impl Dialer {
    pub(super) fn new(server: &ServerAddress) -> Self {
        Self {
            base: server.token_url.clone(),
            tls: server.tls.clone().map(|files| Tls {
                files,
                held: Arc::default(),
            }),
        }
    }

    /// What the server is called in sentences: `https://host:port`.
    pub(super) fn server(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    pub(super) async fn dial(&self) -> Result<Connection, DialError> {
        let port = self
            .base
            .port_or_known_default()
            .expect("http and https have one");
        let stream = match self.host() {
            Host::Domain(name) => TcpStream::connect((name, port)).await,
            Host::Ipv4(address) => TcpStream::connect((address, port)).await,
            Host::Ipv6(address) => TcpStream::connect((address, port)).await,
        };
        let stream = stream
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| DialError::Unreachable {
                server: self.server(),
                source,
            })?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let config = tls.config().await?;
        let secured = TlsConnector::from(config)
            .connect(self.server_name(), stream)
            .await;
        match secured {
            Ok(stream) => Ok(Box::new(stream)),
            Err(source) => Err(match tls::explain(&self.server(), &source) {
                Some(sentence) => DialError::Tls(sentence),
                None => DialError::Unreachable {
                    server: self.server(),
                    source,
                },
            }),
        }
    }

    fn host(&self) -> Host<&str> {
        self.base.host().expect("the configuration has one")
    }

    fn server_name(&self) -> ServerName<'static> {
        match self.host() {
            Host::Domain(name) => ServerName::try_from(name.to_owned())
                .expect("the configuration is read only with a name"),
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(address)),
        }
    }
}

impl Tls {
    async fn config(&self) -> Result<Arc<ClientConfig>, DialError> {
        let files = self.files.clone();
        let read = spawn_blocking(move || files.assemble())
            .await
            .map_err(|died| DialError::Tls(died.to_string()))?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(config) => {
                held.config = Some(Arc::clone(&config));
                held.wrong = None;
                Ok(config)
            }
            Err(wrong) => {
                let before = held.config.clone();
                if before.is_some() && held.wrong.as_ref() != Some(&wrong) {
                    warn!(%wrong, "the files of TLS are broken; those before are used");
                    held.wrong = Some(wrong.clone());
                }
                before.ok_or_else(|| DialError::Tls(wrong.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
