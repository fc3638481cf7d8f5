//! One process per cluster: an exclusive lock on a file beside the data, which the kernel drops with the
//! process however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::ClusterError;

/// The lock; released on drop.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes the lock of the cluster in `directory`, or says who has it.
    pub(crate) fn take(directory: &Path) -> Result<Self, ClusterError> {
        let path = directory.join("cluster.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            // Made by root earlier: an ordinary user may not write the process id into it, but may lock it.
            .or_else(|_| File::open(&path))
            .map_err(ClusterError::io("Opening", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let named = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let by = if named {
                    format!("process {}", holder.trim())
                } else {
                    "another process".to_owned()
                };
                return Err(ClusterError::InUse {
                    directory: directory.to_owned(),
                    by,
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(ClusterError::Io {
                    what: "Locking",
                    path,
                    source,
                });
            }
        }
        // Only for the message of the next one who comes; the lock holds without it.
        if let Err(error) = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
        {
            tracing::debug!(path = %path.display(), %error, "the lock file does not name its holder");
        }
        Ok(Self { file })
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing alone would leave the lock with a child that is being forked at this moment, until it
        // executes its program.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "unlocking the cluster's directory failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_holds_the_lock_and_gets_it_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path()).unwrap();
        let refused = DirectoryLock::take(directory.path())
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(&format!("in use by process {}", std::process::id())),
            "{refused}"
        );
        drop(first);
        DirectoryLock::take(directory.path()).unwrap();
    }
}
