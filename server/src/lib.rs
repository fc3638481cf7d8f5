//! The Landside server: transports, identity, ingest, live state, alarms, commands, store, pages, API.
//!
//! ```text
//! agents, machines ─▶ gateway ─┬─▶ live ──────────────┐
//!  (STOMP, Socket.IO)          ├─▶ alarm ─▶ store     ├─▶ announce ─▶ broker ─▶ pages, programs
//!                              └─▶ command ─▶ store ──┘
//! people, programs ─▶ http ─────▶ alarm, command, live, store
//! ```
//!
//! | module | |
//! |---|---|
//! | [`config`] | what the server is told |
//! | [`identity`] | passwords, tokens, an external provider, and the policy that decides who may do what |
//! | [`site`] | zones, devices, profiles as they were announced |
//! | `gateway` | what every transport ends in: the broker's guard and handler |
//! | `keeper` | the one way in which the site changes |
//! | `live` | newest readings, their age, each device's condition |
//! | [`alarm`] | the alarm machine, and the task that owns all alarms |
//! | [`command`] | the command machine, and the task that sends and follows them |
//! | `announce` | what programs and pages are told |
//! | `observability` | every metric |
//! | `mailbox` | how others talk to a task that owns its state |
//! | [`store`] | Postgres; the only place with SQL |
//! | `transport` | roads to the broker that it does not build itself: SockJS, Socket.IO |
//! | `wire` | reading what others send |
//! | `http` | routes, pages, API |

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use axum::serve::ListenerExt;
use broker::{BrokerConfig, KeepAlive, Publisher};
use chrono::FixedOffset;
use contract::AgentId;
use stomp::ServerConfig;
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
mod keeper;
mod live;
mod mailbox;
mod observability;
pub mod site;
pub mod store;
mod transport;
mod wire;

use ::sockjs::SockJs;
use alarm::AlarmHandle;
use alarm::engine::Engine;
use announce::Announcer;
use command::CommandHandle;
use command::dispatcher::Dispatcher;
use config::{Config, ProviderConfig};
use gateway::{Desk, Doorkeeper};
use identity::authenticator::Authenticator;
use identity::external::Visitors;
use identity::password::Passwords;
use identity::provider::Provider;
use identity::standing::Standing;
use identity::token::Tokens;
use keeper::SiteKeeper;
use live::{Live, LiveHandle};
use observability::Observed;
use site::Site;
use store::{Store, StoreError};

/// Sockets that are bound already, so that a busy port is told before anything starts and tests know their ports.
#[derive(Debug)]
pub struct Listeners {
    /// Pages, API, WebSocket.
    pub http: TcpListener,
    /// STOMP over TCP.
    pub stomp: TcpListener,
    /// Metrics.
    pub metrics: TcpListener,
}

/// Where a server is served.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Pages, API, WebSocket.
    pub http: SocketAddr,
    /// STOMP over TCP.
    pub stomp: SocketAddr,
    /// Metrics.
    pub metrics: SocketAddr,
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    shutdown: CancellationToken,
    tasks: Tasks,
}

/// Every task of the server; each gives its name when it ends.
type Tasks = JoinSet<&'static str>;

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
        let mut tasks = Tasks::new();
        let shutdown = CancellationToken::new();
        let offset = FixedOffset::east_opt(config.utc_offset_seconds)
            .context("the time zone was checked")?;
        let core = Core::load(store, offset, config.proxies, config.provider, &mut tasks).await?;
        let addresses = Addresses {
            http: listeners.http.local_addr()?,
            stomp: listeners.stomp.local_addr()?,
            metrics: listeners.metrics.local_addr()?,
        };
        let broker = core.broker(config.approved_agents, shutdown.clone());
        let sockjs = transport::sockjs::service(
            broker.clone(),
            transport::sockjs::Settings {
                origins: config.origins.clone(),
                login_cookie: http::LOGIN_COOKIE,
                client_url: web_ui::sockjs_client().url.clone(),
            },
        );
        let metrics = core.metrics(sockjs.clone());
        let roads = http::Roads {
            broker: broker.clone(),
            sockjs: sockjs.clone(),
            origins: config.origins,
        };
        let pages = http::router(core.app(roads, offset, config.secure_cookies));
        tasks.spawn(async move {
            broker.listen_tcp(listeners.stomp).await;
            // Those that came through HTTP are told of the end as well.
            broker.ended().await;
            sockjs.ended().await;
            "STOMP"
        });
        tasks.spawn(serve(listeners.http, pages, shutdown.clone(), "HTTP"));
        tasks.spawn(serve(
            listeners.metrics,
            metrics,
            shutdown.clone(),
            "metrics",
        ));
        tracing::info!(http = %addresses.http, stomp = %addresses.stomp, metrics = %addresses.metrics, "the server runs");
        Ok(Self {
            addresses,
            shutdown,
            tasks,
        })
    }

    /// Where it is served.
    pub fn addresses(&self) -> Addresses {
        self.addresses
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

async fn read_site(store: &Store) -> Result<Site, StoreError> {
    Store::site(&mut store.begin().await?).await
}

/// After the word to stop, requests under way get this long; one that never ends must not hold up the stop.
const REQUEST_GRACE: Duration = Duration::from_secs(3);

async fn serve(
    listener: TcpListener,
    routes: axum::Router,
    shutdown: CancellationToken,
    name: &'static str,
) -> &'static str {
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| broker::tcp::set_up(stream, KeepAlive::default()));
    let served =
        axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(REQUEST_GRACE).await;
    };
    tokio::select! {
        served = served.into_future() => if let Err(error) = served {
            tracing::error!(%error, name, "a listener ended");
        },
        () = late => tracing::info!(name, "some requests did not end in time and were cut off"),
    }
    name
}

