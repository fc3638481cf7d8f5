//! What an application puts between TCP and STOMP: here a handshake of one letter, and a stream that holds what it is
//! given until it is flushed, as TLS does.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use broker::{BrokerConfig, Certificate, Peer};
use stomp::{ClientEvent, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Socket, config};
use crate::harness::{PATIENCE, Seen, TestBroker, eventually};

async fn secure(
    mut stream: TcpStream,
    address: SocketAddr,
) -> io::Result<(BufStream<TcpStream>, Peer)> {
    if stream.read_u8().await? != b'S' {
        return Err(io::Error::other("that is no handshake"));
    }
    let peer = Peer {
        address,
        is_secured: true,
        certificate: Some(Certificate {
            name: "kiosk-7".into(),
            expires: SystemTime::now() + PATIENCE,
            outdated: CancellationToken::new(),
        }),
    };
    Ok((BufStream::new(stream), peer))
}

async fn listen(broker: &TestBroker) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = broker.broker.clone();
    tokio::spawn(async move { serving.listen_with(listener, secure).await });
    address
}

async fn connect(address: SocketAddr) -> Client {
    let mut socket = Socket::tcp(address).await;
    socket.write("S".into()).await;
    let mut client = Client::over(socket, config("certificate"));
    let event = client.event().await;
    assert!(
        matches!(event, Some(ClientEvent::Connected { .. })),
        "{event:?}"
    );
    client
}

/// The server closes without a word.
async fn is_closed(mut stream: TcpStream) {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    drop(read.expect("the server closes"));
    assert!(answer.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn a_session_lives_on_what_the_handshake_made_and_its_guard_knows_who_is_there() {
    let broker = TestBroker::start().await;
    let mut client = connect(listen(&broker).await).await;
    let receipt = client.send("/app/x", &[]);
    client.receipt(receipt).await;
    let Seen::Frame { subject, .. } = broker.seen().await else {
        panic!("the session goes on");
    };
    assert_eq!(subject, "kiosk-7");
    broker.shutdown.cancel();
    assert_eq!(client.error_code().await, "shutting-down");
}

#[tokio::test]
async fn a_slow_handshake_holds_nobody_up_and_goes_in_time() {
    let broker = TestBroker::with(BrokerConfig {
        unauthenticated: 8,
        stomp: ServerConfig {
            connect_timeout: Duration::from_millis(500),
            ..ServerConfig::default()
        },
        ..BrokerConfig::default()
    })
    .await;
    let address = listen(&broker).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // They count as strangers: the oldest had to go for the newest.
    eventually("the first to go", || {
        broker.publisher.statistics().turned_away.strangers == 12
    })
    .await;
    connect(address).await;
    for stream in silent {
        is_closed(stream).await;
    }
    eventually("the end of all strangers", || {
        broker.publisher.statistics().strangers == 0
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_fails_ends_the_connection() {
    let broker = TestBroker::start().await;
    let address = listen(&broker).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"CONNECT\n").await.unwrap();
    is_closed(stream).await;
    let waiting = TcpStream::connect(address).await.unwrap();
    eventually("a stranger", || {
        broker.publisher.statistics().strangers == 1
    })
    .await;
    broker.shutdown.cancel();
    is_closed(waiting).await;
}
