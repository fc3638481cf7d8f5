//! What everything else stands on: the tasks that own state, and the handles to them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ::sockjs::SockJs;
use anyhow::Context;
use broker::{BrokerConfig, Publisher};
use chrono::{DateTime, FixedOffset, Utc};
use contract::AgentId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::alarm::AlarmHandle;
use crate::alarm::engine::Engine;
use crate::announce::Announcer;
use crate::audit::journal::Journal;
use crate::command::CommandHandle;
use crate::command::dispatcher::Dispatcher;
use crate::config::IdentityConfig;
use crate::gateway::{Desk, Doorkeeper};
use crate::identity::authenticator::Authenticator;
use crate::identity::call_back;
use crate::identity::certificates::Certificates;
use crate::identity::external::Visitors;
use crate::identity::files::{FileWatch, Files};
use crate::identity::in_force::{Enact, InForce};
use crate::identity::key_file::KeyFile;
use crate::identity::passcode::Passcodes;
use crate::identity::record::Record;
use crate::identity::rotation;
use crate::identity::secret::Secrets;
use crate::identity::standing::Standing;
use crate::identity::token::{TokenSettings, Tokens};
use crate::keeper::SiteKeeper;
use crate::live::{Live, LiveHandle};
use crate::observability::Observed;
use crate::site::Site;
use crate::store::{Store, StoreError};
use crate::tasks::Tasks;
use crate::{http, observability};

async fn read_site(store: &Store) -> Result<Site, StoreError> {
    Store::site(&mut store.begin().await?).await
}

/// What everything else stands on: the tasks that own state, and the handles to them.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) policy: InForce,
    pub(crate) keeper: Arc<SiteKeeper>,
    pub(crate) live: LiveHandle,
    pub(crate) alarms: AlarmHandle,
    pub(crate) commands: CommandHandle,
    pub(crate) publisher: Publisher,
    pub(crate) authenticator: Authenticator,
    pub(crate) client_secrets: Secrets,
    pub(crate) record: Arc<Record>,
}

/// What the core is made of.
pub(crate) struct Given {
    pub(crate) store: Store,
    pub(crate) policy: InForce,
    pub(crate) journal: Journal,
    /// How long number plates are kept.
    pub(crate) personal_kept: Duration,
    pub(crate) offset: FixedOffset,
    pub(crate) broker: BrokerConfig,
    pub(crate) tokens: TokenSettings,
    /// Who else says who somebody is.
    pub(crate) external: Option<Visitors>,
    pub(crate) record: Arc<Record>,
}

/// What is followed while the server runs.
pub(crate) struct Followed {
    pub(crate) files: Files,
    /// Where a new policy is put.
    pub(crate) in_force: Enact,
    pub(crate) sealing: Arc<KeyFile>,
    pub(crate) key_age: Duration,
    pub(crate) passcodes: Option<Arc<Passcodes>>,
}

impl Core {
    /// Takes up where the records end, and starts the tasks.
    pub(crate) async fn load(given: Given, tasks: &mut Tasks) -> anyhow::Result<Self> {
        let Given {
            store,
            policy,
            journal,
            personal_kept,
            offset,
            broker,
            tokens,
            external,
            record,
        } = given;
        let tokens = Tokens::open(&store, tokens)
            .await
            .context("cannot open the signing keys")?;
        let (site, seen) = watch::channel(Arc::new(
            read_site(&store).await.context("cannot read the site")?,
        ));
        let publisher = Publisher::new(broker);
        let standing = Standing::open(&store)
            .await
            .context("cannot read what was called back")?;
        let authenticator = Authenticator {
            external,
            tokens: Arc::new(tokens),
            standing: Arc::new(standing),
            publisher: publisher.clone(),
        };
        let announcer = Announcer::new(publisher.clone(), offset);

        let (live_task, live) = Live::new(seen.clone(), announcer.clone(), personal_kept);
        tasks.spawn("live state", live_task.run());
        let (alarms, desk) = AlarmHandle::new();
        let engine = Engine::load(
            store.clone(),
            policy.clone(),
            seen.clone(),
            live.clone(),
            announcer.clone(),
            desk.shown,
        )
        .await
        .context("cannot load the open alarms")?;
        tasks.spawn("the alarm engine", engine.run(desk.requests));
        let (commands, queues) = CommandHandle::new(seen.clone());
        let dispatcher = Dispatcher::load(
            store.clone(),
            policy.clone(),
            journal,
            seen,
            publisher.clone(),
            announcer.clone(),
            queues,
        )
        .await
        .context("cannot load the open commands")?;
        tasks.spawn("the command dispatcher", dispatcher.run());
        let keeper = SiteKeeper::new(
            store.clone(),
            site,
            alarms.clone(),
            announcer,
            publisher.clone(),
        );
        Ok(Self {
            record,
            store,
            policy,
            keeper: Arc::new(keeper),
            live,
            alarms,
            commands,
            publisher,
            authenticator,
            client_secrets: Secrets::default(),
        })
    }

