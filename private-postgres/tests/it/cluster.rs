//! Starting, stopping, and what happens after something was killed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use private_postgres::{Cluster, ClusterConfig, ClusterError, LOCATION_FILE};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{eventually, execute, open_directory, processes_in, quick, text};

#[tokio::test]
async fn data_survives_a_restart_and_nothing_runs_in_between() {
    let directory = open_directory();
    let config = ClusterConfig::new(directory.path().join("cluster"));
    let cluster = Cluster::start(config.clone()).await.unwrap();
    execute(
        &cluster,
        "create table notes (text text); insert into notes values ('관제')",
    )
    .await;
    let data = cluster.data_directory().to_owned();
    cluster.stop().await.unwrap();
    assert_eq!(processes_in(&data), 0);

    let cluster = Cluster::start(config).await.unwrap();
    assert_eq!(text(&cluster, "select text from notes").await, "관제");
    assert_eq!(text(&cluster, "show fsync").await, "on");
    assert_eq!(text(&cluster, "show server_encoding").await, "UTF8");
    assert_eq!(text(&cluster, "show listen_addresses").await, "");
    assert_eq!(text(&cluster, "show timezone").await, "UTC");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn databases_are_made_once_and_their_url_opens_them() {
    let directory = open_directory();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    let first = cluster.ensure_database("air side").await.unwrap();
    assert_eq!(cluster.ensure_database("air side").await.unwrap(), first);
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&first)
        .await
        .unwrap();
    let name: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(name, "air side");
    cluster.destroy().await.unwrap();
    assert!(!directory.path().exists());
}

#[tokio::test]
async fn only_the_account_itself_reaches_the_socket_and_the_data() {
    let directory = open_directory();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    for private in [
        cluster.data_directory().to_owned(),
        directory.path().join("socket"),
    ] {
        let metadata = fs::metadata(&private).unwrap();
        assert_eq!(metadata.mode() & 0o077, 0, "{}", private.display());
        assert_ne!(
            metadata.uid(),
            0,
            "{} belongs to root, which Postgres refuses to be",
            private.display()
        );
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn after_a_killed_postmaster_the_next_start_recovers_what_was_committed() {
    let directory = open_directory();
    let config = ClusterConfig::new(directory.path());
    let cluster = Cluster::start(config.clone()).await.unwrap();
    execute(
        &cluster,
        "create table notes (text text); insert into notes values ('kept')",
    )
    .await;
    let data = cluster.data_directory().to_owned();
    kill_process(Pid::from_raw(cluster.pid()).unwrap(), Signal::KILL).unwrap();
    cluster.ended().await;
    assert!(
        data.join("postmaster.pid").exists(),
        "a killed postmaster leaves its file"
    );
    drop(cluster);

    let cluster = Cluster::start(config).await.unwrap();
    assert_eq!(text(&cluster, "select text from notes").await, "kept");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_is_cleared_away() {
    let directory = open_directory();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    let data = cluster.data_directory().to_owned();
    let owner = fs::metadata(&data).unwrap().uid();
    cluster.stop().await.unwrap();

    // A live process of the account that runs Postgres, as process ids are used again after a reboot.
    let mut stranger = std::process::Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        stranger.args(["--reuid", &owner.to_string(), "--clear-groups"]);
    }
    let mut stranger = stranger
        .args(["--", "cat"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = i64::from(stranger.id());
    for number in [pid, -pid] {
        fs::write(
            data.join("postmaster.pid"),
            format!("{number}\n{}\n1700000000\n5432\n", data.display()),
        )
        .unwrap();
        let cluster = Cluster::start(quick(directory.path())).await.unwrap();
        assert!(!cluster.adopted());
        cluster.stop().await.unwrap();
    }
    drop(stranger.stdin.take());
    assert!(
        stranger.wait().unwrap().success(),
        "the stranger was left alone"
    );
}

#[tokio::test]
async fn an_orphan_is_adopted_and_stopped_like_ones_own() {
    let directory = open_directory();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    execute(
        &cluster,
        "create table notes (text text); insert into notes values ('kept')",
    )
    .await;
    let data = cluster.data_directory().to_owned();
    let owner = fs::metadata(&data).unwrap();
    let programs = fs::read_to_string(directory.path().join("made-by")).unwrap();
    let postgres = std::path::Path::new(programs.lines().next().unwrap()).join("postgres");
    cluster.stop().await.unwrap();

    let mut orphan = std::process::Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        orphan.args([
            "--reuid",
            &owner.uid().to_string(),
            "--regid",
            &owner.gid().to_string(),
            "--clear-groups",
        ]);
    }
    let mut orphan = orphan
        .arg("--")
        .arg(postgres)
        .arg("-D")
        .arg(&data)
        .arg("-c")
        .arg(format!(
            "config_file={}",
            directory.path().join("postgresql.conf").display()
        ))
        .current_dir("/")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the orphan runs", || async {
        fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.contains("ready"))
    })
    .await;

    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    assert!(cluster.adopted());
    assert_eq!(u32::try_from(cluster.pid()).unwrap(), orphan.id());
    assert_eq!(text(&cluster, "select text from notes").await, "kept");
    cluster.stop().await.unwrap();
    assert!(orphan.wait().unwrap().success());
    assert_eq!(processes_in(&data), 0);
}

#[tokio::test]
async fn dropping_stops_and_the_next_start_waits_for_the_end() {
    let directory = open_directory();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    let first = cluster.pid();
    drop(cluster);
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    assert_ne!(cluster.pid(), first);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_is_told_who_uses_the_directory() {
    let directory = open_directory();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    let refused = Cluster::start(quick(directory.path())).await.unwrap_err();
    assert!(matches!(refused, ClusterError::InUse { .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{refused}"
    );
    assert_eq!(text(&cluster, "select 'still here'").await, "still here");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_unreachable_directory_gets_its_cluster_elsewhere_and_says_where() {
    let closed = tempfile::tempdir().unwrap();
    // As a home directory has it.
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let wanted = closed.path().join("cluster");
    let cluster = Cluster::start(quick(&wanted)).await.unwrap();
    execute(
        &cluster,
        "create table notes (text text); insert into notes values ('kept')",
    )
    .await;
    let data = cluster.data_directory().to_owned();
    let location = fs::read_to_string(wanted.join(LOCATION_FILE));
    if rustix::process::geteuid().is_root() {
        let root = location.unwrap();
        assert!(root.starts_with("/var/lib/landside/"), "{root}");
        assert_eq!(data, std::path::Path::new(root.trim_end()).join("data"));
    } else {
        assert_eq!(data, wanted.join("data"), "its owner reaches it");
    }
    cluster.stop().await.unwrap();

    let cluster = Cluster::start(quick(&wanted)).await.unwrap();
    assert_eq!(text(&cluster, "select text from notes").await, "kept");
    cluster.destroy().await.unwrap();
    assert!(!data.exists() && !wanted.exists());
}

#[tokio::test]
async fn the_administrators_own_settings_win() {
    let directory = open_directory();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    cluster.stop().await.unwrap();
    fs::write(directory.path().join("local.conf"), "work_mem = '11MB'\n").unwrap();
    let cluster = Cluster::start(quick(directory.path())).await.unwrap();
    assert_eq!(text(&cluster, "show work_mem").await, "11MB");
    cluster.stop().await.unwrap();
}
