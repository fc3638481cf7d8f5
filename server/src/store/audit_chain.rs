//! The whole chain, read to be verified: one row at a time, in one snapshot, on a connection of its own.

use std::str::FromStr;

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::{StoreError, in_schema};
use crate::audit::chain::Row;

/// Hands every row of the audit of the database at `url` to `each`, in the order of their numbers; rows that are no rows
/// any more, because somebody took a rule off the table, come as ones that fit nothing. Changes nothing.
///
/// # Errors
/// [`StoreError::Database`] when the database cannot be read.
pub async fn read_chain(url: &str, mut each: impl FnMut(&Row)) -> Result<(), StoreError> {
    let options = in_schema(PgConnectOptions::from_str(url)?);
    let mut connection = options.connect().await?;
    let mut unit = connection
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    let mut rows = sqlx::query_as!(
        Row,
        r#"select coalesce(number, 0) as "number!",
                  case when isfinite(at) then (extract(epoch from at) * 1000000)::bigint else 0 end as "at!",
                  coalesce(actor, '') as "actor!", coalesce(identity::text, '') as "identity!",
                  coalesce(peer, '') as "peer!", coalesce(action, '') as "action!",
                  coalesce(subject, '') as "subject!", reason, coalesce(outcome, '') as "outcome!",
                  coalesce(detail::text, '') as "detail!",
                  coalesce(previous_hash, '') as "previous_hash!", coalesce(hash, '') as "hash!"
           from audit order by number nulls first"#
    )
    .fetch(&mut *unit);
    while let Some(row) = rows.try_next().await? {
        each(&row);
    }
    drop(rows);
    unit.rollback().await?;
    Ok(connection.close().await?)
}
