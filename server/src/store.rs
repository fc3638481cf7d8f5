//! Everything that survives a restart: Postgres, and all SQL of the system.
//!
//! Functions are named after the question they answer; rows never leave this module, only domain types do. Whatever
//! must happen together happens in one transaction, which the caller opens with `Store::begin`.

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool, Postgres, Transaction};
use std::str::FromStr;
use std::time::Duration;

pub(crate) mod alarm;
pub(crate) mod audit;
pub mod audit_chain;
pub(crate) mod audit_list;
pub(crate) mod command;
pub mod duty;
pub(crate) mod event;
pub(crate) mod external;
pub(crate) mod grant;
pub(crate) mod identity;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod people;
pub(crate) mod policy;
mod schema;
pub(crate) mod second_factor;
mod separation;
pub(crate) mod site;
pub(crate) mod standing;

use schema::Schema;
pub use separation::Separation;

/// Enough for the writers (alarms, commands, inventories) and a page or two at once; Postgres' own default limit is 100.
const CONNECTIONS_MAX: u32 = 12;

/// Whoever waits longer for a connection is told "unavailable", and tries again: better than a queue that hides a dead database.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Our statements take milliseconds. One that takes this long is stuck, and whoever waits is better told so.
const STATEMENT_TIMEOUT: &str = "15s";

/// Somebody else's lock (a backup, a person with psql) must not stop the alarms for longer than this.
const LOCK_TIMEOUT: &str = "5s";

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, full, or refused: nothing was stored.
    #[error("the database did not answer as it should: {0}")]
    Database(#[source] sqlx::Error),
    /// The audit takes no row: what would have to stand in it was not done.
    #[error("the audit cannot be written: {0}")]
    Audit(#[source] sqlx::Error),
    /// A signing key is sealed with another `identity.key` than the one of this data directory.
    #[error(
        "the signing key {kid} is sealed with another identity.key: bring that file back from a backup, or remove the key by `landside-server keys remove`"
    )]
    Sealed {
        /// The key's name.
        kid: String,
    },
    /// Nobody may be called like somebody of another kind: which two would be.
    #[error("{0}")]
    NameTaken(String),
    /// The schema could not be brought up to date, or looked at.
    #[error(
        "the login {login} could not bring the database schema up to date: {source}; where another login owns the tables, name its URL in LANDSIDE_DATABASE_OWNER_URL"
    )]
    Migrate {
        /// Whose connection it was.
        login: String,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// A command beside the server changes no schema.
    #[error(
        "the database schema is that of another version: start this version's server once, then give the command again"
    )]
    OtherVersion,
    /// A command beside the server that makes nothing.
    #[error(
        "there is nothing of Landside in this database: was another one meant? Start the server once, which makes it"
    )]
    Nothing,
    /// A row holds what this version cannot read.
    #[error("{table} holds {what}, which this version cannot read: was it written by a newer one?")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// What was found.
        what: String,
    },
}

/// Named by the triggers that keep one name space.
const ONE_KIND: &str = "subject_kind";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(cause) if cause.constraint() == Some(ONE_KIND) => {
                Self::NameTaken(cause.message().to_owned())
            }
            _ => Self::Database(error),
        }
    }
}

impl StoreError {
    /// Whether whoever asks again has to wait in vain again.
    pub(crate) fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Database(
                sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)
            )
        )
    }

    /// Whether it was what is to be stored that the database does not take: data exceptions, and broken constraints.
    pub(crate) fn is_refused_value(&self) -> bool {
        let (Self::Database(error) | Self::Audit(error)) = self else {
            return false;
        };
        let code = error.as_database_error().and_then(DatabaseError::code);
        code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
    }

    /// The database was not waited for any longer.
    pub(crate) fn away() -> Self {
        Self::Database(sqlx::Error::PoolTimedOut)
    }
}

/// A pool of connections to the one database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    separation: Separation,
    was_empty: bool,
}

/// Everything done with it is stored when it is committed, or nothing is.
pub(crate) type Unit<'a> = Transaction<'a, Postgres>;

impl Store {
    /// Connects to the database at `url` and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it cannot be reached, [`StoreError::Migrate`] when its schema is not ours, or is behind and
    /// the login may not change it.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with_owner(url, url).await
    }

    /// As [`Self::open`], with a login of its own for whoever owns the tables and may change them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with_owner(url: &str, owner: &str) -> Result<Self, StoreError> {
        Self::open_as(url, owner, true, true).await
    }

    /// For a command beside the server: an empty database gets its schema if the command `makes` one, and no other one is
    /// changed.
    ///
    /// # Errors
    /// As [`Self::open`], [`StoreError::OtherVersion`], and [`StoreError::Nothing`].
    pub async fn open_for_command(url: &str, owner: &str, makes: bool) -> Result<Self, StoreError> {
        Self::open_as(url, owner, makes, false).await
    }

    async fn open_as(
        url: &str,
        owner: &str,
        makes: bool,
        upgrades: bool,
    ) -> Result<Self, StoreError> {
        // Without the pool, which would try again until its time is over and then not say why; and without the
        // time-outs of daily work, since a migration may take as long as it needs.
        let owner = in_schema(PgConnectOptions::from_str(owner)?);
        let login = owner.get_username().to_owned();
        let mut connection = owner.connect().await?;
        let schema = schema::look(&mut connection, &login).await?;
        match schema {
            Schema::Current => {}
            Schema::None if !makes => return Err(StoreError::Nothing),
            Schema::Other if !upgrades => return Err(StoreError::OtherVersion),
            Schema::Other | Schema::None => schema::migrate(&mut connection, &login).await?,
        }
        separation::prepare(&mut connection).await?;
        connection.close().await?;
        let (options, separation) =
            separation::connect_as(in_schema(PgConnectOptions::from_str(url)?)).await?;
        let options = options.options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", LOCK_TIMEOUT),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Self {
            pool,
            separation,
            was_empty: schema == Schema::None,
        })
    }

    /// Whether there was nothing of ours in the database when it was opened.
    pub fn was_empty(&self) -> bool {
        self.was_empty
    }

    /// How far the database keeps this server from the audit's past.
    pub fn separation(&self) -> Separation {
        self.separation
    }

    /// Begins a unit of work.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no connection can be had.
    pub(crate) async fn begin(&self) -> Result<Unit<'static>, StoreError> {
        Ok(self.pool.begin().await?)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!(r#"select 1 as "one!""#)
            .fetch_one(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Every table of ours is in `public`. By default a schema that is called like the login would come first, and whoever may make
/// one could put another audit there.
fn in_schema(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("search_path", "public")])
}

/// Reads a column of text as one of our types.
fn read<T>(table: &'static str, text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Corrupt {
        table,
        what: error.to_string(),
    })
}

/// Reads a column of JSON as one of our types.
fn read_json<T: serde::de::DeserializeOwned>(
    table: &'static str,
    json: serde_json::Value,
) -> Result<T, StoreError> {
    serde_json::from_value(json).map_err(|error| StoreError::Corrupt {
        table,
        what: error.to_string(),
    })
}

/// Writes one of our types as JSON.
fn write_json<T: serde::Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).expect("our types have text keys and no failing serializers")
}
