//! The task that owns one simulated device, and the tasks that serve its connections.
//!
//! ```text
//! agent ── TCP or pty ── link task ──request──▶ device task (owns Equipment) ──▶ truth log
//!                            ◀──────answer─────       ▲ orders (faults, state)
//! ```

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::DeviceId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::behaviour::{Equipment, GateState, LoopState, Pulses};
use crate::config::Device;
use crate::fault::{Fault, Kind};
use crate::port::Port;
use crate::pty::{Pty, UNLOCK_PERIOD};
use crate::truth::{Cause, TruthEvent, TruthLog};
use crate::wire::{Answer, Framing};

/// Connections to one device at a time; one more is closed at once, as small boards do.
const CONNECTIONS_MAX: usize = 8;

/// Out of file descriptors, accepting fails at once, again and again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The device's end of its line.
#[derive(Debug)]
pub(crate) enum Wire {
    Tcp(Port),
    Serial(Pty),
}

/// What is asked of a device from outside its wire.
#[derive(Debug)]
pub(crate) enum Order {
    /// Switches a fault; the answer says whether that changed anything.
    Switch {
        fault: Fault,
        on: bool,
        cause: Cause,
        done: oneshot::Sender<bool>,
    },
    /// Asks what the device is.
    State(oneshot::Sender<State>),
}

/// What a device is at one moment.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) faults: Vec<Fault>,
    pub(crate) gate: Option<GateState>,
    pub(crate) detector: Option<LoopState>,
}

/// The ends of a device's task that others hold.
#[derive(Debug, Clone)]
pub(crate) struct DeviceHandle {
    orders: mpsc::Sender<Order>,
    pub(crate) requests: watch::Receiver<u64>,
    pub(crate) replies: watch::Receiver<u64>,
    pub(crate) pulses: watch::Receiver<Pulses>,
}

impl DeviceHandle {
    /// Switches a fault and waits until it is in the truth log and on the wire; `None` when the device has ended.
    pub(crate) async fn switch(&self, fault: Fault, on: bool, cause: Cause) -> Option<bool> {
        let (done, answer) = oneshot::channel();
        let order = Order::Switch {
            fault,
            on,
            cause,
            done,
        };
        self.orders.send(order).await.ok()?;
        answer.await.ok()
    }

    /// What the device is; `None` when it has ended.
    pub(crate) async fn state(&self) -> Option<State> {
        let (sender, answer) = oneshot::channel();
        self.orders.send(Order::State(sender)).await.ok()?;
        answer.await.ok()
    }
}

/// One request of one connection.
#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    answer: oneshot::Sender<Answer>,
}

/// The way from a wire to a device and back.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    requests: mpsc::Sender<Request>,
    replies: watch::Sender<u64>,
}

impl Unit {
    /// What the device answers to a whole frame; `None` when it has ended.
    pub(crate) async fn ask(&self, bytes: Vec<u8>) -> Option<Answer> {
        let (sender, answer) = oneshot::channel();
        let request = Request {
            bytes,
            answer: sender,
        };
        self.requests.send(request).await.ok()?;
        answer.await.ok()
    }

    /// An answer has left.
    pub(crate) fn count_reply(&self) {
        self.replies.send_modify(|replies| *replies += 1);
    }
}

/// The task's state.
pub(crate) struct DeviceTask {
    id: DeviceId,
    kind: Kind,
    equipment: Equipment,
    port: Option<Port>,
    requests: mpsc::Receiver<Request>,
    /// For the connections; keeps the receiver from ending.
    unit: Unit,
    orders: mpsc::Receiver<Order>,
    links: JoinSet<()>,
    requests_taken: watch::Sender<u64>,
    pulses: watch::Sender<Pulses>,
    truth: Arc<TruthLog>,
}

impl DeviceTask {
    /// A healthy device on `wire`; without one, on the bus that gets its [`Unit`].
    pub(crate) fn new(
        device: &Device,
        wire: Option<Wire>,
        truth: Arc<TruthLog>,
    ) -> (Self, DeviceHandle, Unit) {
        // A connection has one request under way: more never wait here than there are connections.
        let (request_sender, requests) = mpsc::channel(CONNECTIONS_MAX);
        // Full: whoever orders waits.
        let (order_sender, orders) = mpsc::channel(8);
        let (requests_taken, requests_seen) = watch::channel(0);
        let (replies, replies_seen) = watch::channel(0);
        let (pulses, pulses_seen) = watch::channel(Pulses::default());
        let (id, kind, medium) = (device.id.clone(), device.kind, device.medium());
        // Only what speaks Modbus looks at it.
        let unit_id = device.unit().unwrap_or(0);
        let unit = Unit {
            requests: request_sender,
            replies,
        };
        let mut task = Self {
            equipment: Equipment::new(kind, medium, unit_id, id.as_str(), Instant::now()),
            id,
            kind,
            port: None,
            requests,
            unit: unit.clone(),
            orders,
            links: JoinSet::new(),
            requests_taken,
            pulses,
            truth,
        };
        match wire {
            Some(Wire::Tcp(port)) => task.port = Some(port),
            Some(Wire::Serial(pty)) => task.serve(pty),
            None => {}
        }
        let handle = DeviceHandle {
            orders: order_sender,
            requests: requests_seen,
            replies: replies_seen,
            pulses: pulses_seen,
        };
        (task, handle, unit)
    }

