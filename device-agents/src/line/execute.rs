//! Commands on a line: from the order to the result, in the steps of `command`.

use std::time::{Duration, Instant};

use contract::command::{CommandResult, CommandState, ReasonCode};
use tracing::{error, info, warn};

use super::{LineTask, STORE_RETRY};
use crate::clock::Moment;
use crate::command::{Execution, Order, Outcome, interlocks, too_old};
use crate::driver::{DriverErrorKind, Target, WriteOutcome};
use crate::poll::Due;
use crate::profile::CommandType;

/// How often the feedback of a command is read: quick enough that people see a gate begin to move.
const READ_BACK_PERIOD: Duration = Duration::from_millis(150);

/// The same on a device that does not answer (a kiosk that reboots).
const READ_BACK_PERIOD_SILENT: Duration = Duration::from_secs(1);

/// What each device of the line executes: at most one command.
pub(super) struct Executions {
    running: Vec<Option<Execution>>,
    /// Results that the store has refused so far. The device stays busy meanwhile, for every command: at most two, of a
    /// command that was stopped and of the one that stopped it.
    unfinished: Vec<Vec<CommandResult>>,
}

impl Executions {
    pub(super) fn new(devices: usize) -> Self {
        Self {
            running: (0..devices).map(|_| None).collect(),
            unfinished: vec![Vec::new(); devices],
        }
    }

    fn takes(&self, device: usize, kind: &CommandType) -> bool {
        self.unfinished[device].is_empty() && (kind.preempts || self.running[device].is_none())
    }

    /// When something is to be done; what the store refused is tried again at `store_retry_at`.
    pub(super) fn deadline(&self, store_retry_at: Instant) -> Option<Instant> {
        let running = self.running.iter().flatten().map(Execution::deadline);
        let unfinished = self.unfinished.iter().flatten().map(|_| store_retry_at);
        running.chain(unfinished).min()
    }
}

impl LineTask {
    fn result(&self, order: &Order, outcome: Outcome) -> CommandResult {
        CommandResult {
            agent: self.context.agent.clone(),
            command: order.command.id,
            device: order.command.device.clone(),
            state: outcome.state,
            reason: outcome.reason,
            at: Moment::now().wall,
        }
    }

    pub(super) async fn begin_command(&mut self, order: Order) {
        let device = self
            .context
            .line
            .devices
            .iter()
            .position(|device| device.id == order.command.device)
            .expect("commands are given to the line of their device");
        info!(command.id = %order.command.id, device.id = %order.command.device, name = order.command.name, "command");
        let kind = &self.devices[device].profile().commands[order.kind];
        if !self.executions.takes(device, kind) {
            let outcome = Outcome::rejected(ReasonCode::Busy, "");
            let result = self.result(&order, outcome);
            // A busy answer that cannot be stored is not worth a place in memory: it expires with the next start.
            if let Err(error) = self.context.store.finish_command(result).await {
                error!(%error, "a refusal was not stored");
            }
            return;
        }
        if let Err(outcome) = self.try_command(device, &order).await {
            let result = self.result(&order, outcome);
            self.finish(device, result).await;
        }
    }

    /// Everything up to and including the wire write. An error is where the command ends.
    async fn try_command(&mut self, device: usize, order: &Order) -> Result<(), Outcome> {
        let profile = std::sync::Arc::clone(self.devices[device].profile());
        let kind = &profile.commands[order.kind];
        order.check_deadline(Instant::now())?;
        if self.devices[device].faults().contact_lost() == Some(true) {
            return Err(Outcome::rejected(ReasonCode::CommLost, ""));
        }
        let points = too_old(kind, self.devices[device].samples(), Instant::now());
        for block in self.blocks_of(device, &points) {
            self.poll(Due { device, block }).await;
        }
        self.check_interlocks(device, kind)?;
        if !self.connect().await {
            let line = self.context.line.id.as_str();
            return Err(Outcome::rejected(ReasonCode::CommLost, line));
        }
        let accepted = self.result(order, Outcome::plain(CommandState::Accepted));
        match self.context.store.start_command(accepted).await {
            Ok(true) => {}
            Ok(false) => return Err(Outcome::expired("it was given up before it began")),
            Err(error) => {
                let detail = format!("the journal cannot be written: {error}");
                return Err(Outcome::rejected(ReasonCode::CommLost, detail));
            }
        }
        // The journal may have waited for the disk: what is too late or too old now was never sent.
        order.check_deadline(Instant::now())?;
        self.check_interlocks(device, kind)?;
        self.write(device, order).await
    }

