//! `landside-server run`: sockets, database, then serve until a signal.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, anyhow};
use private_postgres::{Cluster, ClusterConfig};
use rustix::process::{Resource, getrlimit, setrlimit};
use server::config::Config;
use server::store::Store;
use server::store::duty::Duty;
use server::{Listeners, Server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Sessions get a word why they end, and handlers finish what they began; whoever takes longer is cut off.
const DRAIN: Duration = Duration::from_secs(15);

/// Each connection is an open file, and systems give a process few of them unless it asks.
fn raise_open_files(needed: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let open_files = getrlimit(Resource::Nofile).current;
    if open_files.is_some_and(|files| usize::try_from(files).is_ok_and(|files| files < needed)) {
        tracing::warn!(
            open_files,
            needed,
            "fewer files may be open than connections are allowed: raise the hard limit (`ulimit -Hn`)"
        );
    }
}

async fn bind(address: SocketAddr, path: &Path, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        anyhow!(
            "cannot listen on {address}: {error}; free it, or change {key} in {}",
            path.display()
        )
    })
}

async fn bind_all(config: &Config, path: &Path) -> anyhow::Result<Listeners> {
    Ok(Listeners {
        http: bind(config.http, path, "http.listen").await?,
        stomp: bind(config.stomp, path, "stomp.listen").await?,
        stomp_tls: match config.stomp_tls {
            Some(address) => Some(bind(address, path, "stomp.listen_tls").await?),
            None => None,
        },
        metrics: bind(config.metrics, path, "metrics.listen").await?,
    })
}

/// Binds every socket, opens the database, waits for a server that works on it, and serves until SIGINT or SIGTERM.
pub(crate) async fn run(config: Config, path: &Path) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    raise_open_files(config.limits.connections);
    // Bound first, so that a busy port is told before a database is started.
    let listeners = bind_all(&config, path).await?;
    let (url, cluster) = database(&config).await?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            () = ended(cluster.as_ref()) => Err(anyhow!("the private Postgres cluster ended; its log tells why")),
        }
    };
    let place = Place { path, url: &url };
    let outcome = place.serve(config, listeners, stop).await;
    if let Some(cluster) = cluster {
        cluster
            .stop()
            .await
            .context("cannot stop the private Postgres cluster")?;
    }
    outcome
}

/// Where a server finds what it works with.
struct Place<'a> {
    /// The configuration's file.
    path: &'a Path,
    /// The database's.
    url: &'a str,
}

impl Place<'_> {
    /// Serves until `stop` ends, which says how, as the only one that works on the database.
    async fn serve(
        &self,
        config: Config,
        listeners: Listeners,
        stop: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let mut stop = pin!(stop);
        let cannot_use = match config.database_url {
            None => "cannot use the private database",
            Some(_) => {
                "cannot use the database of DATABASE_URL: start it, correct the variable, or unset it for a private cluster"
            }
        };
        let (mut duty, listeners) = match Duty::take(self.url).await.context(cannot_use)? {
            Ok(duty) => (duty, listeners),
            Err(holder) => {
                // Whoever comes here meanwhile is better told at once that nobody answers.
                drop(listeners);
                tracing::warn!(
                    "{holder}, works on this database: this one stands by, and serves nothing until that one has ended"
                );
                let duty = tokio::select! {
                    stopped = &mut stop => return stopped,
                    duty = Duty::wait(self.url) => duty,
                };
                tracing::warn!("the other server has ended: this one takes over");
                (duty, bind_all(&config, self.path).await?)
            }
        };
        let owner = config.database_owner_url.as_deref().unwrap_or(self.url);
        let store = Store::open_with_owner(self.url, owner).await;
        let store = store.context(cannot_use)?;
        let mut server = Server::start(config, listeners, store.clone()).await?;
        let outcome = tokio::select! {
            stopped = &mut stop => stopped,
            name = server.failed() => Err(anyhow!("{name} ended by itself")),
            holder = duty.lost() => Err(anyhow!("{holder}, took over while the database did not answer this one")),
        };
        tracing::info!("stopping");
        if tokio::time::timeout(DRAIN, server.stop()).await.is_err() {
            tracing::warn!("some connections did not end in time and were cut off");
        }
        store.close().await;
        duty.end().await;
        outcome
    }
}

/// The configured database, or a private one.
pub(crate) async fn database(config: &Config) -> anyhow::Result<(String, Option<Cluster>)> {
    if let Some(url) = &config.database_url {
        return Ok((url.clone(), None));
    }
    std::fs::create_dir_all(&config.data).with_context(|| {
        format!(
            "cannot make the data directory {}: name another in `data`",
            config.data.display()
        )
    })?;
    let cluster = Cluster::start(ClusterConfig::new(config.data.join("postgres"))).await?;
    let url = cluster.ensure_database("landside").await?;
    Ok((url, Some(cluster)))
}

async fn ended(cluster: Option<&Cluster>) {
    match cluster {
        Some(cluster) => cluster.ended().await,
        None => std::future::pending().await,
    }
}
