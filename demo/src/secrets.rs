//! Random secrets that stay the same for one data directory.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use rand::seq::IndexedRandom;

/// Without the ones that people confuse when they read them from a screen: 0 and o, 1 and l and i.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// Together almost 80 random bits.
const GROUPS: usize = 4;
const GROUP_LENGTH: usize = 4;

/// Secrets by name, kept in a file that only its owner reads.
#[derive(Debug)]
pub(crate) struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Reads `path` and adds a random secret for each of `names` that has none yet.
    pub(crate) fn load(path: &Path, names: &[&str]) -> anyhow::Result<Self> {
        let mut secrets: BTreeMap<String, String> = match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).with_context(|| {
                format!(
                    "{} is damaged: delete it, and new secrets are made",
                    path.display()
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let known = secrets.len();
        for name in names {
            secrets
                .entry((*name).to_owned())
                .or_insert_with(random_secret);
        }
        if secrets.len() != known {
            write(path, &toml::to_string(&secrets)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Self(secrets))
    }

    /// A secret that was asked for when loading.
    pub(crate) fn of(&self, name: &str) -> &str {
        &self.0[name]
    }
}

fn random_secret() -> String {
    let mut random = rand::rng();
    let groups: Vec<String> = (0..GROUPS)
        .map(|_| {
            (0..GROUP_LENGTH)
                .filter_map(|_| ALPHABET.choose(&mut random))
                .map(|&letter| char::from(letter))
                .collect()
        })
        .collect();
    groups.join("-")
}

/// Replaces the file in one step; it is never readable for others, not even for a moment.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_stay_and_new_names_get_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.toml");
        let first = Secrets::load(&path, &["agent-a"]).unwrap();
        let second = Secrets::load(&path, &["agent-a", "agent-b"]).unwrap();
        assert_eq!(first.of("agent-a"), second.of("agent-a"));
        assert_ne!(second.of("agent-a"), second.of("agent-b"));
        assert_eq!(first.of("agent-a").len(), GROUPS * (GROUP_LENGTH + 1) - 1);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.toml");
        std::fs::write(&path, "agent-a = ").unwrap();
        let error = format!("{:#}", Secrets::load(&path, &["agent-a"]).unwrap_err());
        assert!(
            error.contains("secrets.toml is damaged: delete it"),
            "{error}"
        );
    }
}