/// A page that hears nothing for three of these says that the connection is lost: whoever looks at it must not take what
/// it shows for live. Clients that ask for less get less.
const HEART_BEAT: Duration = Duration::from_secs(2);

/// The broker's own bounds are made for this: a site has some hundred agents and pages, and its agents are let in
/// whatever the pages do.
fn broker_config(proxies: Vec<IpAddr>) -> BrokerConfig {
    let stomp = ServerConfig {
        server: concat!("landside/", env!("CARGO_PKG_VERSION")).to_owned(),
        heart_beat_send: HEART_BEAT,
        ..ServerConfig::default()
    };
    BrokerConfig {
        stomp,
        urgent: contract::destination::URGENT.map(str::to_owned).to_vec(),
        proxies,
        ..BrokerConfig::default()
    }
}

/// What everything else stands on: the tasks that own state, and the handles to them.
struct Core {
    store: Store,
    keeper: Arc<SiteKeeper>,
    live: LiveHandle,
    alarms: AlarmHandle,
    commands: CommandHandle,
    publisher: Publisher,
    authenticator: Authenticator,
}

impl Core {
    /// Takes up where the records end, and starts the tasks.
    async fn load(
        store: Store,
        offset: FixedOffset,
        proxies: Vec<IpAddr>,
        provider: Option<ProviderConfig>,
        tasks: &mut Tasks,
    ) -> anyhow::Result<Self> {
        let tokens = Tokens::open(&store)
            .await
            .context("cannot open the signing key")?;
        let (site, seen) = watch::channel(Arc::new(
            read_site(&store).await.context("cannot read the site")?,
        ));
        let publisher = Publisher::new(broker_config(proxies));
        let standing = Standing::open(&store)
            .await
            .context("cannot read what was called back")?;
        let provider = provider.map(Provider::new).transpose()?;
        let external = provider.map(|provider| Visitors {
            provider: Arc::new(provider),
            store: store.clone(),
        });
        let authenticator = Authenticator {
            external,
            tokens: Arc::new(tokens),
            standing: Arc::new(standing),
            publisher: publisher.clone(),
        };
        let announcer = Announcer::new(publisher.clone(), offset);

        let (live_task, live) = Live::new(seen.clone(), announcer.clone());
        tasks.spawn(async move {
            live_task.run().await;
            "live state"
        });
        let (alarms, desk) = AlarmHandle::new();
        let engine = Engine::load(
            store.clone(),
            seen.clone(),
            live.clone(),
            announcer.clone(),
            desk.shown,
        )
        .await
        .context("cannot load the open alarms")?;
        tasks.spawn(async move {
            engine.run(desk.requests).await;
            "the alarm engine"
        });
        let (commands, requests) = CommandHandle::new();
        let dispatcher =
            Dispatcher::load(store.clone(), seen, publisher.clone(), announcer.clone())
                .await
                .context("cannot load the open commands")?;
        tasks.spawn(async move {
            dispatcher.run(requests).await;
            "the command dispatcher"
        });
        let keeper = SiteKeeper::new(store.clone(), site, alarms.clone(), announcer);
        Ok(Self {
            store,
            keeper: Arc::new(keeper),
            live,
            alarms,
            commands,
            publisher,
            authenticator,
        })
    }

    fn broker(
        &self,
        approved_agents: HashSet<AgentId>,
        shutdown: CancellationToken,
    ) -> http::Broker {
        let doorkeeper = Doorkeeper {
            authenticator: self.authenticator.clone(),
            site: self.keeper.subscribe(),
        };
        let desk = Desk {
            store: self.store.clone(),
            keeper: Arc::clone(&self.keeper),
            live: self.live.clone(),
            alarms: self.alarms.clone(),
            commands: self.commands.clone(),
            approved_agents,
            arrivals: AtomicU64::new(0),
        };
        http::Broker::new(self.publisher.clone(), doorkeeper, desk, shutdown)
    }

    fn metrics(&self, sockjs: SockJs) -> axum::Router {
        observability::router(Observed {
            live: self.live.clone(),
            alarms: self.alarms.clone(),
            publisher: self.publisher.clone(),
            sockjs,
        })
    }

    fn app(self, roads: http::Roads, offset: FixedOffset, secure_cookies: bool) -> http::App {
        http::App {
            store: self.store,
            keeper: self.keeper,
            live: self.live,
            alarms: self.alarms,
            commands: self.commands,
            publisher: self.publisher,
            authenticator: self.authenticator,
            people_passwords: Passwords::new(),
            client_secrets: Passwords::new(),
            roads,
            offset,
            secure_cookies,
        }
    }
}