    /// Runs until `shutdown`; fails when the truth cannot be written or the port is lost, since a simulator that
    /// goes on without either would make the platform look wrong.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> io::Result<()> {
        loop {
            let deadline = self.equipment.deadline();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                stream = accept(self.port.as_ref()) => self.on_connection(stream).await,
                Some(request) = self.requests.recv() => self.on_request(request)?,
                Some(order) = self.orders.recv() => self.on_order(order).await?,
                Some(_) = self.links.join_next() => {
                    if self.port.is_none() {
                        return Err(io::Error::other("the serial line ended"));
                    }
                }
                () = sleep_until(deadline) => {
                    self.equipment.step(Instant::now());
                    self.tell_truth()?;
                }
            }
        }
    }

    async fn on_connection(&mut self, stream: io::Result<tokio::net::TcpStream>) {
        match stream {
            Ok(stream) if self.links.len() < self.connections_max() => {
                // Answers are small and waited for.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(device.id = %self.id, %error, "connection is gone already");
                    return;
                }
                self.serve(stream);
            }
            Ok(_) => tracing::warn!(device.id = %self.id, "too many connections, closed one"),
            Err(error) => {
                tracing::warn!(device.id = %self.id, %error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn connections_max(&self) -> usize {
        if self.equipment.faults().contains(Fault::OneConnection) {
            1
        } else {
            CONNECTIONS_MAX
        }
    }

    fn serve(&mut self, stream: impl Stream) {
        let link = Link {
            device: self.id.clone(),
            framing: Framing::of(self.kind),
            unit: self.unit.clone(),
        };
        self.links.spawn(link.run(stream));
    }

    fn on_request(&mut self, request: Request) -> io::Result<()> {
        let answer = self
            .equipment
            .handle_request(&request.bytes, Instant::now());
        self.tell_truth()?;
        self.requests_taken.send_modify(|requests| *requests += 1);
        // A connection that was aborted meanwhile does not want its answer.
        let _unwanted = request.answer.send(answer);
        Ok(())
    }

    async fn on_order(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Switch {
                fault,
                on,
                cause,
                done,
            } => {
                let changed = self.equipment.switch(fault, on, Instant::now());
                self.tell_truth()?;
                if changed {
                    let event = if on {
                        TruthEvent::FaultOn { fault, cause }
                    } else {
                        TruthEvent::FaultOff { fault, cause }
                    };
                    self.truth.write(Some(&self.id), event)?;
                    self.apply_connection().await?;
                }
                // Whoever ordered may have gone away meanwhile.
                let _unwanted = done.send(changed);
            }
            Order::State(sender) => {
                self.equipment.step(Instant::now());
                self.tell_truth()?;
                let _unwanted = sender.send(State {
                    faults: self.equipment.faults().iter().collect(),
                    gate: self.equipment.gate_state(),
                    detector: self.equipment.loop_state(),
                });
            }
        }
        Ok(())
    }

    /// Makes the port take or refuse connections, as the faults say.
    async fn apply_connection(&mut self) -> io::Result<()> {
        let Some(port) = self.port.take() else {
            return Ok(());
        };
        let listening = !self.equipment.is_disconnected();
        let port = port.turn(listening).await?;
        if !listening {
            self.links.shutdown().await;
        }
        self.port = Some(port);
        Ok(())
    }

    fn tell_truth(&mut self) -> io::Result<()> {
        for happening in self.equipment.take_happenings() {
            self.truth.write(Some(&self.id), happening.into())?;
        }
        if let Some(gate) = self.equipment.gate_state() {
            self.pulses.send_if_modified(|pulses| {
                let changed = *pulses != gate.pulses;
                *pulses = gate.pulses;
                changed
            });
        }
        Ok(())
    }
}

async fn accept(port: Option<&Port>) -> io::Result<tokio::net::TcpStream> {
    match port {
        Some(port) => port.accept().await,
        None => std::future::pending().await,
    }
}

/// Waits for a deadline; `None` never comes.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The device's end of any line.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// How often the line wants [`Self::upkeep`]; `None` for never.
    const UPKEEP: Option<Duration>;

    fn upkeep(&self) -> io::Result<()>;

    /// Makes the close that follows a reset.
    fn make_reset(&self) -> io::Result<()>;
}

impl Stream for tokio::net::TcpStream {
    const UPKEEP: Option<Duration> = None;

    fn upkeep(&self) -> io::Result<()> {
        Ok(())
    }

    fn make_reset(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Stream for Pty {
    const UPKEEP: Option<Duration> = Some(UNLOCK_PERIOD);

    fn upkeep(&self) -> io::Result<()> {
        self.unlock()
    }

    fn make_reset(&self) -> io::Result<()> {
        Ok(()) // A serial line has no connection, and its devices no such fault.
    }
}

async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// One connection, or the one serial line.
struct Link {
    device: DeviceId,
    framing: Framing,
    unit: Unit,
}

impl Link {
    async fn run(self, stream: impl Stream) {
        if let Err(error) = self.serve(stream).await {
            tracing::debug!(device.id = %self.device, %error, "connection ended");
        }
    }

    /// Request by request, in order: like the boards it stands for, a device has one thing in hand at a time.
    async fn serve<S: Stream>(&self, mut stream: S) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut portion = [0; 1_024];
        let mut upkeep = S::UPKEEP.map(tokio::time::interval);
        loop {
            let count = tokio::select! {
                count = stream.read(&mut portion) => count?,
                () = tick(upkeep.as_mut()) => {
                    stream.upkeep()?;
                    continue;
                }
            };
            if count == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&portion[..count]);
            while let Some(bytes) = self
                .framing
                .next_request(&mut buffer)
                .map_err(io::Error::other)?
            {
                let Some(answer) = self.unit.ask(bytes).await else {
                    return Ok(());
                };
                if answer.resets {
                    return stream.make_reset();
                }
                for part in &answer.parts {
                    sleep(part.pause).await;
                    stream.write_all(&part.bytes).await?;
                }
                if !answer.parts.is_empty() {
                    self.unit.count_reply();
                }
            }
        }
    }
}
