//! The database role that the server works as: it may append to the audit, and neither change nor empty it.
//!
//! The role is `landside_server`; the migrations make it where they may. A server whose login owns the tables becomes it on
//! every connection, which keeps mistakes and injected statements from the audit. Against somebody who holds that login,
//! only a login of its own helps: docs/audit.md.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::StoreError;

/// The role.
const ROLE: &str = "landside_server";

/// How far the database keeps the server from the audit's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separation {
    /// The server's login cannot change the audit, nor become somebody who can.
    Login,
    /// The server gives up its right to.
    Role,
    /// It does not: only the triggers and the chain are in the way.
    None,
}

/// Makes the role, and gives it its rights in this database, where that is not done; `connection` is the owner's.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), StoreError> {
    let is_ready = sqlx::query_scalar!(
        r#"select exists (select from pg_roles where rolname = 'landside_server'
                          and has_table_privilege(oid, 'audit', 'insert')) as "is_ready!""#
    )
    .fetch_one(&mut *connection)
    .await?;
    if !is_ready {
        sqlx::query_scalar!("select audit_separate()")
            .fetch_one(connection)
            .await?;
    }
    Ok(())
}

/// How the server's login is kept from the audit, and the options with which it connects.
pub(super) async fn connect_as(
    options: PgConnectOptions,
) -> Result<(PgConnectOptions, Separation), StoreError> {
    let mut connection = options.connect().await?;
    let separation = separation(&mut connection).await?;
    connection.close().await?;
    match separation {
        Separation::Login => Ok((options, separation)),
        Separation::Role => {
            let limited = options.clone().options([("role", ROLE)]);
            // Membership alone does not always let a login become the role: to try is to know.
            match limited.connect().await {
                Ok(connection) => {
                    connection.close().await?;
                    Ok((limited, separation))
                }
                Err(error) if is_refusal(&error) => {
                    tracing::warn!(%error, "the database does not let this server become {ROLE}: grant it to the server's login, or use two logins as docs/audit.md says");
                    Ok((options, Separation::None))
                }
                // It may well become the role, and must not go on without for as long as it runs.
                Err(error) => Err(error.into()),
            }
        }
        Separation::None => {
            tracing::warn!(
                "the database does not keep this server from changing its audit: make the role {ROLE} and grant it to the server's login, or use two logins as docs/audit.md says"
            );
            Ok((options, separation))
        }
    }
}

/// Whether the database says that the login may not become the role, and not that it cannot be asked now.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| is_may_not(&code))
}

/// Insufficient privilege, or no such role.
fn is_may_not(code: &str) -> bool {
    matches!(code, "42501" | "22023" | "42704")
}

async fn separation(connection: &mut PgConnection) -> Result<Separation, StoreError> {
    let found = sqlx::query!(
        r#"select has_table_privilege('audit', 'update, delete, truncate')
                      or has_any_column_privilege('audit', 'update')
                      or pg_has_role(relowner, 'member')
                      or pg_has_role((select nspowner from pg_namespace where oid = relnamespace), 'member') as "may_change!",
                  exists (select from pg_roles where rolname = 'landside_server'
                          and pg_has_role(oid, 'member')) as "may_become!"
           from pg_class where oid = 'audit'::regclass"#
    )
    .fetch_one(connection)
    .await?;
    Ok(match (found.may_change, found.may_become) {
        (false, _) => Separation::Login,
        (true, true) => Separation::Role,
        (true, false) => Separation::None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_no_refusal() {
        for (code, refused) in [
            ("42501", true),  // insufficient privilege
            ("22023", true),  // role does not exist, as a startup option
            ("42704", true),  // undefined object
            ("53300", false), // too many connections
            ("57P03", false), // cannot connect now
            ("57P01", false), // shut down by an administrator
            ("28000", false), // not let in at all
        ] {
            assert_eq!(is_may_not(code), refused, "{code}");
        }
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(!is_refusal(&sqlx::Error::Io(reset)));
        assert!(!is_refusal(&sqlx::Error::PoolTimedOut));
    }
}
