//! The services that public SockJS conformance suites want: `/echo`, `/disabled_websocket_echo`, `/cookie_needed_echo`
//! and `/close`. `cargo run --release -p sockjs --example protocol_server -- --listen 127.0.0.1:8081`

use std::net::SocketAddr;

use axum::Router;
use clap::Parser;
use sockjs::{Config, Connection, Opening, Origins, SockJs, StickyCookie, Transport};
use tokio::net::TcpListener;

#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Sessions of one address, of all: nobody else is there.
    #[arg(long, default_value_t = 20_000)]
    sessions: usize,
    /// Where `sockjs-client` is served, for the page in hidden frames.
    #[arg(long, default_value = "http://localhost/sockjs.js")]
    client_url: String,
}

async fn echo(mut connection: Connection, opening: Opening) {
    // It holds the buffer that the request was read into.
    drop(opening);
    while let Some(message) = connection.recv().await {
        if connection.send(&message).await.is_err() {
            return;
        }
    }
}

async fn close(connection: Connection, _: Opening) {
    connection.close(3000, "Go away!").await;
}

/// Suites cut answers off at 4,096 bytes, and come from anywhere.
fn config(sessions: usize, client_url: String) -> Config {
    Config {
        response_limit: 4096,
        sessions,
        sessions_per_address: sessions,
        origins: Origins::Any,
        client_url: Some(client_url),
        ..Config::default()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = config(arguments.sessions, arguments.client_url);
    let with_cookie = Config {
        cookie: Some(StickyCookie {
            name: "JSESSIONID".to_owned(),
            value: "dummy".to_owned(),
        }),
        ..config.clone()
    };
    let without_websocket = config
        .clone()
        .without(Transport::WebSocket)
        .without(Transport::RawWebSocket);
    let app = Router::new()
        .nest_service("/echo", SockJs::new(config.clone(), echo))
        .nest_service(
            "/disabled_websocket_echo",
            SockJs::new(without_websocket, echo),
        )
        .nest_service("/cookie_needed_echo", SockJs::new(with_cookie, echo))
        .nest_service("/close", SockJs::new(config, close));
    let listener = TcpListener::bind(arguments.listen).await?;
    announce(listener.local_addr()?);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "whoever starts it waits for this line")]
fn announce(address: SocketAddr) {
    println!("listening on {address}");
}
