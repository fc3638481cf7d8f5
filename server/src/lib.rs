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
//! | `foundation` | what everything else stands on: the tasks that own state, and the handles to them |
//! | `gateway` | what every transport ends in: the broker's guard and handler |
//! | [`listener`] | HTTP connections: bounds, time-outs, TLS, who asks |
//! | `keeper` | the one way in which the site changes |
//! | `live` | newest readings, their age, each device's condition |
//! | [`audit`] | the audit as a chain: its hash, its verifier, its published head, its journal |
//! | [`alarm`] | the alarm machine, and the task that owns all alarms |
//! | [`command`] | the command machine, and the task that sends and follows them |
//! | `announce` | what programs and pages are told |
//! | `personal` | number plates: masked, and erased when their time is over |
//! | `observability` | every metric |
//! | `mailbox` | how others talk to a task that owns its state |
//! | [`store`] | Postgres; the only place with SQL |
//! | `transport` | roads to the broker that it does not build itself: SockJS, Socket.IO |
//! | `settled` | when what lies in a file is taken |
//! | `wire` | reading what others send |
//! | `http` | routes, pages, API |

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::{BrokerConfig, Peer};
use chrono::FixedOffset;
use stomp::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

pub mod alarm;
mod announce;
pub mod audit;
pub mod command;
pub mod config;
mod foundation;
mod gateway;
mod http;
pub mod identity;
mod keeper;
pub mod listener;
mod live;
mod mailbox;
mod observability;
mod personal;
mod settled;
pub mod site;
pub mod store;
mod transport;
mod wire;

use ::sockjs::SockJs;
use audit::journal::Journal;
use audit::keeper::AuditKeeper;
use config::{Config, ProviderConfig, Tls};
use foundation::{Core, Given, Issued};
use gateway::{Certificates, Doorkeeper};
use identity::external::Visitors;
use identity::files::{self};
use identity::gate::{Gate, GateConfig};
use identity::in_force::InForce;
use identity::key_file::KeyFile;
use identity::provider::Provider;
use listener::Settings;
use listener::limits::Limits;
use listener::tls::{Keeper, Served};
use store::Store;

/// Sockets that are bound already, so that a busy port is told before anything starts and tests know their ports.
#[derive(Debug)]
pub struct Listeners {
    /// Pages, API, WebSocket.
    pub http: TcpListener,
    /// STOMP over TCP.
    pub stomp: TcpListener,
    /// STOMP over TLS.
    pub stomp_tls: Option<TcpListener>,
    /// Metrics.
    pub metrics: TcpListener,
}

impl Listeners {
    fn addresses(&self) -> io::Result<Addresses> {
        let stomp_tls = self.stomp_tls.as_ref().map(TcpListener::local_addr);
        Ok(Addresses {
            http: self.http.local_addr()?,
            stomp: self.stomp.local_addr()?,
            stomp_tls: stomp_tls.transpose()?,
            metrics: self.metrics.local_addr()?,
        })
    }
}

