//! A server to ask: the library in this process, over TCP or in memory, or another at an address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::ConnectInfo;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::harness::{Answer, Request, Stream, Wire, four_services, messages, post};

/// More bytes than any answer has that a test does not read at once.
const MEMORY_PIPE_BYTES: usize = 1024 * 1024;

#[derive(Clone)]
enum Road {
    Tcp(SocketAddr),
    Memory(mpsc::Sender<DuplexStream>),
}

#[derive(Clone)]
pub(crate) struct Site {
    road: Road,
    ours: bool,
}

impl Site {
    /// The four services of the protocol's tests.
    pub(crate) async fn four() -> Self {
        match std::env::var("SOCKJS_SERVER") {
            Ok(address) => Self {
                road: Road::Tcp(
                    address
                        .parse()
                        .expect("SOCKJS_SERVER is an address with a port"),
                ),
                ours: false,
            },
            Err(_) => Self::serving(four_services()).await,
        }
    }

    /// These services, over TCP.
    pub(crate) async fn serving(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            road: Road::Tcp(address),
            ours: true,
        }
    }

    /// These services without sockets: with a paused clock, nothing but the clock decides when something happens.
    pub(crate) fn in_memory(router: Router) -> Self {
        let (connect, connections) = mpsc::channel(8);
        let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1)));
        let service = router.layer(axum::Extension(peer));
        tokio::spawn(async move { axum::serve(Pipes(connections), service).await });
        Self {
            road: Road::Memory(connect),
            ours: true,
        }
    }

    /// Whether it is this library, of which more is known than the protocol asks for.
    pub(crate) fn is_ours(&self) -> bool {
        self.ours
    }

    pub(crate) async fn connect(&self) -> Wire {
        match &self.road {
            Road::Tcp(address) => Wire::new(TcpStream::connect(address).await.unwrap()),
            Road::Memory(connect) => {
                let (near, far) = tokio::io::duplex(MEMORY_PIPE_BYTES);
                connect.send(far).await.unwrap();
                Wire::new(near)
            }
        }
    }

    /// A connection from another address of this machine.
    pub(crate) async fn connect_from(&self, own: &str) -> Wire {
        let Road::Tcp(address) = self.road else {
            panic!("memory has no addresses");
        };
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::new(own.parse().unwrap(), 0))
            .unwrap();
        Wire::new(socket.connect(address).await.unwrap())
    }

    /// Asks on a connection of its own, and reads the whole answer.
    pub(crate) async fn ask(&self, request: &Request) -> Answer {
        self.connect().await.ask(request).await
    }

    /// Asks on a connection of its own, and reads the head.
    pub(crate) async fn open(&self, request: &Request) -> Stream {
        let mut wire = self.connect().await;
        wire.write(&request.bytes()).await;
        let head = wire.head().await;
        Stream { wire, head }
    }

    /// The body of a poll.
    pub(crate) async fn poll(&self, session: &str) -> String {
        let answer = self.ask(&post(format!("{session}/xhr"))).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.text().to_owned()
    }

    /// A session opened by a poll.
    pub(crate) async fn opened(&self, service: &str) -> String {
        let session = session(service);
        assert_eq!(self.poll(&session).await, "o\n");
        session
    }

    /// Sends the text of a JSON array.
    pub(crate) async fn send(&self, session: &str, body: impl Into<Vec<u8>>) {
        let answer = self
            .ask(&post(format!("{session}/xhr_send")).body(body))
            .await;
        assert_eq!(answer.status(), 204, "{answer:?}");
        assert!(answer.body.is_empty());
    }

    /// Polls until this many messages have come: an application may answer them one by one.
    pub(crate) async fn messages(&self, session: &str, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < count {
            let body = self.poll(session).await;
            let frame = body.strip_suffix('\n').unwrap();
            if frame != "h" {
                all.extend(messages(frame));
            }
        }
        assert_eq!(all.len(), count, "{all:?}");
        all
    }
}

/// The URL of a session that nobody has used, in this run or another.
pub(crate) fn session(service: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{service}/000/{:x}-{count}", now.as_nanos())
}

/// Pipes to be served as connections.
struct Pipes(mpsc::Receiver<DuplexStream>);

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(())
    }
}
