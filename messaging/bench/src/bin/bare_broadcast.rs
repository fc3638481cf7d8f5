//! What one could reach at best: a WebSocket broadcast that parses nothing.
//!
//! Whatever a connection at `/publish` sends goes to every connection at `/subscribe` as it is. Each subscriber's task takes
//! all that waits, feeds it, and flushes once.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use clap::Parser;
use futures_util::SinkExt;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// Messages that a subscriber may be behind; then it is disconnected. 4,096: more than all publishers have in flight.
const BEHIND_MAX: usize = 4096;

/// tungstenite takes 128 KiB for each connection when not told otherwise.
const BUFFER_BYTES: usize = 4096;

/// A WebSocket broadcast that parses nothing: /publish to /subscribe.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    ws: SocketAddr,
}

type Channel = broadcast::Sender<Message>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind(Arguments::parse().ws).await?;
    announce(&listener)?;
    let app = Router::new()
        .route("/publish", any(publish))
        .route("/subscribe", any(subscribe))
        .with_state(Channel::new(BEHIND_MAX));
    Ok(axum::serve(listener, app).await?)
}

#[expect(
    clippy::print_stdout,
    reason = "tells whoever started it where it listens"
)]
fn announce(listener: &TcpListener) -> std::io::Result<()> {
    println!("bare broadcast        ws://{}", listener.local_addr()?);
    Ok(())
}

async fn publish(State(channel): State<Channel>, upgrade: WebSocketUpgrade) -> Response {
    small(upgrade).on_upgrade(async move |mut socket| {
        while let Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) = socket.recv().await
        {
            // Nobody has subscribed: as with any topic.
            let _ = channel.send(message);
        }
    })
}

async fn subscribe(State(channel): State<Channel>, upgrade: WebSocketUpgrade) -> Response {
    // Before the handshake is answered: whoever is connected misses nothing.
    let messages = channel.subscribe();
    small(upgrade).on_upgrade(async move |socket| {
        // However it ends, this subscriber is gone.
        let _ = deliver(socket, messages).await;
    })
}

fn small(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
}

async fn deliver(
    mut socket: WebSocket,
    mut messages: broadcast::Receiver<Message>,
) -> Result<(), axum::Error> {
    loop {
        tokio::select! {
            message = messages.recv() => {
                match message {
                    Ok(message) => socket.feed(message).await?,
                    Err(RecvError::Closed | RecvError::Lagged(_)) => return Ok(()),
                }
                loop {
                    match messages.try_recv() {
                        Ok(message) => socket.feed(message).await?,
                        Err(TryRecvError::Empty) => break,
                        Err(TryRecvError::Closed | TryRecvError::Lagged(_)) => return Ok(()),
                    }
                }
                socket.flush().await?;
            }
            received = socket.recv() => {
                if !matches!(received, Some(Ok(_))) {
                    return Ok(());
                }
            }
        }
    }
}
