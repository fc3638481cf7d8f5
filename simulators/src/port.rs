//! TCP ports that stay the same over restarts, so that an agent that keeps running finds its devices again.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{Instant, sleep};

/// How long all remembered ports together may take to become free: an agent that connects to a port where nobody
/// listens can, for a moment, hold that very port itself.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(50);

/// More than an agent and a few curious people open at once.
const BACKLOG: u32 = 16;

/// A TCP port that belongs to one device, whether it listens or not.
#[derive(Debug)]
pub(crate) enum Port {
    /// Takes connections.
    Listening(TcpListener),
    /// Bound, so that nobody else gets it, and not listening: connections are refused.
    Refusing(TcpSocket),
}

impl Port {
    /// Turns to listening or refusing, keeping the number.
    pub(crate) async fn turn(self, listening: bool) -> io::Result<Self> {
        match (self, listening) {
            (Self::Refusing(socket), true) => socket.listen(BACKLOG).map(Self::Listening),
            (Self::Listening(listener), false) => {
                let address = listener.local_addr()?;
                // Two sockets cannot be bound to one port while one of them listens.
                drop(listener);
                bind_patiently(address, Instant::now() + PATIENCE)
                    .await
                    .map(Self::Refusing)
            }
            (unchanged, _) => Ok(unchanged),
        }
    }

    /// The next connection; never comes while refusing.
    pub(crate) async fn accept(&self) -> io::Result<tokio::net::TcpStream> {
        match self {
            Self::Listening(listener) => listener.accept().await.map(|(stream, _)| stream),
            Self::Refusing(_) => std::future::pending().await,
        }
    }
}

/// The ports of the run before, by device id.
#[derive(Debug)]
pub(crate) struct Remembered {
    ports: BTreeMap<String, u16>,
    deadline: Instant,
}

impl Remembered {
    /// Reads `path`; what cannot be read is forgotten, since any free port will do.
    pub(crate) fn read(path: &Path) -> Self {
        let ports = std::fs::read(path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self {
            ports,
            deadline: Instant::now() + PATIENCE,
        }
    }

    /// Listens on the port that `device` had before, or on any free one.
    pub(crate) async fn listen(&self, device: &str) -> io::Result<(TcpListener, SocketAddr)> {
        let socket = match self.ports.get(device) {
            Some(&port) => match bind_patiently(loopback(port), self.deadline).await {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::warn!(device.id = device, port, %error, "port is taken, using another");
                    bind(loopback(0))?
                }
            },
            None => bind(loopback(0))?,
        };
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

async fn bind_patiently(address: SocketAddr, deadline: Instant) -> io::Result<TcpSocket> {
    loop {
        match bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the run before may linger in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
