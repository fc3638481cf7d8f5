//! A STOMP client over TCP for tests: one frame at a time, with a deadline on everything.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp::{AckMode, ClientConfig, ClientEvent, ClientSession, Frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing here takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What carries frames.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) struct StompClient {
    stream: Box<dyn Stream>,
    session: ClientSession,
}

impl StompClient {
    /// Connects; the first event is in [`Self::next`] when the server refuses.
    pub(crate) async fn connect(address: SocketAddr, token: &str) -> Self {
        let mut client = Self::begin(address, token).await;
        client.connected().await;
        client
    }

    /// Waits until the server has let it in.
    pub(crate) async fn connected(&mut self) {
        assert!(matches!(self.next().await, ClientEvent::Connected { .. }));
    }

    /// Sends CONNECT and waits for nothing.
    pub(crate) async fn begin(address: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::over(stream, token)
    }

    /// As [`Self::begin`], with a login and a passcode instead of a token.
    pub(crate) async fn with_passcode(address: SocketAddr, login: &str, passcode: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::with_passcode_over(stream, login, passcode)
    }

    /// The same, on a connection that is there.
    pub(crate) fn with_passcode_over(
        stream: impl Stream + 'static,
        login: &str,
        passcode: &str,
    ) -> Self {
        let config = ClientConfig {
            login: Some(login.to_owned()),
            passcode: Some(passcode.to_owned()),
            ..ClientConfig::default()
        };
        Self::of(stream, config)
    }

    /// Whether the server lets it in, or the code of its ERROR.
    pub(crate) async fn admitted(&mut self) -> Result<(), String> {
        match self.next().await {
            ClientEvent::Connected { .. } => Ok(()),
            ClientEvent::Error(frame) => Err(frame.header("code").unwrap_or_default().to_owned()),
            other => panic!("{other:?} instead of an answer to CONNECT"),
        }
    }

    /// As [`Self::begin`] on a connection that is there.
    pub(crate) fn over(stream: impl Stream + 'static, token: &str) -> Self {
        let config = ClientConfig {
            authorization: Some(format!("Bearer {token}")),
            ..ClientConfig::default()
        };
        Self::of(stream, config)
    }

    fn of(stream: impl Stream + 'static, config: ClientConfig) -> Self {
        Self {
            stream: Box::new(stream),
            session: ClientSession::new(config, Instant::now()),
        }
    }

    async fn flush(&mut self) {
        while let Some(bytes) = self.session.poll_transmit(Instant::now()) {
            // A server that has closed is noticed when reading.
            if self.stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> ClientEvent {
        tokio::time::timeout(PATIENCE, self.next_whenever())
            .await
            .expect("the server says something in time")
    }

    async fn next_whenever(&mut self) -> ClientEvent {
        loop {
            self.flush().await;
            if let Some(event) = self.session.poll_event() {
                return event;
            }
            let mut buffer = [0; 16 * 1024];
            let read = self.stream.read(&mut buffer).await.unwrap_or(0);
            assert!(read > 0, "the server closed the connection without a word");
            self.session
                .handle_bytes(buffer.get(..read).unwrap(), Instant::now());
        }
    }

    /// The next MESSAGE.
    pub(crate) async fn message(&mut self) -> Frame {
        match self.next().await {
            ClientEvent::Message(frame) => frame,
            other => panic!("{other:?} instead of a MESSAGE"),
        }
    }

    /// The next ERROR's code.
    pub(crate) async fn error(&mut self) -> String {
        match self.next().await {
            ClientEvent::Error(frame) => frame.header("code").unwrap_or_default().to_owned(),
            other => panic!("{other:?} instead of an ERROR"),
        }
    }

    /// Sends JSON and waits for the RECEIPT.
    pub(crate) async fn send(&mut self, destination: &str, body: &impl serde::Serialize) {
        self.send_raw(destination, serde_json::to_vec(body).unwrap())
            .await;
    }

    /// Sends bytes and waits for the RECEIPT.
    pub(crate) async fn send_raw(&mut self, destination: &str, body: Vec<u8>) {
        let receipt =
            self.session
                .send_with_receipt(destination, "application/json", Bytes::from(body), &[]);
        match self.next().await {
            ClientEvent::Receipt(got) => assert_eq!(got, receipt),
            other => panic!("{other:?} instead of the RECEIPT of {destination}"),
        }
    }

    /// Sends an empty frame with a new token and waits for the RECEIPT.
    pub(crate) async fn renew(&mut self, token: &str) {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str())];
        let receipt =
            self.session
                .send_with_receipt("/app/auth", "text/plain", Bytes::new(), &headers);
        match self.next().await {
            ClientEvent::Receipt(got) => assert_eq!(got, receipt),
            other => panic!("{other:?} instead of the RECEIPT of a renewal"),
        }
    }

    /// Sends JSON and waits for nothing.
    pub(crate) async fn cast(&mut self, destination: &str, body: &impl serde::Serialize) {
        let body = Bytes::from(serde_json::to_vec(body).unwrap());
        self.session
            .send(destination, "application/json", body, &[]);
        self.flush().await;
    }

    /// Sends any frame and waits for nothing.
    pub(crate) async fn send_frame(&mut self, frame: Frame) {
        self.session.send_frame(frame);
        self.flush().await;
    }

    /// Subscribes and waits until it is live.
    pub(crate) async fn subscribe(&mut self, destination: &str) {
        let (_, receipt) = self
            .session
            .subscribe_with_receipt(destination, AckMode::Auto, &[]);
        match self.next().await {
            ClientEvent::Receipt(got) => assert_eq!(got, receipt),
            other => panic!("{other:?} instead of the RECEIPT of SUBSCRIBE {destination}"),
        }
    }

    /// Subscribes and waits for nothing.
    pub(crate) async fn try_subscribe(&mut self, destination: &str) {
        let _ = self
            .session
            .subscribe_with_receipt(destination, AckMode::Auto, &[]);
        self.flush().await;
    }
}
