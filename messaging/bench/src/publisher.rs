//! Those who send. Few, and each has little on its way, so their sockets block.
//!
//! In a closed loop a publisher sends its next message when the last subscriber has the one before: whichever thread of
//! clients sees that, sends. No side can be overrun that way, and how fast it is shows in how often that happens.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::ledger::{self, Complete, WINDOW};
use crate::speech::{Door, FLOODED_TOPIC};

/// A server that does not answer for so long, or takes nothing for so long, has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages that the flood writes at once.
const FLOOD_BATCH: u32 = 256;

/// All who send to the topic.
#[derive(Debug)]
pub struct Publishers {
    all: Vec<Mutex<Publisher>>,
    /// Whether the next message follows when one is complete.
    looping: AtomicBool,
    /// Whether times are taken.
    measuring: AtomicBool,
    /// Threads of clients, each of which completes a message on its own.
    threads: usize,
}

#[derive(Debug)]
struct Publisher {
    stream: TcpStream,
    /// The message; only its number changes.
    frame: Vec<u8>,
    body: Range<usize>,
    next: u32,
    completed: u32,
    /// By sequence modulo [`WINDOW`].
    on_the_way: Vec<OnTheWay>,
    microseconds: Vec<u32>,
    failed: Option<std::io::Error>,
}

#[derive(Debug, Clone, Copy)]
struct OnTheWay {
    sent: Instant,
    threads: usize,
}

impl Publishers {
    /// Connects them one after the other.
    ///
    /// # Errors
    /// The server does not let one in.
    pub fn connect(
        address: SocketAddr,
        door: &Door,
        count: usize,
        body_bytes: usize,
        threads: usize,
    ) -> anyhow::Result<Self> {
        let all = (0..count).map(|number| {
            let stream = enter(address, door)
                .with_context(|| format!("connecting publisher {number} to {address}"))?;
            let (frame, body) = door.send(&door.send_to, &ledger::body(number, 0, body_bytes));
            let idle = OnTheWay {
                sent: Instant::now(),
                threads: 0,
            };
            Ok(Mutex::new(Publisher {
                stream,
                frame,
                body,
                next: 0,
                completed: 0,
                on_the_way: vec![idle; WINDOW],
                microseconds: Vec::new(),
                failed: None,
            }))
        });
        Ok(Self {
            all: all.collect::<anyhow::Result<_>>()?,
            looping: AtomicBool::new(false),
            measuring: AtomicBool::new(false),
            threads,
        })
    }

    /// From now on a complete message is followed by the next.
    pub fn start_loop(&self) {
        self.looping.store(true, Ordering::Relaxed);
        self.send_from_all();
    }

    /// What is on its way is the last.
    pub fn stop_loop(&self) {
        self.looping.store(false, Ordering::Relaxed);
    }

    /// Times are taken or not.
    pub fn measure(&self, measuring: bool) {
        self.measuring.store(measuring, Ordering::Relaxed);
    }

    /// One message of each. A publisher that has [`WINDOW`] messages on their way sends none.
    pub fn send_from_all(&self) {
        for publisher in &self.all {
            let mut publisher = lock(publisher);
            publisher.send(self.threads);
        }
    }

    /// A thread of clients has seen a message at all its subscribers.
    pub fn complete(&self, message: Complete) {
        let mut publisher = lock(&self.all[message.publisher]);
        let on_the_way = &mut publisher.on_the_way[ledger::slot(message.sequence)];
        on_the_way.threads = on_the_way.threads.saturating_sub(1);
        if on_the_way.threads > 0 {
            return;
        }
        let took = on_the_way.sent.elapsed();
        publisher.completed += 1;
        if self.measuring.load(Ordering::Relaxed) {
            let microseconds = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
            publisher.microseconds.push(microseconds);
        }
        if self.looping.load(Ordering::Relaxed) {
            publisher.send(self.threads);
        }
    }

