//! Those who subscribe: thousands of sockets in a few threads, each an epoll loop with one large buffer.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::ledger::Ledger;
use crate::publisher::Publishers;
use crate::speech::{Door, Said, Speech, understand};
use crate::wire::{self, Broken, Frames, Kind};

/// Bytes that one read takes at most: some thousand messages.
const BUFFER_BYTES: usize = 256 * 1024;

/// Sockets that one look at epoll tells of.
const EVENTS: usize = 1024;

/// How long a thread sleeps when nothing comes: while it connects, and else.
const CONNECTING_TICK: Duration = Duration::from_millis(2);
const IDLE_TICK: Duration = Duration::from_millis(50);

/// The longest answer to a handshake.
const HANDSHAKE_BYTES_MAX: usize = 8192;

/// Who is to subscribe, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// How it is entered.
    pub door: Door,
    /// Subscribers that read.
    pub readers: usize,
    /// Subscribers that stop to read as soon as they have subscribed.
    pub stalled: usize,
    /// Those who send.
    pub publishers: usize,
    /// How long bodies are.
    pub body_bytes: usize,
    /// Connections opened in a second, by all threads together.
    pub connects_per_second: u32,
    /// Threads of subscribers.
    pub threads: usize,
}

/// What all threads look at.
#[derive(Debug)]
pub struct Board {
    /// Clients that have subscribed.
    pub subscribed: AtomicUsize,
    /// Clients that could not.
    pub refused: AtomicUsize,
    /// Readers whose connection ended although they had subscribed.
    pub disconnected: AtomicUsize,
    /// Deliveries of each thread.
    pub deliveries: Vec<AtomicU64>,
    /// Set once, before the first message.
    pub publishers: OnceLock<Publishers>,
    /// Those that did not read shall see what became of them.
    pub look_at_stalled: AtomicBool,
    /// The run is over.
    pub stop: AtomicBool,
    first_error: OnceLock<String>,
}

impl Board {
    /// Nothing has happened.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            subscribed: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            disconnected: AtomicUsize::new(0),
            deliveries: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            publishers: OnceLock::new(),
            look_at_stalled: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            first_error: OnceLock::new(),
        }
    }

    /// Only the first one is kept: others follow from it.
    pub fn tell_error(&self, error: String) {
        self.first_error.get_or_init(|| error);
    }

    /// What went wrong first.
    #[must_use]
    pub fn first_error(&self) -> Option<String> {
        self.first_error.get().cloned()
    }

    /// Deliveries of all threads.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        let each = self.deliveries.iter();
        each.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// What a thread has seen.
#[derive(Debug)]
pub struct Seen {
    /// By its readers.
    pub ledger: Ledger,
    /// Those that did not read and were disconnected.
    pub cut_off: usize,
    /// Those of them that read `slow-consumer`.
    pub told_slow_consumer: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connecting,
    Upgrading,
    LoggingIn,
    Subscribing,
    /// A reader, by its number in this thread.
    Reading,
    /// It has subscribed and does not read.
    Stalled,
    Ended,
}

struct Client {
    stream: TcpStream,
    step: Step,
    /// The answer to the handshake, until it is complete.
    answer: Vec<u8>,
    frames: Frames,
    reads: bool,
    told_slow_consumer: bool,
}

/// Why a client ended.
enum End {
    Closed,
    Failed(String),
}

impl From<Broken> for End {
    fn from(Broken(why): Broken) -> Self {
        Self::Failed(why.to_owned())
    }
}

/// One thread of clients: those whose number modulo the number of threads is `thread`.
pub struct Crowd<'a> {
    plan: &'a Plan,
    board: &'a Board,
    thread: usize,
    poll: Poll,
    clients: Vec<Client>,
    ledger: Ledger,
    cut_off: usize,
}

impl<'a> Crowd<'a> {
    /// Nobody is connected yet.
    ///
    /// # Errors
    /// There is no epoll.
    pub fn new(plan: &'a Plan, board: &'a Board, thread: usize) -> anyhow::Result<Self> {
        let readers = share(plan.readers, thread, plan.threads);
        Ok(Self {
            plan,
            board,
            thread,
            poll: Poll::new().context("opening epoll")?,
            clients: Vec::new(),
            ledger: Ledger::new(readers, plan.publishers, plan.body_bytes),
            cut_off: 0,
        })
    }

