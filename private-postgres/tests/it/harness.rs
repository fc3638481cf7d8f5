//! Directories, queries and waiting for these tests.

use std::fs::Permissions;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use private_postgres::{Cluster, ClusterConfig};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A temporary directory that an unprivileged account can enter, so that data stays in it also when the tests
/// run as root.
pub(crate) fn open_directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("landside-test-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .expect("a temporary directory")
}

/// The throw-away kind of cluster.
pub(crate) fn quick(directory: &Path) -> ClusterConfig {
    let mut config = ClusterConfig::new(directory);
    config.durable = false;
    config
}

pub(crate) async fn execute(cluster: &Cluster, sql: &'static str) {
    let mut connection = connect(cluster).await;
    sqlx::raw_sql(sql)
        .execute(&mut connection)
        .await
        .expect("the statement runs");
    connection.close().await.expect("the connection closes");
}

pub(crate) async fn text(cluster: &Cluster, sql: &'static str) -> String {
    let mut connection = connect(cluster).await;
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .expect("one row with one text")
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.url("postgres"))
        .await
        .expect("the cluster takes connections")
}

/// Asks again until the answer is yes, or fails the test.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut answer: impl FnMut() -> F,
) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !answer().await {
        assert!(Instant::now() < deadline, "not within 30 seconds: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// How many processes run in a data directory.
pub(crate) fn processes_in(data: &Path) -> usize {
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data))
        .count()
}
