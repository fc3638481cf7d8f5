//! `landside-server people invite`: prints a link, good once and for a day, by which somebody chooses a password. For the
//! first administrator, and for one who lost everything; whoever may run it could change the database as well.

use std::path::PathBuf;

use anyhow::Context;
use contract::{Role, ZoneId};
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
        let known: Vec<&ZoneId> = config.zones.iter().map(|zone| &zone.id).collect();
        let zones = Zones::among(zones, &known).context("--zones")?;
        let invitee = Invitee {
            name: name.clone(),
            full_name: full_name.clone(),
            role: *role,
            zones,
        };
        let made = with_store(config, async |store| Ok(invite(store, invitee).await?)).await?;
        let base = config.public_url.as_str().trim_end_matches('/');
        Ok(format!("{base}{made}"))
    }
}
