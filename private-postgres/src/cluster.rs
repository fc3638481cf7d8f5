//! Starting, adopting and stopping a private cluster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateDatabase;
use sqlx::postgres::{PgConnectOptions, PgConnection, Postgres};
use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep};

use crate::account::{self, Account};
use crate::binaries::{Binaries, BinarySearch, Found, Maker};
use crate::error::ClusterError;
use crate::initdb;
use crate::lock::DirectoryLock;
use crate::pid_file::{self, PidFile};
use crate::place::{PORT, Place};
use crate::postmaster::Postmaster;
use crate::settings::{self, SUPERUSER};

/// How long what a killed postmaster left (its children, its shared memory, itself while it stops) may stand in
/// the way.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(30);

/// How long a start may take; recovery after a crash reads at most `max_wal_size` of log.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// How often start-up looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long to wait before another postmaster is tried.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// The database that every cluster has.
const MAINTENANCE_DATABASE: &str = "postgres";

/// What kind of cluster, and where.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The directory of the cluster; made if it is missing. See the crate's documentation for where the data
    /// really goes.
    pub directory: PathBuf,
    /// `true`: an acknowledged write survives the loss of power. `false`: faster, for clusters that are thrown
    /// away.
    pub durable: bool,
    /// Where to look for the Postgres programs.
    pub binaries: BinarySearch,
    /// The directory for the socket; by default one beside the data, or a private one in `/tmp` when that path
    /// would be too long.
    pub socket_directory: Option<PathBuf>,
}

impl ClusterConfig {
    /// A durable cluster in `directory`, with the programs that the environment names or the system has.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            durable: true,
            binaries: BinarySearch::from_environment(),
            socket_directory: None,
        }
    }
}

/// A running private cluster.
///
/// [`Self::stop`] ends it and waits. Dropping it asks Postgres to stop without waiting; should the whole
/// process be killed, the kernel asks (parent-death signal). Either way the next start waits for what is left.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    postmaster: Postmaster,
    // Dropped last: while anything of ours may still run, nobody else may have the directory.
    _lock: DirectoryLock,
}

impl Cluster {
    /// Starts the cluster of a directory, made first if there is none, and waits until it takes connections.
    ///
    /// # Errors
    /// Each [`ClusterError`] says what to do; none of them leaves a postmaster of ours running.
    pub async fn start(config: ClusterConfig) -> Result<Self, ClusterError> {
        // Running initdb and looking at files blocks for a second or two.
        let prepared = tokio::task::spawn_blocking(move || Prepared::new(&config));
        let Prepared {
            place,
            account,
            binaries,
            lock,
        } = prepared.await.expect("preparing does not panic")?;
        let postmaster = bring_up(&place, &account, &binaries).await?;
        tracing::info!(directory = %place.root.display(), pid = postmaster.pid, version = binaries.version,
            adopted = postmaster.adopted(), "the private Postgres cluster runs");
        Ok(Self {
            place,
            postmaster,
            _lock: lock,
        })
    }

    /// The URL of a database of the cluster in this directory, if it runs and answers, whoever runs it. It stays theirs: to
    /// use one that nobody runs, [`Self::start`] it.
    ///
    /// # Errors
    /// When the directory cannot be looked at.
    pub async fn running(directory: &Path, database: &str) -> Result<Option<String>, ClusterError> {
        if !directory.exists() {
            return Ok(None);
        }
        let (place, _) = Place::prepare(directory, None)?;
        let file = PidFile::read(&place.data)?.filter(|file| {
            file.ready
                && file.socket.as_deref() == Some(&place.socket)
                && pid_file::runs_in(file.pid, &place.data)
        });
        let answers = file.is_some() && answers(&place).await.is_ok();
        Ok(answers.then(|| url(&place.socket, database)))
    }

    /// The URL of one of its databases, for sqlx and libpq: over the socket, as [`SUPERUSER`].
    pub fn url(&self, database: &str) -> String {
        url(&self.place.socket, database)
    }

    /// Makes a database unless it exists, and gives its URL.
    ///
    /// # Errors
    /// [`ClusterError::Database`] when the cluster does not answer or has no room.
    pub async fn ensure_database(&self, database: &str) -> Result<String, ClusterError> {
        let url = self.url(database);
        let made = async {
            if !Postgres::database_exists(&url).await? {
                Postgres::create_database(&url).await?;
            }
            Ok(())
        };
        made.await
            .map_err(|source| self.failed(format!("Making the database `{database}`"), source))?;
        Ok(url)
    }

