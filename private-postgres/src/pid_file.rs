//! `postmaster.pid`, and which processes work in a data directory.
//!
//! The file outlives a postmaster that was killed, and its process id may by then be another program's. What
//! settles it is the working directory: every process of a cluster has the data directory as its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::ClusterError;

/// What the first lines of `postmaster.pid` say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: i32,
    /// The directory of the socket; absent while the postmaster has not got that far.
    pub(crate) socket: Option<PathBuf>,
    /// It takes connections: neither starting nor stopping.
    pub(crate) ready: bool,
}

impl PidFile {
    pub(crate) fn read(data: &Path) -> Result<Option<Self>, ClusterError> {
        let path = data.join("postmaster.pid");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ClusterError::Io {
                what: "Reading",
                path,
                source,
            }),
        }
    }

    /// Lines: process id, data directory, start time, port, socket directory, TCP address, shared memory,
    /// status. The id is negative for a backend that runs alone (`postgres --single`, or initdb's).
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines
            .next()?
            .trim()
            .parse::<i32>()
            .ok()?
            .checked_abs()
            .filter(|pid| *pid > 0)?;
        let socket = lines
            .nth(3)
            .filter(|line| !line.is_empty())
            .map(PathBuf::from);
        let ready = lines
            .nth(2)
            .is_some_and(|status| status.trim_end() == "ready");
        Some(Self { pid, socket, ready })
    }

    /// Removes the file of a postmaster of which nothing is left.
    pub(crate) fn remove(data: &Path) -> Result<(), ClusterError> {
        let path = data.join("postmaster.pid");
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ClusterError::Io {
                what: "Removing",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }
}

/// Whether a process runs in the data directory. Zombies do not count: they have no directory any more.
pub(crate) fn runs_in(pid: i32, data: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data)
}

/// Whether any process that this user may look at runs in the data directory.
pub(crate) fn anybody_runs_in(data: &Path) -> bool {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .any(|pid| runs_in(pid, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files_are_read_in_every_state() {
        let check = |text: &str, expected: Option<(i32, Option<&str>, bool)>| {
            let expected = expected.map(|(pid, socket, ready)| PidFile {
                pid,
                socket: socket.map(PathBuf::from),
                ready,
            });
            assert_eq!(PidFile::parse(text), expected, "{text:?}");
        };
        let whole =
            |status| format!("4711\n/d/data\n1700000000\n5432\n/d/socket\n\n  1 2\n{status}\n");
        check(&whole("ready   "), Some((4711, Some("/d/socket"), true)));
        check(&whole("starting"), Some((4711, Some("/d/socket"), false)));
        check(&whole("stopping"), Some((4711, Some("/d/socket"), false)));
        check("-4711\n/d/data\n", Some((4711, None, false)));
        check(
            "4711\n/d/data\n1700000000\n5432\n\n",
            Some((4711, None, false)),
        );
        check("", None);
        check("0\n", None);
        check("nonsense\n", None);
    }
}
