//! The place where a demo runs: its data directory, held by one demo at a time, and its ports.

use std::fs::{File, TryLockError};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::LaunchError;
use crate::settings::Listen;

/// How long programs of a demo that was killed may need to end by themselves: the server stops its database.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(100);

/// Marks a directory as a demo's, and is locked while one runs there.
const LOCK: &str = "demo.lock";

/// The data directory, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    data: PathBuf,
    _lock: File,
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
        let lock = data.join(LOCK);
        if !lock.exists() && !is_empty(data) {
            // `make clean-demo` deletes a demo's directory as a whole: it must hold nothing else.
            return Err(LaunchError::configuration(format!(
                "{} holds something else than a demo: set LANDSIDE_DATA to an empty or new directory",
                data.display()
            )));
        }
        match try_lock(&lock)? {
            Some(lock) => Ok(Self {
                data: data.to_owned(),
                _lock: lock,
            }),
            None => Err(LaunchError::configuration(format!(
                "another demo is running on {}: stop it, or set LANDSIDE_DATA to another directory",
                data.display()
            ))),
        }
    }

    /// Waits until no program of an earlier demo is left: one that was killed leaves them ending by themselves.
    ///
    /// The file that is returned is to be open in each program of this demo. Its lock is free when the last of them
    /// has closed it, which no way of ending can forget.
    pub(crate) async fn wait_for_predecessors(
        &self,
        tell: &dyn Fn(&str),
    ) -> Result<File, LaunchError> {
        let path = self.data.join("programs.lock");
        let deadline = Instant::now() + PATIENCE;
        let mut told = false;
        loop {
            if let Some(lock) = try_lock(&path)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(LaunchError::configuration(format!(
                    "programs of an earlier demo still run: end them (their command lines name {}), then start again",
                    self.data.display()
                )));
            }
            if !told {
                tell("the demo before this one was killed; waiting for its programs to end");
                told = true;
            }
            sleep(RETRY).await;
        }
    }
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// Makes sure that each address can be listened on.
pub(crate) fn check_addresses(listens: &[Listen]) -> Result<(), LaunchError> {
    for listen in listens {
        TcpListener::bind(listen.address)
            .map_err(|error| LaunchError::configuration(sentence(listen, &error)))?;
    }
    Ok(())
}

/// Locks the file at `path`; `None` when somebody else has.
fn try_lock(path: &Path) -> Result<Option<File>, LaunchError> {
    let open = || {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    };
    open().map_err(|error: io::Error| {
        LaunchError::configuration(format!(
            "cannot lock {}: {error}; set LANDSIDE_DATA to a directory that can be written",
            path.display()
        ))
    })
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
    use std::cell::RefCell;

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
    fn a_directory_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        let sentence = Place::take(dir.path()).unwrap_err().to_string();
        assert!(sentence.contains("LANDSIDE_DATA"), "{sentence}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
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

    #[test]
    fn a_taken_port_is_named_with_its_variable() {
        let (listener, listen) = taken();
        let sentence = check_addresses(&[listen]).unwrap_err().to_string();
        let port = listen.address.port();
        assert!(
            sentence.contains(&format!("port {port} of 127.0.0.1 is taken")),
            "{sentence}"
        );
        assert!(sentence.contains("LANDSIDE_STOMP"), "{sentence}");
        drop(listener);
        check_addresses(&[listen]).unwrap();
    }

    #[tokio::test]
    async fn programs_that_are_still_ending_are_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let killed = Place::take(dir.path()).unwrap();
        let programs = killed
            .wait_for_predecessors(&|line| panic!("{line}"))
            .await
            .unwrap();
        // The demo is gone, a program that inherited the file is not.
        let program = RefCell::new(Some(programs.try_clone().unwrap()));
        drop((killed, programs));
        let place = Place::take(dir.path()).unwrap();
        let told = RefCell::new(0);
        let tell = |_: &str| {
            program.take();
            *told.borrow_mut() += 1;
        };
        place.wait_for_predecessors(&tell).await.unwrap();
        assert_eq!(told.take(), 1);
    }
}
