//! Sessions that poll: each posts one message an interval by `xhr_send` and gets it back by its open `xhr`.
//!
//! When a message is due does not depend on the server: one that is late waits in the session until the post before it
//! was answered, and how long a message took counts from when it was due.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::event::Event;
use mio::{Events, Poll, Token};

use super::answers::Answers;
use super::echo::Echo;
use super::line::{End, Line};
use super::{Frame, TICK, frame};
use crate::load::Times;
use crate::process::Watched;
use crate::report::{Latency, Report};

/// Bytes that one read takes at most: some hundred answers.
const BUFFER_BYTES: usize = 64 * 1024;

/// Sockets that one look at epoll tells of.
const EVENTS: usize = 1024;

/// How long nothing may come: messages are due, and connections to be opened, all the time.
const STEP: Duration = Duration::from_millis(1);

/// Whoever has no session so long after the last connection was opened has failed.
const OPEN_PATIENCE: Duration = Duration::from_secs(20);

/// What is on its way when a run ends has so long to arrive; what comes later is missing.
const ARRIVE_PATIENCE: Duration = Duration::from_secs(30);

/// What a run is.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// Where SockJS is mounted.
    pub path: String,
    /// How many sessions.
    pub sessions: u32,
    /// Sessions opened in a second.
    pub opens_per_second: u32,
    /// How long messages are.
    pub message_bytes: usize,
    /// Each session sends one message in it.
    pub every: Duration,
    /// Messages flow so long before anything is counted.
    pub warm_up: Duration,
    /// Then is counted so long.
    pub measured: Duration,
    /// The server's process, to be looked at from outside.
    pub server: Option<Watched>,
}

impl Plan {
    fn request(&self, session: u32, transport: &str, body: &str) -> Vec<u8> {
        format!(
            "POST {}/000/s{session:05}/{transport} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain;charset=UTF-8\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.path,
            self.address,
            body.len()
        )
        .into_bytes()
    }
}

/// A connection that carries requests, one at a time.
struct Asking {
    line: Line,
    answers: Answers,
    /// A request has no answer yet.
    asked: bool,
}

struct Session {
    echo: Echo,
    open: bool,
    ended: bool,
    receiver: Asking,
    /// Opened for the first message, and again when the server closed it between two.
    sender: Option<Asking>,
    /// When messages were due that were not sent yet.
    owed: VecDeque<Instant>,
    /// When those were due that were sent and have not come back.
    flying: VecDeque<Instant>,
}

/// Does it.
///
/// # Errors
/// epoll failed, or the server's process is gone. What goes wrong with single sessions is in the report.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    let mut load = Load::new(plan)?;
    let mut report = Report {
        memory_before: load.memory()?,
        ..Report::default()
    };
    let began = Instant::now();
    let opening = Duration::from_secs(1) * plan.sessions / plan.opens_per_second.max(1);
    while load.opened + load.refused < count(plan.sessions)
        && began.elapsed() < opening + OPEN_PATIENCE
    {
        load.open_due(began.elapsed());
        load.step()?;
    }
    report.connecting_seconds = began.elapsed().as_secs_f64();
    report.connected = load.opened;
    report.refused = count(plan.sessions) - load.opened;
    report.memory_connected = load.memory()?;
    load.begin();
    load.flow(plan.warm_up, &mut report)?;
    let (before, came) = (Times::now(plan.server)?, load.came);
    load.measures = true;
    load.flow(plan.measured, &mut report)?;
    load.measures = false;
    Times::now(plan.server)?.tell_since(&before, &mut report);
    report.deliveries = load.came - came;
    load.arrive()?;
    load.conclude(report)
}

struct Load<'a> {
    plan: &'a Plan,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    sessions: Vec<Session>,
    opened: usize,
    refused: usize,
    disconnected: usize,
    first_error: Option<String>,
    /// When messages began to be due, and how many have been since.
    begun: Option<(Instant, u32)>,
    came: u64,
    sent: u64,
    measures: bool,
    microseconds: Vec<u32>,
}

impl<'a> Load<'a> {
    fn new(plan: &'a Plan) -> anyhow::Result<Self> {
        Ok(Self {
            plan,
            poll: Poll::new().context("opening epoll")?,
            events: Events::with_capacity(EVENTS),
            buffer: vec![0; BUFFER_BYTES],
            sessions: Vec::new(),
            opened: 0,
            refused: 0,
            disconnected: 0,
            first_error: None,
            begun: None,
            came: 0,
            sent: 0,
            measures: false,
            microseconds: Vec::new(),
        })
    }

