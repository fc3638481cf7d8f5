//! Sessions over WebSocket that do nothing: what each costs the server, before and after it carried one message.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::event::Event;
use mio::{Events, Poll, Token};

use super::answers;
use super::echo::Echo;
use super::line::{End, Line};
use super::{Frame, TICK, frame};
use crate::process::Watched;
use crate::report::Report;
use crate::wire::{self, Broken, Frames, Kind};

/// Bytes that one read takes at most.
const BUFFER_BYTES: usize = 64 * 1024;

/// Sockets that one look at epoll tells of.
const EVENTS: usize = 1024;

/// How long nothing may come: connections are to be opened all the time.
const STEP: Duration = Duration::from_millis(2);

/// The longest answer to a handshake.
const HANDSHAKE_BYTES_MAX: usize = 8192;

/// What was asked for, and what is on its way, has so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server still has to put away when the last client is served.
const SETTLE: Duration = Duration::from_secs(1);

/// How messages stand in a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Framing {
    /// As they are.
    Raw,
    /// In frames of SockJS.
    Sockjs,
}

/// What a run is.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// Where SockJS is mounted.
    pub path: String,
    /// How messages stand in a WebSocket.
    pub framing: Framing,
    /// How many sessions.
    pub sessions: u32,
    /// Sessions opened, and later messages sent, in a second.
    pub opens_per_second: u32,
    /// How long messages are.
    pub message_bytes: usize,
    /// The server's process, to be looked at from outside.
    pub server: Option<Watched>,
}

impl Plan {
    fn handshake(&self, session: u32) -> Vec<u8> {
        let path = match self.framing {
            Framing::Raw => format!("{}/websocket", self.path),
            Framing::Sockjs => format!("{}/000/s{session:05}/websocket", self.path),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        )
        .into_bytes()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Upgrading,
    /// The WebSocket stands; SockJS has not said `o`.
    Opening,
    Open,
    Ended,
}

struct Session {
    line: Line,
    step: Step,
    /// The answer to the handshake, until it is complete.
    answer: Vec<u8>,
    frames: Frames,
    echo: Echo,
}

/// Does it.
///
/// # Errors
/// epoll failed, or the server's process is gone. What goes wrong with single sessions is in the report.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    let mut load = Load {
        plan,
        poll: Poll::new().context("opening epoll")?,
        buffer: vec![0; BUFFER_BYTES],
        sessions: Vec::new(),
        opened: 0,
        came: 0,
        report: Report::default(),
    };
    load.report.memory_before = load.memory()?;
    load.open()?;
    load.settle()?;
    load.report.memory_connected = load.memory()?;
    load.send()?;
    load.settle()?;
    load.report.memory_used = load.memory()?;
    let mut report = load.report;
    for session in &load.sessions {
        report.faults.add(session.echo.faults);
        report.missing += u64::from(session.echo.outstanding());
    }
    report.deliveries = load.came;
    Ok(report)
}

struct Load<'a> {
    plan: &'a Plan,
    poll: Poll,
    buffer: Vec<u8>,
    sessions: Vec<Session>,
    opened: usize,
    came: u64,
    report: Report,
}

