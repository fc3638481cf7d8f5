//! docs/clients/README.md against the sources: a client's author must find every code there, and the two clients must
//! come back after the codes of which it says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Behind these the sources name a code; how lines are broken does not count.
const BEFORE_A_CODE: [&str; 11] = [
    "Denied::new(\"",
    "Self::new(\"",
    "Refusal::refused(\"",
    ".error(\"",
    ".reject(\"",
    "CloseReason::TimedOut,\"",
    "CloseReason::HeartBeatLost,\"",
    "TOO_MANY: &str = \"",
    "TOKEN_EXPIRING: &str = \"",
    "=> \"",
    "=> {\"",
];

/// Where they do, from the root of the repository.
const SOURCES: [&str; 7] = [
    "messaging/stomp/src/error.rs",
    "messaging/stomp/src/server.rs",
    "messaging/broker/src",
    "server/src/gateway.rs",
    "server/src/gateway",
    "server/src/identity/certificates.rs",
    "server/src/identity/passcode.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All text of a file, or of the files of a directory, as far as it is no test.
fn source(path: &Path) -> String {
    if path.is_dir() {
        let inside = fs::read_dir(path).unwrap();
        return inside.map(|entry| source(&entry.unwrap().path())).collect();
    }
    let is_code = path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs");
    let text = if is_code {
        fs::read_to_string(path).unwrap()
    } else {
        String::new()
    };
    let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
    code.to_owned()
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

fn codes_of_the_sources() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for path in SOURCES {
        let text = source(&root().join(path));
        let text: String = text.lines().map(str::trim_start).collect();
        for before in BEFORE_A_CODE {
            let behind = text.split(before).skip(1);
            let words = behind.filter_map(|rest| rest.split('"').next());
            codes.extend(words.filter(|word| is_code(word)).map(str::to_owned));
        }
    }
    codes
}

/// What stands between back-ticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_code_is_in_the_manual() {
    let manual = read("docs/clients/README.md");
    let (_, chapter) = manual.split_once("## Codes of ERROR").unwrap();
    let told: BTreeSet<_> = quoted(chapter).map(str::to_owned).collect();
    let codes = codes_of_the_sources();
    assert!(codes.contains("unavailable") && codes.contains("connect-timeout"));
    let missing: Vec<_> = codes.difference(&told).collect();
    assert!(
        missing.is_empty(),
        "not in docs/clients/README.md: {missing:?}"
    );
    let rows = chapter.lines().filter(|line| line.starts_with("| `"));
    let unknown: Vec<_> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(quoted)
        .filter(|code| *code != "code" && !codes.contains(*code))
        .collect();
    assert!(unknown.is_empty(), "no source has these: {unknown:?}");
}

#[test]
fn both_clients_come_back_after_what_the_manual_says() {
    let manual = read("docs/clients/README.md");
    let rows = manual.lines().filter(|line| line.ends_with("| later |"));
    let later: BTreeSet<_> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(quoted)
        .collect();
    assert!(later.contains("token-expired"));
    for (client, begin, end) in [
        ("docs/clients/LandsideClient.java", "PASSING = Set.of(", ")"),
        ("docs/clients/LandsideClient.cs", "Passing = {", "}"),
    ] {
        let text = read(client);
        let (_, behind) = text.split_once(begin).unwrap();
        let (list, _) = behind.split_once(end).unwrap();
        let passing: BTreeSet<_> = list.split('"').skip(1).step_by(2).collect();
        assert_eq!(passing, later, "{client}");
    }
}