    /// Whether all that was sent is complete.
    #[must_use]
    pub fn are_done(&self) -> bool {
        self.all.iter().all(|publisher| {
            let publisher = lock(publisher);
            publisher.completed == publisher.next || publisher.failed.is_some()
        })
    }

    /// How many messages are complete.
    #[must_use]
    pub fn completed(&self) -> u64 {
        let completed = |publisher| u64::from(lock(publisher).completed);
        self.all.iter().map(completed).sum()
    }

    /// How many messages each has sent.
    #[must_use]
    pub fn sent(&self) -> Vec<u32> {
        self.all
            .iter()
            .map(|publisher| lock(publisher).next)
            .collect()
    }

    /// The times that were taken.
    #[must_use]
    pub fn microseconds(&self) -> Vec<u32> {
        let times = |publisher| std::mem::take(&mut lock(publisher).microseconds);
        self.all.iter().flat_map(times).collect()
    }

    /// Why one of them could not send.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.all.iter().enumerate().find_map(|(number, publisher)| {
            let publisher = lock(publisher);
            let failed = publisher.failed.as_ref()?;
            Some(format!("publisher {number} could not send: {failed}"))
        })
    }
}

fn lock(publisher: &Mutex<Publisher>) -> MutexGuard<'_, Publisher> {
    publisher
        .lock()
        .expect("nobody panics with a publisher in hand")
}

impl Publisher {
    fn send(&mut self, threads: usize) {
        let in_flight = usize::try_from(self.next - self.completed).unwrap_or(WINDOW);
        if in_flight >= WINDOW || self.failed.is_some() {
            return;
        }
        ledger::renumber(&mut self.frame[self.body.clone()], self.next);
        self.on_the_way[ledger::slot(self.next)] = OnTheWay {
            sent: Instant::now(),
            threads,
        };
        self.next += 1;
        if let Err(error) = self.stream.write_all(&self.frame) {
            self.failed = Some(error);
        }
    }
}

/// Opens a connection that may send.
fn enter(address: SocketAddr, door: &Door) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&door.handshake(true))?;
    let mut answer = await_answer(&mut stream, Vec::new(), b"\r\n\r\n")?;
    if !answer.starts_with(b"HTTP/1.1 101") {
        bail!(
            "the handshake was answered {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    if let Some(connect) = door.connect(true) {
        stream.write_all(&connect)?;
        let head = memchr::memmem::find(&answer, b"\r\n\r\n").map_or(0, |at| at + 4);
        answer.drain(..head);
        await_answer(&mut stream, answer, b"CONNECTED")?;
    }
    Ok(stream)
}

/// Reads until `sign` has come.
fn await_answer(stream: &mut TcpStream, mut got: Vec<u8>, sign: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut buffer = [0; 4096];
    while memchr::memmem::find(&got, sign).is_none() {
        match stream.read(&mut buffer)? {
            0 => bail!(
                "the server closed after {:?}",
                String::from_utf8_lossy(&got)
            ),
            count => got.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(got)
}

/// Sends to the flooded topic as fast as the server takes it, until `stop`. Returns how many messages that were.
///
/// # Errors
/// The server does not let it in, or throws it out.
pub fn flood(
    address: SocketAddr,
    door: &Door,
    body_bytes: usize,
    stop: &AtomicBool,
    flooded: &AtomicU64,
) -> anyhow::Result<()> {
    let stream = enter(address, door).context("connecting the flooding publisher")?;
    // Short, so that it sees when to stop.
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    let (frame, _) = door.send(FLOODED_TOPIC, &ledger::body(0, 0, body_bytes));
    let batch: Vec<u8> = (0..FLOOD_BATCH)
        .flat_map(|_| frame.iter().copied())
        .collect();
    let mut rest = batch.as_slice();
    while !stop.load(Ordering::Relaxed) {
        match (&stream).write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(error) => return Err(error).context("the flooding publisher was cut off"),
        }
        if rest.is_empty() {
            rest = &batch;
            flooded.fetch_add(u64::from(FLOOD_BATCH), Ordering::Relaxed);
        }
    }
    Ok(())
}
