//! What templates, scripts and styles are made of: texts from the table, ES5, and colour for alarms alone.

use std::fs;
use std::path::{Path, PathBuf};

fn files(directory: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|known| known == extension) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "no {extension} in {directory}");
    found
}

/// Takes out everything from each `begin` to the next `end`.
fn without(text: &str, begin: &str, end: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(begin) {
        kept.push_str(before);
        kept.push(' ');
        rest = after.split_once(end).map_or("", |(_, tail)| tail);
    }
    kept + rest
}

fn without_expressions(template: &str) -> String {
    let template = without(template, "{#", "#}");
    let template = without(&template, "{%", "%}");
    without(&template, "{{", "}}")
}

#[test]
fn no_template_holds_text_for_people() {
    for (path, template) in files("templates", "html") {
        let markup = without_expressions(&template);
        let text = without(&markup, "<", ">");
        assert!(
            !text.chars().any(char::is_alphabetic),
            "{}: {text}",
            path.display()
        );
        for attribute in ["title=\"", "aria-label=\"", "placeholder=\"", "alt=\""] {
            for value in markup.split(attribute).skip(1) {
                let value = value.split('"').next().unwrap();
                assert!(
                    !value.chars().any(char::is_alphabetic),
                    "{}: {attribute}{value}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_text_that_a_script_asks_for_is_on_the_page() {
    let foot = include_str!("../../templates/shell_foot.html");
    for (path, script) in files("static", "js") {
        for asked in script.split("landside.word(\"").skip(1) {
            let name = asked.split('"').next().unwrap();
            let is_there = if name.ends_with('-') {
                foot.contains(&format!(" data-{name}"))
            } else {
                foot.contains(&format!(" data-{name}=\""))
            };
            assert!(is_there, "{}: {name}", path.display());
        }
    }
}

#[test]
fn the_scripts_keep_to_es5() {
    let words = [
        "let", "const", "async", "await", "class", "extends", "import", "export", "yield", "of",
    ];
    let calls = [
        "Promise",
        "fetch(",
        "Symbol",
        "new Map",
        "new Set",
        ".includes(",
        ".closest(",
        ".append(",
        ".remove(",
        "startsWith",
        "endsWith",
        "Object.assign",
        "TextDecoder",
        "URLSearchParams",
        "FormData",
    ];
    for (path, script) in files("static", "js") {
        let code = without(&script, "/*", "*/");
        for token in ["=>", "`", "...", "?.", "??", "**="] {
            assert!(!code.contains(token), "{}: {token}", path.display());
        }
        for call in calls {
            assert!(!code.contains(call), "{}: {call}", path.display());
        }
        for word in code.split(|letter: char| {
            !letter.is_alphanumeric() && letter != '_' && letter != '-' && letter != '.'
        }) {
            assert!(!words.contains(&word), "{}: {word}", path.display());
        }
        assert!(
            !code.contains("//") || !code.contains("http:"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn alarm_colours_are_used_for_alarms_alone() {
    let style = include_str!("../../static/landside.css");
    for colour in ["#dc2626", "#f59e0b", "#eab308", "#06b6d4"] {
        assert!(style.contains(colour));
        for line in style.lines().filter(|line| line.contains(colour)) {
            let is_alarm = ["p1", "p2", "p3", "p4", "flash"]
                .iter()
                .any(|mark| line.contains(mark));
            assert!(is_alarm, "{line}");
        }
    }
}

#[test]
fn the_style_loads_nothing() {
    let style = include_str!("../../static/landside.css");
    for token in ["url(", "@import", "@font-face", "http"] {
        assert!(!style.contains(token), "{token}");
    }
}