/// Where a server is served.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Pages, API, WebSocket.
    pub http: SocketAddr,
    /// STOMP over TCP.
    pub stomp: SocketAddr,
    /// STOMP over TLS.
    pub stomp_tls: Option<SocketAddr>,
    /// Metrics.
    pub metrics: SocketAddr,
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    guard: Doorkeeper,
    shutdown: CancellationToken,
    tasks: Tasks,
    /// Ends last, with what the others wrote.
    audit: JoinHandle<()>,
    audit_stop: CancellationToken,
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
        files::record_policy(&store, &config.policy)
            .await
            .context("cannot record which policy is in force")?;
        store
            .put_zones(&config.zones)
            .await
            .context("cannot store the zones")?;
        let mut tasks = Tasks::new();
        let shutdown = CancellationToken::new();
        let offset = FixedOffset::east_opt(config.utc_offset_seconds)
            .context("the time zone was checked")?;
        let journal = Journal::new(config.audit.journal.clone());
        let audit_keeper = AuditKeeper::new(store.clone(), config.audit, journal.clone());
        audit_keeper.settle().await;
        let days = config.number_plates_days;
        let eraser = personal::eraser::run(store.clone(), days, shutdown.clone());
        tasks.spawn(async move {
            eraser.await;
            "the eraser of number plates"
        });
        let kept = Duration::from_secs(u64::from(days) * 24 * 3600);
        std::fs::create_dir_all(&config.data)
            .with_context(|| format!("cannot make {}", config.data.display()))?;
        let gate = Gate::new(
            store.clone(),
            GateConfig {
                consoles: config.consoles.clone(),
                proxies: config.proxies.clone(),
            },
            KeyFile::open(&config.data)?,
        );
        let limits = config.limits;
        let broker = broker_config(config.proxies.clone(), limits);
        let (in_force, policy) = InForce::new(Arc::new(config.policy));
        let issued = Issued {
            issuer: config.public_url.as_str().trim_end_matches('/').to_owned(),
            life: config.token_life,
            key_age: config.key_age,
        };
        let given = Given {
            external: visitors(config.provider, &store)?,
            store,
            policy,
            journal,
            personal_kept: kept,
            offset,
            broker,
            issued,
        };
        let core = Core::load(given, &mut tasks).await?;
        core.follow_keys(config.key_age, &shutdown, &mut tasks);
        let passcodes = config
            .passcodes
            .then(|| core.passcodes(&shutdown, &mut tasks));
        core.watch_files(config.files, in_force, &mut tasks, &shutdown);
        let addresses = listeners.addresses()?;
        let tls = config.tls.map(|tls| open_tls(tls, &mut tasks, &shutdown));
        let tls = tls.transpose()?;
        let certificates = Certificates {
            agents_need_one: tls.as_ref().is_some_and(|tls| tls.agents_need_certificate),
        };
        let served = tls.map(|tls| tls.served);
        let broker = core.broker(
            config.approved_agents,
            certificates,
            passcodes,
            config.identity.clone(),
            shutdown.clone(),
        );
        let guard = broker.guard().clone();
        let sockjs = transport::sockjs::service(
            broker.clone(),
            transport::sockjs::Settings {
                origins: config.origins.clone(),
                login_cookie: http::login_cookie(config.secure_cookies),
                client_url: web_ui::sockjs_client().url.clone(),
            },
        );
        let expires = served.as_ref().map(|served| served.expires.clone());
        let metrics = core.metrics(sockjs.clone(), expires);
        let roads = http::Roads {
            broker: broker.clone(),
            sockjs: sockjs.clone(),
            origins: config.origins,
        };
        let throttle = http::Throttle::new(config.consoles.clone(), offset);
        let entrance = http::Entrance {
            gate: Arc::new(gate),
            identity: config.identity,
            secure_cookies: config.secure_cookies,
        };
        let (sums, ending) = (Arc::clone(&entrance.gate), shutdown.clone());
        tasks.spawn(async move {
            sums.run(ending).await;
            "the sums of failed sign-ins"
        });
        let pages = http::router(core.app(roads, throttle, offset, entrance));
        let of_stomp = served.as_ref().map(|served| served.stomp.clone());
        tasks.spawn(serve_stomp(
            broker,
            sockjs,
            listeners.stomp,
            listeners.stomp_tls,
            of_stomp,
        ));
        let settings = Settings {
            name: "HTTP",
            limits,
            proxies: config.proxies.into(),
            consoles: config.consoles,
            tls: served.map(|served| served.http),
        };
        tasks.spawn(listener::serve(
            listeners.http,
            pages,
            settings,
            shutdown.clone(),
        ));
        let settings = Settings {
            name: "metrics",
            limits: limits.of_metrics(),
            proxies: Arc::default(),
            consoles: Vec::new(),
            tls: None,
        };
        tasks.spawn(listener::serve(
            listeners.metrics,
            metrics,
            settings,
            shutdown.clone(),
        ));
        tracing::info!(http = %addresses.http, stomp = %addresses.stomp, stomp_tls = ?addresses.stomp_tls, metrics = %addresses.metrics, "the server runs");
        let audit_stop = CancellationToken::new();
        let audit = tokio::spawn(audit_keeper.run(audit_stop.clone()));
        Ok(Self {
            addresses,
            guard,
            shutdown,
            tasks,
            audit,
            audit_stop,
        })
    }

    /// What decides who may do what here, for another broker.
    pub fn guard(&self) -> impl broker::Guard + use<> {
        self.guard.clone()
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
        self.audit_stop.cancel();
        if let Err(error) = self.audit.await {
            tracing::error!(%error, "the task of the audit did not end well");
        }
    }
}

/// Certificates that are kept as the files say.
struct Secured {
    served: Served,
    agents_need_certificate: bool,
}

fn open_tls(tls: Tls, tasks: &mut Tasks, shutdown: &CancellationToken) -> anyhow::Result<Secured> {
    let (keeper, served) = Keeper::open(tls.files)?;
    let shutdown = shutdown.clone();
    tasks.spawn(async move {
        keeper.run(shutdown).await;
        "the certificate's keeper"
    });
    Ok(Secured {
        served,
        agents_need_certificate: tls.agents_need_certificate,
    })
}

/// After the last STOMP connection, those over SockJS get this long: their requests have been cut off by then.
const SOCKJS_GRACE: Duration = Duration::from_secs(5);

/// Serves STOMP over TCP and TLS until the shutdown, and waits for the sessions that came through HTTP.
async fn serve_stomp(
    broker: http::Broker,
    sockjs: SockJs,
    plain: TcpListener,
    secured: Option<TcpListener>,
    tls: Option<watch::Receiver<Arc<rustls::ServerConfig>>>,
) -> &'static str {
    let over_tls = async {
        if let Some((listener, tls)) = secured.zip(tls) {
            let secure = move |stream, address| shake_hands(stream, address, tls.borrow().clone());
            broker.listen_with(listener, secure).await;
        }
    };
    tokio::join!(broker.listen_tcp(plain), over_tls);
    // Those that came through HTTP are told of the end as well.
    broker.ended().await;
    if timeout(SOCKJS_GRACE, sockjs.ended()).await.is_err() {
        tracing::info!("some sessions of SockJS did not end in time");
    }
    "STOMP"
}

async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<(TlsStream<TcpStream>, Peer)> {
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let peer = Peer {
        address,
        is_secured: true,
        certificate: listener::tls::name_of_client(stream.get_ref().1),
    };
    Ok((stream, peer))
}

fn visitors(provider: Option<ProviderConfig>, store: &Store) -> anyhow::Result<Option<Visitors>> {
    let provider = provider.map(Provider::new).transpose()?;
    Ok(provider.map(|provider| Visitors {
        provider: Arc::new(provider),
        store: store.clone(),
    }))
}

/// A page that hears nothing for three of these says that the connection is lost: whoever looks at it must not take what
/// it shows for live. Clients that ask for less get less.
const HEART_BEAT: Duration = Duration::from_secs(2);

/// The broker's own bounds are made for this: a site has some hundred agents and pages, and its agents are let in
/// whatever the pages do.
fn broker_config(proxies: Vec<IpAddr>, limits: Limits) -> BrokerConfig {
    let stomp = ServerConfig {
        connect_timeout: limits.arrival,
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
