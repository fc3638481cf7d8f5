//! One task for each line: it alone talks to the line's devices, one exchange at a time.
//!
//! Order of work: commands, then whatever the schedule says is most urgent. An exchange is never cancelled; the task
//! only ever waits for the next command, the next deadline or the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::heartbeat::LineState;
use contract::{AgentId, FaultCode};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::command::Order;
use crate::device::DeviceState;
use crate::driver::{Driver, DriverError, ReadOutcome, Target};
use crate::poll::{Due, Schedule};
use crate::reading::News;
use crate::site::Line;
use crate::store::{Recovered, Store, StoreError};

mod execute;

use execute::Executions;

/// The first pause after a connection could not be made; doubled each time, up to the longest.
const RECONNECT_FIRST: Duration = Duration::from_millis(500);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// How long what the store refused waits before it is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Modbus exceptions that say "later" (5 acknowledge, 6 busy): alive, and nothing new.
const EXCEPTIONS_LATER: [u8; 2] = [5, 6];

/// Modbus exceptions that a gateway gives for a silent device behind it (10, 11).
const EXCEPTIONS_SILENT: [u8; 2] = [10, 11];

/// What a line task works with. All of it outlives the task, so that a line whose task died gets another one.
#[derive(Debug, Clone)]
pub(crate) struct LineContext {
    pub(crate) line: Arc<Line>,
    pub(crate) agent: AgentId,
    pub(crate) store: Store,
    pub(crate) readings: mpsc::Sender<News>,
    /// Handed from one life of the line to the next; never used by two at a time.
    pub(crate) commands: Arc<Mutex<mpsc::Receiver<Order>>>,
    pub(crate) health: watch::Sender<LineState>,
    pub(crate) shutdown: CancellationToken,
}

/// Serves the line until shutdown.
///
/// # Errors
/// The store is gone: nothing can be done without it.
pub(crate) async fn run(context: LineContext) -> Result<(), StoreError> {
    let commands = Arc::clone(&context.commands);
    let mut commands = commands.lock().await;
    let mut task = LineTask::begin(context).await?;
    loop {
        // Commands before polls: at most one exchange is between a command and its turn.
        if let Ok(order) = commands.try_recv() {
            task.begin_command(order).await;
            continue;
        }
        task.handle_deadlines().await;
        task.tell().await?;
        if task.context.shutdown.is_cancelled() {
            return Ok(());
        }
        let now = Instant::now();
        if task.may_connect(now)
            && let Some(due) = task.schedule.take(now)
        {
            task.poll(due).await;
            continue;
        }
        let wake = task.wake_at(now);
        // Every branch only waits.
        tokio::select! {
            order = commands.recv() => match order {
                Some(order) => task.begin_command(order).await,
                None => return Ok(()), // Whoever gives commands has ended, and so does the agent.
            },
            () = sleep_until(wake.into()) => {}
            () = task.context.shutdown.cancelled() => {}
        }
    }
}

struct LineTask {
    context: LineContext,
    driver: Driver,
    devices: Vec<DeviceState>,
    schedule: Schedule,
    executions: Executions,
    reconnect: Backoff,
    reconnect_at: Instant,
    store_retry_at: Instant,
}

impl LineTask {
    async fn begin(context: LineContext) -> Result<Self, StoreError> {
        let recovered = recover(&context).await?;
        let now = Moment::now();
        let line = &context.line;
        let devices: Vec<DeviceState> = line
            .devices
            .iter()
            .map(|device| {
                let recorded = |fault: &FaultCode| {
                    let key = (device.id.clone(), fault.clone());
                    recovered.faults.get(&key).copied()
                };
                DeviceState::new(
                    device.id.clone(),
                    Arc::clone(&device.profile),
                    recorded,
                    now,
                )
            })
            .collect();
        let schedule = Schedule::new(
            devices
                .iter()
                .map(|device| (device.id(), device.profile().as_ref())),
            now.mono,
        );
        Ok(Self {
            driver: Driver::new(line),
            executions: Executions::new(devices.len()),
            devices,
            schedule,
            reconnect: Backoff::new(RECONNECT_FIRST, RECONNECT_MAX),
            reconnect_at: now.mono,
            store_retry_at: now.mono,
            context,
        })
    }

    fn may_connect(&self, now: Instant) -> bool {
        self.driver.is_connected() || now >= self.reconnect_at
    }