    /// Connects, subscribes and reads until the board says stop.
    ///
    /// # Errors
    /// epoll failed. What happens to a single client is told on the board.
    pub fn run(mut self) -> anyhow::Result<Seen> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; BUFFER_BYTES];
        let all = share(
            self.plan.readers + self.plan.stalled,
            self.thread,
            self.plan.threads,
        );
        let began = Instant::now();
        let mut looked_at_stalled = false;
        while !self.board.stop.load(Ordering::Relaxed) {
            let tick = if self.clients.len() < all {
                self.open_due(all, began.elapsed());
                CONNECTING_TICK
            } else {
                IDLE_TICK
            };
            match self.poll.poll(&mut events, Some(tick)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.context("waiting for sockets")?,
            }
            for event in &events {
                self.serve(event, &mut buffer);
            }
            self.board.deliveries[self.thread].store(self.ledger.deliveries, Ordering::Relaxed);
            if !looked_at_stalled && self.board.look_at_stalled.load(Ordering::Relaxed) {
                looked_at_stalled = true;
                self.look_at_stalled();
            }
        }
        let told = self
            .clients
            .iter()
            .filter(|client| client.told_slow_consumer);
        Ok(Seen {
            told_slow_consumer: told.count(),
            ledger: self.ledger,
            cut_off: self.cut_off,
        })
    }

    /// Opens as many connections as should be open by now.
    fn open_due(&mut self, all: usize, elapsed: Duration) {
        let each = f64::from(self.plan.connects_per_second) * elapsed.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of connections"
        )]
        let due = all.min(each as usize / self.plan.threads + 1);
        while self.clients.len() < due {
            let number = self.clients.len() * self.plan.threads + self.thread;
            match self.open(number) {
                Ok(client) => self.clients.push(client),
                Err(error) => {
                    self.refuse(format!("opening a connection: {error}"));
                    return;
                }
            }
        }
    }

    fn open(&self, number: usize) -> std::io::Result<Client> {
        let mut stream = TcpStream::connect(self.plan.address)?;
        let token = Token(self.clients.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, token, interest)?;
        Ok(Client {
            stream,
            step: Step::Connecting,
            answer: Vec::new(),
            frames: Frames::default(),
            reads: number < self.plan.readers,
            told_slow_consumer: false,
        })
    }

    fn refuse(&self, error: String) {
        self.board.tell_error(error);
        self.board.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn serve(&mut self, event: &Event, buffer: &mut [u8]) {
        let Token(index) = event.token();
        let before = self.clients[index].step;
        match self.try_serve(index, event, buffer) {
            Ok(()) => {}
            Err(end) => {
                self.clients[index].step = Step::Ended;
                let why = match end {
                    End::Closed => "the server closed the connection".to_owned(),
                    End::Failed(why) => why,
                };
                match before {
                    Step::Reading => {
                        self.board.tell_error(format!("a reader: {why}"));
                        self.board.disconnected.fetch_add(1, Ordering::Relaxed);
                    }
                    Step::Stalled => self.cut_off += 1,
                    Step::Ended => {}
                    step => self.refuse(format!("a client, {step:?}: {why}")),
                }
            }
        }
    }

    fn try_serve(&mut self, index: usize, event: &Event, buffer: &mut [u8]) -> Result<(), End> {
        let client = &mut self.clients[index];
        match client.step {
            Step::Ended => return Ok(()),
            Step::Connecting => {
                if let Some(error) = failed(client.stream.take_error()) {
                    return Err(error);
                }
                if !event.is_writable() {
                    return Ok(());
                }
                let token = event.token();
                self.poll
                    .registry()
                    .reregister(&mut client.stream, token, Interest::READABLE)
                    .and_then(|()| client.stream.set_nodelay(true))
                    .map_err(|error| End::Failed(error.to_string()))?;
                client.say(&self.plan.door.handshake(false))?;
                client.step = Step::Upgrading;
            }
            _ => {}
        }
        loop {
            match self.clients[index].stream.read(buffer) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => {
                    self.take(index, &buffer[..count])?;
                    // Less than asked for: the socket is empty, epoll(7). Its end is another event, or this one.
                    if count < buffer.len() && !event.is_read_closed() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Failed(error.to_string())),
            }
        }
    }

    fn take(&mut self, index: usize, bytes: &[u8]) -> Result<(), End> {
        let client = &mut self.clients[index];
        if client.step != Step::Upgrading {
            return self.take_frames(index, bytes);
        }
        client.answer.extend_from_slice(bytes);
        let Some(head) = memchr::memmem::find(&client.answer, b"\r\n\r\n") else {
            if client.answer.len() > HANDSHAKE_BYTES_MAX {
                return Err(End::Failed("an endless answer to the handshake".to_owned()));
            }
            return Ok(());
        };
        let answer = std::mem::take(&mut client.answer);
        if !answer.starts_with(b"HTTP/1.1 101") {
            let line = answer
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default();
            let line = String::from_utf8_lossy(line);
            return Err(End::Failed(format!("the handshake was answered {line:?}")));
        }
        if let Some(connect) = self.plan.door.connect(false) {
            client.say(&connect)?;
            client.step = Step::LoggingIn;
        } else {
            self.subscribed(index)?;
        }
        self.take_frames(index, &answer[head + 4..])
    }

    fn take_frames(&mut self, index: usize, bytes: &[u8]) -> Result<(), End> {
        let (speech, body_bytes) = (self.plan.door.speech, self.plan.body_bytes);
        let reader = index;
        let client = &mut self.clients[index];
        let ledger = &mut self.ledger;
        let publishers = self.board.publishers.get();
        let reading = client.step == Step::Reading;
        let mut answers = Answers::default();
        let frames = &mut client.frames;
        let result = frames.feed(bytes, |kind, payload| match kind {
            Kind::Data => understand(speech, payload, body_bytes, |said| {
                match said {
                    Said::Message(body) if reading => {
                        if let (Some(message), Some(publishers)) =
                            (ledger.deliver(reader, body), publishers)
                        {
                            publishers.complete(message);
                        }
                    }
                    Said::Message(_) => {}
                    Said::Connected => answers.connected = true,
                    Said::Receipt => answers.receipt = true,
                    Said::Error(text) => {
                        answers.error = Some(String::from_utf8_lossy(text).into_owned());
                    }
                }
                Ok(())
            }),
            Kind::Close => {
                answers.closed = true;
                Ok(())
            }
            Kind::Ping => {
                answers.pong = Some(wire::client_frame(wire::PONG, payload));
                Ok(())
            }
            Kind::Pong => Ok(()),
        });
        result?;
        if answers.any() {
            self.answer(index, answers)?;
        }
        Ok(())
    }

    fn answer(&mut self, index: usize, answers: Answers) -> Result<(), End> {
        let client = &mut self.clients[index];
        if let Some(pong) = answers.pong {
            client.say(&pong)?;
        }
        if let Some(error) = answers.error {
            client.told_slow_consumer = error.contains("code:slow-consumer");
            return Err(End::Failed(error));
        }
        if answers.closed {
            return Err(End::Closed);
        }
        if answers.connected && client.step == Step::LoggingIn {
            client.say(&self.plan.door.subscribe(!client.reads))?;
            client.step = Step::Subscribing;
            if self.plan.door.speech == Speech::StompWithoutReceipts {
                self.subscribed(index)?;
            }
        } else if answers.receipt && client.step == Step::Subscribing {
            self.subscribed(index)?;
        }
        Ok(())
    }

    fn subscribed(&mut self, index: usize) -> Result<(), End> {
        let client = &mut self.clients[index];
        if client.reads {
            client.step = Step::Reading;
        } else {
            client.step = Step::Stalled;
            let registry = self.poll.registry();
            let deregistered = registry.deregister(&mut client.stream);
            deregistered.map_err(|error| End::Failed(error.to_string()))?;
        }
        self.board.subscribed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Reads what waits for those that did not read: the end of the connection, or of what the server still holds.
    fn look_at_stalled(&mut self) {
        for (index, client) in self.clients.iter_mut().enumerate() {
            if client.step == Step::Stalled {
                let registry = self.poll.registry();
                let registered =
                    registry.register(&mut client.stream, Token(index), Interest::READABLE);
                if let Err(error) = registered {
                    self.board
                        .tell_error(format!("a client that did not read: {error}"));
                }
            }
        }
    }
}

/// What is to be done when the frames of one read are through.
#[derive(Default)]
struct Answers {
    connected: bool,
    receipt: bool,
    closed: bool,
    error: Option<String>,
    pong: Option<Vec<u8>>,
}

impl Answers {
    fn any(&self) -> bool {
        self.connected || self.receipt || self.closed || self.error.is_some() || self.pong.is_some()
    }
}

impl Client {
    /// Says something short, which fits into the socket's buffer: a client has nothing else on its way.
    fn say(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.stream
            .write_all(bytes)
            .map_err(|error| End::Failed(error.to_string()))
    }
}

fn failed(error: std::io::Result<Option<std::io::Error>>) -> Option<End> {
    match error {
        Ok(None) => None,
        Ok(Some(error)) | Err(error) => Some(End::Failed(error.to_string())),
    }
}

/// How many of `all` are this thread's.
fn share(all: usize, thread: usize, threads: usize) -> usize {
    all.saturating_sub(thread).div_ceil(threads)
}