    pub(crate) fn broker(
        &self,
        approved_agents: HashSet<AgentId>,
        certificates: Certificates,
        passcodes: Option<Arc<Passcodes>>,
        identity: IdentityConfig,
        shutdown: CancellationToken,
    ) -> http::Broker {
        let doorkeeper = Doorkeeper {
            authenticator: self.authenticator.clone(),
            policy: self.policy.clone(),
            site: self.keeper.subscribe(),
            certificates,
            passcodes,
        };
        let desk = Desk {
            store: self.store.clone(),
            policy: self.policy.clone(),
            keeper: Arc::clone(&self.keeper),
            live: self.live.clone(),
            alarms: self.alarms.clone(),
            commands: self.commands.clone(),
            approved_agents,
            identity,
            record: Arc::clone(&self.record),
            arrivals: AtomicU64::new(0),
        };
        http::Broker::new(self.publisher.clone(), doorkeeper, desk, shutdown)
    }

    /// Follows what others change until the word to stop: policy and access file, signing keys, what was called back, and the
    /// programs that came in by a passcode.
    pub(crate) fn follow(&self, followed: Followed, tasks: &mut Tasks) {
        let (authenticator, store) = (&self.authenticator, &self.store);
        let Followed {
            files,
            in_force,
            sealing,
            key_age,
            passcodes,
        } = followed;
        let watch = FileWatch::new(files, store.clone(), authenticator.clone(), in_force);
        let keys = rotation::follow(
            authenticator.clone(),
            store.clone(),
            sealing,
            key_age,
            tasks.shutdown(),
        );
        let called_back = call_back::follow(authenticator.clone(), store.clone(), tasks.shutdown());
        let stop = tasks.shutdown();
        tasks.spawn("the watch on policy and access file", watch.run(stop));
        tasks.spawn("the signing keys", keys);
        tasks.spawn("what others call back", called_back);
        if let Some(passcodes) = passcodes {
            let stop = tasks.shutdown();
            tasks.spawn("passcodes", async move { passcodes.follow(stop).await });
        }
    }

    /// Where a login and a passcode are enough.
    pub(crate) fn passcodes(&self) -> Arc<Passcodes> {
        let (authenticator, store) = (self.authenticator.clone(), self.store.clone());
        let record = Arc::clone(&self.record);
        Arc::new(Passcodes::new(authenticator, store, record))
    }

    pub(crate) fn metrics(
        &self,
        sockjs: SockJs,
        audit_broken: watch::Receiver<bool>,
        certificate_expires: Option<watch::Receiver<DateTime<Utc>>>,
    ) -> axum::Router {
        observability::router(Observed {
            separation: self.store.separation(),
            live: self.live.clone(),
            alarms: self.alarms.clone(),
            publisher: self.publisher.clone(),
            sockjs,
            audit_broken,
            certificate_expires,
        })
    }

    pub(crate) fn app(
        self,
        roads: http::Roads,
        throttle: http::Throttle,
        offset: FixedOffset,
        entrance: http::Entrance,
    ) -> http::App {
        http::App {
            store: self.store,
            policy: self.policy,
            keeper: self.keeper,
            live: self.live,
            alarms: self.alarms,
            commands: self.commands,
            publisher: self.publisher,
            authenticator: self.authenticator,
            entrance,
            client_secrets: self.client_secrets,
            record: self.record,
            roads,
            throttle,
            offset,
        }
    }
}
