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
//! | `tasks` | every task by its name, and the word to stop |
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
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

pub mod alarm;
mod announce;
mod apart;
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
mod tasks;
mod transport;
mod wire;

use ::sockjs::SockJs;
use audit::journal::Journal;
use audit::keeper::{AuditKeeper, Settler};
use config::{Config, ProviderConfig, Tls};
use foundation::{Core, Followed, Given};
use gateway::Doorkeeper;
use identity::certificates::Certificates;
use identity::external::Visitors;
use identity::files;
use identity::gate::{Gate, GateConfig};
use identity::in_force::InForce;
use identity::key_file::KeyFile;
use identity::provider::Provider;
use identity::record::Record;
use identity::token::TokenSettings;
use listener::Settings;
use listener::limits::Limits;
use listener::tls::{Handshake, Keeper, Served};
use store::Store;
use tasks::Tasks;

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
    tasks: Tasks,
    /// Those of the audit: they end last, with what the others wrote.
    last: Tasks,
}

impl Server {
    /// Starts everything on these sockets and this store.
    ///
    /// # Errors
    /// When the store does not answer or holds what this version cannot read.
    pub async fn start(
        mut config: Config,
        listeners: Listeners,
        store: Store,
    ) -> anyhow::Result<Self> {
        let addresses = listeners.addresses()?;
        take_up(&mut config, &store).await?;
        let sealing = Arc::new(KeyFile::of_store(&config.data, &store).await?);
        let mut tasks = Tasks::new();
        let journal = Journal::new(config.audit.journal.clone());
        let settler = Settler::new(store.clone(), journal.clone());
        settler.settle().await;
        let audit_keeper = AuditKeeper::new(config.audit.clone(), settler.clone());
        let days = config.number_plates_days;
        let eraser = personal::eraser::run(store.clone(), days, tasks.shutdown());
        tasks.spawn("the eraser of number plates", eraser);
        let (in_force, policy) = InForce::new(Arc::new(std::mem::take(&mut config.policy)));
        let given = given(&mut config, &store, policy, journal, &sealing)?;
        let core = Core::load(given, &mut tasks).await?;
        let passcodes = config.passcodes.then(|| core.passcodes());
        let followed = Followed {
            files: config.files.clone(),
            in_force,
            sealing: Arc::clone(&sealing),
            key_age: config.key_age,
            passcodes: passcodes.clone(),
        };
        core.follow(followed, &mut tasks);
        let record = Arc::clone(&core.record);
        let tls = config.tls.take().map(|tls| open_tls(tls, &mut tasks));
        let tls = tls.transpose()?;
        let certificates = Certificates {
            agents_need_one: tls.as_ref().is_some_and(|tls| tls.agents_need_certificate),
        };
        let broker = core.broker(
            std::mem::take(&mut config.approved_agents),
            certificates,
            passcodes,
            config.identity.clone(),
            tasks.shutdown(),
        );
        let guard = broker.guard().clone();
        let doors = Doors {
            listeners,
            broker,
            served: tls.map(|tls| tls.served),
            certificates,
            gate: gate(&config, &store, sealing, &mut tasks),
            audit_broken: audit_keeper.broken(),
        };
        doors.open(config, core, &mut tasks);
        tracing::info!(http = %addresses.http, stomp = %addresses.stomp, stomp_tls = ?addresses.stomp_tls, metrics = %addresses.metrics, "the server runs");
        Ok(Self {
            addresses,
            guard,
            tasks,
            last: last(record, settler, audit_keeper),
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
        let ended = tokio::select! {
            ended = self.tasks.ended() => ended,
            ended = self.last.ended() => ended,
        };
        match ended {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "everything".to_owned(),
        }
    }

    /// Stops taking connections, ends every session with a word why, and waits until all is done.
    pub async fn stop(self) {
        self.tasks.stop().await;
        self.last.stop().await;
    }
}

/// The tasks of the audit. While the others end, something may still be refused; and the last head is that of the last row.
fn last(record: Arc<Record>, settler: Settler, audit_keeper: AuditKeeper) -> Tasks {
    let mut last = Tasks::new();
    let (stop, written) = (last.shutdown(), CancellationToken::new());
    last.spawn("the journal of the audit", settler.run(stop.clone()));
    let publishing = audit_keeper.run(written.clone());
    last.spawn("the published heads of the audit", publishing);
    last.spawn("the record of programs and refusals", async move {
        let _written = written.drop_guard();
        record.run(stop).await;
    });
    last
}

/// Makes the records agree with the configuration.
async fn take_up(config: &mut Config, store: &Store) -> anyhow::Result<()> {
    let access = std::mem::take(&mut config.access);
    let applied = access.apply(store).await;
    applied.context("cannot apply the access file")?;
    files::record_policy(store, &config.policy)
        .await
        .context("cannot record which policy is in force")?;
    files::tell_whether_somebody_is_left(store, &config.policy)
        .await
        .context("cannot look who there is")?;
    store
        .put_zones(&config.zones)
        .await
        .context("cannot store the zones")?;
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("cannot make {}", config.data.display()))
}

fn given(
    config: &mut Config,
    store: &Store,
    policy: InForce,
    journal: Journal,
    sealing: &Arc<KeyFile>,
) -> anyhow::Result<Given> {
    let days = u64::from(config.number_plates_days);
    let record = Arc::new(Record::new(store.clone()));
    Ok(Given {
        external: visitors(config.provider.take(), store, &record)?,
        record,
        store: store.clone(),
        policy,
        journal,
        personal_kept: Duration::from_secs(days * 24 * 3600),
        offset: offset(config),
        broker: broker_config(config.proxies.clone(), config.limits),
        tokens: TokenSettings {
            issuer: config.public_url.as_str().trim_end_matches('/').to_owned(),
            life: config.token_life,
            key_age: config.key_age,
            sealing: Arc::clone(sealing),
        },
    })
}

fn offset(config: &Config) -> FixedOffset {
    FixedOffset::east_opt(config.utc_offset_seconds).expect("the configuration was checked")
}

/// Where people show what they know.
fn gate(config: &Config, store: &Store, sealing: Arc<KeyFile>, tasks: &mut Tasks) -> Arc<Gate> {
    let settings = GateConfig {
        consoles: config.consoles.clone(),
        proxies: config.proxies.clone(),
    };
    let gate = Arc::new(Gate::new(store.clone(), settings, sealing));
    let (sums, stop) = (Arc::clone(&gate), tasks.shutdown());
    tasks.spawn("the sums of failed sign-ins", async move {
        sums.run(stop).await;
    });
    gate
}

/// Where others come in, and what stands there.
struct Doors {
    listeners: Listeners,
    broker: http::Broker,
    served: Option<Served>,
    certificates: Certificates,
    gate: Arc<Gate>,
    audit_broken: watch::Receiver<bool>,
}

impl Doors {
    /// From now on they are served.
    fn open(self, config: Config, core: Core, tasks: &mut Tasks) {
        let Self {
            listeners,
            broker,
            served,
            certificates,
            gate,
            audit_broken,
        } = self;
        let sockjs = transport::sockjs::service(
            broker.clone(),
            transport::sockjs::Settings {
                origins: config.origins.clone(),
                login_cookie: http::login_cookie(config.secure_cookies),
                client_url: web_ui::sockjs_client().url.clone(),
            },
        );
        let expires = served.as_ref().map(|served| served.expires.clone());
        let metrics = core.metrics(sockjs.clone(), audit_broken, expires);
        let offset = offset(&config);
        let roads = http::Roads {
            broker: broker.clone(),
            sockjs: sockjs.clone(),
            origins: config.origins,
        };
        let throttle = http::Throttle::new(config.consoles.clone(), offset);
        let entrance = http::Entrance {
            gate,
            identity: config.identity,
            public_url: config.public_url,
            certificates,
            secure_cookies: config.secure_cookies,
        };
        let pages = http::router(core.app(roads, throttle, offset, entrance));
        let tls = served.as_ref().map(|served| served.stomp.clone());
        let stomp = serve_stomp(broker, sockjs, listeners.stomp, listeners.stomp_tls, tls);
        tasks.spawn("STOMP", stomp);
        let settings = Settings {
            name: "HTTP",
            limits: config.limits,
            proxies: config.proxies.into(),
            consoles: config.consoles,
            tls: served.map(|served| served.http),
        };
        let stop = tasks.shutdown();
        let serving = listener::serve(listeners.http, pages, settings, stop.clone());
        tasks.spawn("HTTP", serving);
        let settings = Settings {
            name: "metrics",
            limits: config.limits.of_metrics(),
            proxies: Arc::default(),
            consoles: Vec::new(),
            tls: None,
        };
        let serving = listener::serve(listeners.metrics, metrics, settings, stop);
        tasks.spawn("metrics", serving);
    }
}

/// Certificates that are kept as the files say.
struct Secured {
    served: Served,
    agents_need_certificate: bool,
}

fn open_tls(tls: Tls, tasks: &mut Tasks) -> anyhow::Result<Secured> {
    let (keeper, served) = Keeper::open(tls.files)?;
    let stop = tasks.shutdown();
    tasks.spawn("the certificate's keeper", keeper.run(stop));
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
    tls: Option<watch::Receiver<Handshake>>,
) {
    let over_tls = async {
        if let Some((listener, tls)) = secured.zip(tls) {
            let secure = move |stream, address| {
                let handshake = tls.borrow().clone();
                shake_hands(stream, address, handshake)
            };
            broker.listen_with(listener, secure).await;
        }
    };
    tokio::join!(broker.listen_tcp(plain), over_tls);
    // Those that came through HTTP are told of the end as well.
    broker.ended().await;
    if timeout(SOCKJS_GRACE, sockjs.ended()).await.is_err() {
        tracing::info!("some sessions of SockJS did not end in time");
    }
}

async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    handshake: Handshake,
) -> io::Result<(TlsStream<TcpStream>, Peer)> {
    let (stream, certificate) = handshake.hold(stream).await?;
    let peer = Peer {
        address,
        is_secured: true,
        certificate,
    };
    Ok((stream, peer))
}

fn visitors(
    provider: Option<ProviderConfig>,
    store: &Store,
    record: &Arc<Record>,
) -> anyhow::Result<Option<Visitors>> {
    let provider = provider.map(Provider::new).transpose()?;
    Ok(provider.map(|provider| Visitors {
        provider: Arc::new(provider),
        store: store.clone(),
        record: Arc::clone(record),
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
