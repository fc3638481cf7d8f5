//! Invariants of the source itself, which ARCHITECTURE.md states.

use std::fs;
use std::path::{Path, PathBuf};

/// Split by state or by table before it gets this long.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// Every source file of the workspace: its path from the root, and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.')
                    && !["target", "node_modules", "var"].contains(&name.as_str())
                {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let relative = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.push((relative, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 50, "the sources were found");
    found
}

/// Tests and benchmarks write destinations and queries out on purpose.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/tests.rs")
}

/// The part of a file before its tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// The documentation at the head of a file.
fn head(text: &str) -> String {
    text.lines()
        .take_while(|line| line.starts_with("//!"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[track_caller]
fn none(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path);
    none("files open with `//!`", silent.collect());
}

#[test]
fn no_file_is_too_long_to_be_held_in_mind() {
    let long = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(path, _)| path);
    none("files have at most 600 lines", long.collect());
}

#[test]
fn pure_files_do_no_io_and_read_no_clock() {
    const IMPURE: [&str; 8] = [
        "tokio::",
        "sqlx::",
        "async fn",
        "Utc::now",
        "Instant::now",
        "SystemTime::now",
        "std::fs::",
        "std::net::Tcp",
    ];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let claims = head(&text)
            .split_whitespace()
            .any(|word| word == "Pure." || word == "Pure:");
        if claims && !is_test(&path) {
            let found = IMPURE.iter().filter(|word| product(&text).contains(**word));
            broken.extend(found.map(|word| format!("{path}: {word}")));
        }
    }
    none("files that say they are pure are", broken);
}

#[test]
fn sql_stands_in_the_store_only() {
    let elsewhere = sources().into_iter().filter(|(path, text)| {
        let allowed = path.starts_with("server/src/store")
            || path.starts_with("private-postgres/")
            || is_test(path);
        !allowed && product(text).contains("sqlx::query")
    });
    none(
        "SQL stands in server/src/store",
        elsewhere.map(|(path, _)| path).collect(),
    );
}

#[test]
fn destinations_are_built_in_one_place() {
    let elsewhere = sources().into_iter().filter(|(path, text)| {
        // The broker serves anybody's destinations, and names their prefixes; its benchmark knows nothing of airports.
        let allowed = path == "messaging/contract/src/destination.rs"
            || path.starts_with("messaging/stomp")
            || path.starts_with("messaging/broker")
            || path.starts_with("messaging/bench")
            || is_test(path);
        let code = product(text)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        !allowed
            && code.into_iter().any(|line| {
                ["\"/topic/", "\"/app/", "\"/user/"]
                    .iter()
                    .any(|word| line.contains(word))
            })
    });
    none(
        "destinations are built in contract::destination",
        elsewhere.map(|(path, _)| path).collect(),
    );
}

#[test]
fn dependencies_point_one_way() {
    // From design to code: what each crate may know of ours.
    let allowed = [
        ("messaging/contract", vec![]),
        ("messaging/stomp", vec![]),
        ("messaging/websocket", vec![]),
        ("messaging/network", vec![]),
        ("messaging/sockjs", vec!["network", "websocket"]),
        ("messaging/broker", vec!["network", "stomp", "websocket"]),
        ("messaging/bench", vec![]),
        ("private-postgres", vec![]),
        ("web-ui", vec!["contract"]),
        (
            "server",
            vec![
                "broker",
                "contract",
                "network",
                "private-postgres",
                "sockjs",
                "stomp",
                "web-ui",
            ],
        ),
        ("device-agents", vec!["contract", "network", "stomp"]),
        ("simulators", vec!["contract", "stomp"]),
        ("demo", vec!["contract", "simulators"]),
    ];
    let ours = [
        "bench",
        "broker",
        "contract",
        "demo",
        "device-agents",
        "network",
        "private-postgres",
        "server",
        "simulators",
        "sockjs",
        "stomp",
        "web-ui",
        "websocket",
    ];
    let mut broken = Vec::new();
    for (folder, may) in allowed {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let dependencies = manifest
            .split("[dependencies]")
            .nth(1)
            .unwrap()
            .split("\n[")
            .next()
            .unwrap();
        for line in dependencies.lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap();
            if ours.contains(&name) && !may.contains(&name) {
                broken.push(format!("{folder} depends on {name}"));
            }
        }
    }
    none("dependencies point one way", broken);
}

/// The tree in the README names every folder of the root, and nothing that is not there.
#[test]
fn the_readme_shows_the_real_tree() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let tree = readme
        .split("## The tree")
        .nth(1)
        .unwrap()
        .split("```")
        .nth(1)
        .unwrap();
    let named: Vec<String> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|word| word.strip_suffix('/'))
        .map(str::to_owned)
        .collect();
    let exists =
        |name: &str| root().join(name).is_dir() || root().join("messaging").join(name).is_dir();
    let mut broken: Vec<_> = named
        .iter()
        .filter(|name| !exists(name))
        .map(|name| format!("{name} is not there"))
        .collect();
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let ignored = name.starts_with('.') || ["target", "var"].contains(&name.as_str());
        if entry.path().is_dir() && !ignored && !named.contains(&name) {
            broken.push(format!("{name} is not in the README"));
        }
    }
    none("the README's tree is the real one", broken);
}
