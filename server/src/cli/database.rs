//! The database of a command that is given beside a server: opened, used, and let go of, however the use ends.

use anyhow::{Context, anyhow};
use private_postgres::Cluster;
use server::config::Config;
use server::store::Store;

use super::run::database;

/// Opens the database for as long as `work` takes. What was done is told also when the cluster does not stop well.
pub(super) async fn with_store<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (url, cluster) = reach(config).await?;
    let owner = config.database_owner_url.as_deref().unwrap_or(&url);
    let done = match Store::open_for_command(&url, owner).await {
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
pub(super) async fn reach(config: &Config) -> anyhow::Result<(String, Option<Cluster>)> {
    if config.database_url.is_none() {
        let place = config.data.join("postgres");
        let running = Cluster::running(&place, "landside").await;
        let running =
            running.map_err(|error| anyhow!("cannot look at {}: {error}", place.display()));
        if let Some(url) = running? {
            return Ok((url, None));
        }
    }
    database(config)
        .await
        .context("cannot use the private database")
}