    /// When there is something to do, whatever happens.
    fn wake_at(&self, now: Instant) -> Instant {
        let poll = self.schedule.next_due().map(|due| {
            if self.driver.is_connected() {
                due
            } else {
                due.max(self.reconnect_at)
            }
        });
        let contact = self.devices.iter().filter_map(DeviceState::deadline).min();
        let untold = self
            .devices
            .iter()
            .any(|device| !device.untold().is_empty())
            .then_some(self.store_retry_at);
        let executions = self.executions.deadline(self.store_retry_at);
        [poll, contact, untold, executions]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + STORE_RETRY)
    }

    async fn handle_deadlines(&mut self) {
        let now = Moment::now();
        for device in &mut self.devices {
            device.handle_deadline(now);
        }
        self.check_executions().await;
        let all_lost = self
            .devices
            .iter()
            .all(|device| device.faults().contact_lost() == Some(true));
        if all_lost {
            self.set_health(LineState::Down);
        }
    }

    fn set_health(&self, state: LineState) {
        self.context
            .health
            .send_if_modified(|health| std::mem::replace(health, state) != state);
    }

    /// Opens the line if it is closed. False when it stays closed; every device counts that as a failed poll.
    async fn connect(&mut self) -> bool {
        if self.driver.is_connected() {
            return true;
        }
        match self.driver.connect().await {
            Ok(()) => {
                debug!(line.id = %self.context.line.id, "connected");
                self.schedule.handle_connected(Instant::now());
                true
            }
            Err(error) => {
                let now = Moment::now();
                self.reconnect_at = now.mono + self.reconnect.next_pause();
                self.set_health(LineState::Down);
                for index in 0..self.devices.len() {
                    self.note_failure(index, &error);
                    self.devices[index].handle_failure(now);
                }
                false
            }
        }
    }

    /// One exchange that reads, and everything that follows from it.
    async fn poll(&mut self, due: Due) {
        if !self.connect().await {
            return;
        }
        let site_device = &self.context.line.devices[due.device];
        let target = Target {
            device: &site_device.id,
            unit_id: site_device.unit_id,
            profile: &site_device.profile,
        };
        let read = site_device.profile.blocks[due.block].read;
        let result = self.driver.read(target, read).await;
        let now = Moment::now();
        match result {
            Ok(ReadOutcome::Data(raw)) => {
                self.note_answer(due.device);
                self.devices[due.device].handle_answer(due.block, &raw, now);
                self.schedule.handle_answer(due.device, now.mono);
            }
            Ok(ReadOutcome::Exception(code)) if EXCEPTIONS_LATER.contains(&code) => {
                self.schedule.handle_answer(due.device, now.mono);
            }
            Ok(ReadOutcome::Exception(code)) if EXCEPTIONS_SILENT.contains(&code) => {
                debug!(device.id = %site_device.id, code, "the gateway does not reach it");
                self.devices[due.device].handle_failure(now);
                self.schedule.handle_failure(due.device, now.mono);
            }
            Ok(ReadOutcome::Exception(code)) => {
                debug!(device.id = %site_device.id, code, ?read, "refused");
                self.note_answer(due.device);
                self.devices[due.device].handle_exception(due.block, now);
                self.schedule.handle_answer(due.device, now.mono);
            }
            Err(error) => {
                self.note_failure(due.device, &error);
                self.devices[due.device].handle_failure(now);
                self.schedule.handle_failure(due.device, now.mono);
                if let Some(until) = self.driver.quiet_until(target) {
                    self.schedule.hold(due.device, until);
                }
            }
        }
        self.hurry_read_back(due.device, now.mono);
        self.check_executions().await;
    }

    /// Logs the first of a row of failures; the rest would only repeat it.
    fn note_failure(&self, device: usize, error: &DriverError) {
        let device = &self.devices[device];
        if device.faults().failures() == 0 {
            warn!(device.id = %device.id(), %error, "does not answer");
        } else {
            debug!(device.id = %device.id(), %error, "still does not answer");
        }
    }

    fn note_answer(&mut self, device: usize) {
        self.reconnect.reset();
        self.set_health(LineState::Up);
        let device = &self.devices[device];
        if device.faults().failures() > 0 {
            info!(device.id = %device.id(), "answers again");
        }
    }

    /// Hands on what is new: changes of faults to the store, readings to the uplink.
    async fn tell(&mut self) -> Result<(), StoreError> {
        let now = Moment::now();
        if now.mono >= self.store_retry_at {
            for device in &mut self.devices {
                for untold in device.untold() {
                    let recorded = self
                        .context
                        .store
                        .record_fault(
                            device.id().clone(),
                            untold.fault.clone(),
                            untold.active,
                            untold.happening.clone(),
                            now.wall_of(untold.at),
                        )
                        .await;
                    match recorded {
                        Ok(()) => {
                            let (fault, active) = (&untold.fault, untold.active);
                            info!(device.id = %device.id(), %fault, active, "fault");
                            device.told(&untold);
                        }
                        Err(StoreError::Stopped) => return Err(StoreError::Stopped),
                        Err(error) => {
                            error!(device.id = %device.id(), %error, "a fault waits");
                            self.store_retry_at = now.mono + STORE_RETRY;
                            break;
                        }
                    }
                }
            }
        }
        for device in &mut self.devices {
            if device.has_news() {
                // When the uplink does not keep up, the device's own state is where news wait, newest over older.
                match self.context.readings.try_reserve() {
                    Ok(permit) => permit.send(device.take_report(now.mono)),
                    Err(_full_or_ended) => break,
                }
            }
        }
        Ok(())
    }
}

/// A store that cannot be read now may be so in a moment; nothing is asked of devices before.
async fn recover(context: &LineContext) -> Result<Recovered, StoreError> {
    loop {
        let devices = context
            .line
            .devices
            .iter()
            .map(|device| device.id.clone())
            .collect();
        let recovered = context
            .store
            .recover(context.agent.clone(), devices, Moment::now().wall)
            .await;
        match recovered {
            Err(StoreError::Stopped) => return Err(StoreError::Stopped),
            Err(error) => {
                error!(line.id = %context.line.id, %error, "cannot begin yet");
                tokio::select! {
                    () = tokio::time::sleep(STORE_RETRY) => {}
                    () = context.shutdown.cancelled() => return Ok(Recovered::default()),
                }
            }
            Ok(recovered) => return Ok(recovered),
        }
    }
}
