//! `landside-server check`: whether a server would start with these files, and take them while it runs.

use std::path::Path;

use chrono::Utc;
use server::config::Config;
use server::identity::files::{NoEffect, would_be_taken};
use server::store::{Store, StoreError};

use super::database;

/// What is to be said beside "it is good".
///
/// # Errors
/// A sentence: what is not.
pub(crate) async fn check(mut config: Config, path: &Path) -> Result<Vec<String>, String> {
    let judged = config.judge(path, Utc::now());
    let mut remarks = judged.map_err(|error| error.to_string())?;
    remarks.extend(config.access.weak_secrets().into_iter().map(weak));
    let access = std::mem::take(&mut config.access);
    let is_named =
        |error: &NoEffect| !matches!(error, NoEffect::NotRecorded(StoreError::Database(_)));
    let judged = match open(&config).await {
        Ok(store) => {
            let judged = would_be_taken(&config.policy, access, Some(&store)).await;
            store.close().await;
            judged
        }
        Err(why) => {
            remarks.push(format!(
                "not compared with the people in the database: {why}"
            ));
            would_be_taken(&config.policy, access, None).await
        }
    };
    match judged {
        Err(error) if is_named(&error) => Err(format!("{}: {error}", path.display())),
        Err(error) => {
            remarks.push(error.to_string());
            Ok(remarks)
        }
        Ok(()) => Ok(remarks),
    }
}

fn weak(name: &str) -> String {
    format!(
        "the secret of {name} can be guessed: use 32 random characters, as `openssl rand -hex 16` makes them"
    )
}

/// The database, if it answers: nothing is started or made for a look.
async fn open(config: &Config) -> Result<Store, String> {
    let running = database::running(config).await;
    let url = running.map_err(|error| error.to_string())?;
    let url = url.ok_or("it does not run")?;
    let owner = config.database_owner_url.as_deref().unwrap_or(&url);
    let opened = Store::open_for_command(&url, owner, false).await;
    opened.map_err(|error| error.to_string())
}
