//! The database of a command that is given beside a server: opened, used, and let go of, however the use ends.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use private_postgres::Cluster;
use server::config::Config;
use server::store::Store;

use super::run::database;

/// What a command does where there is nothing yet. A wrong `data` must not look like an empty airport.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It says so.
    Refused,
    /// It makes the database.
    Made,
}

/// Opens the database for as long as `work` takes. What was done is told also when the cluster does not stop well.
pub(super) async fn with_store<T>(
    config: &Config,
    missing: Missing,
    work: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (url, cluster) = reach(config, missing).await?;
    let owner = config.database_owner_url.as_deref().unwrap_or(&url);
    let opened = Store::open_for_command(&url, owner, missing == Missing::Made);
    let done = match opened.await {
        Ok(store) => {
            let done = work(&store).await;
            store.close().await;
            done
        }
        Err(error) => Err(anyhow!(error).context("cannot use the database")),
    };
    if let Some(cluster) = cluster
        && let Err(error) = cluster.stop().await
    {
        tracing::warn!(%error, "the private cluster did not stop well");
    }
    done
}

/// The database: the one that is named, that of a server which runs, or a private one for as long as this takes.
pub(super) async fn reach(
    config: &Config,
    missing: Missing,
) -> anyhow::Result<(String, Option<Cluster>)> {
    if let Some(url) = running(config).await? {
        return Ok((url, None));
    }
    let place = place(config);
    if missing == Missing::Refused && !place.exists() {
        return Err(anyhow!(
            "DATABASE_URL is not set, and there is no private cluster at {}: name the data directory of the server in `data`, or start it once",
            place.display()
        ));
    }
    database(config)
        .await
        .context("cannot use the private database")
}

/// The database that answers already: the one that is named, or that of a server which runs.
pub(super) async fn running(config: &Config) -> anyhow::Result<Option<String>> {
    if config.database_url.is_some() {
        return Ok(config.database_url.clone());
    }
    let place = place(config);
    let running = Cluster::running(&place, "landside").await;
    running.map_err(|error| anyhow!("cannot look at {}: {error}", place.display()))
}

/// Whole, since a wrong `data` is what somebody may have to find.
fn place(config: &Config) -> PathBuf {
    let place = config.data.join("postgres");
    std::path::absolute(&place).unwrap_or(place)
}

/// How people call the database.
pub(super) fn name(config: &Config) -> String {
    match config.database_url {
        Some(_) => "the database of DATABASE_URL".to_owned(),
        None => place(config).display().to_string(),
    }
}
