//! A database for each test, dropped when the test is over.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::harness::PATIENCE;

/// A database of its own.
pub(crate) struct Database {
    admin: PgConnectOptions,
    name: String,
    pool: PgPool,
}

impl Database {
    /// Makes an empty one beside that of `DATABASE_URL`.
    pub(crate) async fn create() -> Self {
        let url = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL is not set: run `make test`, or name a Postgres whose role may create databases");
        let admin: PgConnectOptions = url.parse().unwrap();
        let name = format!("landside_test_{}", Uuid::new_v4().simple());
        let mut connection = admin.connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {name}")))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy_with(admin.clone().database(&name));
        Self { admin, name, pool }
    }

    /// Its URL, for the server.
    pub(crate) fn url(&self) -> String {
        self.admin
            .clone()
            .database(&self.name)
            .to_url_lossy()
            .to_string()
    }

    /// The URLs of two logins: one that owns the database, and one that may only what the server's role may.
    pub(crate) async fn two_logins(&self) -> (String, String) {
        for sql in [
            "do $$ begin create role landside_server nologin;
             exception when duplicate_object or unique_violation then null; end $$",
            "create role {}_owner; create role {}_app; grant landside_server to {}_app",
            "alter database {} owner to {}_owner",
        ] {
            self.as_admin(sql).await;
        }
        let of = |login: &str| {
            let (url, name) = (self.url(), &self.name);
            format!("{url}&options[role]={name}_{login}")
        };
        (of("owner"), of("app"))
    }

    /// Does something to the database behind the server's back.
    pub(crate) async fn run(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    /// Holds what others then wait for, until it is committed.
    pub(crate) async fn hold(
        &self,
        sql: &'static str,
    ) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut held = self.pool.begin().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *held).await.unwrap();
        held
    }

    /// Until this many wait for something that is held.
    pub(crate) async fn waiters(&self, expected: i64) {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let begun = std::time::Instant::now();
        while self.count(waiting).await != expected {
            assert!(begun.elapsed() < PATIENCE, "nobody waits");
            tokio::task::yield_now().await;
        }
    }

    /// Tries something that the database may refuse.
    pub(crate) async fn try_run(&self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(&self.pool).await.map(drop)
    }

    /// One number that a query answers.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Every text that a query answers.
    pub(crate) async fn texts(&self, query: &'static str) -> Vec<String> {
        sqlx::query_scalar(query)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// When each occurrence of an alarm was raised, by its source.
    pub(crate) async fn raises(&self, device: &str, code: &str) -> Vec<DateTime<Utc>> {
        let query = "select o.raised_at from alarm_occurrence o join alarm a on a.id = o.alarm_id
                     where a.device_id = $1 and a.code = $2 order by o.id";
        sqlx::query_scalar(query)
            .bind(device)
            .bind(code)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Cuts off everybody else, and lets nobody in, until [`Self::let_in`].
    pub(crate) async fn lock_out(&self) {
        self.as_admin("alter database {} with allow_connections false")
            .await;
        self.as_admin(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'",
        )
        .await;
    }

    /// Lets everybody in again.
    pub(crate) async fn let_in(&self) {
        self.as_admin("alter database {} with allow_connections true")
            .await;
    }

    async fn as_admin(&self, sql: &'static str) {
        let mut connection = self.admin.connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.replace("{}", &self.name)))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// Drops it.
    pub(crate) async fn drop(self) {
        self.pool.close().await;
        let mut connection: PgConnection = self.admin.connect().await.unwrap();
        let drop = format!("drop database {} with (force)", self.name);
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop))
            .execute(&mut connection)
            .await
            .unwrap();
        let logins = format!("drop role if exists {0}_owner, {0}_app", self.name);
        sqlx::raw_sql(sqlx::AssertSqlSafe(logins))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}
