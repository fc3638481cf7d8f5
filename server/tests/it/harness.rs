//! A server in this process, with people and programs that may use it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use server::config::Config;
use server::identity::policy::Policy;
use server::identity::totp;
use server::store::Store;
use server::{Listeners, Server};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::agent::FakeAgent;
use crate::database::Database;
use crate::stomp_client::StompClient;
use crate::swallowing::Road;

/// Nothing that a test waits for takes this long unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The one password and secret of everybody.
pub(crate) const PASSWORD: &str = "correct horse";

/// The configuration of every test, without its addresses.
pub(crate) const CONFIG: &str = r#"
data = "data"
[[zone]]
id = "p1"
name = { ko = "주차장 P1", en = "Car park P1" }
[[zone]]
id = "p2"
name = { ko = "주차장 P2", en = "Car park P2" }
[inventory]
approve = ["agent-1", "agent-2"]
[access]
file = "access.toml"
[policy]
file = "policy.toml"
"#;

/// The policy of every test: the built-in one, but people sign in with a password only.
pub(crate) fn policy() -> String {
    let (head, roles) = Policy::DEFAULT.split_once("[second_factor]").unwrap();
    let (_, roles) = roles.split_once("[role.").unwrap();
    format!("{head}[role.{roles}")
}

/// The access file of every test.
pub(crate) fn access() -> String {
    let people = [
        ("vera", "viewer", "*"),
        ("omar", "operator", "*"),
        ("tess", "technician", "*"),
        ("ada", "administrator", "*"),
        ("pia", "operator", "p1"),
    ];
    let clients = [
        ("agent-1", r#""agent""#, "*"),
        ("agent-2", r#""agent""#, "*"),
        ("agent-3", r#""agent""#, "*"),
        ("agent-p2", r#""agent""#, "p2"),
        ("program", r#""program", "operator""#, "*"),
        ("supervisor", r#""program", "supervisor""#, "*"),
        ("program-p2", r#""program", "operator""#, "p2"),
    ];
    let people = people.map(|(name, role, zones)| {
        format!("[[user]]\nname = \"{name}\"\nfull_name = \"{name} <x1>\"\nrole = \"{role}\"\nzones = [\"{zones}\"]\npassword_env = \"SECRET\"\n")
    });
    let clients = clients.map(|(id, roles, zones)| {
        format!("[[client]]\nid = \"{id}\"\nroles = [{roles}]\nzones = [\"{zones}\"]\nsecret_env = \"SECRET\"\n")
    });
    people.concat() + &clients.concat()
}

/// A server with a database of its own.
pub(crate) struct TestServer {
    pub(crate) database: Database,
    directory: TempDir,
    server: Option<Server>,
    /// By which the server reaches the database.
    database_url: String,
}

impl TestServer {
    /// Starts one on free ports.
    pub(crate) async fn start() -> Self {
        Self::start_as(CONFIG, &[]).await
    }

    /// Starts one with a policy file.
    pub(crate) async fn start_with_policy(policy: &str) -> Self {
        Self::start_with("", &[("policy.toml", policy)]).await
    }

    /// Starts one with more in its configuration, and files beside that.
    pub(crate) async fn start_with(more: &str, files: &[(&str, &str)]) -> Self {
        Self::start_as(&format!("{CONFIG}{more}"), files).await
    }

    /// Starts one with these keys in `[identity]`, and these tables.
    pub(crate) async fn start_for_people(identity: &str, tables: &str) -> Self {
        Self::start_as(&format!("{CONFIG}[identity]\n{identity}\n{tables}\n"), &[]).await
    }

    /// Starts one that reaches its database by a road that can swallow.
    pub(crate) async fn start_on_a_road() -> (Self, Road) {
        let database = Database::create().await;
        let road = Road::to(&database.url()).await;
        let url = road.url(&database.url());
        (Self::start_on(database, url, CONFIG, &[]).await, road)
    }

    async fn start_as(config: &str, files: &[(&str, &str)]) -> Self {
        let database = Database::create().await;
        let url = database.url();
        Self::start_on(database, url, config, files).await
    }

    async fn start_on(
        database: Database,
        database_url: String,
        config: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let mut server = Self {
            database,
            directory: tempfile::tempdir().unwrap(),
            server: None,
            database_url,
        };
        server.write("server.toml", config);
        server.write("access.toml", &access());
        server.write("policy.toml", &policy());
        for (name, text) in files {
            server.write(name, text);
        }
        server.run().await;
        server
    }

    /// Writes one of its files anew, at once as an editor does.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let (path, new) = (
            self.directory.path().join(name),
            self.directory.path().join("new"),
        );
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("server.toml")
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) async fn run(&mut self) {
        self.server = Some(self.another().await);
    }

    /// Another server of this configuration on the same database. Stop it first.
    pub(crate) async fn another(&self) -> Server {
        self.try_another().await.unwrap()
    }

    /// The same, or why there is none.
    pub(crate) async fn try_another(&self) -> anyhow::Result<Server> {
        let environment = |name: &str| (name == "SECRET").then(|| PASSWORD.to_owned());
        let config = Config::load(&self.config(), &environment).unwrap();
        let store = Store::open(&self.database_url).await.unwrap();
        let listeners = Listeners {
            http: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            stomp: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            stomp_tls: match config.stomp_tls {
                Some(_) => Some(TcpListener::bind("127.0.0.1:0").await.unwrap()),
                None => None,
            },
            metrics: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        Server::start(config, listeners, store).await
    }

    /// Takes somebody out of the access file.
    pub(crate) fn remove_from_access(&self, name: &str) {
        let everybody = self.file("access.toml");
        let tables = everybody
            .split("[[")
            .filter(|table| !table.is_empty() && !table.contains(&format!("\"{name}\"")));
        let rest: String = tables.map(|table| format!("[[{table}")).collect();
        self.write("access.toml", &rest);
    }

    /// Stops the server and starts another one on the same database.
    pub(crate) async fn restart(&mut self) {
        self.halt().await;
        self.run().await;
    }

    pub(crate) async fn halt(&mut self) {
        let server = self
            .server
            .take()
            .expect("the server runs between the calls of `restart` and `stop`");
        // A task that hangs is a defect of its own, and must not hang the test run.
        tokio::time::timeout(Duration::from_secs(20), server.stop())
            .await
            .expect("the server stops in time");
    }

    /// Stops everything.
    pub(crate) async fn stop(mut self) {
        self.halt().await;
        self.database.drop().await;
    }

    /// Stops everything, after which a query must answer at least this: what is written down at the end.
    pub(crate) async fn halt_and_drop(mut self, query: &'static str, least: i64) {
        self.halt().await;
        let count = self.database.count(query).await;
        assert!(count >= least, "{count}: {query}");
        self.database.drop().await;
    }

    /// Somebody who is not signed in.
    pub(crate) fn nobody(&self) -> Browser {
        Browser::new(self.url(""))
    }

    /// Where everything else is.
    pub(crate) fn http_address(&self) -> std::net::SocketAddr {
        self.running().addresses().http
    }

    /// Where STOMP over TCP is served.
    pub(crate) fn stomp_address(&self) -> std::net::SocketAddr {
        self.running().addresses().stomp
    }

    /// A file beside the configuration; empty when it is not there.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    /// The status that a sign-in with the right password gets.
    pub(crate) async fn browser_answer(&self, person: &str) -> u16 {
        let browser = Browser::new(self.url(""));
        browser.sign_in(person, PASSWORD).await.status().as_u16()
    }

    /// Where STOMP over TLS is served.
    pub(crate) fn stomp_tls_address(&self) -> std::net::SocketAddr {
        self.running().addresses().stomp_tls.unwrap()
    }

    /// Where metrics are served.
    pub(crate) fn metrics_address(&self) -> std::net::SocketAddr {
        self.running().addresses().metrics
    }

    /// What the metrics say.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.running().addresses().metrics);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    pub(crate) fn running(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().addresses().http)
    }

    /// A token of a client.
    pub(crate) async fn token(&self, client: &str) -> String {
        let answer = self.ask_for_token(client).await;
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()["access_token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// What a client with its right secret is answered.
    pub(crate) async fn ask_for_token(&self, client: &str) -> reqwest::Response {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", PASSWORD),
        ];
        reqwest::Client::new()
            .post(self.url("/oauth/token"))
            .form(&form)
            .send()
            .await
            .unwrap()
    }

    /// The token of a page of somebody who is signed in.
    pub(crate) async fn page_token(&self, browser: &Browser) -> String {
        let csrf = browser.csrf().await;
        let answer = browser
            .post_with("/login/token", ("x-csrf-token", &csrf), &[])
            .await;
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// A STOMP connection over TCP with a client's token.
    pub(crate) async fn stomp(&self, client: &str) -> StompClient {
        StompClient::connect(self.stomp_address(), &self.token(client).await).await
    }

    /// An agent with a gate `gate-1` and a kiosk `kiosk-1` in zone p1, announced.
    pub(crate) async fn agent(&self) -> FakeAgent {
        FakeAgent::join(self.stomp("agent-1").await, "agent-1").await
    }

    /// A program that calls the API.
    pub(crate) async fn program(&self, client: &str) -> Program {
        self.bearer(self.token(client).await)
    }

    /// Whoever has this token.
    pub(crate) fn bearer(&self, token: String) -> Program {
        Program {
            base: self.url(""),
            token,
            http: reqwest::Client::new(),
        }
    }

    /// Somebody who signed in with a browser.
    pub(crate) async fn browser(&self, person: &str) -> Browser {
        let browser = Browser::new(self.url(""));
        let answer = browser.sign_in(person, PASSWORD).await;
        assert_eq!(answer.status(), 303, "{person} signs in");
        browser
    }
}

/// A client of the API.
pub(crate) struct Program {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Program {
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        Self::answer(
            self.http
                .get(format!("{}{path}", self.base))
                .bearer_auth(&self.token),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        Self::answer(
            self.http
                .post(format!("{}{path}", self.base))
                .bearer_auth(&self.token)
                .json(&body),
        )
        .await
    }

    async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or(Value::Null),
        )
    }

    /// The open alarms.
    pub(crate) async fn alarms(&self) -> Vec<Value> {
        self.items("/api/v1/alarms").await
    }

    /// The items of a list.
    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["next"], Value::Null);
        body["items"].as_array().unwrap().clone()
    }

    /// Gives a command to `gate-1`.
    pub(crate) async fn command(&self, key: u128, name: &str) -> (u16, Value) {
        let key = uuid::Uuid::from_u128(key);
        self.post(
            "/api/v1/devices/gate-1/commands",
            json!({"key": key, "name": name}),
        )
        .await
    }

    /// Asks again until the answer is as expected: for what happens a moment later.
    pub(crate) async fn eventually(&self, path: &str, expected: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let (_, body) = self.get(path).await;
            if expected(&body) {
                return body;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{path} stayed {body}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A browser with cookies and without scripts.
pub(crate) struct Browser {
    base: String,
    http: reqwest::Client,
}

impl Browser {
    pub(crate) fn new(base: String) -> Self {
        let http = reqwest::Client::builder()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { base, http }
    }

    /// One whose connections come from this address.
    pub(crate) fn at(base: String, address: std::net::IpAddr) -> Self {
        let http = reqwest::Client::builder()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .local_address(address)
            .build()
            .unwrap();
        Self { base, http }
    }

    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> reqwest::Response {
        self.post("/sign-in", &[("name", name), ("password", password)])
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.http
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap()
    }

    /// With these cookies instead of its own.
    pub(crate) async fn get_with(&self, path: &str, cookies: &str) -> reqwest::Response {
        self.http
            .get(format!("{}{path}", self.base))
            .header("cookie", cookies)
            .send()
            .await
            .unwrap()
    }

    /// A page that must be there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    /// As browsers of today do it, which say where a form comes from.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> reqwest::Response {
        self.http
            .post(format!("{}{path}", self.base))
            .header("origin", &self.base)
            .form(form)
            .send()
            .await
            .unwrap()
    }

    /// As the page's script does it: with a header.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        header: (&str, &str),
        form: &[(&str, &str)],
    ) -> reqwest::Response {
        self.http
            .post(format!("{}{path}", self.base))
            .header(header.0, header.1)
            .form(form)
            .send()
            .await
            .unwrap()
    }

    /// As a page's script calls the API.
    pub(crate) async fn post_json(
        &self,
        path: &str,
        csrf: &str,
        body: String,
    ) -> reqwest::Response {
        self.http
            .post(format!("{}{path}", self.base))
            .header("x-csrf-token", csrf)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    /// Asks for a secret to put into an app, with a password where one is asked: what the page shows.
    pub(crate) async fn offered_secret(&self, path: &str, csrf: &str, password: &str) -> Vec<u8> {
        let form = [("csrf", csrf), ("password", password)];
        let answer = self.post(path, &form).await;
        assert_eq!(answer.status(), 200, "{path} offers a secret");
        let page = answer.text().await.unwrap();
        let secret = page.split("class=\"secret\">").nth(1).unwrap();
        base32_bytes(secret.split('<').next().unwrap())
    }

    /// Connects an app to the account of whoever is signed in: its secret.
    pub(crate) async fn connect_app(&self) -> Vec<u8> {
        let csrf = self.csrf().await;
        let path = "/account/second-factor/begin";
        let secret = self.offered_secret(path, &csrf, PASSWORD).await;
        let code = totp::code_at(&secret, unix_now());
        let form = [("csrf", csrf.as_str()), ("code", &code)];
        let answer = self.post("/account/second-factor", &form).await;
        assert_eq!(answer.status(), 200, "the code is right");
        secret
    }

    /// The CSRF token of this login, as a page's form holds it.
    pub(crate) async fn csrf(&self) -> String {
        field(&self.page("/").await, "csrf")
    }
}

/// What a secret for an app is, as pages show it.
pub(crate) fn base32_bytes(text: &str) -> Vec<u8> {
    let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in text.chars() {
        let digit = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).unwrap();
        buffer = (buffer << 5) | u32::try_from(digit).unwrap();
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((buffer >> bits) & 0xff).unwrap());
        }
    }
    bytes
}

/// Now, as codes and tokens count.
pub(crate) fn unix_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// The value of a form's field in a page.
pub(crate) fn field(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("no field {name} in {page}"))
        .1;
    rest.split_once('"').unwrap().0.to_owned()
}