    /// The directory that holds the cluster's data: where it really is.
    pub fn data_directory(&self) -> &Path {
        &self.place.data
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> i32 {
        self.postmaster.pid
    }

    /// Whether the postmaster was found running, left behind by a process that was killed.
    pub fn adopted(&self) -> bool {
        self.postmaster.adopted()
    }

    /// Completes when the postmaster has ended, for whatever reason. Nothing starts it again but a new
    /// [`Self::start`]. Cancel-safe.
    pub async fn ended(&self) {
        self.postmaster.ended().await;
    }

    /// Ends all sessions and stops the cluster.
    ///
    /// # Errors
    /// [`ClusterError::DidNotStop`] when even an immediate shutdown takes longer than ten seconds.
    pub async fn stop(self) -> Result<(), ClusterError> {
        self.shut_down().await
    }

    /// Stops the cluster and deletes its directories, the wanted one included.
    ///
    /// # Errors
    /// As [`Self::stop`]; [`ClusterError::Io`] when something cannot be deleted.
    pub async fn destroy(self) -> Result<(), ClusterError> {
        self.shut_down().await?;
        self.place.remove()
    }

    async fn shut_down(&self) -> Result<(), ClusterError> {
        self.postmaster.stop().await?;
        tracing::info!(directory = %self.place.root.display(), "the private Postgres cluster stopped");
        Ok(())
    }

    fn failed(&self, what: String, source: sqlx::Error) -> ClusterError {
        ClusterError::Database {
            what,
            directory: self.place.data.clone(),
            source,
        }
    }
}

/// Everything that a start needs, found, made and locked.
struct Prepared {
    place: Place,
    account: Account,
    binaries: Binaries,
    lock: DirectoryLock,
}

impl Prepared {
    fn new(config: &ClusterConfig) -> Result<Self, ClusterError> {
        let (place, account) =
            Place::prepare(&config.directory, config.socket_directory.as_deref())?;
        let lock = DirectoryLock::take(&place.root)?;
        let binaries = choose_binaries(config, &place, &account)?;
        initdb::ensure_data(&place, &account, &binaries, config.durable)?;
        write_settings(&place, &account, config.durable)?;
        Ok(Self {
            place,
            account,
            binaries,
            lock,
        })
    }
}

fn choose_binaries(
    config: &ClusterConfig,
    place: &Place,
    account: &Account,
) -> Result<Binaries, ClusterError> {
    let found = Found::search(&config.binaries, account)?;
    let version_file = place.data.join("PG_VERSION");
    let chosen = match fs::read_to_string(&version_file) {
        Ok(major) => found.for_data(&place.data, major.trim(), Maker::read(&place.root).as_ref()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => found.best(),
        Err(source) => {
            return Err(ClusterError::Io {
                what: "Reading",
                path: version_file,
                source,
            });
        }
    };
    chosen.cloned()
}

fn write_settings(place: &Place, account: &Account, durable: bool) -> Result<(), ClusterError> {
    let own_name = account::own_name()?;
    // As an ordinary user both names are the same one.
    let mut users = vec![own_name.as_str(), account.name.as_str()];
    users.dedup();
    let files = [
        (
            "postgresql.conf",
            settings::postgresql_conf(&place.root, &place.data, &place.socket, durable),
        ),
        ("pg_hba.conf", settings::pg_hba_conf()),
        ("pg_ident.conf", settings::pg_ident_conf(&users)),
    ];
    for (name, text) in files {
        let path = place.root.join(name);
        fs::write(&path, text).map_err(ClusterError::io("Writing", &path))?;
    }
    let local = place.root.join(settings::LOCAL_CONF);
    if !local.exists() {
        fs::write(&local, settings::LOCAL_CONF_TEXT)
            .map_err(ClusterError::io("Writing", &local))?;
    }
    Ok(())
}

/// Ends with a postmaster that takes connections: the one that runs already, or a new one.
async fn bring_up(
    place: &Place,
    account: &Account,
    binaries: &Binaries,
) -> Result<Postmaster, ClusterError> {
    let deadline = Instant::now() + LEFTOVER_PATIENCE;
    loop {
        if let Some(orphan) = find_orphan(place, deadline).await? {
            return Ok(orphan);
        }
        let mut command = account.command_that_dies_with_us(&binaries.directory.join("postgres"));
        command.arg("-D").arg(&place.data).arg("-c").arg(format!(
            "config_file={}",
            place.root.join("postgresql.conf").display()
        ));
        let postmaster = Postmaster::spawn(command, &place.data).await?;
        match wait_until_ready(&postmaster, place).await? {
            Started::Ready => return Ok(postmaster),
            Started::Ended(output) => {
                let blocked = output.contains("lock file \"")
                    || output.contains("pre-existing shared memory block");
                if !blocked || Instant::now() > deadline {
                    return Err(did_not_start(place, "it ended", output));
                }
                // The process id in the file belongs to another program by now, as it soon does in a container.
                if !pid_file::anybody_runs_in(&place.data) {
                    tracing::warn!(directory = %place.data.display(), "removing the postmaster.pid of a postmaster that is gone");
                    PidFile::remove(&place.data)?;
                }
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// A postmaster that runs in the data directory although nobody holds the lock. One that is starting or
/// stopping is waited for.
async fn find_orphan(place: &Place, deadline: Instant) -> Result<Option<Postmaster>, ClusterError> {
    while let Some(file) =
        PidFile::read(&place.data)?.filter(|file| pid_file::runs_in(file.pid, &place.data))
    {
        if file.ready {
            if file.socket.as_deref() != Some(&place.socket) {
                let by = format!(
                    "a Postgres that was started by other means (process {})",
                    file.pid
                );
                return Err(ClusterError::InUse {
                    directory: place.root.clone(),
                    by,
                });
            }
            if answers(place).await.is_ok() {
                return Ok(Some(Postmaster::adopt(file.pid, &place.data)));
            }
        }
        if Instant::now() > deadline {
            let by = format!(
                "a Postgres that neither answers nor ends (process {})",
                file.pid
            );
            return Err(ClusterError::InUse {
                directory: place.root.clone(),
                by,
            });
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

enum Started {
    Ready,
    /// It ended, after having printed this.
    Ended(String),
}

async fn wait_until_ready(postmaster: &Postmaster, place: &Place) -> Result<Started, ClusterError> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        tokio::select! {
            () = postmaster.ended() => return Ok(Started::Ended(postmaster.recent_output())),
            () = sleep(LOOK_EVERY) => {}
        }
        let ready = PidFile::read(&place.data)?
            .is_some_and(|file| file.pid == postmaster.pid && file.ready);
        if !ready && Instant::now() < deadline {
            continue;
        }
        let outcome = if ready {
            // It says so itself: what is refused now would be refused later as well.
            answers(place)
                .await
                .map_err(|source| ClusterError::Database {
                    what: "Connecting for the first time".to_owned(),
                    directory: place.data.clone(),
                    source,
                })
        } else {
            let what = format!(
                "it was not ready after {} seconds",
                START_PATIENCE.as_secs()
            );
            Err(did_not_start(place, &what, postmaster.recent_output()))
        };
        if outcome.is_err() {
            postmaster.stop().await?;
        }
        return outcome.map(|()| Started::Ready);
    }
}

/// Connects once: the socket is there, the postmaster accepts, and authentication lets us in.
async fn answers(place: &Place) -> Result<(), sqlx::Error> {
    let options = PgConnectOptions::from_str(&url(&place.socket, MAINTENANCE_DATABASE))?
        .disable_statement_logging();
    PgConnection::connect_with(&options).await?.close().await
}

fn did_not_start(place: &Place, what: &str, output: String) -> ClusterError {
    ClusterError::DidNotStart {
        directory: place.data.clone(),
        what: what.to_owned(),
        output,
    }
}

/// Port and TLS mode are said so that PGPORT and PGSSLMODE in the environment have no say.
fn url(socket: &Path, database: &str) -> String {
    let socket = percent_encoded(&socket.display().to_string());
    let database = percent_encoded(database);
    format!("postgres://{SUPERUSER}@localhost:{PORT}/{database}?host={socket}&sslmode=disable")
}

/// Encodes everything but the characters that RFC 3986 calls unreserved, and the slash.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_survive_odd_paths_and_names() {
        let text = url(Path::new("/tmp/an airport/50%&co"), "p 1?");
        let options = PgConnectOptions::from_str(&text).unwrap();
        assert_eq!(
            options.get_socket().map(PathBuf::as_path),
            Some(Path::new("/tmp/an airport/50%&co"))
        );
        assert_eq!(options.get_database(), Some("p 1?"));
        assert_eq!(
            (options.get_username(), options.get_port()),
            (SUPERUSER, PORT)
        );
    }
}
