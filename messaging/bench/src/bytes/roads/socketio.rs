//! Events of Socket.IO, as `socket.io-client` 4 speaks (Engine.IO 4).

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::request::{self, From};
use super::sockjs::Poll;
use super::{Socket, until};
use crate::bytes::counted::Counted;
use crate::bytes::site::{DEVICE, Site};

/// Both packets that a client says, and by what their answers are known.
fn packets(site: &Site) -> [(String, &'static str); 2] {
    let destination = format!("/topic/devices/{DEVICE}");
    [
        (format!("40{}", json!({"token": site.token})), "40"),
        (
            format!("420{}", json!(["subscribe", {"destination": destination}])),
            "430",
        ),
    ]
}

pub(super) fn websocket(site: &Site) -> anyhow::Result<Socket> {
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut road = Socket::open(site.address, path, None)?;
    until(&mut road, "0{")?;
    for (packet, answer) in packets(site) {
        road.say(&packet)?;
        until(&mut road, answer)?;
    }
    Ok(road)
}

pub(super) fn polling(site: &Site) -> anyhow::Result<Poll> {
    let (address, path) = (
        site.address,
        // The last one is of chance, so that no browser answers from its cache.
        "/socket.io/?EIO=4&transport=polling&t=2u9kx4f0",
    );
    let mut first = Counted::open(address)?;
    first.write(&request::get(address, path, From::Script, ""))?;
    let (status, opening) = first.answer()?;
    ensure!(status == 200, "answered {status}: {opening}");
    let opening: Value = serde_json::from_str(opening.trim_start_matches('0'))?;
    let session = opening["sid"].as_str().context("a session has a name")?;
    let path = format!("{path}&sid={session}");
    let mut road = Poll::open(address, request::get(address, &path, From::Script, ""))?;
    for (packet, answer) in packets(site) {
        let mut wire = Counted::open(address)?;
        let content_type = "text/plain;charset=UTF-8";
        wire.write(&request::post(address, &path, content_type, &packet))?;
        let (status, body) = wire.answer()?;
        ensure!(status == 200, "sending was answered {status}: {body}");
        until(&mut road, answer)?;
    }
    Ok(road)
}
