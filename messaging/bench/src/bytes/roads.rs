//! The ways on which a client hears of a value, each as browsers and common clients go it.

mod api;
mod request;
mod socket;
mod socketio;
mod sockjs;

use std::fmt;

use anyhow::{Context as _, ensure};

use super::counted::Count;
use super::site::{DEVICE, Site};
use api::Api;
pub use socket::Socket;

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// Asking the API, by a program that says no more than it must.
    ApiCurl,
    /// Asking the API, from a page.
    ApiBrowser,
    /// STOMP over WebSocket.
    Stomp,
    /// STOMP over SockJS.
    SockjsWebsocket,
    /// The same.
    XhrStreaming,
    /// The same.
    Eventsource,
    /// The same.
    Htmlfile,
    /// The same.
    Xhr,
    /// The same.
    Jsonp,
    /// Events of Socket.IO over WebSocket.
    SocketIo,
    /// Events of Socket.IO by polling.
    SocketIoPolling,
}

/// What is said about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is the body of an answer.
    Api,
    /// STOMP's MESSAGE.
    Stomp,
    /// An event.
    SocketIo,
}

impl Way {
    /// What is said about a value.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::ApiCurl | Self::ApiBrowser => Kind::Api,
            Self::SocketIo | Self::SocketIoPolling => Kind::SocketIo,
            _ => Kind::Stomp,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiCurl => "HTTP API, asked by curl",
            Self::ApiBrowser => "HTTP API, asked by a page",
            Self::Stomp => "STOMP over WebSocket",
            Self::SockjsWebsocket => "SockJS websocket",
            Self::XhrStreaming => "SockJS xhr streaming",
            Self::Eventsource => "SockJS eventsource",
            Self::Htmlfile => "SockJS htmlfile",
            Self::Xhr => "SockJS xhr polling",
            Self::Jsonp => "SockJS jsonp polling",
            Self::SocketIo => "Socket.IO websocket",
            Self::SocketIoPolling => "Socket.IO polling",
        })
    }
}

/// A client that hears.
pub trait Road {
    /// What comes next, as it stands in a message, a chunk or an answer.
    ///
    /// # Errors
    /// Nothing comes.
    fn next(&mut self) -> anyhow::Result<String>;

    /// Bytes so far.
    fn counted(&self) -> Count;
}

/// What comes next with `mark` in it.
///
/// # Errors
/// It does not come.
pub fn until(road: &mut dyn Road, mark: &str) -> anyhow::Result<String> {
    loop {
        let text = road.next().with_context(|| format!("waiting for {mark}"))?;
        if text.contains(mark) {
            return Ok(text);
        }
        ensure!(
            !text.contains("ERROR\\n") && !text.starts_with("ERROR\n"),
            "{text}"
        );
    }
}

/// The body of a MESSAGE.
///
/// # Errors
/// It is none.
pub fn body(frame: &str) -> anyhow::Result<&str> {
    let (_, rest) = frame.split_once("\n\n").context("a frame has a head")?;
    rest.strip_suffix('\0').context("a frame ends with NUL")
}

/// STOMP's first frame.
#[must_use]
pub fn connect(token: &str) -> String {
    format!("CONNECT\naccept-version:1.2\nhost:/\nheart-beat:0,0\npasscode:{token}\n\n\0")
}

fn subscribe() -> String {
    format!("SUBSCRIBE\nid:sub-0\ndestination:/topic/devices/{DEVICE}\nack:auto\nreceipt:s\n\n\0")
}

/// Goes a way as far as the subscription.
///
/// # Errors
/// The server does not go along.
pub fn open(way: Way, site: &Site) -> anyhow::Result<Box<dyn Road>> {
    opened(way, site).with_context(|| format!("opening {way}"))
}

fn opened(way: Way, site: &Site) -> anyhow::Result<Box<dyn Road>> {
    Ok(match way {
        Way::ApiCurl | Way::ApiBrowser => Box::new(Api::open(way, site)?),
        Way::Stomp => {
            let mut road = Socket::open(site.address, "/ws", Some("v12.stomp"))?;
            road.say(&connect(&site.token))?;
            until(&mut road, "CONNECTED")?;
            road.say(&subscribe())?;
            until(&mut road, "RECEIPT")?;
            Box::new(road)
        }
        Way::SocketIo => Box::new(socketio::websocket(site)?),
        Way::SocketIoPolling => Box::new(socketio::polling(site)?),
        _ => sockjs::open(way, site)?,
    })
}