    fn check_interlocks(&self, device: usize, kind: &CommandType) -> Result<(), Outcome> {
        let state = &self.devices[device];
        let (samples, faults) = (state.samples(), state.faults());
        interlocks(state.profile(), kind, samples, faults, Instant::now())
    }

    /// The one place where a command goes to the wire.
    async fn write(&mut self, device: usize, order: &Order) -> Result<(), Outcome> {
        let site_device = &self.context.line.devices[device];
        let profile = &site_device.profile;
        let kind = &profile.commands[order.kind];
        let target = Target {
            device: &site_device.id,
            unit_id: site_device.unit_id,
            profile,
        };
        let written = self
            .driver
            .write(target, &kind.action, &order.fill(kind), order.deadline)
            .await;
        let acknowledged = match written {
            Ok(WriteOutcome::Acknowledged) => true,
            Ok(WriteOutcome::Refused(why)) => {
                return Err(Outcome::new(
                    CommandState::Failed,
                    ReasonCode::DeviceFault,
                    why,
                ));
            }
            Ok(WriteOutcome::Doubtful(why)) => {
                warn!(command.id = %order.command.id, why, "only reading back can tell");
                false
            }
            Err(error) if matches!(error.kind, DriverErrorKind::TooLate) => {
                return Err(Outcome::expired(""));
            }
            Err(error) if error.nothing_was_sent() => {
                return Err(Outcome::new(
                    CommandState::Failed,
                    ReasonCode::CommLost,
                    error.to_string(),
                ));
            }
            // It may have heard: only reading back can tell.
            Err(error) => {
                self.note_failure(device, &error);
                false
            }
        };
        let now = Instant::now();
        let before = self.devices[device].samples();
        let execution = Execution::new(order.clone(), profile, before, acknowledged, now);
        let stopped = self.executions.running[device].replace(execution);
        let outcome = Execution::preempted(&kind.name, acknowledged);
        self.hurry_read_back(device, now);
        let executing = self.result(order, Outcome::plain(CommandState::Executing));
        if let Err(error) = self.context.store.progress_command(executing).await {
            error!(%error, "a command's progress was not stored");
        }
        if let Some(stopped) = stopped {
            let result = self.result(&stopped.order, outcome);
            self.finish(device, result).await;
        }
        Ok(())
    }

    /// The blocks that read `points`.
    fn blocks_of(&self, device: usize, points: &[usize]) -> Vec<usize> {
        let blocks = &self.devices[device].profile().blocks;
        (0..blocks.len())
            .filter(|&block| {
                points
                    .iter()
                    .any(|point| blocks[block].points.contains(point))
            })
            .collect()
    }

    /// While a command runs, its feedback is read more often than its class says.
    pub(super) fn hurry_read_back(&mut self, device: usize, now: Instant) {
        let Some(execution) = &self.executions.running[device] else {
            return;
        };
        let state = &self.devices[device];
        let period = if state.faults().failures() > 0 {
            READ_BACK_PERIOD_SILENT
        } else {
            READ_BACK_PERIOD
        };
        for block in self.blocks_of(device, &execution.wanted(state.profile())) {
            self.schedule.hurry(device, block, now + period);
        }
    }

    /// Ends commands whose feedback is there or whose time is over, and stores what could not be stored before.
    pub(super) async fn check_executions(&mut self) {
        let now = Instant::now();
        for device in 0..self.devices.len() {
            let state = &self.devices[device];
            let ended = self.executions.running[device]
                .as_mut()
                .and_then(|execution| {
                    execution.handle_samples(state.profile(), state.samples(), now)
                });
            if let Some(outcome) = ended
                && let Some(execution) = self.executions.running[device].take()
            {
                let result = self.result(&execution.order, outcome);
                self.finish(device, result).await;
            } else if now >= self.store_retry_at {
                for result in std::mem::take(&mut self.executions.unfinished[device]) {
                    self.finish(device, result).await;
                }
            }
        }
    }

    async fn finish(&mut self, device: usize, result: CommandResult) {
        let state = result.state.as_str();
        info!(command.id = %result.command, state, reason = ?result.reason, "command ended");
        if let Err(error) = self.context.store.finish_command(result.clone()).await {
            error!(command.id = %result.command, %error, "a result waits");
            self.executions.unfinished[device].push(result);
            self.store_retry_at = Instant::now() + STORE_RETRY;
        }
    }
}
