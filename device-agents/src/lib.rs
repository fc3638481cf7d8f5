//! From the equipment to the broker and back.
//!
//! ```text
//! readings  device → driver → point → device → line → report → uplink → [STOMP] → server
//! faults    device → fault → line → store (outbox) → uplink → [STOMP, RECEIPT] → server
//! commands  server → [STOMP] → uplink → dispatch → store (journal) → line/execute → driver → device
//!           what is read back → command → store → uplink → [STOMP, RECEIPT] → server
//! ```
//!
//! | task | owns |
//! |---|---|
//! | one for each line (`line`) | the connection, its devices' state, their schedule |
//! | `dispatch` | the way of a command from the session to its line |
//! | `uplink` | the session with the server, the newest readings |
//! | one thread (`store`) | the file that survives |
//!
//! Pure, with `now` passed in: `point`, `fault`, `device`, `poll`, `command`, `report`, `uplink::session`, and what
//! `profile` makes of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use contract::heartbeat::LineState;
use contract::{DeviceId, FaultCode, InstanceId, LineId};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

pub mod backoff;
pub mod clock;
pub mod command;
pub mod config;
pub mod device;
mod dispatch;
pub mod driver;
pub mod fault;
mod line;
mod lives;
pub mod point;
pub mod poll;
pub mod profile;
pub mod reading;
pub mod report;
pub mod site;
pub mod store;
pub mod tls;
mod uplink;

pub use config::{AgentConfig, ConfigError, SECRET_VARIABLE};
pub use uplink::token::Credentials;

use clock::{InstanceClock, Moment};
use command::Order;
use dispatch::{Dispatcher, Route};
use line::LineContext;
use lives::Lives;
use site::Site;
use store::{OpenError, Store, StoreError};
use tls::TlsFiles;
use uplink::{Announcement, Uplink};

/// Commands that may wait for their line: a line does one thing at a time, and what waits longer expires anyway. When
/// it is full, the command is refused as busy.
const LINE_COMMANDS: usize = 16;

/// Reports of lines on their way to the uplink. When it is full, news wait in each device's state, newest over older.
const REPORTS: usize = 256;

/// Commands on their way to the journal. When it is full, the command is refused with NACK.
const DELIVERIES: usize = 64;

/// ACKs on their way to the session. When it is full, the dispatcher waits.
const ACKNOWLEDGEMENTS: usize = 64;

/// Why an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store died under way.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server refused the first request for a token: one sentence on what to do. Asking again would not help.
    #[error("{0}")]
    Refused(String),
    /// A task that everything depends on died. The service manager starts the agent again.
    #[error("the {task} task died: {source}")]
    Died {
        /// Which.
        task: &'static str,
        /// Its panic.
        #[source]
        source: JoinError,
    },
}

/// A configuration that was read whole and is right.
#[derive(Debug, Clone)]
pub struct Agent {
    config: AgentConfig,
    site: Site,
}

