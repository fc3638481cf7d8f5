//! Where a cluster lives: the wanted directory, or one that the account running Postgres can reach.
//!
//! ```text
//! wanted/LOCATION      only when the cluster lives elsewhere: one line, the absolute path of the root
//! root/cluster.lock    one process per cluster
//! root/made-by         which programs made it
//! root/*.conf          the configuration of the present start
//! root/local.conf      an administrator's own settings, read last; never overwritten
//! root/data/           the cluster itself
//! root/socket/         the socket, mode 0700
//! ```
//! Only `data` and `socket` belong to the account; everything that this process (root, perhaps) writes lies
//! outside them, where the account can plant no links.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::error::ClusterError;

/// The file in the wanted directory that says where its cluster lives, when that is elsewhere.
pub const LOCATION_FILE: &str = "LOCATION";

/// The parent of clusters whose wanted directory the account cannot reach.
const ELSEWHERE: &str = "/var/lib/landside";

/// `sun_path` has 108 bytes on Linux, the last one a zero.
const SOCKET_PATH_MAX: usize = 107;

/// Postgres names its socket after the port; the port only serves to make this name.
pub(crate) const PORT: u16 = 5432;

/// A cluster's directories, all existing but perhaps `data`.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) wanted: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) socket: PathBuf,
}

impl Place {
    /// Finds or makes the directories, and decides who runs Postgres in them.
    pub(crate) fn prepare(
        wanted: &Path,
        socket: Option<&Path>,
    ) -> Result<(Self, Account), ClusterError> {
        let wanted = std::path::absolute(wanted).map_err(ClusterError::io("Finding", wanted))?;
        let root = rustix::process::geteuid().is_root();
        make_directory(&wanted, if root { 0o755 } else { 0o700 })?;
        let wanted = fs::canonicalize(&wanted).map_err(ClusterError::io("Finding", &wanted))?;

        let elsewhere = read_location(&wanted)?;
        let candidate = elsewhere.as_deref().unwrap_or(&wanted);
        if elsewhere.is_some() {
            make_directory(candidate, 0o755)?;
        }
        let account = Account::for_data(&candidate.join("data"))?;
        let reachable = account.can_enter(candidate)?;
        let root = match (
            reachable,
            account.switch && elsewhere.is_none() && !candidate.join("data").exists(),
        ) {
            (true, _) => candidate.to_owned(),
            (false, true) => move_elsewhere(&wanted, &account)?,
            (false, false) => {
                return Err(ClusterError::Unreachable {
                    directory: candidate.to_owned(),
                    user: account.name,
                });
            }
        };
        let root = fs::canonicalize(&root).map_err(ClusterError::io("Finding", &root))?;
        let socket = socket_directory(&root, socket, &account)?;
        Ok((
            Self {
                wanted,
                data: root.join("data"),
                socket,
                root,
            },
            account,
        ))
    }

