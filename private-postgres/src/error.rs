//! Every way a private cluster can fail to come up or go down: what was wrong, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a private cluster could not be started, used or stopped. The text is one sentence for the person who
/// runs the program.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No Postgres programs that are new enough and can be run by the account that would run them.
    #[error(
        "No usable Postgres {oldest} or newer was found ({tried}): install the package `postgresql` (Debian, Ubuntu), or set PG_BIN to \
         the directory that holds `postgres` and `initdb`."
    )]
    NoBinaries {
        /// The oldest major version that would do.
        oldest: u32,
        /// Each place that was looked at and what was wrong with it.
        tried: String,
    },
    /// The data directory was made by a major version that is not installed here.
    #[error(
        "The data in {} was made by Postgres {made_by}{with}, but only {found} is usable here: install Postgres {made_by}, set PG_BIN to its \
         `bin` directory, or move the data over with `pg_upgrade`.",
        .directory.display()
    )]
    OtherMajor {
        /// The data directory.
        directory: PathBuf,
        /// Its major version, as `PG_VERSION` says it; kept as text since a foreign file may hold anything.
        made_by: String,
        /// Which programs made it, where that was remembered, as a parenthesis ready to print.
        with: String,
        /// What is here instead.
        found: String,
    },
    /// The account that must run Postgres cannot enter the directory.
    #[error(
        "Postgres runs here as the user `{user}`, who cannot enter {}: make every directory above it searchable (`chmod o+x`), or \
         choose a data directory elsewhere.",
        .directory.display()
    )]
    Unreachable {
        /// The directory that cannot be entered.
        directory: PathBuf,
        /// Who would have to enter it.
        user: String,
    },
    /// The data directory belongs to somebody else, and Postgres only accepts its owner.
    #[error(
        "The data in {} belongs to user id {owner}, and this process runs as `{user}`: start it as that user or as root, or choose \
         another data directory.",
        .directory.display()
    )]
    ForeignOwner {
        /// The data directory.
        directory: PathBuf,
        /// The user id that owns it.
        owner: u32,
        /// Who this process is.
        user: String,
    },
    /// The directory for the socket exists and is not private to the account that runs Postgres.
    #[error("The socket directory {} is not a private directory of the user `{user}`: remove it, or choose another one.", .directory.display())]
    SocketDirectoryTaken {
        /// The directory.
        directory: PathBuf,
        /// Who should own it.
        user: String,
    },
    /// The operating system allows at most 107 bytes for the path of a socket.
    #[error(
        "The socket path {} has {length} bytes and the operating system allows {limit}: choose a shorter socket directory.",
        .path.display()
    )]
    SocketPathTooLong {
        /// The path of the socket.
        path: PathBuf,
        /// Its length, in bytes.
        length: usize,
        /// The longest that would do, in bytes.
        limit: usize,
    },
    /// Another process holds the cluster.
    #[error("The cluster in {} is in use by {by}: stop that process, or choose another data directory.", .directory.display())]
    InUse {
        /// The directory of the cluster.
        directory: PathBuf,
        /// Who uses it, as far as it is known.
        by: String,
    },
    /// As root there must be an account to give Postgres to.
    #[error(
        "Postgres refuses to run as root, and neither the user `postgres` nor `nobody` exists: create one of them."
    )]
    NoUnprivilegedUser,
    /// A program of the operating system is missing.
    #[error("The program `{program}` could not be run: {source}; install the package `{package}`.")]
    MissingProgram {
        /// Its name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// What running it gave.
        source: io::Error,
    },
    /// `initdb` ran and failed.
    #[error("Making a cluster in {} failed: initdb said \"{output}\"; make room or mend what it names, then start again.", .directory.display())]
    Initdb {
        /// The directory in which it was to be made.
        directory: PathBuf,
        /// The last lines that it printed.
        output: String,
    },
    /// The postmaster ended by itself, or was not ready in time.
    #[error("Postgres did not start in {}: {what} (\"{output}\"); mend what it names, then start again.", .directory.display())]
    DidNotStart {
        /// The data directory.
        directory: PathBuf,
        /// It ended, or it took too long.
        what: String,
        /// The last lines that it printed.
        output: String,
    },
    /// The postmaster still runs after having been asked twice to stop.
    #[error("Postgres (process {pid}) in {} does not stop: look at what it does, and end it with `kill -QUIT {pid}`.", .directory.display())]
    DidNotStop {
        /// The data directory.
        directory: PathBuf,
        /// The postmaster's process id.
        pid: i32,
    },
    /// The operating system refused something.
    #[error("{what} {} failed: {source}; check that the directory exists, has room and may be written.", .path.display())]
    Io {
        /// What was tried, as the beginning of a sentence.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The cluster runs and refused a request.
    #[error("{what} in the cluster in {} failed: {source}; the server's log says more.", .directory.display())]
    Database {
        /// What was tried, as the beginning of a sentence.
        what: String,
        /// The data directory.
        directory: PathBuf,
        /// What Postgres or the connection said.
        source: sqlx::Error,
    },
}

impl ClusterError {
    /// For `map_err`: names what was tried on which path.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}
