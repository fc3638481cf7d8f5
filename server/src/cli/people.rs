//! `landside-server people invite`: prints a link, good once and for a day, by which somebody chooses a password. For the
//! first administrator, and for one who lost everything; whoever may run it could change the database as well.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use contract::Role;
use server::config::Config;
use server::identity::admission::{Invitee, invite};
use server::identity::principal::Zones;

use super::database::with_store;

#[derive(clap::Subcommand)]
pub(crate) enum PeopleCommand {
    /// Invites somebody, whether the server runs or not; whoever was there loses password, second factor and logins.
    Invite {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// By which name they sign in.
        #[arg(long)]
        name: String,
        /// What others call them.
        #[arg(long)]
        full_name: String,
        /// viewer, operator, technician, supervisor or administrator.
        #[arg(long)]
        role: Role,
        /// Zones, or `*` for all.
        #[arg(long, required = true, num_args = 1..)]
        zones: Vec<String>,
    },
}

impl PeopleCommand {
    /// The configuration file.
    pub(crate) fn config(&self) -> &PathBuf {
        let Self::Invite { config, .. } = self;
        config
    }

    /// The link.
    pub(crate) async fn run(&self, config: &Config) -> anyhow::Result<String> {
        let Self::Invite {
            name,
            full_name,
            role,
            zones,
            ..
        } = self;
        let zones = Zones::from_words(zones).context("--zones takes ids of zones, or '*'")?;
        if let Zones::Some(named) = &zones {
            let unknown = named
                .iter()
                .find(|zone| config.zones.iter().all(|known| known.id != **zone));
            ensure!(
                unknown.is_none(),
                "there is no zone {}: name one of the configuration, or '*' for all",
                unknown.map_or_else(String::new, ToString::to_string)
            );
        }
        let invitee = Invitee {
            name: name.clone(),
            full_name: full_name.clone(),
            role: *role,
            zones,
        };
        let made = with_store(config, async |store| Ok(invite(store, invitee).await?)).await?;
        let scheme = if config.secure_cookies {
            "https"
        } else {
            "http"
        };
        Ok(format!("{scheme}://{}{}", config.http, made))
    }
}