    fn memory(&self) -> anyhow::Result<u64> {
        self.plan.server.map_or(Ok(0), Watched::memory)
    }

    /// Opens as many sessions as should be open by now.
    fn open_due(&mut self, elapsed: Duration) {
        let due = whole(f64::from(self.plan.opens_per_second) * elapsed.as_secs_f64());
        while self.sessions.len() < count(self.plan.sessions.min(due.saturating_add(1))) {
            let number = u32::try_from(self.sessions.len()).expect("counted by a u32");
            let request = self.plan.request(number, "xhr", "");
            match self.ask(token(self.sessions.len(), false), request) {
                Ok(receiver) => self.sessions.push(Session {
                    echo: Echo::new(number, self.plan.message_bytes),
                    open: false,
                    ended: false,
                    receiver,
                    sender: None,
                    owed: VecDeque::new(),
                    flying: VecDeque::new(),
                }),
                Err(error) => {
                    self.refused += 1;
                    self.tell_error(format!("opening a connection: {error}"));
                    return;
                }
            }
        }
    }

    fn ask(&self, token: Token, request: Vec<u8>) -> std::io::Result<Asking> {
        Ok(Asking {
            line: Line::open(self.plan.address, self.poll.registry(), token, request)?,
            answers: Answers::default(),
            asked: true,
        })
    }

    /// Only the first one is kept: others follow from it.
    fn tell_error(&mut self, error: String) {
        self.first_error.get_or_insert(error);
    }

    /// From now on messages are due, evenly over all sessions.
    fn begin(&mut self) {
        self.begun = Some((Instant::now(), 0));
    }

