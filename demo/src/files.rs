//! The configuration files of every program, as texts.
//!
//! Pure.

use std::collections::BTreeSet;
use std::path::PathBuf;

use contract::{AgentId, Role, Text};
use serde::Serialize;
use simulators::AirportConfig;

use crate::settings::{Listen, PASSWORD, Settings};

/// The airport, as the simulators read it.
pub(crate) const AIRPORT: &str = include_str!("../airport.toml");

/// The profiles of its equipment: file names and texts.
pub(crate) const PROFILES: [(&str, &str); 4] = [
    (
        "gate-came-crp.toml",
        include_str!("../../device-agents/profiles/gate-came-crp.toml"),
    ),
    (
        "loop-ld120.toml",
        include_str!("../../device-agents/profiles/loop-ld120.toml"),
    ),
    (
        "kiosk-jsonl.toml",
        include_str!("../../device-agents/profiles/kiosk-jsonl.toml"),
    ),
    (
        "printer-escpos.toml",
        include_str!("../../device-agents/profiles/printer-escpos.toml"),
    ),
];

/// The policy that is built into the server.
const POLICY: &str = include_str!("../../server/src/identity/policy/default.toml");

/// The client for `client_credentials`, with an operator's rights on every zone.
pub(crate) const CLIENT: &str = "demo-program";

/// The application for people, which may do what they may: it runs on the same machine and has no secret.
pub(crate) const APPLICATION: &str = "demo-app";

/// One login for each role of people, named like the role.
pub(crate) const PEOPLE: [Role; 5] = [
    Role::Viewer,
    Role::Operator,
    Role::Technician,
    Role::Supervisor,
    Role::Administrator,
];

const HEAD: &str = "# Written by landside-demo at each start; changes here are lost.\n\n";

/// Where everything of one demo lies.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    data: PathBuf,
}

impl Layout {
    /// Everything below `data`, which is absolute.
    pub(crate) fn new(data: PathBuf) -> Self {
        Self { data }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    pub(crate) fn airport_data(&self) -> PathBuf {
        self.data.join("airport")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub(crate) fn agent_file(&self, agent: &AgentId) -> PathBuf {
        self.data.join(format!("{agent}.toml"))
    }
}

/// Every file to write, with its text; the folders are those of the paths.
pub(crate) fn all(
    layout: &Layout,
    settings: &Settings,
    airport: &AirportConfig,
) -> Vec<(PathBuf, String)> {
    let mut files = vec![
        (layout.file("airport.toml"), format!("{HEAD}{AIRPORT}")),
        (
            layout.file("server.toml"),
            server(layout, settings, airport),
        ),
        (layout.file("access.toml"), access(airport)),
        (layout.file("policy.toml"), policy()),
    ];
    for (name, text) in PROFILES {
        files.push((layout.file("profiles").join(name), text.to_owned()));
    }
    for id in &airport.agents {
        files.push((layout.agent_file(id), agent(layout, settings, id)));
    }
    files
}

#[derive(Serialize)]
struct ServerFile<'a> {
    data: PathBuf,
    http: HttpSection<'a>,
    stomp: ListenSection,
    metrics: ListenSection,
    inventory: InventorySection<'a>,
    access: AccessSection,
    policy: PolicySection,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<TokensSection>,
    zone: Vec<ZoneSection<'a>>,
}

#[derive(Serialize)]
struct HttpSection<'a> {
    listen: String,
    origins: &'a [String],
}

#[derive(Serialize)]
struct ListenSection {
    listen: String,
}

#[derive(Serialize)]
struct InventorySection<'a> {
    approve: &'a [AgentId],
}

#[derive(Serialize)]
struct AccessSection {
    file: PathBuf,
}

#[derive(Serialize)]
struct PolicySection {
    file: PathBuf,
}

#[derive(Serialize)]
struct TokensSection {
    life_seconds: u64,
}

#[derive(Serialize)]
struct ZoneSection<'a> {
    id: &'a str,
    name: &'a Text,
}

