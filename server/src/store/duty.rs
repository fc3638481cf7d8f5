//! One server at a time works on a database: it holds an advisory lock for as long as it runs, and another one waits.
//!
//! Alarms, live state and commands under way are in one server's memory. A second one beside it would show an alarm as dealt
//! with that is open, and a device as silent that is heard. So it stands by, and takes over when the first one has ended.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::{sleep, timeout};

use super::{PROMPT_END, StoreError};

/// The lock's key: "landside" in ASCII.
const LOCK: i64 = 0x6c61_6e64_7369_6465;

/// How often a server on duty looks whether it still is. When the database comes back, it is sooner there than one that
/// stands by.
const LOOK: Duration = Duration::from_millis(500);

/// How often a server that stands by tries.
const TRY: Duration = Duration::from_secs(2);

/// A look that takes longer is answered by nobody.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Who works on the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Of the connection, at the database.
    pid: i32,
    /// None: the database tells its login's own connections only.
    since: Option<DateTime<Utc>>,
    /// None: over the database's Unix socket, or not told.
    from: Option<IpAddr>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another server")?;
        if let Some(from) = self.from {
            write!(f, " at {from}")?;
        }
        match self.since {
            Some(since) => write!(f, ", since {} UTC", since.format("%F %T")),
            None => Ok(()),
        }
    }
}

/// The right to work on a database, for as long as it is kept.
#[derive(Debug)]
pub struct Duty {
    options: PgConnectOptions,
    connection: PgConnection,
    own: Holder,
    is_sure: Sure,
}

/// Whether a server is sure that it alone works on the database. While the database does not answer, it is not, and begins no
/// unit of work: no alarm, command or audit row is stored.
#[derive(Debug, Clone)]
pub(super) struct Sure(Arc<AtomicBool>);

impl Sure {
    /// Of whoever has no duty, as a command beside the server.
    pub(super) fn always() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(super) fn now(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, is_sure: bool) {
        self.0.store(is_sure, Ordering::Release);
    }
}

impl Duty {
    /// Takes it if nobody has it; else who does.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database does not answer.
    pub async fn take(url: &str) -> Result<Result<Self, Holder>, StoreError> {
        let options = PgConnectOptions::from_str(url)?.options(PROMPT_END);
        let mut connection = options.connect().await?;
        loop {
            if lock(&mut connection).await? {
                let own = itself(&mut connection).await?;
                return Ok(Ok(Self {
                    options,
                    connection,
                    own,
                    is_sure: Sure::always(),
                }));
            }
            // Whoever had it may just have ended.
            if let Some(holder) = holder(&mut connection).await? {
                return Ok(Err(holder));
            }
            sleep(LOOK).await;
        }
    }

    /// Waits for it, also while the database is away. Cancel-safe.
    pub async fn wait(url: &str) -> Self {
        loop {
            match Self::take(url).await {
                Ok(Ok(duty)) => return duty,
                Ok(Err(_holder)) => {}
                Err(error) => {
                    tracing::debug!(%error, "whether another server has ended cannot be seen");
                }
            }
            sleep(TRY).await;
        }
    }

    /// Keeps it, over every outage of the database; ends when another one has it. Whoever does not wait for the end may have
    /// lost it.
    pub async fn lost(&mut self) -> Holder {
        loop {
            sleep(LOOK).await;
            if let Ok(Ok(())) = timeout(LOOK_TIMEOUT, self.connection.ping()).await {
                continue;
            }
            self.is_sure.set(false);
            // An error means that the database is away: others tell that, and what can go on without it does.
            if let Ok(Ok(Some(holder))) = timeout(LOOK_TIMEOUT, self.take_again()).await {
                return holder;
            }
        }
    }

    /// On a new connection; whoever has it instead.
    async fn take_again(&mut self) -> Result<Option<Holder>, StoreError> {
        let mut connection = self.options.connect().await?;
        if !lock(&mut connection).await? {
            let holder = holder(&mut connection).await?;
            if holder.as_ref() != Some(&self.own) {
                return Ok(holder);
            }
            // The database has not noticed yet that the connection of before is gone.
            sqlx::query_scalar!("select pg_terminate_backend($1)", self.own.pid)
                .fetch_one(&mut connection)
                .await?;
            return Ok(None);
        }
        self.own = itself(&mut connection).await?;
        self.connection = connection;
        self.is_sure.set(true);
        tracing::info!("the database answers again, and this server still works on it alone");
        Ok(None)
    }

    pub(super) fn is_sure(&self) -> Sure {
        self.is_sure.clone()
    }

    /// Gives it up.
    pub async fn end(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the database had ended the connection already");
        }
    }
}

async fn lock(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let locked = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "locked!""#, LOCK);
    Ok(locked.fetch_one(connection).await?)
}

async fn itself(connection: &mut PgConnection) -> Result<Holder, StoreError> {
    let pid = sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#)
        .fetch_one(&mut *connection)
        .await?;
    let found = holder(connection).await?;
    Ok(found
        .filter(|holder| holder.pid == pid)
        .ok_or(sqlx::Error::RowNotFound)?)
}

/// Who holds the lock in this database. Keys of 64 bits stand in two halves there.
async fn holder(connection: &mut PgConnection) -> Result<Option<Holder>, StoreError> {
    let row = sqlx::query!(
        r#"select a.pid as "pid!", a.backend_start as "since", host(a.client_addr) as "from"
           from pg_locks l join pg_stat_activity a using (pid)
           where l.locktype = 'advisory' and l.granted and l.objsubid = 1
             and l.database = (select oid from pg_database where datname = current_database())
             and (l.classid::bigint << 32) | l.objid::bigint = $1"#,
        LOCK
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Holder {
        pid: row.pid,
        since: row.since,
        from: row.from.and_then(|from| from.parse().ok()),
    }))
}