    /// Deletes the cluster and everything that was made for it. It must have been stopped.
    pub(crate) fn remove(&self) -> Result<(), ClusterError> {
        for directory in [&self.socket, &self.root, &self.wanted] {
            match fs::remove_dir_all(directory) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(ClusterError::Io {
                        what: "Removing",
                        path: directory.clone(),
                        source,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn read_location(wanted: &Path) -> Result<Option<PathBuf>, ClusterError> {
    let path = wanted.join(LOCATION_FILE);
    match fs::read_to_string(&path) {
        Ok(text) if Path::new(text.trim_end()).is_absolute() => {
            Ok(Some(PathBuf::from(text.trim_end())))
        }
        Ok(_) => {
            let source = io::Error::new(
                io::ErrorKind::InvalidData,
                "it does not hold one absolute path",
            );
            Err(ClusterError::Io {
                what: "Reading",
                path,
                source,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ClusterError::Io {
            what: "Reading",
            path,
            source,
        }),
    }
}

/// Makes the directory of last resort and remembers it. A directory of that name that is already there belonged
/// to a wanted directory that somebody deleted: its data must not come back to life in a fresh one, so another
/// name is taken.
fn move_elsewhere(wanted: &Path, account: &Account) -> Result<PathBuf, ClusterError> {
    let parent = Path::new(ELSEWHERE);
    make_directory(parent, 0o755)?;
    let name = short_hash(wanted);
    let mut root = parent.join(&name);
    let mut attempt = 1;
    while let Err(source) = DirBuilder::new().mode(0o755).create(&root) {
        if source.kind() != io::ErrorKind::AlreadyExists {
            return Err(ClusterError::Io {
                what: "Making",
                path: root,
                source,
            });
        }
        attempt += 1;
        root = parent.join(format!("{name}-{attempt}"));
    }
    if !account.can_enter(&root)? {
        return Err(ClusterError::Unreachable {
            directory: root,
            user: account.name.clone(),
        });
    }
    let location = wanted.join(LOCATION_FILE);
    fs::write(&location, format!("{}\n", root.display()))
        .map_err(ClusterError::io("Writing", &location))?;
    tracing::info!(wanted = %wanted.display(), root = %root.display(), user = account.name,
        "the cluster lives elsewhere: the account that runs Postgres cannot enter the wanted directory");
    Ok(root)
}

/// The wanted socket directory; else the one in the root, or, when its path would be too long, one in `/tmp`.
fn socket_directory(
    root: &Path,
    wanted: Option<&Path>,
    account: &Account,
) -> Result<PathBuf, ClusterError> {
    let directory = match wanted {
        Some(wanted) => std::path::absolute(wanted).map_err(ClusterError::io("Finding", wanted))?,
        None => {
            let inside = root.join("socket");
            if socket_path_length(&inside) <= SOCKET_PATH_MAX {
                inside
            } else {
                Path::new("/tmp").join(format!("landside-{}", short_hash(root)))
            }
        }
    };
    let length = socket_path_length(&directory);
    if length > SOCKET_PATH_MAX {
        return Err(ClusterError::SocketPathTooLong {
            path: socket_file(&directory),
            length,
            limit: SOCKET_PATH_MAX,
        });
    }
    match DirBuilder::new().mode(0o700).create(&directory) {
        Ok(()) => give_to(&directory, account)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => {
            return Err(ClusterError::Io {
                what: "Making",
                path: directory,
                source,
            });
        }
    }
    // Its privacy is what keeps others out, and in /tmp anybody could have made it before us.
    let metadata =
        fs::symlink_metadata(&directory).map_err(ClusterError::io("Looking at", &directory))?;
    if !metadata.is_dir() || metadata.uid() != account.uid || metadata.mode() & 0o077 != 0 {
        return Err(ClusterError::SocketDirectoryTaken {
            directory,
            user: account.name.clone(),
        });
    }
    Ok(directory)
}

/// The path of the socket in its directory.
pub(crate) fn socket_file(directory: &Path) -> PathBuf {
    directory.join(format!(".s.PGSQL.{PORT}"))
}

fn socket_path_length(directory: &Path) -> usize {
    socket_file(directory).as_os_str().as_bytes().len()
}

/// Makes a directory and those above it. The mode is set apart from the process's umask, and only on a
/// directory made here.
fn make_directory(directory: &Path, mode: u32) -> Result<(), ClusterError> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)
        .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(mode)))
        .map_err(ClusterError::io("Making", directory))
}

/// Makes the account the owner of a directory that this process has just made.
pub(crate) fn give_to(directory: &Path, account: &Account) -> Result<(), ClusterError> {
    if !account.switch {
        return Ok(());
    }
    chown(directory, Some(account.uid), Some(account.gid))
        .map_err(ClusterError::io("Giving away", directory))
}

/// Sixteen hexadecimal digits: enough to tell the directories of one machine apart, short enough for a socket
/// path.
fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_gets_a_short_private_socket_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let account = Account::for_data(Path::new("/nonexistent")).unwrap();
        let long = temporary.path().join("a".repeat(90));
        fs::create_dir(&long).unwrap();
        let directory = socket_directory(&long, None, &account).unwrap();
        assert!(
            directory.starts_with("/tmp") && socket_path_length(&directory) <= SOCKET_PATH_MAX,
            "{}",
            directory.display()
        );
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);

        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let taken = socket_directory(&long, None, &account).unwrap_err();
        assert!(
            matches!(taken, ClusterError::SocketDirectoryTaken { .. }),
            "{taken}"
        );
        fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn a_wanted_socket_directory_that_is_too_long_is_refused_with_the_numbers() {
        let account = Account::for_data(Path::new("/nonexistent")).unwrap();
        let wanted = Path::new("/tmp").join("b".repeat(100));
        let refused = socket_directory(Path::new("/tmp"), Some(&wanted), &account)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("has 119 bytes and the operating system allows 107"),
            "{refused}"
        );
    }
}
