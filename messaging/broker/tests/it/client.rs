//! A client over TCP or WebSocket, driven by the protocol crate's own session.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use stomp::{
    AckMode, ClientConfig, ClientEvent, ClientSession, Frame, ReceiptId, SubscriptionId, Version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::{PATIENCE, TestBroker};

pub(crate) enum Socket {
    Tcp(TcpStream),
    Ws(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
}

impl Socket {
    pub(crate) async fn tcp(address: SocketAddr) -> Self {
        Self::Tcp(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn ws(address: SocketAddr) -> Self {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        let offered = "v10.stomp, v12.stomp".parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", offered);
        let (socket, response) = connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "v12.stomp");
        Self::Ws(Box::new(socket))
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) {
        match self {
            Self::Tcp(stream) => stream.write_all(&bytes).await.unwrap(),
            Self::Ws(socket) => socket.send(Message::Binary(bytes)).await.unwrap(),
        }
    }

    /// `None` at the end.
    pub(crate) async fn read(&mut self) -> Option<Bytes> {
        let reading = async {
            match self {
                Self::Tcp(stream) => {
                    let mut buffer = vec![0; 4096];
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    buffer.truncate(read);
                    (read > 0).then(|| buffer.into())
                }
                Self::Ws(socket) => match socket.next().await {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => None,
                    Some(Ok(message)) => Some(message.into_data()),
                },
            }
        };
        timeout(PATIENCE, reading).await.expect("the server speaks")
    }
}

/// Both ways to the broker: what holds for one must hold for the other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Tcp,
    Ws,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Tcp, Self::Ws];
}

pub(crate) struct Client {
    pub(crate) session: ClientSession,
    pub(crate) socket: Socket,
}

impl Client {
    /// A client that has sent nothing yet.
    pub(crate) async fn new(broker: &TestBroker, way: Way, config: ClientConfig) -> Self {
        let socket = match way {
            Way::Tcp => Socket::tcp(broker.tcp).await,
            Way::Ws => Socket::ws(broker.http).await,
        };
        Self::over(socket, config)
    }

    /// A client that has sent nothing yet, over a connection made elsewhere.
    pub(crate) fn over(socket: Socket, config: ClientConfig) -> Self {
        Self {
            session: ClientSession::new(config, Instant::now()),
            socket,
        }
    }

    /// A client that is let in.
    pub(crate) async fn connect(broker: &TestBroker, way: Way, token: &str) -> Self {
        Self::connect_with(broker, way, config(token)).await
    }

    pub(crate) async fn connect_with(broker: &TestBroker, way: Way, config: ClientConfig) -> Self {
        let mut client = Self::new(broker, way, config).await;
        match client.event().await {
            Some(ClientEvent::Connected { .. }) => client,
            other => panic!("{other:?}"),
        }
    }

    /// Writes what waits to be written.
    pub(crate) async fn flush(&mut self) {
        while let Some(bytes) = self.session.poll_transmit(Instant::now()) {
            self.socket.write(bytes).await;
        }
    }

    /// The next event; `None` when the connection is closed and nothing is left.
    pub(crate) async fn event(&mut self) -> Option<ClientEvent> {
        loop {
            self.flush().await;
            if let Some(event) = self.session.poll_event() {
                return Some(event);
            }
            let bytes = self.socket.read().await?;
            self.session.handle_bytes(&bytes, Instant::now());
        }
    }

    pub(crate) async fn message(&mut self) -> Frame {
        match self.event().await {
            Some(ClientEvent::Message(frame)) => frame,
            other => panic!("{other:?}"),
        }
    }

    /// The body of the next message, as text.
    pub(crate) async fn body(&mut self) -> String {
        let body = self.message().await.body;
        String::from_utf8(body.to_vec()).unwrap()
    }

    pub(crate) async fn receipt(&mut self, expected: ReceiptId) {
        match self.event().await {
            Some(ClientEvent::Receipt(id)) if id == expected => {}
            other => panic!("{other:?}"),
        }
    }

    /// The ERROR that ends the session, and the end of the connection after it.
    pub(crate) async fn error(&mut self) -> Frame {
        let error = match self.event().await {
            Some(ClientEvent::Error(frame)) => frame,
            other => panic!("{other:?}"),
        };
        assert!(matches!(self.event().await, Some(ClientEvent::Closed(_))));
        let said = Instant::now();
        assert_eq!(self.socket.read().await, None);
        assert!(said.elapsed().as_secs() < 1, "{:?}", said.elapsed());
        error
    }

    pub(crate) async fn error_code(&mut self) -> String {
        self.error().await.header("code").unwrap().to_owned()
    }

    /// Subscribes, and waits until the subscription is live.
    pub(crate) async fn subscribe(&mut self, destination: &str) -> SubscriptionId {
        let (id, receipt) = self
            .session
            .subscribe_with_receipt(destination, AckMode::Auto, &[]);
        self.receipt(receipt).await;
        id
    }

    pub(crate) fn send(&mut self, destination: &str, headers: &[(&str, &str)]) -> ReceiptId {
        self.session
            .send_with_receipt(destination, "text/plain", Bytes::from_static(b"x"), headers)
    }
}

/// A session spoken to in frames as they stand on the wire (`^` for NUL): for what the client session does not say.
pub(crate) struct RawClient {
    socket: Socket,
    read: String,
}

impl RawClient {
    /// A session of STOMP 1.2 that is let in, over TCP.
    pub(crate) async fn connect(broker: &TestBroker, token: &str) -> Self {
        let mut client = Self {
            socket: Socket::tcp(broker.tcp).await,
            read: String::new(),
        };
        client
            .say(&format!(
                "CONNECT\naccept-version:1.2\npasscode:{token}\n\n^"
            ))
            .await;
        assert!(client.frame().await.unwrap().starts_with("CONNECTED\n"));
        client
    }

    pub(crate) async fn say(&mut self, frames: &str) {
        self.socket.write(frames.replace('^', "\0").into()).await;
    }

    /// The next frame without its NUL; `None` when the connection is closed.
    pub(crate) async fn frame(&mut self) -> Option<String> {
        loop {
            if let Some((frame, rest)) = self.read.split_once('\0') {
                let frame = frame.trim_start_matches('\n').to_owned();
                self.read = rest.to_owned();
                return Some(frame);
            }
            let bytes = self.socket.read().await?;
            self.read.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The RECEIPT of what asked for it.
    pub(crate) async fn receipt(&mut self, id: &str) {
        let expected = format!("RECEIPT\nreceipt-id:{id}\n\n");
        assert_eq!(self.frame().await, Some(expected));
    }

    /// The ERROR that ends the session: its `code` and `receipt-id`.
    pub(crate) async fn error(&mut self) -> (String, Option<String>) {
        let frame = self.frame().await.unwrap();
        assert!(frame.starts_with("ERROR\n"), "{frame}");
        assert_eq!(self.frame().await, None);
        let code = header_of(&frame, "code").unwrap().to_owned();
        (code, header_of(&frame, "receipt-id").map(str::to_owned))
    }
}

/// The value of a header in a frame as it stands on the wire.
pub(crate) fn header_of<'frame>(frame: &'frame str, name: &str) -> Option<&'frame str> {
    frame
        .lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

pub(crate) fn config(token: &str) -> ClientConfig {
    ClientConfig {
        authorization: Some(format!("Bearer {token}")),
        ..ClientConfig::default()
    }
}

pub(crate) fn config_of(version: Version, token: &str) -> ClientConfig {
    ClientConfig {
        versions: vec![version],
        ..config(token)
    }
}
