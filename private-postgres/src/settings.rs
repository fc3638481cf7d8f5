//! The configuration files of a start. Pure: text from values.
//!
//! They are written anew at each start and lie outside the data directory, so that a newer Landside brings its
//! settings along. What initdb found out about the machine is read first, an administrator's `local.conf` last.

use std::path::Path;

use crate::place::PORT;

/// The role that owns a private cluster; it may create databases.
pub const SUPERUSER: &str = "landside";

/// An administrator's own settings, in the cluster's root.
pub(crate) const LOCAL_CONF: &str = "local.conf";

/// What `local.conf` holds until somebody writes into it.
pub(crate) const LOCAL_CONF_TEXT: &str =
    "# Settings of your own; they win over all others and are never overwritten.\n";

/// The name under which `pg_hba.conf` refers to `pg_ident.conf`.
const USER_MAP: &str = "landside";

/// Sized for a machine of 2 cores and 4 GB that does other things as well.
const MODEST: &[(&str, &str)] = &[
    // Never over the network; who is at the other end of the socket is asked of the kernel.
    ("listen_addresses", "''"),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "100"),
    ("shared_buffers", "128MB"),
    ("work_mem", "8MB"),
    ("maintenance_work_mem", "64MB"),
    ("max_wal_size", "512MB"),
    // Containers often give /dev/shm too little for parallel queries, and two cores gain little by them.
    ("max_parallel_workers_per_gather", "0"),
    // Compiling a query costs more than the small queries of a dashboard take.
    ("jit", "off"),
    ("timezone", "'UTC'"),
    ("log_timezone", "'UTC'"),
    // What Postgres says goes to the log of the process that started it, which stamps it.
    ("logging_collector", "off"),
    ("log_destination", "'stderr'"),
    ("log_line_prefix", "''"),
    // Start-up recognises some of Postgres's messages.
    ("lc_messages", "'C'"),
];

/// An acknowledged write survives the loss of power.
const DURABLE: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
];

/// For clusters that are thrown away: a crash may destroy them.
const THROW_AWAY: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("autovacuum", "off"),
];

/// `postgresql.conf`.
pub(crate) fn postgresql_conf(root: &Path, data: &Path, socket: &Path, durable: bool) -> String {
    let in_root = |name: &str| quoted(&root.join(name).display().to_string());
    let mut lines = vec![
        format!(
            "# Written at each start. Settings of your own go into {LOCAL_CONF} beside this file."
        ),
        format!(
            "include = {}",
            quoted(&data.join("postgresql.conf").display().to_string())
        ),
        format!("data_directory = {}", quoted(&data.display().to_string())),
        format!("hba_file = {}", in_root("pg_hba.conf")),
        format!("ident_file = {}", in_root("pg_ident.conf")),
        // A list of directories: the inner quotes keep a path with a comma together.
        format!(
            "unix_socket_directories = {}",
            quoted(&format!(
                "\"{}\"",
                socket.display().to_string().replace('"', "\"\"")
            ))
        ),
        format!("port = {PORT}"),
    ];
    let safety = if durable { DURABLE } else { THROW_AWAY };
    lines.extend(
        MODEST
            .iter()
            .chain(safety)
            .map(|(name, value)| format!("{name} = {value}")),
    );
    lines.push(format!("include = {}", in_root(LOCAL_CONF)));
    lines.push(String::new());
    lines.join("\n")
}

/// `pg_hba.conf`: the socket only, and whoever the kernel says is there.
pub(crate) fn pg_hba_conf() -> String {
    format!("local all all peer map={USER_MAP}\nlocal replication all peer map={USER_MAP}\n")
}

/// `pg_ident.conf`: which users of the operating system are the cluster's owner.
pub(crate) fn pg_ident_conf(users: &[&str]) -> String {
    users
        .iter()
        .map(|user| format!("{USER_MAP} \"{user}\" {SUPERUSER}\n"))
        .collect()
}

/// A value in `postgresql.conf`, where both quotes and backslashes are special.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_quotes_and_commas_survive() {
        let conf = postgresql_conf(
            Path::new("/it's"),
            Path::new("/it's/data"),
            Path::new("/a,b/socket"),
            true,
        );
        assert!(conf.contains("data_directory = '/it''s/data'\n"), "{conf}");
        assert!(
            conf.contains("unix_socket_directories = '\"/a,b/socket\"'\n"),
            "{conf}"
        );
        assert!(conf.ends_with("include = '/it''s/local.conf'\n"), "{conf}");
    }

    #[test]
    fn only_throw_away_clusters_skip_fsync() {
        let conf = |durable| {
            postgresql_conf(
                Path::new("/r"),
                Path::new("/r/data"),
                Path::new("/r/socket"),
                durable,
            )
        };
        assert!(
            conf(true).contains("fsync = on\n")
                && !conf(true).contains("= off\nsynchronous_commit")
        );
        assert!(conf(false).contains("fsync = off\n"));
    }

    #[test]
    fn each_user_is_mapped_to_the_owner() {
        assert_eq!(
            pg_ident_conf(&["root", "postgres"]),
            "landside \"root\" landside\nlandside \"postgres\" landside\n"
        );
    }
}
