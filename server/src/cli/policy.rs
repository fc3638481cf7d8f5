//! `landside-server policy check`: who may do what, and why, without a running server.

use std::path::PathBuf;

use clap::Args;
use contract::{Role, ZoneId};
use server::config::Config;
use server::identity::policy::{Permission, Right};
use server::identity::principal::{Principal, Proof, Zones};

/// What is asked. Without a role or a subject: the whole table.
#[derive(Args)]
pub(crate) struct Question {
    /// The server's configuration file; it names the policy file, or none for the built-in policy.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Somebody with this role (several: separated by commas).
    #[arg(long, value_delimiter = ',', conflicts_with = "subject")]
    role: Vec<Role>,
    /// Their zones, separated by commas; all when left out.
    #[arg(long, value_delimiter = ',', requires = "role")]
    zones: Vec<String>,
    /// Somebody whom the access file names.
    #[arg(long)]
    subject: Option<String>,
    /// May they do this, for example command.critical?
    #[arg(long, group = "asked")]
    may: Option<Permission>,
    /// May they SEND to this destination?
    #[arg(long, group = "asked", value_name = "DESTINATION")]
    send: Option<String>,
    /// May they SUBSCRIBE to this destination or pattern?
    #[arg(long, group = "asked", value_name = "DESTINATION")]
    subscribe: Option<String>,
    /// May messages of this destination be delivered to them?
    #[arg(long, group = "asked", value_name = "DESTINATION")]
    deliver: Option<String>,
    /// In which zone; with a destination: where its device is supposed to stand.
    #[arg(long, requires = "asked")]
    zone: Option<ZoneId>,
}

/// The answer: whether it is allowed, and the words.
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    pub(crate) text: String,
}

/// Secrets are not needed to explain a policy: whatever the files name is there. No database is: none is
/// opened.
pub(crate) fn no_secrets(name: &str) -> Option<String> {
    (!name.contains("DATABASE")).then(|| "not needed".to_owned())
}

/// Answers a question.
///
/// # Errors
/// A sentence: what was asked for is not there.
pub(crate) fn answer(config: &Config, question: &Question) -> Result<Answer, String> {
    let policy = &config.policy;
    let Some(who) = somebody(config, question)? else {
        let asks = question.zone.is_some()
            || question.may.is_some()
            || [&question.send, &question.subscribe, &question.deliver]
                .iter()
                .any(|asked| asked.is_some());
        if asks {
            return Err("of whom? Say --role (and --zones), or --subject".to_owned());
        }
        return Ok(Answer {
            allowed: true,
            text: policy.table(),
        });
    };
    let zone = question.zone.as_ref();
    if let Some(zone) = zone {
        Zones::among(&[zone.to_string()], &zone_ids(config)).map_err(|error| error.to_string())?;
    }
    let destinations = [
        (Right::Send, &question.send),
        (Right::Subscribe, &question.subscribe),
        (Right::Deliver, &question.deliver),
    ];
    let asked = destinations
        .into_iter()
        .find_map(|(right, asked)| Some((right, asked.as_deref()?)));
    let explained = match (question.may, asked) {
        (Some(permission), _) => policy.explain_may(&who, permission, zone),
        (None, Some((right, destination))) => {
            policy.explain_destination(&who, right, destination, zone)
        }
        (None, None) => {
            return Ok(Answer {
                allowed: true,
                text: policy.list(&who),
            });
        }
    };
    Ok(Answer {
        allowed: explained.allowed,
        text: explained.text,
    })
}

fn somebody(config: &Config, question: &Question) -> Result<Option<Principal>, String> {
    if let Some(subject) = &question.subject {
        let known = config.access.principal(subject).cloned();
        return known.map(Some).ok_or_else(|| {
            format!(
                "the access file names no {subject:?}; whoever was added on the pages is known to the running server only: ask with --role and --zones"
            )
        });
    }
    if question.role.is_empty() {
        return Ok(None);
    }
    let zones = if question.zones.is_empty() {
        Zones::All
    } else {
        Zones::among(&question.zones, &zone_ids(config)).map_err(|error| error.to_string())?
    };
    Ok(Some(Principal {
        subject: String::new(),
        full_name: String::new(),
        roles: question.role.clone(),
        zones,
        proof: Proof::default(),
    }))
}

fn zone_ids(config: &Config) -> Vec<&ZoneId> {
    config.zones.iter().map(|zone| &zone.id).collect()
}
