//! Right and second factor, asked together wherever something is done: on pages, in the API, by STOMP.

use serde_json::{Value, json};
use server::identity::policy::{Permission, Policy};
use server::identity::totp;
use uuid::Uuid;

use crate::agent::{FakeAgent, event};
use crate::harness::{Browser, PASSWORD, Program, TestServer, field, policy, unix_now};
use crate::stomp_client::StompClient;

/// A way to ask for something; `KEY` is a new key each time.
enum Way {
    Page(&'static str),
    Form(&'static str, &'static [(&'static str, &'static str)]),
    Api(&'static str),
    Call(&'static str, Value),
    Send(&'static str, Value),
}

use Way::{Api, Call, Form, Page, Send};

const COMMANDS: &str = "/devices/gate-1/commands";
const API_COMMANDS: &str = "/api/v1/devices/gate-1/commands";
const SEND_COMMANDS: &str = "/app/devices/gate-1/commands";

/// Each permission, by each way on which it is asked for.
fn ways() -> Vec<(Permission, Way)> {
    let mut ways = vec![
        (
            Permission::AlarmAcknowledge,
            Form("/alarms/1/acknowledge", &[("occurrence", "1")]),
        ),
        (
            Permission::AlarmAcknowledge,
            Call("/api/v1/alarms/1/acknowledge", json!({"occurrence": 1})),
        ),
        (
            Permission::AlarmAcknowledge,
            Send("/app/alarms/1/acknowledge", json!({"occurrence": 1})),
        ),
        (
            Permission::DeviceApprove,
            Form("/devices/gate-1/approve", &[]),
        ),
        (
            Permission::PlateReveal,
            Form("/devices/gate-1/points/plate/reveal", &[("reason", "x")]),
        ),
        (
            Permission::PlateReveal,
            Call(
                "/api/v1/devices/gate-1/points/plate/reveal",
                json!({"reason": "x"}),
            ),
        ),
        (Permission::PeopleManage, Page("/people")),
        (
            Permission::PeopleManage,
            Form("/people/end-logins", &[("name", "vera")]),
        ),
        (
            Permission::PeopleManage,
            Form("/people/disable", &[("name", "vera")]),
        ),
        (
            Permission::PeopleManage,
            Form("/people/enable", &[("name", "vera")]),
        ),
        (Permission::AuditRead, Page("/audit")),
        (Permission::AuditRead, Page("/audit.csv")),
        (Permission::AuditRead, Api("/api/v1/audit")),
        (
            Permission::TokenRevoke,
            Call("/api/v1/revocations", json!({"token": Uuid::from_u128(7)})),
        ),
    ];
    for (permission, name, form) in [
        (
            Permission::CommandView,
            "look",
            &[("key", "KEY"), ("name", "look")][..],
        ),
        (
            Permission::CommandNormal,
            "open",
            &[("key", "KEY"), ("name", "open")],
        ),
        (
            Permission::CommandCritical,
            "reset",
            &[("key", "KEY"), ("name", "reset"), ("confirmed", "yes")],
        ),
    ] {
        let body = json!({"key": "KEY", "name": name});
        ways.push((permission, Form(COMMANDS, form)));
        ways.push((permission, Call(API_COMMANDS, body.clone())));
        ways.push((permission, Send(SEND_COMMANDS, body)));
    }
    ways
}

/// A policy in which technicians may do everything for which a factor can be asked, and must show it.
fn asks_for_everything() -> String {
    let asked = Permission::ALL.into_iter().filter(|known| known.may_wait());
    let asked: Vec<String> = asked.map(|known| format!("\"{known}\"")).collect();
    let asked = asked.join(", ");
    let (before, after) = policy()
        .split_once("[role.technician]\nlike = \"viewer\"\nmay = [")
        .map(|(before, after)| (before.to_owned(), after.to_owned()))
        .unwrap();
    let (_, after) = after.split_once(']').unwrap();
    format!(
        "[second_factor]\npermissions = [{asked}]\nminutes = 10\n{before}[role.technician]\nlike = \"viewer\"\nmay = [\"see\", \"command.emergency\", {asked}]{after}"
    )
}

struct Asking<'a> {
    browser: &'a Browser,
    csrf: String,
    api: Program,
    stomp: StompClient,
}

impl<'a> Asking<'a> {
    async fn of(server: &TestServer, browser: &'a Browser) -> Self {
        let token = server.page_token(browser).await;
        let mut stomp = StompClient::connect(server.stomp_address(), &token).await;
        stomp.subscribe("/user/queue/errors").await;
        Self {
            browser,
            csrf: browser.csrf().await,
            api: server.bearer(token),
            stomp,
        }
    }

    /// Whether the factor is missing; whatever else goes wrong fails the test.
    async fn lacks_factor(&mut self, way: &Way, is_shown: bool) -> bool {
        let key = Uuid::new_v4().to_string();
        let of_page = |answer: &reqwest::Response| {
            let to = answer.headers().get("location");
            let to = to.map_or("", |to| to.to_str().unwrap());
            assert!(!to.contains("not-permitted"), "{to}");
            assert!(answer.status().as_u16() < 400, "{}", answer.status());
            to.starts_with("/second-factor?next=/")
        };
        let of_api = |(status, body): (u16, Value)| {
            assert!(status < 400 || status == 403, "{status} {body}");
            if status == 403 {
                assert_eq!(body["code"], "second-factor-needed");
            }
            status == 403
        };
        let with_key = |body: &Value| {
            let text = body.to_string().replace("KEY", &key);
            serde_json::from_str::<Value>(&text).unwrap()
        };
        match way {
            Page(path) => of_page(&self.browser.get(path).await),
            Form(path, fields) => {
                let mut form = vec![("csrf", self.csrf.as_str())];
                let filled = |value: &'static str| if value == "KEY" { &key } else { value };
                form.extend(fields.iter().map(|(name, value)| (*name, filled(value))));
                of_page(&self.browser.post(path, &form).await)
            }
            Api(path) => of_api(self.api.get(path).await),
            Call(path, body) => of_api(self.api.post(path, with_key(body)).await),
            Send(destination, body) if is_shown => {
                self.stomp.send(destination, &with_key(body)).await;
                false
            }
            Send(destination, body) => {
                self.stomp.cast(destination, &with_key(body)).await;
                let refusal = self.stomp.message().await;
                assert_eq!(refusal.header("code"), Some("second-factor-needed"));
                true
            }
        }
    }
}

async fn busy_gate(server: &TestServer) -> FakeAgent {
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    agent.gate_is("closed").await;
    agent.plate_is("12가 3456").await;
    agent
        .events(vec![event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let program = server.program("program").await;
    program
        .eventually("/api/v1/devices/gate-1", |body| {
            body["points"][2]["value"] == "**가 **56"
        })
        .await;
    agent
}

#[tokio::test]
async fn what_the_policy_asks_a_second_factor_for_is_refused_without_on_every_way() {
    let server = TestServer::start_with_policy(&asks_for_everything()).await;
    let _agent = busy_gate(&server).await;
    let ways = ways();
    for permission in Permission::ALL {
        let is_walked = ways.iter().any(|(asked, _)| *asked == permission);
        assert_eq!(is_walked, permission.may_wait(), "{permission}");
    }
    let tess = server.browser("tess").await;
    let mut asking = Asking::of(&server, &tess).await;
    for (permission, way) in &ways {
        let lacks = asking.lacks_factor(way, false).await;
        assert!(lacks, "{permission} without the factor");
    }
    assert_eq!(
        server.database.count("select count(*) from command").await,
        0
    );
    let emergency = json!({"key": Uuid::new_v4(), "name": "evacuate"});
    let (status, _) = asking.api.post(API_COMMANDS, emergency).await;
    assert_eq!(status, 202, "an emergency is never hindered");

    let secret = tess.connect_app().await;
    let mut asking = Asking::of(&server, &tess).await;
    for (permission, way) in &ways {
        let lacks = asking.lacks_factor(way, true).await;
        assert!(!lacks, "{permission} with the factor");
    }

    // Too long ago is not at all; the page leads to where it is shown, and back.
    server
        .database
        .run("update login set second_factor_at = now() - interval '11 minutes'")
        .await;
    let answer = tess.get("/audit?actor=ada").await;
    let way = answer.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(way, "/second-factor?next=/audit%3Factor%3Dada");
    let page = tess.page(&way).await;
    server
        .database
        .run("update second_factor set last_step = 0")
        .await;
    let (next, code) = (field(&page, "next"), totp::code_at(&secret, unix_now()));
    let csrf = field(&page, "csrf");
    let form = [("csrf", csrf.as_str()), ("next", &next), ("code", &code)];
    let answer = tess.post("/second-factor", &form).await;
    assert_eq!(answer.headers()["location"], "/audit?actor=ada");
    assert_eq!(tess.get("/audit?actor=ada").await.status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn the_code_can_come_with_any_command_that_takes_one() {
    let server = TestServer::start_with_policy(&asks_for_everything()).await;
    let _agent = busy_gate(&server).await;
    let tess = server.browser("tess").await;
    let secret = tess.connect_app().await;
    server
        .database
        .run("update login set second_factor_at = null")
        .await;
    server
        .database
        .run("update second_factor set last_step = 0")
        .await;
    let page = tess.page("/devices/gate-1").await;
    assert_eq!(page.matches("name=\"code\"").count(), 3, "{page}");
    let (csrf, key) = (field(&page, "csrf"), Uuid::new_v4().to_string());
    let code = totp::code_at(&secret, unix_now());
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for (code, notice) in [(wrong, "code-wrong"), (&code, "command-queued")] {
        let form = [
            ("csrf", csrf.as_str()),
            ("key", &key),
            ("name", "open"),
            ("code", code),
        ];
        let answer = tess.post(COMMANDS, &form).await;
        let expected = format!("/devices/gate-1?notice={notice}");
        assert_eq!(answer.headers()["location"], expected.as_str());
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_becomes_an_administrator_while_signed_in_shows_a_second_factor_first() {
    let server = TestServer::start_with_policy(Policy::DEFAULT).await;
    let omar = server.browser("omar").await;
    server
        .database
        .run("update person set role = 'administrator' where name = 'omar'")
        .await;
    let mut asking = Asking::of(&server, &omar).await;
    for way in [
        Page("/people"),
        Page("/audit"),
        Page("/audit.csv"),
        Form("/people/disable", &[("name", "vera")]),
        Call("/api/v1/revocations", json!({"subject": "vera"})),
        Api("/api/v1/audit"),
    ] {
        assert!(asking.lacks_factor(&way, false).await);
    }
    assert_eq!(omar.get("/").await.status(), 200, "alarms stay in sight");
    omar.connect_app().await;
    assert_eq!(omar.get("/people").await.status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn what_is_offered_to_an_app_is_of_one_login_and_takes_the_password() {
    let server = TestServer::start().await;
    let (here, there) = (server.browser("omar").await, server.browser("omar").await);
    let path = "/account/second-factor/begin";
    let (csrf, elsewhere) = (here.csrf().await, there.csrf().await);
    let answer = here.get("/account/second-factor").await;
    assert_eq!(
        answer.headers()["location"],
        "/account",
        "looking does nothing"
    );
    let form = [("csrf", csrf.as_str()), ("password", "wrong")];
    let answer = here.post(path, &form).await;
    assert_eq!(
        answer.headers()["location"],
        "/account?notice=wrong-password"
    );
    let offers = "select count(*) from second_factor_offer";
    assert_eq!(server.database.count(offers).await, 0);

    let first = there.offered_secret(path, &elsewhere, PASSWORD).await;
    let replaced = here.offered_secret(path, &csrf, PASSWORD).await;
    let second = here.offered_secret(path, &csrf, PASSWORD).await;
    assert!(first != second && replaced != second);
    let confirm = async |secret: &[u8]| {
        let code = totp::code_at(secret, unix_now());
        let form = [("csrf", csrf.as_str()), ("code", &code)];
        here.post("/account/second-factor", &form).await
    };
    assert_eq!(confirm(&first).await.status(), 403, "another login's");
    assert_eq!(confirm(&replaced).await.status(), 403, "an earlier one");
    server
        .database
        .run("update second_factor_offer set offered_at = now() - interval '11 minutes'")
        .await;
    let answer = confirm(&second).await;
    assert_eq!(answer.headers()["location"], "/account?notice=offer-gone");
    let third = here.offered_secret(path, &csrf, PASSWORD).await;
    assert_eq!(confirm(&third).await.status(), 200);
    assert_eq!(
        server.database.count(offers).await,
        0,
        "all offers are void"
    );
    let rows = "select action from audit where action like 'person.second_factor%' and outcome = 'done' order by number";
    let offer = "person.second_factor_offer";
    assert_eq!(
        server.database.texts(rows).await,
        [offer, offer, offer, offer, "person.second_factor"]
    );
    server.stop().await;
}

#[tokio::test]
async fn who_manages_people_is_said_by_the_policy() {
    let moved = policy().replace("\"people.manage\", ", "").replace(
        "[role.technician]\nlike = \"viewer\"\nmay = [",
        "[role.technician]\nlike = \"viewer\"\nmay = [\"people.manage\", ",
    );
    let server = TestServer::start_with_policy(&moved).await;
    let tess = server.browser("tess").await;
    let csrf = tess.csrf().await;
    let form = [("csrf", csrf.as_str()), ("name", "ada")];
    let answer = tess.post("/people/disable", &form).await;
    assert_eq!(
        answer.headers()["location"],
        "/people?notice=person-changed",
        "an administrator who may not manage people is not the last who may"
    );
    server.stop().await;
}

/// A right is looked at, without the factor, only to say what a page offers, to explain the policy, and to see whether a
/// file leaves anybody who manages people.
#[test]
fn nobody_asks_for_the_right_alone() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![sources];
    let mut asking = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if std::fs::read_to_string(&path)
                .unwrap()
                .contains(".entitles(")
            {
                asking.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    asking.sort();
    assert_eq!(
        asking,
        ["explain.rs", "files.rs", "page.rs", "policy.rs", "tests.rs"]
    );
}
