//! Sees to it that `dist/`, which is built from npm and embedded into the program, is there and is of today's lock file.
//!
//! They are compared by content: time stamps say when a file was checked out, not what is in it.

use std::fs;

/// What `dist/` is made by and of, in the order in which [`BUILT_FROM`] keeps them.
const SOURCES: [&str; 2] = ["assets/build", "assets/package-lock.json"];
const BUILT_FROM: &str = "dist/built-from";
const BUILT: &str = "dist/sockjs.js";

fn main() {
    for path in SOURCES.into_iter().chain([BUILT_FROM, BUILT]) {
        println!("cargo::rerun-if-changed={path}");
    }
    if let Some(problem) = problem() {
        println!(
            "cargo::error={problem}: run `make assets`, which needs Node with npm, then build again."
        );
    }
}

fn problem() -> Option<String> {
    let mut sources = Vec::new();
    for path in SOURCES {
        match fs::read(path) {
            Ok(bytes) => sources.extend(bytes),
            Err(error) => return Some(format!("web-ui/{path} cannot be read ({error})")),
        }
    }
    let built_from = fs::read(BUILT_FROM).ok();
    if built_from.is_none() || fs::metadata(BUILT).is_err() {
        return Some(
            "web-ui/dist/, where the pages' scripts from npm belong, is missing".to_owned(),
        );
    }
    (built_from != Some(sources))
        .then(|| "web-ui/dist/ is of another web-ui/assets/package-lock.json".to_owned())
}
