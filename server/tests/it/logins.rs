//! Two logins at the database, as docs/audit.md recommends: one owns the tables and is needed for migrations only, the
//! other does everything else and cannot change the audit.

use std::process::Stdio;

use server::identity::key_file::KeyFile;
use server::store::{Separation, Store};
use tokio::process::Command;

use crate::database::Database;

/// What a command beside the server says, and whether it did what it was told.
async fn command(url: &str, arguments: &[&str]) -> (bool, String) {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("server.toml");
    std::fs::write(&config, "data = \"data\"").unwrap();
    // As the server that runs here made it: new signing keys are sealed with it.
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    KeyFile::open(&data).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_landside-server"));
    command.args(arguments).arg("--config").arg(&config);
    let output = command
        .env("DATABASE_URL", url)
        .env_remove("LANDSIDE_DATABASE_OWNER_URL")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

const INVITE: [&str; 10] = [
    "people",
    "invite",
    "--name",
    "ada",
    "--full-name",
    "Ada",
    "--role",
    "administrator",
    "--zones",
    "*",
];

#[tokio::test]
async fn the_owner_is_needed_for_migrations_only() {
    let database = Database::create().await;
    let (owner, app) = database.two_logins().await;
    let error = Store::open(&app).await.unwrap_err().to_string();
    assert!(error.contains("LANDSIDE_DATABASE_OWNER_URL"), "{error}");
    let store = Store::open_with_owner(&app, &owner).await.unwrap();
    assert_eq!(store.separation(), Separation::Login);
    store.close().await;

    let store = Store::open(&app).await.unwrap();
    assert_eq!(store.separation(), Separation::Login);
    store.ping().await.unwrap();
    store.close().await;
    for arguments in [&["keys", "rotate"][..], &["keys", "list"], &INVITE] {
        let (done, said) = command(&app, arguments).await;
        assert!(done, "{arguments:?}: {said}");
    }
    // Whoever owns the schema drops what is in it.
    let give = "do $$ begin execute format('alter schema public owner to %I', current_database() || '_app'); end $$";
    database.run(give).await;
    let store = Store::open(&app).await.unwrap();
    assert_eq!(store.separation(), Separation::Role);
    store.close().await;
    let owned = "select tableowner from pg_tables where tablename = 'audit'";
    assert!(database.texts(owned).await[0].ends_with("_owner"));

    // One migration is missing: only the owner may run it, and no command tries.
    database
        .run("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)")
        .await;
    let error = Store::open(&app).await.unwrap_err().to_string();
    assert!(error.contains("LANDSIDE_DATABASE_OWNER_URL"), "{error}");
    let (done, said) = command(&app, &["keys", "list"]).await;
    assert!(!done && said.contains("another version"), "{said}");
    database.drop().await;
}

#[tokio::test]
async fn a_login_that_owns_the_tables_gives_that_up() {
    let database = Database::create().await;
    let store = Store::open(&database.url()).await.unwrap();
    assert_eq!(store.separation(), Separation::Role);
    store.close().await;
    database.drop().await;
}
