//! The table of attacks in the docs names tests that are there.

use std::fs;
use std::path::Path;

#[test]
fn every_attack_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("docs/attacks.md")).unwrap();
    let rows: Vec<_> = table
        .lines()
        .skip_while(|line| *line != "|---|---|---|")
        .skip(1)
        .collect();
    assert!(rows.len() > 30, "the table was found");
    for row in rows {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let mut words = cell.split('`').skip(1).step_by(2);
        let (Some(file), Some(test), None) = (words.next(), words.next(), words.next()) else {
            panic!("a row names one file and one test in it: {row}");
        };
        let text = fs::read_to_string(root.join(file));
        let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
        let (before, _) = text
            .split_once(&format!("fn {test}("))
            .unwrap_or_else(|| panic!("{file} has no {test}"));
        let attribute = before.trim_end().trim_end_matches("async").trim_end();
        assert!(attribute.ends_with("test]"), "{file}: {test} is no test");
    }
}
