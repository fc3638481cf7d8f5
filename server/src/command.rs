//! Commands: what people and programs want done, and what became of it. [`lifecycle`] is the machine, `dispatcher`
//! the task that stores, sends and follows them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::SessionId;
use contract::command::{CommandRequest, CommandResult, CommandView, Risk};
use contract::{AgentId, DeviceId, InstanceId};
use tokio::sync::{mpsc, oneshot, watch};

mod check;
pub(crate) mod dispatcher;
pub mod lifecycle;
mod record;
mod refusals;
mod rest;

pub(crate) use refusals::refused_detail;

use crate::alarm::Actor;
use crate::listener::rate::{Buckets, Rate};
use crate::mailbox::Mailbox;
use crate::site::Site;
use crate::store::StoreError;

/// Requests that wait, in each of the two queues. When one is full, whoever asks waits; nothing is dropped.
const QUEUE: usize = 256;

/// What is no emergency waits no longer than this for the database: no command is good for longer in any profile that we
/// know. An agent whose report cannot be taken is told so no sooner: it loses its session by that, and while it has none,
/// nobody can send it an emergency.
const PATIENCE: Duration = Duration::from_secs(5);

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
    Submit(Box<Submission>),
    Result {
        result: CommandResult,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
}

/// A command that somebody gives.
pub(crate) struct Submission {
    device: DeviceId,
    request: CommandRequest,
    actor: Actor,
    /// When it was asked for: its time to live runs from here, however long the database takes.
    received: Instant,
    reply: oneshot::Sender<Result<CommandView, CommandError>>,
}

/// What the dispatcher works on.
#[derive(Debug)]
pub(crate) struct Queues {
    /// Emergencies, and what is done at once: where agents are, and how their clocks stand. It comes before the other, also
    /// while what is in that waits for the database.
    urgent: mpsc::Receiver<Request>,
    others: mpsc::Receiver<Request>,
}

/// The dispatcher's public face.
#[derive(Debug, Clone)]
pub(crate) struct CommandHandle {
    urgent: Mailbox<Request>,
    others: Mailbox<Request>,
    site: watch::Receiver<Arc<Site>>,
    paces: Arc<Mutex<Buckets<String>>>,
}

impl CommandHandle {
    /// A handle, and the queues that the dispatcher works on.
    pub(crate) fn new(site: watch::Receiver<Arc<Site>>) -> (Self, Queues) {
        let (urgent, first) = Mailbox::new(QUEUE);
        let (others, second) = Mailbox::new(QUEUE);
        let handle = Self {
            urgent,
            others,
            site,
            paces: Arc::new(Mutex::new(Buckets::new(PACE))),
        };
        let queues = Queues {
            urgent: first,
            others: second,
        };
        (handle, queues)
    }

    /// An agent announced its devices: commands for them go to this session from now on.
    pub(crate) async fn agent_joined(&self, link: AgentLink) {
        self.urgent.tell(Request::AgentJoined(link)).await;
    }

    /// An agent told its clock again.
    pub(crate) async fn agent_heard(&self, link: AgentLink) {
        self.urgent.tell(Request::AgentHeard(link)).await;
    }

    /// A session ended, for whatever reason. Never waits: it is called where nothing can.
    pub(crate) fn session_ended(&self, session: SessionId) {
        let mailbox = self.urgent.clone();
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
        let mailbox = if self.is_emergency(&device, &request.name) {
            &self.urgent
        } else {
            &self.others
        };
        let submission = |reply| Submission {
            device,
            request,
            actor,
            received,
            reply,
        };
        mailbox
            .ask(|reply| Request::Submit(Box::new(submission(reply))))
            .await
    }

    /// By name only: whether somebody may give it is the dispatcher's to decide.
    fn is_emergency(&self, device: &DeviceId, name: &str) -> bool {
        let site = self.site.borrow();
        let kind = site
            .device(device)
            .and_then(|device| device.command_type(name));
        kind.is_some_and(|kind| kind.risk == Risk::Emergency)
    }

    /// An agent reports. `Ok` means that it is stored.
    pub(crate) async fn result(&self, result: CommandResult) -> Result<(), StoreError> {
        let asked = Instant::now();
        let told = self
            .others
            .ask(|reply| Request::Result { result, reply })
            .await;
        if told.as_ref().is_err_and(StoreError::is_away) {
            tokio::time::sleep(PATIENCE.saturating_sub(asked.elapsed())).await;
        }
        told
    }
}
