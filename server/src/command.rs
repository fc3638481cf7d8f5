//! Commands: what people and programs want done, and what became of it. [`lifecycle`] is the machine, `dispatcher`
//! the task that stores, sends and follows them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::SessionId;
use contract::command::{CommandRequest, CommandResult, CommandView};
use contract::{AgentId, DeviceId, InstanceId};
use tokio::sync::{mpsc, oneshot};

mod check;
pub(crate) mod dispatcher;
pub mod lifecycle;

use crate::alarm::Actor;
use crate::listener::rate::{Buckets, Rate};
use crate::mailbox::Mailbox;
use crate::store::StoreError;

/// Requests that wait. When it is full, whoever asks waits; nothing is dropped.
const QUEUE: usize = 256;

/// Commands of one principal, whichever way they come: 600, and ten a second. Whoever opens every barrier of the largest site
/// at once gets through; a program that runs wild fills neither the records nor the agents' lines.
const PACE: Rate = Rate {
    burst: 600,
    every: Duration::from_millis(100),
};

/// Why a command was not even stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// No such device, or not for these eyes.
    #[error("there is no device {0} that you may see")]
    NoSuchDevice(DeviceId),
    /// Announced, and not approved.
    #[error("the device {0} is not registered: an administrator must approve it first")]
    Unregistered(DeviceId),
    /// The profile has no such command.
    #[error("the device {device} takes no command {name:?}")]
    NotSupported {
        /// Which device.
        device: DeviceId,
        /// What was asked.
        name: String,
    },
    /// A parameter is unknown or out of range.
    #[error("{0}")]
    BadParameter(String),
    /// Not in this zone, or not with this role.
    #[error("you may not give the command {name:?} in the zone {zone}")]
    Forbidden {
        /// What was asked.
        name: String,
        /// Where.
        zone: contract::ZoneId,
    },
    /// A person who has not shown their second factor, or too long ago.
    #[error("the command {0:?} needs your second factor: show it, then give the command again")]
    SecondFactorNeeded(String),
    /// The key was used for another command.
    #[error("the key {0} belongs to another command that you gave: use a new one")]
    KeyReused(uuid::Uuid),
    /// More than [`PACE`] allows.
    #[error("you gave too many commands: the next one is taken in {} s", .0.as_secs() + 1)]
    TooMany(Duration),
    /// It could not be stored, so it does not exist.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A sign of life of an agent, with its clock.
#[derive(Debug, Clone)]
pub(crate) struct AgentLink {
    pub(crate) agent: AgentId,
    pub(crate) session: SessionId,
    pub(crate) instance: InstanceId,
    /// The agent's monotonic clock, in milliseconds, when it said so.
    pub(crate) monotonic_ms: u64,
    /// Our own clock when it arrived: later than the agent said it, so that deadlines made from the pair err early.
    pub(crate) heard: Instant,
}

pub(crate) enum Request {
    AgentJoined(AgentLink),
    AgentHeard(AgentLink),
    SessionEnded(SessionId),
    Submit {
        device: DeviceId,
        request: CommandRequest,
        actor: Box<Actor>,
        /// When it was asked for: its time to live runs from here, however long the database takes.
        received: Instant,
        reply: oneshot::Sender<Result<CommandView, CommandError>>,
    },
    Result {
        result: CommandResult,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
}

/// The dispatcher's public face.
#[derive(Debug, Clone)]
pub(crate) struct CommandHandle {
    mailbox: Mailbox<Request>,
    paces: Arc<Mutex<Buckets<String>>>,
}

impl CommandHandle {
    /// A handle, and the queue that the dispatcher works on.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (mailbox, queue) = Mailbox::new(QUEUE);
        let paces = Arc::new(Mutex::new(Buckets::new(PACE)));
        (Self { mailbox, paces }, queue)
    }

    /// An agent announced its devices: commands for them go to this session from now on.
    pub(crate) async fn agent_joined(&self, link: AgentLink) {
        self.mailbox.tell(Request::AgentJoined(link)).await;
    }

    /// An agent told its clock again.
    pub(crate) async fn agent_heard(&self, link: AgentLink) {
        self.mailbox.tell(Request::AgentHeard(link)).await;
    }

    /// A session ended, for whatever reason. Never waits: it is called where nothing can.
    pub(crate) fn session_ended(&self, session: SessionId) {
        let mailbox = self.mailbox.clone();
        tokio::spawn(async move { mailbox.tell(Request::SessionEnded(session)).await });
    }

    /// Stores a command and sends it. `Ok` means that it is stored; its state says how far it came.
    pub(crate) async fn submit(
        &self,
        device: DeviceId,
        request: CommandRequest,
        actor: Actor,
    ) -> Result<CommandView, CommandError> {
        let received = Instant::now();
        let taken = {
            let mut paces = self.paces.lock().expect("nothing panics while it is held");
            paces.take(actor.principal.subject.clone(), received)
        };
        taken.map_err(CommandError::TooMany)?;
        self.mailbox
            .ask(|reply| Request::Submit {
                device,
                request,
                actor: Box::new(actor),
                received,
                reply,
            })
            .await
    }

    /// An agent reports. `Ok` means that it is stored.
    pub(crate) async fn result(&self, result: CommandResult) -> Result<(), StoreError> {
        self.mailbox
            .ask(|reply| Request::Result { result, reply })
            .await
    }
}