fn server(layout: &Layout, settings: &Settings, airport: &AirportConfig) -> String {
    let section = |listen: Listen| ListenSection {
        listen: listen.address.to_string(),
    };
    render(&ServerFile {
        data: layout.file("server"),
        http: HttpSection {
            listen: settings.http.address.to_string(),
            origins: &settings.origins,
        },
        stomp: section(settings.stomp),
        metrics: section(settings.metrics),
        inventory: InventorySection {
            approve: &airport.agents,
        },
        access: AccessSection {
            file: layout.file("access.toml"),
        },
        policy: PolicySection {
            file: layout.file("policy.toml"),
        },
        tokens: settings
            .token_seconds
            .map(|life_seconds| TokensSection { life_seconds }),
        zone: airport
            .zones
            .iter()
            .map(|zone| ZoneSection {
                id: zone.id.as_str(),
                name: &zone.name,
            })
            .collect(),
    })
}

/// The built-in policy, but for the second factor: whoever tries the demo has the one printed password and nothing else.
fn policy() -> String {
    let (before, rest) = POLICY
        .split_once("[second_factor]\n")
        .expect("the built-in policy asks for one");
    let (_, roles) = rest
        .split_once("\n[role.")
        .expect("the built-in policy names roles");
    format!(
        "{HEAD}{before}# No [second_factor]: the people of the demo have nothing but the one printed password.\n\n[role.{roles}"
    )
}

#[derive(Serialize)]
struct AccessFile<'a> {
    user: Vec<User>,
    client: Vec<Client<'a>>,
    application: [Application; 1],
}

#[derive(Serialize)]
struct Application {
    id: &'static str,
    name: &'static str,
    redirect_uris: [&'static str; 1],
}

#[derive(Serialize)]
struct User {
    name: &'static str,
    full_name: String,
    role: Role,
    zones: [&'static str; 1],
    password_env: &'static str,
}

#[derive(Serialize)]
struct Client<'a> {
    id: &'a str,
    roles: Vec<Role>,
    zones: Vec<&'a str>,
    secret_env: String,
}

fn access(airport: &AirportConfig) -> String {
    let user = PEOPLE.map(|role| User {
        name: role.as_str(),
        full_name: format!("Demo {}", role.as_str()),
        role,
        zones: ["*"],
        password_env: PASSWORD,
    });
    let mut client = vec![Client {
        id: CLIENT,
        roles: vec![Role::Program, Role::Operator],
        zones: vec!["*"],
        secret_env: PASSWORD.to_owned(),
    }];
    client.extend(airport.agents.iter().map(|agent| Client {
        id: agent.as_str(),
        roles: vec![Role::Agent],
        zones: zones_of(airport, agent).into_iter().collect(),
        secret_env: agent_variable(agent),
    }));
    render(&AccessFile {
        user: user.into(),
        client,
        application: [Application {
            id: APPLICATION,
            name: "Demo application",
            redirect_uris: ["http://127.0.0.1/signed-in"],
        }],
    })
}

fn zones_of<'a>(airport: &'a AirportConfig, agent: &AgentId) -> BTreeSet<&'a str> {
    airport
        .devices
        .iter()
        .filter(|device| device.agent == *agent)
        .map(|device| device.zone.as_str())
        .collect()
}

/// The variable by which the server learns an agent's secret.
pub(crate) fn agent_variable(agent: &AgentId) -> String {
    let id: String = agent
        .as_str()
        .chars()
        .map(|letter| match letter {
            'a'..='z' => letter.to_ascii_uppercase(),
            '0'..='9' => letter,
            _ => '_',
        })
        .collect();
    format!("LANDSIDE_DEMO_SECRET_{id}")
}

#[derive(Serialize)]
struct AgentFile<'a> {
    id: &'a str,
    data: PathBuf,
    site: PathBuf,
    profiles: PathBuf,
    server: AgentServer,
}

#[derive(Serialize)]
struct AgentServer {
    url: String,
}

fn agent(layout: &Layout, settings: &Settings, id: &AgentId) -> String {
    render(&AgentFile {
        id: id.as_str(),
        data: layout.file(id.as_str()),
        site: layout
            .airport_data()
            .join("sites")
            .join(format!("{id}.toml")),
        profiles: layout.file("profiles"),
        server: AgentServer {
            url: format!("http://{}", settings.http.address),
        },
    })
}

fn render(file: &impl Serialize) -> String {
    let body = toml::to_string(file).expect("texts, lists and tables");
    format!("{HEAD}{body}")
}

#[cfg(test)]
mod tests;
