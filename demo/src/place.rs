//! The place where a demo runs: its data directory, held by one demo at a time, and its ports.

use std::fs::{File, TryLockError};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::error::LaunchError;
use crate::settings::Listen;

/// How long children of a demo that was killed may need to end by themselves: the server finishes what it began.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(200);

/// The data directory, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _lock: File,
    marker: PathBuf,
    /// Whether the demo before this one did not end in order, so that its children may still be ending.
    was_killed: bool,
}

impl Place {
    /// Makes `data` if needed and takes it.
    pub(crate) fn take(data: &Path) -> Result<Self, LaunchError> {
        std::fs::create_dir_all(data).map_err(|error| {
            LaunchError::configuration(format!(
                "cannot make the data directory {}: {error}; set LANDSIDE_DATA to a directory that can be written",
                data.display()
            ))
        })?;
        let path = data.join("demo.lock");
        let open = File::create(&path).and_then(|file| match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match open {
            Ok(Some(lock)) => {
                let marker = data.join("demo.running");
                Ok(Self {
                    _lock: lock,
                    was_killed: marker.exists(),
                    marker,
                })
            }
            Ok(None) => Err(LaunchError::configuration(format!(
                "another demo is running on {}: stop it, or set LANDSIDE_DATA to another directory",
                data.display()
            ))),
            Err(error) => Err(LaunchError::configuration(format!(
                "cannot lock {}: {error}; set LANDSIDE_DATA to a directory that can be written",
                path.display()
            ))),
        }
    }

    /// Makes sure that each address can be listened on. After a demo that was killed, waits for its children to end.
    pub(crate) async fn check_addresses(
        &self,
        listens: &[Listen],
        tell: &dyn Fn(&str),
    ) -> Result<(), LaunchError> {
        let deadline = Instant::now() + PATIENCE;
        let mut told = !self.was_killed;
        for listen in listens {
            while let Err(error) = TcpListener::bind(listen.address) {
                let taken = error.kind() == io::ErrorKind::AddrInUse;
                if !taken || !self.was_killed || Instant::now() >= deadline {
                    return Err(LaunchError::configuration(sentence(listen, &error)));
                }
                if !told {
                    tell("the demo before this one was killed; waiting for its programs to end");
                    told = true;
                }
                sleep(RETRY).await;
            }
        }
        Ok(())
    }

    /// Notes that children are about to run.
    pub(crate) fn mark_running(&self) -> anyhow::Result<()> {
        std::fs::write(&self.marker, "")
            .with_context(|| format!("cannot write {}", self.marker.display()))
    }

    /// Notes that all children have ended.
    pub(crate) fn mark_stopped(&self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.marker)
            .with_context(|| format!("cannot remove {}", self.marker.display()))
    }
}

fn sentence(listen: &Listen, error: &io::Error) -> String {
    let Listen { variable, address } = listen;
    if error.kind() == io::ErrorKind::AddrInUse {
        format!(
            "port {} of {} is taken by another program: stop it, or set {variable} to an address with another port",
            address.port(),
            address.ip()
        )
    } else {
        format!("cannot listen on {address}: {error}; set {variable} to another address")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> (TcpListener, Listen) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = Listen {
            variable: "LANDSIDE_STOMP",
            address: listener.local_addr().unwrap(),
        };
        (listener, listen)
    }

    #[test]
    fn a_second_demo_on_the_same_data_is_refused_with_one_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let first = Place::take(dir.path()).unwrap();
        let sentence = Place::take(dir.path()).unwrap_err().to_string();
        assert!(
            sentence.starts_with("another demo is running on "),
            "{sentence}"
        );
        assert!(sentence.contains("LANDSIDE_DATA"), "{sentence}");
        drop(first);
        Place::take(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let sentence = Place::take(&file.path().join("data"))
            .unwrap_err()
            .to_string();
        assert!(
            sentence.starts_with("cannot make the data directory"),
            "{sentence}"
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_variable() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path()).unwrap();
        let (listener, listen) = taken();
        let error = place.check_addresses(&[listen], &|_| {}).await.unwrap_err();
        let sentence = error.to_string();
        let port = listen.address.port();
        assert!(
            sentence.contains(&format!("port {port} of 127.0.0.1 is taken")),
            "{sentence}"
        );
        assert!(sentence.contains("LANDSIDE_STOMP"), "{sentence}");
        drop(listener);
        place.check_addresses(&[listen], &|_| {}).await.unwrap();
    }

    #[tokio::test]
    async fn after_a_kill_ports_may_take_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let killed = Place::take(dir.path()).unwrap();
        killed.mark_running().unwrap();
        drop(killed);
        let place = Place::take(dir.path()).unwrap();
        let (listener, listen) = taken();
        let told = std::cell::RefCell::new(Vec::new());
        let listener = std::cell::RefCell::new(Some(listener));
        let tell = |line: &str| {
            told.borrow_mut().push(line.to_owned());
            // Whoever held the port ends while the demo waits.
            listener.take();
        };
        place.check_addresses(&[listen], &tell).await.unwrap();
        assert_eq!(told.borrow().len(), 1);
        place.mark_stopped().unwrap();
        drop(place);
        assert!(!Place::take(dir.path()).unwrap().was_killed);
    }
}
