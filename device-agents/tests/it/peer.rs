//! A TCP peer that answers each request as it was told to, over as many connections as it takes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the peer does with one request.
pub(crate) enum Reply {
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Sends them so late.
    Late(Duration, Vec<u8>),
    /// Sends them and hangs up.
    Last(Vec<u8>),
    /// Sends nothing.
    Nothing,
}

/// How much of a stream is one request.
pub(crate) type Framing = fn(&[u8]) -> Option<usize>;

pub(crate) struct Peer {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Peer {
    /// `replies[n]` answers the n-th request, with the request's own first two bytes (a Modbus transaction id) put in
    /// place of the reply's if `echo_transaction` is set.
    pub(crate) async fn start(
        framing: Framing,
        echo_transaction: bool,
        replies: Vec<Reply>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut script = Script {
                framing,
                echo_transaction,
                replies: replies.into(),
                seen,
            };
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // The other side may hang up at any time; the script goes on with its next connection.
                drop(script.serve(stream).await);
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap().clone()
    }
}

struct Script {
    framing: Framing,
    echo_transaction: bool,
    replies: VecDeque<Reply>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Script {
    async fn serve(&mut self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            while let Some(length) = (self.framing)(&buffer) {
                let request: Vec<u8> = buffer.drain(..length).collect();
                self.seen.lock().unwrap().push(request.clone());
                let stamp = |mut bytes: Vec<u8>| {
                    if self.echo_transaction && bytes.len() > 2 {
                        bytes[..2].copy_from_slice(&request[..2]);
                    }
                    bytes
                };
                match self
                    .replies
                    .pop_front()
                    .expect("more requests than replies")
                {
                    Reply::Bytes(bytes) => stream.write_all(&stamp(bytes)).await?,
                    Reply::Late(delay, bytes) => {
                        tokio::time::sleep(delay).await;
                        stream.write_all(&stamp(bytes)).await?;
                    }
                    Reply::Last(bytes) => {
                        stream.write_all(&stamp(bytes)).await?;
                        return Ok(());
                    }
                    Reply::Nothing => {}
                }
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }
}
