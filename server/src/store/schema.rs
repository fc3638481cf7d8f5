//! The database's schema: brought up to date by a login that may change tables, and only when it is not. A login that may
//! not is enough for everything else.

use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};

use super::StoreError;

/// Everything that the schema is made of.
static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// What lies in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// Nothing of ours.
    None,
    /// The schema of another version.
    Other,
    /// This version's.
    Current,
}

/// Looks, and changes nothing; `login` is whose connection it is.
pub(super) async fn look(connection: &mut PgConnection, login: &str) -> Result<Schema, StoreError> {
    let applied = applied(connection).await;
    let applied = applied.map_err(|error| failed(login, MigrateError::Execute(error)))?;
    let Some(applied) = applied else {
        return Ok(Schema::None);
    };
    let ours = MIGRATIONS
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration())
        .map(|migration| (migration.version, migration.checksum.to_vec()));
    Ok(if ours.eq(applied) {
        Schema::Current
    } else {
        Schema::Other
    })
}

/// Brings it up to date.
pub(super) async fn migrate(connection: &mut PgConnection, login: &str) -> Result<(), StoreError> {
    let done = MIGRATIONS.run(connection).await;
    done.map_err(|source| failed(login, source))
}

async fn applied(
    connection: &mut PgConnection,
) -> Result<Option<Vec<(i64, Vec<u8>)>>, sqlx::Error> {
    let is_there: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !is_there {
        return Ok(None);
    }
    sqlx::query_as("select version, checksum from _sqlx_migrations where success order by version")
        .fetch_all(connection)
        .await
        .map(Some)
}

fn failed(login: &str, source: MigrateError) -> StoreError {
    StoreError::Migrate {
        login: login.to_owned(),
        source,
    }
}