impl Agent {
    /// Reads the configuration file, and the profiles and the site file that it names.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(config: &Path) -> Result<Self, ConfigError> {
        let config = AgentConfig::load(config)?;
        let profiles = profile::load_dir(&config.profiles)?;
        let site = Site::load(&config.site, &profiles)?;
        Ok(Self { config, site })
    }

    /// One sentence on what the agent would do.
    pub fn summary(&self) -> String {
        let devices = self.site.devices().count();
        let lines = self.site.lines.len();
        let types: BTreeSet<_> = self
            .site
            .devices()
            .map(|(_, device)| device.profile.id.as_str())
            .collect();
        format!(
            "{} serves {devices} device(s) on {lines} line(s), of type {}, for {}",
            self.config.id,
            Vec::from_iter(types).join(", "),
            self.config.server.stomp_url
        )
    }

    /// Who it is.
    pub fn id(&self) -> &contract::AgentId {
        &self.config.id
    }

    /// Runs until `shutdown` is cancelled.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn run(self, secret: String, shutdown: CancellationToken) -> Result<(), AgentError> {
        let store = Store::open(&self.config.data)?;
        let instance = InstanceId(Uuid::new_v4());
        let clock = InstanceClock::new(Instant::now());
        let known = self.known_faults();
        let cleared = store
            .clear_unknown_faults(known.clone(), Moment::now().wall)
            .await;
        let known_faults = match cleared {
            Ok(()) => None,
            // Only a session makes room, so the agent must not wait for room before it has one.
            Err(StoreError::Full) => Some(known),
            Err(error) => return Err(error.into()),
        };
        let (readings, reports) = mpsc::channel(REPORTS);
        let (deliveries, delivered) = mpsc::channel(DELIVERIES);
        let (acknowledgements, acknowledged) = mpsc::channel(ACKNOWLEDGEMENTS);

        let mut contexts = Vec::new();
        let mut healths: Vec<(LineId, watch::Receiver<LineState>)> = Vec::new();
        let mut routes = BTreeMap::new();
        for line in self.site.lines.iter().cloned().map(Arc::new) {
            let (commands, ordered) = mpsc::channel::<Order>(LINE_COMMANDS);
            let (health, watched) = watch::channel(LineState::Down);
            healths.push((line.id.clone(), watched));
            for device in &line.devices {
                let route = Route {
                    profile: Arc::clone(&device.profile),
                    line: commands.clone(),
                };
                routes.insert(device.id.clone(), route);
            }
            contexts.push(LineContext {
                line,
                agent: self.config.id.clone(),
                store: store.clone(),
                readings: readings.clone(),
                commands: Arc::new(Mutex::new(ordered)),
                health,
                shutdown: shutdown.clone(),
            });
        }
        let (profiles, devices) = self.site.announced();
        let dispatcher = Dispatcher {
            agent: self.config.id.clone(),
            instance,
            clock,
            store: store.clone(),
            routes,
            deliveries: delivered,
            acknowledgements,
        };
        let uplink = Uplink {
            server: self.config.server.clone(),
            credentials: Credentials {
                agent: self.config.id.clone(),
                secret,
            },
            announcement: Announcement {
                agent: self.config.id.clone(),
                instance,
                clock,
                profiles,
                devices,
            },
            store,
            known_faults,
            lines: healths,
            readings: reports,
            deliveries,
            acknowledgements: acknowledged,
            shutdown,
        };
        drop(readings);
        info!(agent.id = %self.config.id, %instance, "{}", self.summary());
        if let Some(key) = self.config.server.tls.as_ref().and_then(TlsFiles::open_key) {
            warn!(key = %key.display(), "everybody on this machine may read the key: take that right away");
        }
        supervise(contexts, dispatcher, uplink).await
    }

    fn known_faults(&self) -> BTreeSet<(DeviceId, FaultCode)> {
        self.site
            .devices()
            .flat_map(|(_, device)| {
                let codes = device.profile.faults.iter().map(|rule| rule.code.clone());
                codes
                    .chain([FaultCode::contact_lost()])
                    .map(|code| (device.id.clone(), code))
            })
            .collect()
    }
}

/// A line whose task dies gets another one after a pause, and the others go on; uplink and dispatcher serve all.
async fn supervise(
    contexts: Vec<LineContext>,
    dispatcher: Dispatcher,
    uplink: Uplink,
) -> Result<(), AgentError> {
    let mut server_side = JoinSet::new();
    server_side.spawn(async move {
        dispatcher.run().await;
        Ok(())
    });
    server_side.spawn(uplink.run());
    let mut lines = Lives::start(contexts, line::run);
    loop {
        tokio::select! {
            ended = server_side.join_next() => match ended {
                Some(Ok(result)) => result?,
                Some(Err(source)) => return Err(AgentError::Died { task: "server-side", source }),
                // Uplink and dispatcher have ended; so do the lines, each after its exchange.
                None => {
                    while let Some(result) = lines.next_end(line::run).await {
                        result?;
                    }
                    return Ok(());
                }
            },
            Some(result) = lines.next_end(line::run) => result?,
        }
    }
}
