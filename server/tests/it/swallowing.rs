//! A road to Postgres that swallows: connections stay open and nothing comes through, as when its host has vanished.

use std::net::SocketAddr;
use std::path::PathBuf;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The road. It ends when it is dropped.
pub(crate) struct Road {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    _work: JoinSet<()>,
}

/// Where Postgres is.
#[derive(Clone)]
enum End {
    Unix(PathBuf),
    Tcp(String),
}

impl Road {
    /// A road to where `url` leads.
    pub(crate) async fn to(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        let port = options.get_port();
        let end = match options.get_socket() {
            Some(directory) => End::Unix(directory.join(format!(".s.PGSQL.{port}"))),
            None => End::Tcp(format!("{}:{port}", options.get_host())),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, seen) = watch::channel(true);
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, end.clone(), seen.clone()));
            }
        });
        Self {
            address,
            is_open,
            _work: work,
        }
    }

    /// The same database, by this road.
    pub(crate) fn url(&self, url: &str) -> String {
        let options: PgConnectOptions = url.parse().unwrap();
        let mut url = options.to_url_lossy();
        url.set_host(Some(&self.address.ip().to_string())).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.to_string()
    }

    /// Nothing comes through any more.
    pub(crate) fn swallow(&self) {
        self.is_open.send_replace(false);
    }

    /// Everything comes through, also what was held back.
    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }
}

async fn carry(client: TcpStream, end: End, is_open: watch::Receiver<bool>) {
    match end {
        End::Unix(path) => both(client, UnixStream::connect(path).await.unwrap(), is_open).await,
        End::Tcp(address) => {
            both(client, TcpStream::connect(address).await.unwrap(), is_open).await
        }
    }
}

async fn both(
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite,
    is_open: watch::Receiver<bool>,
) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    tokio::join!(
        pump(from_client, to_server, is_open.clone()),
        pump(from_server, to_client, is_open)
    );
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is_open: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let opened = is_open.wait_for(|open| *open).await.map(drop);
        if opened.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
    // Whoever is gone may be gone.
    drop(to.shutdown().await);
}
