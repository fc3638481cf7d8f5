//! STOMP over SockJS, as `sockjs-client` speaks each of its transports.

use std::net::SocketAddr;

use anyhow::ensure;
use serde_json::json;

use super::request::{self, From};
use super::{Road, Socket, Way, connect, subscribe, until};
use crate::bytes::counted::{Count, Counted};
use crate::bytes::site::Site;

/// What carries a client's messages to the server.
enum Voice {
    /// `xhr_send`.
    Script,
    /// `jsonp_send`.
    Form,
}

pub(super) fn open(way: Way, site: &Site) -> anyhow::Result<Box<dyn Road>> {
    // Three digits, and eight characters of chance; one of them is the way's, so that sessions differ.
    let way_letter = char::from(b'a' + way as u8);
    let session = format!("/sockjs/217/x4f0k2q{way_letter}");
    if way == Way::SockjsWebsocket {
        let mut road = Socket::open(site.address, &format!("{session}/websocket"), None)?;
        until(&mut road, "o")?;
        road.say(&json!([connect(&site.token)]).to_string())?;
        until(&mut road, "CONNECTED")?;
        road.say(&json!([subscribe()]).to_string())?;
        until(&mut road, "RECEIPT")?;
        return Ok(Box::new(road));
    }
    let (address, path) = (site.address, |endpoint: &str| {
        format!("{session}/{endpoint}")
    });
    let post = |endpoint: &str| {
        // So that no browser answers from its cache.
        let path = path(&format!("{endpoint}?t=1795300000000"));
        request::post(address, &path, "", "")
    };
    let get = |endpoint: &str, from| request::get(address, &path(endpoint), from, "");
    let voice = if way == Way::Jsonp {
        Voice::Form
    } else {
        Voice::Script
    };
    let mut road: Box<dyn Road> = match way {
        Way::Xhr => Box::new(Poll::open(address, post("xhr"))?),
        Way::Jsonp => {
            let request = get("jsonp?c=_jp.abx4f0k", From::ScriptElement);
            Box::new(Poll::open(address, request)?)
        }
        Way::Eventsource => Box::new(Stream::open(
            address,
            get("eventsource", From::EventSource),
        )?),
        Way::Htmlfile => Box::new(Stream::open(
            address,
            get("htmlfile?c=_jp.abx4f0k", From::Frame),
        )?),
        _ => Box::new(Stream::open(address, post("xhr_streaming"))?),
    };
    // The prelude comes before it.
    until(road.as_mut(), "o")?;
    for (frame, answer) in [
        (connect(&site.token), "CONNECTED"),
        (subscribe(), "RECEIPT"),
    ] {
        say(address, &session, &voice, &frame)?;
        until(road.as_mut(), answer)?;
    }
    Ok(road)
}

/// Sends a frame, on a connection of its own.
fn say(address: SocketAddr, session: &str, voice: &Voice, frame: &str) -> anyhow::Result<()> {
    let messages = json!([frame]).to_string();
    let request = match voice {
        Voice::Script => {
            let path = format!("{session}/xhr_send?t=1795300000000");
            request::post(address, &path, "text/plain;charset=UTF-8", &messages)
        }
        Voice::Form => request::post(
            address,
            &format!("{session}/jsonp_send"),
            "application/x-www-form-urlencoded",
            &format!("d={}", request::percent_encoded(&messages)),
        ),
    };
    let mut wire = Counted::open(address)?;
    wire.write(&request)?;
    let (status, body) = wire.answer()?;
    ensure!(status < 300, "sending was answered {status}: {body}");
    Ok(())
}

/// One request for each frame; the next one is on its way at once.
pub(super) struct Poll {
    wire: Counted,
    request: Vec<u8>,
}

impl Poll {
    pub(super) fn open(address: SocketAddr, request: Vec<u8>) -> anyhow::Result<Self> {
        let mut wire = Counted::open(address)?;
        wire.write(&request)?;
        Ok(Self { wire, request })
    }
}

impl Road for Poll {
    fn next(&mut self) -> anyhow::Result<String> {
        let (status, body) = self.wire.answer()?;
        ensure!(status == 200, "a poll was answered {status}: {body}");
        self.wire.write(&self.request)?;
        Ok(body)
    }

    fn counted(&self) -> Count {
        self.wire.count
    }
}

/// One request for many frames, each a chunk.
struct Stream {
    wire: Counted,
    request: Vec<u8>,
}

impl Stream {
    fn open(address: SocketAddr, request: Vec<u8>) -> anyhow::Result<Self> {
        let mut stream = Self {
            wire: Counted::open(address)?,
            request,
        };
        stream.ask()?;
        Ok(stream)
    }

    fn ask(&mut self) -> anyhow::Result<()> {
        self.wire.write(&self.request)?;
        let head = self.wire.before("\r\n\r\n")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let chunked = "transfer-encoding: chunked";
        ensure!(head.to_ascii_lowercase().contains(chunked), "{head}");
        Ok(())
    }
}

impl Road for Stream {
    fn next(&mut self) -> anyhow::Result<String> {
        let size = usize::from_str_radix(&self.wire.before("\r\n")?, 16)?;
        let chunk = self.wire.exactly(size)?;
        self.wire.exactly("\r\n".len())?;
        if size == 0 {
            // The answer has brought as much as one should.
            self.ask()?;
        }
        Ok(String::from_utf8(chunk)?)
    }

    fn counted(&self) -> Count {
        self.wire.count
    }
}
