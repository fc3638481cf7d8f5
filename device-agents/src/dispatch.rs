//! Takes commands from the uplink: journals them, has them acknowledged, gives them to the line of their device.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use contract::command::{Command, CommandResult, CommandState, ReasonCode};
use contract::{AgentId, DeviceId, InstanceId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{error, warn};

use crate::clock::{InstanceClock, Moment};
use crate::command::{Order, Outcome, check};
use crate::profile::Profile;
use crate::store::{Received, Store};

/// A MESSAGE of the commands queue.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Which of the uplink's sessions it came with; its ACK is worth nothing in another.
    pub(crate) session: u64,
    /// What ACK names.
    pub(crate) ack: String,
    /// The command.
    pub(crate) body: Bytes,
}

/// "It is in the journal."
#[derive(Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) session: u64,
    pub(crate) ack: String,
}

/// Where a device's commands go.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) profile: Arc<Profile>,
    pub(crate) line: mpsc::Sender<Order>,
}

pub(crate) struct Dispatcher {
    pub(crate) agent: AgentId,
    pub(crate) instance: InstanceId,
    pub(crate) clock: InstanceClock,
    pub(crate) store: Store,
    pub(crate) routes: BTreeMap<DeviceId, Route>,
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
    pub(crate) acknowledgements: mpsc::Sender<Acknowledgement>,
}

impl Dispatcher {
    /// Runs until the uplink is gone.
    pub(crate) async fn run(mut self) {
        while let Some(delivery) = self.deliveries.recv().await {
            let Delivery { session, ack, body } = delivery;
            let new = match serde_json::from_slice::<Command>(&body) {
                Ok(command) => match self.journal(&command).await {
                    Ok(Received::New) => Some(command),
                    Ok(Received::Known) => None,
                    Err(error) => {
                        // Without ACK the server knows that it did not arrive.
                        error!(command.id = %command.id, %error, "a command was not taken");
                        continue;
                    }
                },
                Err(error) => {
                    error!(%error, "a command cannot be read");
                    None
                }
            };
            let acknowledgement = Acknowledgement { session, ack };
            if self.acknowledgements.send(acknowledgement).await.is_err() {
                return;
            }
            if let Some(command) = new {
                self.route(command).await;
            }
        }
    }

    fn result(&self, command: &Command, outcome: Outcome) -> CommandResult {
        CommandResult {
            agent: self.agent.clone(),
            command: command.id,
            device: command.device.clone(),
            state: outcome.state,
            reason: outcome.reason,
            at: Moment::now().wall,
        }
    }

    async fn journal(&self, command: &Command) -> Result<Received, crate::store::StoreError> {
        let delivered = self.result(command, Outcome::plain(CommandState::Delivered));
        self.store.receive_command(command.clone(), delivered).await
    }

    async fn route(&self, command: Command) {
        if let Err(outcome) = self.try_route(command.clone()) {
            let result = self.result(&command, outcome);
            if let Err(error) = self.store.finish_command(result).await {
                warn!(command.id = %command.id, %error, "a refusal was not stored");
            }
        }
    }

    fn try_route(&self, command: Command) -> Result<(), Outcome> {
        let route = self.routes.get(&command.device).ok_or_else(|| {
            let detail = format!("{} serves no device {}", self.agent, command.device);
            Outcome::rejected(ReasonCode::NotSupported, detail)
        })?;
        let order = check(
            command,
            &route.profile,
            self.instance,
            &self.clock,
            Instant::now(),
        )?;
        route.line.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => {
                Outcome::rejected(ReasonCode::Busy, "too many commands wait for its line")
            }
            TrySendError::Closed(_) => {
                Outcome::rejected(ReasonCode::CommLost, "the agent is stopping")
            }
        })
    }
}
