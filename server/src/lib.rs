//! The Landside server: transports, identity, ingest, live state, alarms, commands, store, pages, API.
//!
//! ```text
//! agents, machines ─▶ gateway ─┬─▶ live ──────────────┐
//!  (STOMP: WebSocket, TCP)     ├─▶ alarm ─▶ store     ├─▶ announce ─▶ broker ─▶ pages, programs
//!                              └─▶ command ─▶ store ──┘
//! people, programs ─▶ http ─────▶ alarm, command, live, store
//! ```
//!
//! | module | |
//! |---|---|
//! | [`config`] | what the server is told |
//! | [`identity`] | passwords, tokens, and the policy that decides who may do what |
//! | [`site`] | zones, devices, profiles as they were announced |
//! | `gateway` | what every transport ends in: the broker's guard and handler |
//! | `live` | newest readings, their age, each device's condition |
//! | [`alarm`] | the alarm machine, and the task that owns all alarms |
//! | [`command`] | the command machine, and the task that sends and follows them |
//! | `announce` | what programs and pages are told |
//! | `mailbox` | how others talk to a task that owns its state |
//! | [`store`] | Postgres; the only place with SQL |
//! | `http` | routes, pages, API |

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use broker::{BrokerConfig, Publisher};
use chrono::FixedOffset;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub mod alarm;
mod announce;
pub mod command;
pub mod config;
mod gateway;
mod http;
pub mod identity;
mod live;
mod mailbox;
pub mod site;
pub mod store;

use alarm::AlarmHandle;
use alarm::engine::Engine;
use announce::Announcer;
use command::CommandHandle;
use command::dispatcher::Dispatcher;
use config::Config;
use gateway::{Desk, Doorkeeper};
use identity::password::Passwords;
use identity::token::Tokens;
use live::Live;
use store::Store;

/// Sockets that are bound already, so that a busy port is told before anything starts and tests know their ports.
#[derive(Debug)]
pub struct Listeners {
    /// Pages, API, WebSocket.
    pub http: TcpListener,
    /// STOMP over TCP.
    pub stomp: TcpListener,
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    http: SocketAddr,
    stomp: SocketAddr,
    shutdown: CancellationToken,
    tasks: JoinSet<&'static str>,
}

impl Server {
    /// Starts everything on these sockets and this store.
    ///
    /// # Errors
    /// When the store does not answer or holds what this version cannot read.
    pub async fn start(config: Config, listeners: Listeners, store: Store) -> anyhow::Result<Self> {
        config
            .access
            .apply(&store)
            .await
            .context("cannot apply the access file")?;
        store
            .put_zones(&config.zones)
            .await
            .context("cannot store the zones")?;
        let tokens = Arc::new(
            Tokens::open(&store)
                .await
                .context("cannot open the signing key")?,
        );
        let (site, site_seen) = watch::channel(Arc::new(
            store.site().await.context("cannot read the site")?,
        ));
        let site = Arc::new(site);
        let offset = FixedOffset::east_opt(config.utc_offset_seconds)
            .context("the time zone was checked")?;

        let publisher = Publisher::new(BrokerConfig::default());
        let announcer = Announcer::new(publisher.clone(), offset);
        let (live_task, live) = Live::new(site_seen.clone(), announcer.clone());
        let (alarms, alarm_requests) = AlarmHandle::new();
        let (commands, command_requests) = CommandHandle::new();

        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            live_task.run().await;
            "live state"
        });
        let engine = Engine::load(
            store.clone(),
            site_seen.clone(),
            live.clone(),
            announcer.clone(),
        )
        .await
        .context("cannot load the open alarms")?;
        tasks.spawn(async move {
            engine.run(alarm_requests).await;
            "the alarm engine"
        });
        let dispatcher = Dispatcher::load(
            store.clone(),
            site_seen.clone(),
            publisher.clone(),
            announcer.clone(),
        )
        .await
        .context("cannot load the open commands")?;
        tasks.spawn(async move {
            dispatcher.run(command_requests).await;
            "the command dispatcher"
        });

        let shutdown = CancellationToken::new();
        let desk = Desk {
            store: store.clone(),
            site: Arc::clone(&site),
            live: live.clone(),
            alarms: alarms.clone(),
            commands: commands.clone(),
            announcer: announcer.clone(),
            approved_agents: config.approved_agents,
        };
        let doorkeeper = Doorkeeper {
            tokens: Arc::clone(&tokens),
            site: site_seen,
        };
        let broker = http::Broker::new(publisher.clone(), doorkeeper, desk, shutdown.clone());
        let (http, stomp) = (listeners.http.local_addr()?, listeners.stomp.local_addr()?);
        let app = http::App {
            store,
            site,
            live,
            alarms,
            commands,
            publisher,
            announcer,
            tokens,
            passwords: Passwords::new(),
            broker: broker.clone(),
            offset,
            secure_cookies: !http.ip().is_loopback(),
        };
        tasks.spawn(async move {
            broker.listen_tcp(listeners.stomp).await;
            "STOMP over TCP"
        });
        let stop = shutdown.clone();
        let service = http::router(app).into_make_service_with_connect_info::<SocketAddr>();
        tasks.spawn(async move {
            let served = axum::serve(listeners.http, service)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "HTTP ended");
            }
            "HTTP"
        });
        tracing::info!(%http, %stomp, "the server runs");
        Ok(Self {
            http,
            stomp,
            shutdown,
            tasks,
        })
    }

    /// Where pages, API and WebSocket are served.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where STOMP over TCP is served.
    pub fn stomp(&self) -> SocketAddr {
        self.stomp
    }

    /// Waits for a part of the server that ended without being asked to: its name. Cancel-safe.
    pub async fn failed(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "everything".to_owned(),
        }
    }

    /// Stops taking connections, ends every session with a word why, and waits until all is done.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the server did not end well");
            }
        }
    }
}
