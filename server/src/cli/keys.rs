//! `landside-server keys`: the signing keys of a server, which follows what is done here within seconds.

use anyhow::Context;
use server::config::Config;
use server::identity::rotation::{self, KeyLine};
use server::store::Store;

/// What to do with them.
pub(crate) enum Change {
    /// Nothing.
    List,
    /// The next one signs from now on.
    Rotate,
    /// Tokens of this one are refused from now on.
    Remove(String),
}

/// Does it, and tells which keys there are.
pub(crate) async fn change(config: &Config, change: Change) -> anyhow::Result<String> {
    let url = config.database_url.clone().map_or_else(
        || private_database(config),
        Ok,
    )?;
    let store = Store::open(&url)
        .await
        .context("cannot use the database of the server: start it first")?;
    let keys = match change {
        Change::List => Ok(rotation::list(&store).await?),
        Change::Rotate => Ok(rotation::rotate(&store).await?),
        Change::Remove(kid) => rotation::remove(&store, &kid).await?.ok_or_else(|| {
            anyhow::anyhow!("there is no key {kid}; `landside-server keys list` shows them")
        }),
    };
    store.close().await;
    Ok(keys?.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn line(key: &KeyLine) -> String {
    format!("{} {:7} since {}", key.kid, key.state.to_string(), key.since.format("%F %T UTC"))
}
