//! `landside-server keys`: the signing keys of a server, which follows what is done here within seconds.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Subcommand;
use server::config::Config;
use server::identity::key_file::KeyFile;
use server::identity::rotation::{self, KeyLine};

use super::database::{Missing, with_store};

/// What to do with them.
#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Shows them.
    List {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Takes the next one into use now; the old one is good until its last token has expired.
    Rotate {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Removes one that somebody else may have: its tokens are refused and their sessions end.
    Remove {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The key's name, as `list` shows it.
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

impl KeysCommand {
    /// The configuration file.
    pub(crate) fn config(&self) -> &Path {
        let (Self::List { config } | Self::Rotate { config } | Self::Remove { config, .. }) = self;
        config
    }

    /// Does it, and tells which keys there are then.
    pub(crate) async fn run(&self, config: &Config) -> anyhow::Result<String> {
        with_store(config, Missing::Refused, async |store| {
            // New keys are sealed with the server's own.
            let sealing = || {
                let context = "run this where the server runs, which has made that file";
                KeyFile::of_server(&config.data).context(context)
            };
            let keys = match self {
                Self::List { .. } => rotation::list(store).await?,
                Self::Rotate { .. } => rotation::rotate(store, &sealing()?).await?,
                Self::Remove { kid, .. } => {
                    // Without that file keys can be removed, and not made: the server will, with the file that it makes then.
                    let sealing = KeyFile::exists(&config.data).then(sealing).transpose()?;
                    let left = rotation::remove(store, sealing.as_ref(), kid).await?;
                    left.ok_or_else(|| {
                        anyhow!("there is no key {kid}; `landside-server keys list` shows them")
                    })?
                }
            };
            Ok(told(&keys))
        })
        .await
    }
}

fn told(keys: &[KeyLine]) -> String {
    if keys.is_empty() {
        return "there are no signing keys: the server makes them when it starts".to_owned();
    }
    keys.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(key: &KeyLine) -> String {
    let (state, since) = (key.state.to_string(), key.since.format("%F %T UTC"));
    format!("{} {state:7} since {since}", key.kid)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(subcommand)]
        command: KeysCommand,
    }

    #[test]
    fn a_key_is_named_whatever_its_name_begins_with() {
        for name in ["abc", "-abc", "-habc", "--abc"] {
            let words = ["landside-server", "remove", "--config", "server.toml", name];
            let Ok(Words {
                command: KeysCommand::Remove { kid, .. },
            }) = Words::try_parse_from(words)
            else {
                panic!("{name} is not taken");
            };
            assert_eq!(kid, name);
        }
    }
}