    fn flow(&mut self, time: Duration, report: &mut Report) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        let mut looked = Instant::now();
        while Instant::now() < end {
            self.step()?;
            self.send_due();
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                report.memory_peak = report.memory_peak.max(self.memory()?);
            }
        }
        Ok(())
    }

    /// What was sent may come back; what is owed is not sent any more.
    fn arrive(&mut self) -> anyhow::Result<()> {
        for session in &mut self.sessions {
            session.owed.clear();
        }
        let ends = Instant::now() + ARRIVE_PATIENCE;
        while self.outstanding() > 0 && Instant::now() < ends {
            self.step()?;
        }
        // What comes a second time comes soon.
        let ends = Instant::now() + TICK * 5;
        while Instant::now() < ends {
            self.step()?;
        }
        Ok(())
    }

    fn outstanding(&self) -> u64 {
        let each = self.sessions.iter();
        each.map(|session| u64::from(session.echo.outstanding()))
            .sum()
    }

    fn conclude(mut self, mut report: Report) -> anyhow::Result<Report> {
        for session in &self.sessions {
            report.faults.add(session.echo.faults);
        }
        report.missing = self.outstanding();
        report.sent = self.sent;
        report.disconnected = self.disconnected;
        report.memory_peak = report.memory_peak.max(self.memory()?);
        report.latency = Latency::of(std::mem::take(&mut self.microseconds));
        report.first_error = self.first_error;
        Ok(report)
    }

    fn step(&mut self) -> anyhow::Result<()> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let result = match self.poll.poll(&mut events, Some(STEP)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            result => result.context("waiting for sockets"),
        };
        for event in &events {
            self.serve(event);
        }
        self.events = events;
        result
    }

    fn serve(&mut self, event: &Event) {
        let Token(token) = event.token();
        let (index, sends) = (token / 2, token % 2 == 1);
        if self.sessions[index].ended {
            return;
        }
        let result = if sends {
            self.serve_sender(index, event)
        } else {
            self.serve_receiver(index, event)
        };
        if let Err(end) = result {
            let session = &mut self.sessions[index];
            session.ended = true;
            session.owed.clear();
            if session.open {
                self.disconnected += 1;
            } else {
                self.refused += 1;
            }
            let which = if sends { "xhr_send" } else { "xhr" };
            self.tell_error(format!("session {index}, {which}: {end}"));
        }
    }

    fn serve_receiver(&mut self, index: usize, event: &Event) -> Result<(), End> {
        let registry = self.poll.registry();
        let receiver = &mut self.sessions[index].receiver;
        for (status, body) in receiver.serve(registry, event, &mut self.buffer)? {
            if status != 200 {
                let body = String::from_utf8_lossy(&body).into_owned();
                return Err(End::Failed(format!("answered {status}: {body}")));
            }
            match frame(&body)? {
                Frame::Open if !self.sessions[index].open => {
                    self.sessions[index].open = true;
                    self.opened += 1;
                }
                Frame::Open => return Err(End::Failed("opened again".to_owned())),
                Frame::HeartBeat => {}
                Frame::Messages(texts) => self.take(index, &texts),
                Frame::Close(why) => return Err(End::Failed(format!("closed: {why}"))),
            }
            let number = u32::try_from(index).expect("counted by a u32");
            let request = self.plan.request(number, "xhr", "");
            self.sessions[index].receiver.ask(&request)?;
        }
        Ok(())
    }

    fn take(&mut self, index: usize, texts: &[String]) {
        let session = &mut self.sessions[index];
        for text in texts {
            let right = session.echo.take(text);
            let due = session.flying.pop_front();
            if let Some(due) = due.filter(|_| right) {
                self.came += 1;
                if self.measures {
                    let took = due.elapsed().as_micros();
                    self.microseconds
                        .push(u32::try_from(took).unwrap_or(u32::MAX));
                }
            }
        }
    }

    fn serve_sender(&mut self, index: usize, event: &Event) -> Result<(), End> {
        let session = &mut self.sessions[index];
        let Some(sender) = &mut session.sender else {
            return Ok(());
        };
        match sender.serve(self.poll.registry(), event, &mut self.buffer) {
            Ok(answers) => {
                for (status, body) in answers {
                    if status != 204 {
                        let body = String::from_utf8_lossy(&body).into_owned();
                        return Err(End::Failed(format!("answered {status}: {body}")));
                    }
                }
            }
            // As every client has to expect of a connection that carries nothing.
            Err(End::Closed) if !sender.asked => session.sender = None,
            Err(end) => return Err(end),
        }
        self.send_owed(index)
    }

    /// Sends what is due by now.
    fn send_due(&mut self) {
        let Some((began, due)) = self.begun else {
            return;
        };
        let sessions = self.plan.sessions;
        let by_now = began.elapsed().as_secs_f64() / self.plan.every.as_secs_f64();
        let by_now = whole(by_now * f64::from(sessions));
        for number in due..by_now {
            let at = self
                .plan
                .every
                .mul_f64(f64::from(number) / f64::from(sessions));
            let index = count(number % sessions);
            let Some(session) = self.sessions.get_mut(index) else {
                continue;
            };
            if session.open && !session.ended {
                session.owed.push_back(began + at);
                if let Err(end) = self.send_owed(index) {
                    self.sessions[index].ended = true;
                    self.disconnected += 1;
                    self.tell_error(format!("session {index}, xhr_send: {end}"));
                }
            }
        }
        self.begun = Some((began, by_now));
    }

    fn send_owed(&mut self, index: usize) -> Result<(), End> {
        let session = &mut self.sessions[index];
        if session.sender.as_ref().is_some_and(|sender| sender.asked) {
            return Ok(());
        }
        let Some(due) = session.owed.pop_front() else {
            return Ok(());
        };
        session.flying.push_back(due);
        let body = format!("[\"{}\"]", session.echo.send());
        self.sent += 1;
        let number = u32::try_from(index).expect("counted by a u32");
        let request = self.plan.request(number, "xhr_send", &body);
        if let Some(sender) = &mut session.sender {
            return sender.ask(&request);
        }
        let sender = self.ask(token(index, true), request)?;
        self.sessions[index].sender = Some(sender);
        Ok(())
    }
}

impl Asking {
    fn ask(&mut self, request: &[u8]) -> Result<(), End> {
        self.asked = true;
        self.line.say(request)
    }

    /// Codes and bodies of the answers that have come.
    fn serve(
        &mut self,
        registry: &mio::Registry,
        event: &Event,
        buffer: &mut [u8],
    ) -> Result<Vec<(u16, Vec<u8>)>, End> {
        let mut found = Vec::new();
        let answers = &mut self.answers;
        self.line.serve(registry, event, buffer, |bytes| {
            answers.feed(bytes, |answer| {
                found.push((answer.status, answer.body.into_owned()));
            })?;
            Ok(())
        })?;
        if !found.is_empty() {
            self.asked = false;
        }
        Ok(found)
    }
}

fn token(index: usize, sends: bool) -> Token {
    Token(index * 2 + usize::from(sends))
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, which stops at the largest"
)]
fn whole(number: f64) -> u32 {
    number as u32
}