impl Load<'_> {
    fn memory(&self) -> anyhow::Result<u64> {
        self.plan.server.map_or(Ok(0), Watched::memory)
    }

    /// How many of the sessions it is the turn of, when it began so long ago.
    fn turn(&self, began: Instant) -> usize {
        let each = Duration::from_secs(1) / self.plan.opens_per_second.max(1);
        let turns = began.elapsed().as_nanos() / each.as_nanos().max(1) + 1;
        let sessions = usize::try_from(self.plan.sessions).unwrap_or(usize::MAX);
        usize::try_from(turns).unwrap_or(usize::MAX).min(sessions)
    }

    fn patience(&self) -> Duration {
        PATIENCE + Duration::from_secs(1) * self.plan.sessions / self.plan.opens_per_second.max(1)
    }

    fn open(&mut self) -> anyhow::Result<()> {
        let sessions = usize::try_from(self.plan.sessions)?;
        let mut events = Events::with_capacity(EVENTS);
        let began = Instant::now();
        while self.opened + self.report.refused < sessions && began.elapsed() < self.patience() {
            while self.sessions.len() < self.turn(began) {
                let index = self.sessions.len();
                let number = u32::try_from(index)?;
                let handshake = self.plan.handshake(number);
                let line = Line::open(
                    self.plan.address,
                    self.poll.registry(),
                    Token(index),
                    handshake,
                );
                self.sessions.push(Session {
                    line: line.context("opening a connection")?,
                    step: Step::Upgrading,
                    answer: Vec::new(),
                    frames: Frames::default(),
                    echo: Echo::new(number, self.plan.message_bytes),
                });
            }
            self.step(&mut events)?;
        }
        self.report.connecting_seconds = began.elapsed().as_secs_f64();
        self.report.connected = self.opened;
        self.report.refused = sessions - self.opened;
        Ok(())
    }

    /// Each sends one message, and gets it back.
    fn send(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let (began, mut next) = (Instant::now(), 0);
        let all = u64::try_from(self.opened)?;
        while self.came < all && self.report.disconnected == 0 && began.elapsed() < self.patience()
        {
            while next < self.turn(began).min(self.sessions.len()) {
                if self.sessions[next].step == Step::Open {
                    self.report.sent += 1;
                    if let Err(end) = self.sessions[next].send(self.plan.framing) {
                        self.end(next, &end);
                    }
                }
                next += 1;
            }
            self.step(&mut events)?;
        }
        Ok(())
    }

    fn settle(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let ends = Instant::now() + SETTLE;
        let mut looked = Instant::now();
        while Instant::now() < ends {
            self.step(&mut events)?;
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                self.report.memory_peak = self.report.memory_peak.max(self.memory()?);
            }
        }
        Ok(())
    }

    fn step(&mut self, events: &mut Events) -> anyhow::Result<()> {
        match self.poll.poll(events, Some(STEP)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result.context("waiting for sockets")?,
        }
        for event in &*events {
            let Token(index) = event.token();
            if let Err(end) = self.serve(index, event) {
                self.end(index, &end);
            }
        }
        Ok(())
    }

    fn end(&mut self, index: usize, end: &End) {
        let session = &mut self.sessions[index];
        match session.step {
            Step::Ended => return,
            Step::Open => self.report.disconnected += 1,
            Step::Upgrading | Step::Opening => self.report.refused += 1,
        }
        let why = format!("session {index}, {:?}: {end}", session.step);
        session.step = Step::Ended;
        self.report.first_error.get_or_insert(why);
    }

    fn serve(&mut self, index: usize, event: &Event) -> Result<(), End> {
        let framing = self.plan.framing;
        let session = &mut self.sessions[index];
        if session.step == Step::Ended {
            return Ok(());
        }
        let before = (session.step, session.echo.outstanding());
        let (step, answer, frames, echo) = (
            &mut session.step,
            &mut session.answer,
            &mut session.frames,
            &mut session.echo,
        );
        let mut pong = None;
        let line = &mut session.line;
        line.serve(self.poll.registry(), event, &mut self.buffer, |bytes| {
            let mut take = |bytes: &[u8], step: &mut Step| {
                frames.feed(bytes, |kind, payload| match kind {
                    Kind::Data => take_message(framing, payload, step, echo),
                    Kind::Close => Err(Broken("the server closed the WebSocket")),
                    Kind::Ping => {
                        pong = Some(wire::client_frame(wire::PONG, payload));
                        Ok(())
                    }
                    Kind::Pong => Ok(()),
                })
            };
            if *step != Step::Upgrading {
                return Ok(take(bytes, step)?);
            }
            answer.extend_from_slice(bytes);
            let Some((head, length)) = answers::answer(answer)? else {
                if answer.len() > HANDSHAKE_BYTES_MAX {
                    return Err(End::Failed("an endless answer to the handshake".to_owned()));
                }
                return Ok(());
            };
            if head.status != 101 {
                let status = head.status;
                return Err(End::Failed(format!("the handshake was answered {status}")));
            }
            *step = match framing {
                Framing::Raw => Step::Open,
                Framing::Sockjs => Step::Opening,
            };
            let rest = std::mem::take(answer).split_off(length);
            Ok(take(&rest, step)?)
        })?;
        if let Some(pong) = pong {
            line.say(&pong)?;
        }
        let after = (session.step, session.echo.outstanding());
        self.opened += usize::from(before.0 != Step::Open && after.0 == Step::Open);
        self.came += u64::from(before.1.saturating_sub(after.1));
        Ok(())
    }
}

fn take_message(
    framing: Framing,
    payload: &[u8],
    step: &mut Step,
    echo: &mut Echo,
) -> Result<(), Broken> {
    if framing == Framing::Raw {
        let text = std::str::from_utf8(payload)
            .ok()
            .ok_or(Broken("a message that is no text"))?;
        echo.take(text);
        return Ok(());
    }
    match frame(payload)? {
        Frame::Open if *step == Step::Opening => *step = Step::Open,
        Frame::HeartBeat => {}
        Frame::Messages(texts) => {
            for text in texts {
                echo.take(&text);
            }
        }
        Frame::Open => return Err(Broken("the session was opened again")),
        Frame::Close(_) => return Err(Broken("the server closed the session")),
    }
    Ok(())
}

impl Session {
    fn send(&mut self, framing: Framing) -> Result<(), End> {
        let text = self.echo.send();
        let payload = match framing {
            Framing::Raw => text,
            Framing::Sockjs => format!("[\"{text}\"]"),
        };
        self.line
            .say(&wire::client_frame(wire::TEXT, payload.as_bytes()))
    }
}
