//! Makes the data directory: under another name first, so that a directory called `data` is always whole.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::account::{self, Account};
use crate::binaries::{Binaries, Maker};
use crate::error::ClusterError;
use crate::place::{self, Place};
use crate::settings::SUPERUSER;

/// Under this name a data directory is in the making.
const UNFINISHED: &str = "data.unfinished";

/// Code points sort Hangul as Korean does and are the same on every machine; plain C where the system lacks it.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// Makes `data` with the given programs, if it is not there.
pub(crate) fn ensure_data(
    place: &Place,
    account: &Account,
    binaries: &Binaries,
    durable: bool,
) -> Result<(), ClusterError> {
    if place.data.exists() {
        return Ok(());
    }
    let unfinished = place.root.join(UNFINISHED);
    let mut complaint = String::new();
    for locale in LOCALES {
        remove_unfinished(&unfinished)?;
        DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .map_err(ClusterError::io("Making", &unfinished))?;
        place::give_to(&unfinished, account)?;
        match run(&unfinished, account, binaries, durable, locale)? {
            Ok(()) => {
                Maker::write(binaries, &place.root)?;
                return fs::rename(&unfinished, &place.data)
                    .map_err(ClusterError::io("Naming", &place.data));
            }
            Err(output) => complaint = output,
        }
        if !complaint.contains("invalid locale") {
            break;
        }
    }
    remove_unfinished(&unfinished)?;
    Err(ClusterError::Initdb {
        directory: place.root.clone(),
        output: complaint,
    })
}

/// The inner error is what initdb printed.
fn run(
    directory: &Path,
    account: &Account,
    binaries: &Binaries,
    durable: bool,
    locale: &str,
) -> Result<Result<(), String>, ClusterError> {
    let mut command = account.command(&binaries.directory.join("initdb"));
    command
        .arg("--pgdata")
        .arg(directory)
        .args([
            "--username",
            SUPERUSER,
            "--encoding",
            "UTF8",
            "--locale",
            locale,
        ])
        // Only the files in the root count; these would be used by somebody who starts the data directory by hand.
        .args(["--auth", "peer", "--no-instructions"]);
    // A disk that turns bits is noticed; not worth the time where the data lives for minutes.
    command.arg(if durable {
        "--data-checksums"
    } else {
        "--no-sync"
    });
    let output = command.output().map_err(account::missing_setpriv)?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let printed = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = printed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Ok(Err(lines.join(" / ")))
}

fn remove_unfinished(unfinished: &Path) -> Result<(), ClusterError> {
    if unfinished.exists() {
        fs::remove_dir_all(unfinished).map_err(ClusterError::io("Removing", unfinished))?;
    }
    Ok(())
}
