//! The API's document (`/api/v1/openapi.json`) says what the server does: the same routes and methods, the same words,
//! and answers as they really come.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use contract::Quality;
use contract::alarm::{Acknowledge, AlarmView, Priority};
use contract::command::{CommandRequest, CommandState, CommandView};
use contract::device::{Condition, DeviceView, PointView};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::TestServer;

mod answers;
mod schema;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    serde_json::from_str(include_str!("../../openapi.json")).unwrap()
}

/// Every operation of the document: path, method, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, said)| (path.clone(), method.clone(), said.clone()))
        })
        .collect()
}

/// What programs are meant to use; the rest is pages, and the roads of STOMP.
fn is_documented(path: &str) -> bool {
    ["/api/v1/", "/oauth/", "/.well-known/"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
        || ["/login/token", "/healthz", "/readyz"].contains(&path)
}

fn sources(folder: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.extension() {
            None if path.is_dir() => sources(path),
            Some(extension) if extension == "rs" => vec![fs::read_to_string(path).unwrap()],
            _ => Vec::new(),
        })
        .collect()
}

/// The source of the server without its tests.
fn product() -> Vec<String> {
    let sources = sources(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let product = |text: String| text.split("#[cfg(test)]").next().unwrap().to_owned();
    sources.into_iter().map(product).collect()
}

/// A route of the source: what follows `.route(`, up to its closing parenthesis.
fn route(text: &str) -> Option<(String, BTreeSet<String>)> {
    let (path, rest) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    let mut depth = 0;
    let end = rest.find(|letter| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth < 0
    })?;
    let handlers = rest[..end].replace(['.', ' ', '\n'], ",");
    let takes = |method: &&&str| handlers.contains(&format!(",{method}("));
    let methods = METHODS
        .iter()
        .filter(takes)
        .map(|&method| method.to_owned());
    Some((path.to_owned(), methods.collect()))
}

#[tokio::test]
async fn every_route_is_in_the_document_and_nothing_else() {
    let mut routed = BTreeMap::new();
    for text in product() {
        let routes = text.split(".route(").skip(1).filter_map(route);
        routed.extend(routes.filter(|(path, _)| is_documented(path)));
    }
    let mut said = BTreeMap::<String, BTreeSet<String>>::new();
    for (path, method, _) in operations(&document()) {
        said.entry(path).or_default().insert(method);
    }
    assert!(said.len() > 15, "the document was read");
    assert_eq!(said, routed);

    // As the running server has it, too.
    let server = TestServer::start().await;
    let http = reqwest::Client::new();
    for (path, methods) in &said {
        let url = server.url(&path.replace("{id}", "1").replace("{point}", "plate"));
        let request = http.request(Method::from_bytes(b"PROPFIND").unwrap(), url);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        let allowed = answer.headers()["allow"].to_str().unwrap().to_lowercase();
        let allowed = allowed.split(',').map(|method| method.trim().to_owned());
        let allowed: BTreeSet<_> = allowed.filter(|method| method != "head").collect();
        assert_eq!(allowed, *methods, "{path}");
        if path.starts_with("/api/v1/") || path == "/login/token" {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    let served = reqwest::get(server.url("/api/v1/openapi.json"))
        .await
        .unwrap();
    assert_eq!(served.headers()["content-type"], "application/json");
    assert_eq!(served.json::<Value>().await.unwrap(), document());
    server.stop().await;
}

/// Every code of a refusal that stands in the source.
#[test]
fn every_code_of_a_refusal_is_in_the_document() {
    let mut written = BTreeSet::new();
    for text in product() {
        for part in text.split("StatusCode::").skip(1) {
            let rest = part
                .trim_start_matches(|letter: char| letter.is_ascii_uppercase() || letter == '_');
            let code = rest
                .strip_prefix(',')
                .and_then(|rest| rest.trim_start().strip_prefix('"'));
            let code = code
                .and_then(|code| code.split('"').next())
                .unwrap_or_default();
            let is_code = !code.is_empty()
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
            if is_code {
                written.insert(code.to_owned());
            }
        }
    }
    let document = document();
    let listed = |pointer: &str| {
        let codes = document.pointer(pointer).unwrap().as_array().unwrap();
        codes
            .iter()
            .map(|code| code.as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let mut said = listed("/components/schemas/Problem/properties/code/enum");
    said.extend(listed(
        "/components/schemas/OAuthError/properties/error/enum",
    ));
    let unsaid: Vec<_> = written.difference(&said).collect();
    assert!(written.len() > 15 && unsaid.is_empty(), "{unsaid:?}");
}

/// An example is what the product itself would read and write.
#[track_caller]
fn round_trip<T: DeserializeOwned + Serialize>(example: &Value) {
    let read: T = serde_json::from_value(example.clone())
        .unwrap_or_else(|error| panic!("{example}: {error}"));
    let written = serde_json::to_value(read).unwrap();
    let plain = |value: &Value| value.to_string().replace(".0,", ",").replace(".0}", "}");
    assert_eq!(plain(&written), plain(example));
}

#[test]
fn examples_are_as_their_schemas_say() {
    let document = document();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut examples = BTreeMap::new();
    let components = &document["components"];
    let shared = components["responses"].as_object().unwrap();
    let mut contents: Vec<Value> = shared
        .values()
        .map(|response| response["content"].clone())
        .collect();
    for (_, _, said) in operations(&document) {
        contents.push(said["requestBody"]["content"].clone());
        let responses = said["responses"].as_object().unwrap();
        contents.extend(
            responses
                .values()
                .map(|response| response["content"].clone()),
        );
    }
    for content in contents
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|content| content.values())
    {
        if let Some(example) = content.get("example") {
            schema::check(&document, &content["schema"], example, "example").unwrap();
            let name = content["schema"]["$ref"].as_str().unwrap_or_default();
            examples.insert(name.rsplit('/').next().unwrap().to_owned(), example.clone());
        }
    }
    assert!(examples.len() > 15, "the examples were found");
    round_trip::<DeviceView>(&examples["Device"]);
    round_trip::<PointView>(&examples["Point"]);
    round_trip::<AlarmView>(&examples["Alarm"]);
    round_trip::<CommandView>(&examples["Command"]);
    round_trip::<Acknowledge>(&examples["Acknowledge"]);
    let request: CommandRequest =
        serde_json::from_value(examples["CommandRequest"].clone()).unwrap();
    assert_eq!(request.name, "open");
}

#[test]
fn words_are_the_contracts() {
    let document = document();
    let listed = |pointer: &str| {
        document["components"]["schemas"]
            .pointer(pointer)
            .unwrap()
            .clone()
    };
    for (pointer, words) in [
        ("/Quality/enum", json!(Quality::ALL)),
        ("/Device/properties/condition/enum", json!(Condition::ALL)),
        ("/Command/properties/state/enum", json!(CommandState::ALL)),
        ("/Priority/enum", json!(Priority::ALL)),
    ] {
        assert_eq!(listed(pointer), words, "{pointer}");
    }
}
