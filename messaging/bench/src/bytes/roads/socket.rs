//! A WebSocket.

use std::collections::VecDeque;
use std::net::SocketAddr;

use anyhow::{bail, ensure};

use super::Road;
use crate::bytes::counted::{Count, Counted};
use crate::wire::{self, Frames, Kind};

/// One, with whatever speaks in it.
#[derive(Debug)]
pub struct Socket {
    wire: Counted,
    frames: Frames,
    come: VecDeque<String>,
}

impl Socket {
    /// Opens one.
    ///
    /// # Errors
    /// The server does not want it.
    pub fn open(address: SocketAddr, path: &str, protocol: Option<&str>) -> anyhow::Result<Self> {
        let mut wire = Counted::open(address)?;
        let protocol = protocol.map_or_else(String::new, |protocol| {
            format!("Sec-WebSocket-Protocol: {protocol}\r\n")
        });
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Origin: http://{address}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
        );
        wire.write(request.as_bytes())?;
        let head = wire.before("\r\n\r\n")?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Ok(Self {
            wire,
            frames: Frames::default(),
            come: VecDeque::new(),
        })
    }

    /// Sends a text.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.wire
            .write(&wire::client_frame(wire::TEXT, text.as_bytes()))
    }
}

impl Road for Socket {
    fn next(&mut self) -> anyhow::Result<String> {
        while self.come.is_empty() {
            let bytes = self.wire.read()?;
            let (come, mut pings, mut closed) = (&mut self.come, Vec::new(), false);
            let fed = self.frames.feed(&bytes, |kind, payload| {
                match kind {
                    Kind::Data => come.push_back(String::from_utf8_lossy(payload).into_owned()),
                    Kind::Ping => pings.push(wire::client_frame(wire::PONG, payload)),
                    Kind::Close => closed = true,
                    Kind::Pong => {}
                }
                Ok(())
            });
            if let Err(broken) = fed {
                bail!("{broken:?}");
            }
            for pong in pings {
                self.wire.write(&pong)?;
            }
            ensure!(
                !closed || !self.come.is_empty(),
                "the server closed the WebSocket"
            );
        }
        Ok(self.come.pop_front().unwrap_or_default())
    }

    fn counted(&self) -> Count {
        self.wire.count
    }
}
