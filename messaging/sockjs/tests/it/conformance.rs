//! The table of rules names tests that exist, and every test of this crate that stands here.

use std::collections::BTreeSet;
use std::path::Path;

const TABLE: &str = include_str!("../../CONFORMANCE.md");

/// How many rules each group has.
const GROUPS: [(&str, usize); 18] = [
    ("B", 3),
    ("I", 4),
    ("N", 4),
    ("O", 5),
    ("C", 1),
    ("S", 14),
    ("X", 5),
    ("R", 3),
    ("E", 2),
    ("F", 3),
    ("J", 5),
    ("W", 11),
    ("A", 2),
    ("K", 2),
    ("U", 3),
    ("H", 5),
    ("T", 5),
    ("P", 19),
];

/// The names of the tests in a module.
fn tests(module: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(module.replace("::", "/") + ".rs");
    let source = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = source.lines().collect();
    lines
        .windows(2)
        .filter(|pair| pair[0].starts_with("#[tokio::test") || pair[0] == "#[test]")
        .filter_map(|pair| pair[1].split_once("fn ")?.1.split_once('('))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn every_rule_has_tests_that_exist() {
    let mut rules = BTreeSet::new();
    for row in TABLE.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, rule, _, status, named, _] = cells[..] else {
            panic!("a row has four cells: {row}");
        };
        if rule == "rule" {
            continue;
        }
        assert!(rules.insert(rule.to_owned()), "{rule} is there twice");
        let reason = status.strip_prefix("refused: ");
        assert!(
            status.starts_with("kept") || reason.is_some(),
            "{rule}: {status}"
        );
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{rule}");
        for name in names {
            let (module, test) = name.rsplit_once("::").unwrap();
            assert!(tests(module).contains(test), "{rule}: {name}");
        }
    }
    let expected: BTreeSet<String> = GROUPS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}{number}")))
        .collect();
    assert_eq!(expected.len(), 96);
    assert_eq!(rules, expected);
}

/// Nothing is tested without a rule, or the rule is missing.
#[test]
fn every_test_shows_a_rule() {
    const MODULES: [&str; 24] = [
        "application",
        "base",
        "bounds",
        "closing",
        "cookies",
        "cors",
        "escaping",
        "eventsource",
        "hardening",
        "hardening::origins",
        "hardening::ownership",
        "htmlfile",
        "http",
        "iframe",
        "info",
        "jsonp",
        "raw_websocket",
        "session",
        "statistics",
        "strangers",
        "timing",
        "websocket",
        "xhr",
        "xhr_streaming",
    ];
    for module in MODULES {
        let tests = tests(module);
        assert!(!tests.is_empty(), "{module}");
        for test in tests {
            assert!(
                TABLE.contains(&format!("`{module}::{test}`")),
                "{module}::{test}"
            );
        }
    }
}
