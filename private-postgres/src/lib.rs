//! A private Postgres cluster in a data directory: found, made, started, adopted, stopped.
//!
//! Landside keeps everything that must survive in Postgres. Where an administrator names a database server,
//! that one is used; where nobody does, this crate runs a cluster of its own, so that nothing has to be
//! installed and configured beforehand but the programs.
//!
//! ```text
//! Cluster::start
//!   place      where the cluster can live: the wanted directory, or one that the unprivileged account reaches
//!   account    who runs it: this user, or `postgres` or `nobody` when this process is root
//!   lock       one process per cluster
//!   binaries   which Postgres: $PG_BIN, /usr/lib/postgresql, pg_config, the npm package
//!   initdb     makes the data directory once, under another name, then renames it
//!   settings   writes the configuration of this start
//!   pid_file   what a postmaster that did not end properly left behind
//!   postmaster the running process
//! ```
//!
//! # Who can connect
//! There is no TCP listener. The socket lies in a directory of mode 0700 that belongs to the account that runs
//! Postgres, and Postgres asks the kernel who is at the other end (`peer`): only the user of this process and
//! that account are mapped to the role [`SUPERUSER`]. A password would add nothing: whoever could read the file
//! that holds it can read the data directory as well.
//!
//! # Where the data is
//! In the wanted directory. Postgres refuses to run as root, so a process that is root runs it as `postgres` or
//! `nobody`; when that account cannot enter the wanted directory (below a home directory of mode 0700, for
//! example), the cluster lives in `/var/lib/landside/<hash of the wanted directory>` instead, and the file
//! [`LOCATION_FILE`] in the wanted directory says so.
//!
//! # Two processes, one directory
//! A second [`Cluster::start`] on a directory whose first one still lives ends with [`ClusterError::InUse`]. A
//! postmaster without such a process (its parent was killed and the postmaster was not) is adopted: used, and
//! stopped in the end, like one's own.

mod account;
mod binaries;
mod cluster;
mod error;
mod initdb;
mod lock;
mod pid_file;
mod place;
mod postmaster;
mod settings;

pub use binaries::{BinarySearch, OLDEST_MAJOR};
pub use cluster::{Cluster, ClusterConfig};
pub use error::ClusterError;
pub use place::LOCATION_FILE;
pub use settings::SUPERUSER;
