//! `landside-server people`: prints a link, good once and for a day, by which somebody chooses a password. For the first
//! administrator, and for one who lost everything; whoever may run it could change the database as well.

use std::path::PathBuf;

use anyhow::Context;
use contract::{Role, ZoneId};
use server::config::Config;
use server::identity::admission::{self, Before, Invitee};
use server::identity::principal::Zones;

use super::database::{Missing, name, with_store};

#[derive(clap::Subcommand)]
pub(crate) enum PeopleCommand {
    /// Invites somebody, whether the server runs or not. Prints the link, and beside it what was done.
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
        /// Also if they are there: role and zones are these, password, second factor and logins of now are void, and
        /// whoever was disabled may come again.
        #[arg(long)]
        replace: bool,
    },
    /// Takes somebody back who was invited and has never come in.
    Withdraw {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// By which name they would have signed in.
        #[arg(long)]
        name: String,
    },
}

/// What a command answers, and what it says beside that.
pub(crate) struct Told {
    pub(crate) answer: String,
    pub(crate) remarks: Vec<String>,
}

impl PeopleCommand {
    /// The configuration file.
    pub(crate) fn config(&self) -> &PathBuf {
        let (Self::Invite { config, .. } | Self::Withdraw { config, .. }) = self;
        config
    }

    /// Does it.
    pub(crate) async fn run(&self, config: &Config) -> anyhow::Result<Told> {
        match self {
            Self::Invite {
                name,
                full_name,
                role,
                zones,
                replace,
                ..
            } => {
                let known: Vec<&ZoneId> = config.zones.iter().map(|zone| &zone.id).collect();
                let zones = Zones::among(zones, &known).context("--zones")?;
                let invitee = Invitee {
                    name: name.clone(),
                    full_name: full_name.clone(),
                    role: *role,
                    zones,
                };
                invite(config, invitee, *replace).await
            }
            Self::Withdraw { name, .. } => {
                with_store(config, Missing::Refused, async |store| {
                    Ok(admission::withdraw(store, name).await?)
                })
                .await?;
                Ok(Told {
                    answer: format!("{name} is not invited any more"),
                    remarks: Vec::new(),
                })
            }
        }
    }
}

/// The link, and what came of it.
async fn invite(config: &Config, invitee: Invitee, replaces: bool) -> anyhow::Result<Told> {
    let who = invitee.name.clone();
    let as_what = format!("{} with {}", invitee.role, invitee.zones.in_words());
    let (invited, was_empty) = with_store(config, Missing::Made, async |store| {
        let invited = admission::invite(store, invitee, replaces).await?;
        Ok((invited, store.was_empty()))
    })
    .await?;
    let mut remarks = Vec::new();
    if was_empty {
        remarks.push(format!("made a new database in {}", name(config)));
    }
    remarks.push(match invited.before {
        Before::Nobody => format!("{who} is invited as {as_what}"),
        Before::Enabled => format!(
            "{who} was there, and is {as_what} now; password, second factor and logins of before are void"
        ),
        Before::Disabled => format!(
            "{who} was disabled, and is ENABLED AGAIN as {as_what}; password and second factor of before are void"
        ),
    });
    let until = invited.until.format("%F %H:%M UTC");
    remarks.push(format!(
        "the link is good once, until {until}, and opens while the server runs:"
    ));
    let base = config.public_url.as_str().trim_end_matches('/');
    Ok(Told {
        answer: format!("{base}{}", invited.path),
        remarks,
    })
}
