//! What a person reads when a cluster cannot run.

use std::fs;
use std::path::Path;

use private_postgres::{BinarySearch, Cluster, ClusterConfig};

use crate::harness::{open_directory, quick};

async fn refusal(config: ClusterConfig) -> String {
    Cluster::start(config)
        .await
        .expect_err("it cannot start")
        .to_string()
}

fn check(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(
            message.contains(part),
            "\"{part}\" is missing in: {message}"
        );
    }
    assert!(!message.contains('\n'), "more than one line: {message}");
}

#[tokio::test]
async fn missing_programs_name_the_package_and_the_variable() {
    let directory = open_directory();
    let mut config = quick(directory.path());
    config.binaries = BinarySearch {
        pg_bin: Some("/nonexistent/bin".into()),
        ..BinarySearch::default()
    };
    check(
        &refusal(config).await,
        &[
            "/nonexistent/bin: has no `postgres`",
            "the package `postgresql`",
            "PG_BIN",
        ],
    );
}

#[tokio::test]
async fn programs_that_are_too_old_or_do_not_run_are_told_apart() {
    let directory = open_directory();
    for (script, complaint) in [
        ("echo 'postgres (PostgreSQL) 14.9'", "is only version 14"),
        ("exit 1", "cannot run it"),
    ] {
        let bin = open_directory();
        write_program(bin.path(), "postgres", script);
        write_program(bin.path(), "initdb", "exit 1");
        let mut config = quick(directory.path());
        config.binaries = BinarySearch {
            pg_bin: Some(bin.path().to_owned()),
            ..BinarySearch::default()
        };
        check(&refusal(config).await, &[complaint, "Postgres 15 or newer"]);
    }
}

#[tokio::test]
async fn data_of_another_major_version_names_both_versions_and_the_ways_out() {
    let directory = open_directory();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    let version_file = cluster.data_directory().join("PG_VERSION");
    cluster.stop().await.unwrap();
    let here = fs::read_to_string(&version_file).unwrap();
    fs::write(&version_file, "9\n").unwrap();
    let message = refusal(quick(directory.path())).await;
    check(
        &message,
        &[
            "made by Postgres 9",
            &format!("only {}", here.trim()),
            "pg_upgrade",
            "PG_BIN",
        ],
    );
}

#[tokio::test]
async fn a_socket_directory_that_is_too_long_says_how_long_it_may_be() {
    let directory = open_directory();
    let mut config = quick(directory.path());
    config.socket_directory = Some(directory.path().join("s".repeat(120)));
    check(
        &refusal(config).await,
        &["the operating system allows 107", "shorter"],
    );
}

#[tokio::test]
async fn a_failing_initdb_is_quoted_and_leaves_nothing_half_made() {
    let directory = open_directory();
    let bin = open_directory();
    write_program(bin.path(), "postgres", "echo 'postgres (PostgreSQL) 99.1'");
    write_program(
        bin.path(),
        "initdb",
        "echo 'initdb: error: no room' >&2; exit 1",
    );
    let mut config = quick(directory.path());
    config.binaries = BinarySearch {
        pg_bin: Some(bin.path().to_owned()),
        ..BinarySearch::default()
    };
    check(
        &refusal(config).await,
        &["initdb said \"initdb: error: no room\""],
    );
    assert!(
        !directory.path().join("data").exists()
            && !directory.path().join("data.unfinished").exists()
    );
}

#[tokio::test]
async fn a_configuration_that_postgres_refuses_is_quoted() {
    let directory = open_directory();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    cluster.stop().await.unwrap();
    fs::write(
        directory.path().join("local.conf"),
        "shared_buffers = 'plenty'\n",
    )
    .unwrap();
    check(
        &refusal(quick(directory.path())).await,
        &["did not start", "shared_buffers"],
    );
}

fn write_program(directory: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}
