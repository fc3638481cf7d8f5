//! The texts are what the programs expect, and the airport is one that a person can watch.

use std::collections::BTreeSet;
use std::time::Duration;

use simulators::Kind;

use super::*;

fn airport() -> AirportConfig {
    AirportConfig::parse(AIRPORT, "airport.toml").unwrap()
}

fn written(name: &str) -> toml::Table {
    let environment = |name: &str| match name {
        "LANDSIDE_ORIGINS" => Some("http://a.example".into()),
        "LANDSIDE_TOKEN_SECONDS" => Some("45".into()),
        _ => None,
    };
    let settings = Settings::from_environment(environment).unwrap();
    let layout = Layout::new(PathBuf::from("/data"));
    let (_, text) = all(&layout, &settings, &airport())
        .into_iter()
        .find(|(path, _)| path.ends_with(name))
        .unwrap();
    toml::from_str(&text).unwrap()
}

#[test]
fn the_server_gets_its_addresses_zones_and_agents() {
    let server = written("server.toml");
    assert_eq!(server["data"].as_str(), Some("/data/server"));
    assert_eq!(server["http"]["listen"].as_str(), Some("127.0.0.1:8080"));
    assert_eq!(
        server["http"]["origins"][0].as_str(),
        Some("http://a.example")
    );
    assert_eq!(server["stomp"]["listen"].as_str(), Some("127.0.0.1:61613"));
    assert_eq!(server["metrics"]["listen"].as_str(), Some("127.0.0.1:9464"));
    assert_eq!(server["tokens"]["life_seconds"].as_integer(), Some(45));
    assert_eq!(server["access"]["file"].as_str(), Some("/data/access.toml"));
    let approve: Vec<_> = server["inventory"]["approve"].as_array().unwrap().clone();
    assert_eq!(approve, ["agent-p1".into(), "agent-p2".into()]);
    assert_eq!(server["zone"][0]["name"]["ko"].as_str(), Some("주차장 P1"));
}

#[test]
fn the_policy_is_the_built_in_one_without_a_second_factor() {
    let server = written("server.toml");
    assert_eq!(server["policy"]["file"].as_str(), Some("/data/policy.toml"));
    let mut built_in: toml::Table = toml::from_str(POLICY).unwrap();
    assert!(built_in.remove("second_factor").is_some());
    assert_eq!(written("policy.toml"), built_in);
}

#[test]
fn everybody_exists_and_no_secret_stands_in_the_file() {
    let access = written("access.toml");
    let users: Vec<_> = access["user"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| {
            assert_eq!(user["password_env"].as_str(), Some(PASSWORD));
            assert_eq!(user["name"], user["role"]);
            user["name"].as_str().unwrap()
        })
        .collect();
    assert_eq!(
        users,
        [
            "viewer",
            "operator",
            "technician",
            "supervisor",
            "administrator"
        ]
    );
    let application = &access["application"][0];
    assert_eq!(application["id"].as_str(), Some(APPLICATION));
    assert_eq!(
        application["redirect_uris"][0].as_str(),
        Some("http://127.0.0.1/signed-in")
    );
    let clients: Vec<_> = access["client"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| {
            let words = |key: &str| -> Vec<_> {
                let list = client[key].as_array().unwrap();
                list.iter().map(|word| word.as_str().unwrap()).collect()
            };
            let id = client["id"].as_str().unwrap();
            (
                id,
                words("roles"),
                words("zones"),
                client["secret_env"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        clients,
        [
            (
                "demo-program",
                vec!["program", "operator"],
                vec!["*"],
                PASSWORD
            ),
            (
                "agent-p1",
                vec!["agent"],
                vec!["p1"],
                "LANDSIDE_DEMO_SECRET_AGENT_P1"
            ),
            (
                "agent-p2",
                vec!["agent"],
                vec!["p2", "t1"],
                "LANDSIDE_DEMO_SECRET_AGENT_P2"
            ),
        ]
    );
}

#[test]
fn an_agent_finds_its_site_file_and_the_server() {
    let agent = written("agent-p2.toml");
    assert_eq!(agent["id"].as_str(), Some("agent-p2"));
    assert_eq!(agent["data"].as_str(), Some("/data/agent-p2"));
    assert_eq!(
        agent["site"].as_str(),
        Some("/data/airport/sites/agent-p2.toml")
    );
    assert_eq!(agent["profiles"].as_str(), Some("/data/profiles"));
    assert_eq!(
        agent["server"]["url"].as_str(),
        Some("http://127.0.0.1:8080")
    );
}

#[test]
fn each_kind_of_equipment_has_its_profile() {
    let profiles: BTreeSet<String> = PROFILES
        .iter()
        .map(|(_, text)| {
            let profile: toml::Table = toml::from_str(text).unwrap();
            profile["profile"]["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let needed = Kind::ALL.map(|kind| kind.profile().to_owned());
    assert_eq!(profiles, needed.into());
}

#[test]
fn the_airport_is_small_and_named_in_both_languages() {
    let airport = airport();
    assert_eq!((airport.zones.len(), airport.agents.len()), (3, 2));
    assert!((55..=65).contains(&airport.devices.len()));
    for device in &airport.devices {
        assert!(
            device.name.ko.chars().any(|letter| letter >= '가'),
            "{}",
            device.id
        );
        assert!(device.name.en.is_ascii(), "{}", device.id);
        // In a lane, the printer stands before the gate that it opens.
        if device.kind == Kind::Printer {
            let at = |id: &str| airport.devices.iter().position(|d| d.id.as_str() == id);
            let gate = device.id.as_str().replace("printer-", "gate-");
            assert_eq!(at(&gate), at(device.id.as_str()).map(|n| n + 1), "{gate}");
        }
    }
    let names: BTreeSet<_> = airport
        .devices
        .iter()
        .map(|device| &device.name.en)
        .collect();
    assert_eq!(names.len(), airport.devices.len(), "each name is used once");
}

#[test]
fn a_watcher_sees_a_fault_soon_never_a_flood_and_then_quiet() {
    let scenario = airport().scenario.unwrap();
    let seconds = Duration::from_secs;
    let first = scenario.steps.iter().map(|step| step.at).min().unwrap();
    assert!((seconds(15)..=seconds(20)).contains(&first), "{first:?}");
    let every = scenario.every.unwrap();
    let last = scenario
        .steps
        .iter()
        .map(|step| step.at + step.duration)
        .max()
        .unwrap();
    assert!(
        every - last >= seconds(30),
        "quiet until the next round: {last:?}"
    );
    for moment in &scenario.steps {
        let on = scenario
            .steps
            .iter()
            .filter(|step| (step.at..step.at + step.duration).contains(&moment.at));
        assert!(on.count() <= 4, "at {:?}", moment.at);
    }
    let devices: BTreeSet<_> = scenario.steps.iter().map(|step| &step.device).collect();
    assert!(devices.len() >= 8, "different machines fail");
}
