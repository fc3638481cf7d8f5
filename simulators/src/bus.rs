//! A bus: one line with several units on it, in RTU framing, at its own pace.
//!
//! ```text
//! agent ── pty, or TCP to a gateway ── bus task ──request──▶ device task of the unit that is called
//!                     bytes at the bus's pace  ◀───answer──
//! ```

mod pace;

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use contract::LineId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use crate::config::Bus;
use crate::device::{Unit, Wire, sleep_until};
use crate::port::Port;
use crate::pty::{Pty, UNLOCK_PERIOD};
use crate::wire::modbus::rtu;
use pace::{Ear, Pace, Voice};

/// The task's state.
pub(crate) struct BusTask {
    id: LineId,
    end: End,
    ear: Ear,
    voice: Voice,
    turn_round: Duration,
    /// By address.
    units: BTreeMap<u8, Unit>,
}

/// What the agent has the other end of.
enum End {
    Serial {
        pty: Pty,
        upkeep: Interval,
    },
    /// A gateway has one client: whoever connects takes the bus over.
    Gateway {
        port: Port,
        client: Option<TcpStream>,
    },
}

impl BusTask {
    pub(crate) fn new(bus: &Bus, wire: Wire, units: BTreeMap<u8, Unit>) -> Self {
        let pace = Pace::new(bus.baud);
        Self {
            id: bus.id.clone(),
            end: match wire {
                Wire::Tcp(port) => End::Gateway { port, client: None },
                Wire::Serial(pty) => End::Serial {
                    pty,
                    upkeep: tokio::time::interval(UNLOCK_PERIOD),
                },
            },
            ear: Ear::new(pace),
            voice: Voice::new(pace),
            turn_round: bus.turn_round,
            units,
        }
    }

    /// Runs until `shutdown`; fails when its end of the line does.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> io::Result<()> {
        let mut portion = [0; rtu::FRAME_BYTES_MAX];
        loop {
            let (heard, said) = (self.ear.deadline(), self.voice.deadline());
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                count = self.end.read(&mut portion) => {
                    let (bytes, now) = (&portion[..count?], Instant::now());
                    self.ear.hear(bytes, now, self.voice.is_taking_the_wire(now));
                }
                () = sleep_until(heard) => {
                    let now = Instant::now();
                    match self.ear.take(now) {
                        Some(frame) => self.call(&frame, now).await,
                        None => tracing::debug!(line.id = %self.id, "a request that nobody could hear"),
                    }
                }
                () = sleep_until(said) => self.speak().await?,
            }
        }
    }

    /// A whole frame is heard by all units; the one that it is for answers.
    async fn call(&mut self, frame: &[u8], now: Instant) {
        let Some((called, _)) = rtu::open(frame) else {
            return;
        };
        for (&address, unit) in &self.units {
            if called != address && called != 0 {
                continue;
            }
            // `None` while shutting down.
            let Some(answer) = unit.ask(frame.to_vec()).await else {
                continue;
            };
            if !self
                .voice
                .say(address, now + self.turn_round, &answer.parts)
            {
                tracing::warn!(line.id = %self.id, address, "too many answers wait, dropped one");
            }
        }
    }

    async fn speak(&mut self) -> io::Result<()> {
        let said = self.voice.take(Instant::now());
        if !said.bytes.is_empty() {
            self.end.write(&said.bytes).await?;
        }
        if let Some(unit) = said.ends.and_then(|address| self.units.get(&address)) {
            unit.count_reply();
        }
        Ok(())
    }
}

impl End {
    /// The next bytes; drops nothing when it is dropped itself.
    async fn read(&mut self, portion: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Serial { pty, upkeep } => loop {
                tokio::select! {
                    count = pty.read(portion) => return match count? {
                        0 => Err(io::Error::other("the serial line ended")),
                        count => Ok(count),
                    },
                    _ = upkeep.tick() => pty.unlock()?,
                }
            },
            Self::Gateway { port, client } => loop {
                tokio::select! {
                    stream = port.accept() => *client = accepted(stream?),
                    count = read_from(client.as_mut(), portion) => match count {
                        Ok(count) if count > 0 => return Ok(count),
                        Ok(_) | Err(_) => *client = None,
                    },
                }
            },
        }
    }

    /// Bytes that nobody takes are lost, as on any bus.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Serial { pty, .. } => pty.write_all(bytes).await,
            Self::Gateway { client, .. } => {
                if let Some(stream) = client
                    && stream.write_all(bytes).await.is_err()
                {
                    *client = None;
                }
                Ok(())
            }
        }
    }
}

/// A client of the gateway; bytes go out as they come from the bus.
fn accepted(stream: TcpStream) -> Option<TcpStream> {
    stream.set_nodelay(true).ok().map(|()| stream)
}

async fn read_from(client: Option<&mut TcpStream>, portion: &mut [u8]) -> io::Result<usize> {
    match client {
        Some(stream) => stream.read(portion).await,
        None => std::future::pending().await,
    }
}
