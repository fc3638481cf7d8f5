//! A right that is taken away is gone at once: also for whoever is on their way to a token or a login at that moment, for
//! other servers on the same database, and for what applications hold.

use std::path::Path;

use contract::{Role, ZoneId};
use serde_json::json;
use server::identity::access::Access;
use server::identity::admission::{Invitee, invite};
use server::identity::principal::Zones;
use server::store::Store;

use super::{APPLICATIONS, claims, family, may_use, refresh, server, text};
use crate::harness::{Browser, PASSWORD, TestServer, access};
use crate::stomp_client::StompClient;

/// From now on administrators decide about omar, not the access file.
const OF_NO_FILE: &str = "update person set from_file = false where name = 'omar'";

async fn lower_omar(ada: &Browser) {
    let csrf = ada.csrf().await;
    let form = [
        ("csrf", csrf.as_str()),
        ("name", "omar"),
        ("role", "viewer"),
        ("zones", "p1"),
    ];
    let answer = ada.post("/people/rights", &form).await;
    assert_eq!(
        answer.headers()["location"],
        "/people?notice=person-changed"
    );
}

#[tokio::test]
async fn a_token_of_rights_that_were_read_before_is_void_however_late_it_comes() {
    let server = server().await;
    let (ada, omar) = (server.browser("ada").await, server.browser("omar").await);
    let csrf = omar.csrf().await;
    server.database.run(OF_NO_FILE).await;
    // The login was last seen long ago: that is written down between reading the rights and making the token.
    server
        .database
        .run("update login set last_seen_at = now() - interval '1 hour' where person_name = 'omar'")
        .await;
    let held = server
        .database
        .hold("select from login where person_name = 'omar' for update")
        .await;
    let header = ("x-csrf-token", csrf.as_str());
    let asking = omar.post_with("/login/token", header, &[]);
    let lowering = async {
        server.database.waiters(1).await;
        lower_omar(&ada).await;
        held.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(asking, lowering);
    assert_eq!(answer.status(), 200);
    let late = text(&answer.json().await.unwrap(), "access_token");
    assert_eq!(
        claims(&late)["roles"],
        json!(["operator"]),
        "it was on its way"
    );
    assert!(!may_use(&server, &late).await);
    let mut client = StompClient::begin(server.stomp_address(), &late).await;
    assert_eq!(client.error().await, "token-revoked");
    let new = server.page_token(&omar).await;
    assert_eq!(claims(&new)["roles"], json!(["viewer"]));
    assert!(may_use(&server, &new).await, "within the same second");
    server.stop().await;
}

#[tokio::test]
async fn what_an_application_asks_for_at_that_moment_is_void_as_well() {
    let server = server().await;
    let ada = server.browser("ada").await;
    let tokens = family(&server, "omar").await;
    server.database.run(OF_NO_FILE).await;
    let held = server
        .database
        .hold("select from app_grant for update")
        .await;
    let shown = text(&tokens, "refresh_token");
    let lowering = async {
        server.database.waiters(1).await;
        lower_omar(&ada).await;
        held.commit().await.unwrap();
    };
    let ((status, late), ()) = tokio::join!(refresh(&server, &shown), lowering);
    assert_eq!(status, 200, "{late}");
    assert!(!may_use(&server, &text(&late, "access_token")).await);
    // The family goes on, with the rights of now.
    let (status, next) = refresh(&server, &text(&late, "refresh_token")).await;
    assert_eq!(status, 200, "{next}");
    let token = text(&next, "access_token");
    assert_eq!(claims(&token)["zones"], json!(["p1"]));
    assert!(may_use(&server, &token).await);
    server.stop().await;
}

#[tokio::test]
async fn whoever_signs_in_while_they_are_called_back_does_not_get_in() {
    let server = server().await;
    // As another server does it: the generation first, which the sign-in with the old password then waits for.
    let held = server
        .database
        .hold("update subject set generation = generation + 1 where name = 'omar'")
        .await;
    let nobody = server.nobody();
    let calling_back = async {
        server.database.waiters(1).await;
        held.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(nobody.sign_in("omar", PASSWORD), calling_back);
    assert_eq!(answer.status(), 401);
    let logins = "select count(*) from login";
    assert_eq!(server.database.count(logins).await, 0);
    server.browser("omar").await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_called_back_elsewhere_is_void_here() {
    let server = server().await;
    let other = server.another().await;
    let api = |token: String| {
        let url = format!("http://{}/api/v1/alarms", other.addresses().http);
        let asked = reqwest::Client::new().get(url).bearer_auth(token);
        async move { asked.send().await.unwrap().status().as_u16() }
    };
    let program = server.token("program").await;
    assert_eq!(api(program.clone()).await, 200, "both take it");
    let mut there = StompClient::connect(other.addresses().stomp, &program).await;
    let ada = server.browser("ada").await;
    let of_ada = server.page_token(&ada).await;
    let mut ada_there = StompClient::connect(other.addresses().stomp, &of_ada).await;
    let revoke = reqwest::Client::new()
        .post(server.url("/api/v1/revocations"))
        .bearer_auth(&of_ada)
        .json(&json!({"subject": "program"}));
    assert_eq!(revoke.send().await.unwrap().status(), 201);
    assert_eq!(there.error().await, "token-revoked");
    assert_eq!(api(program).await, 401);
    // A login ends here, and its sessions there.
    let csrf = ada.csrf().await;
    ada.post("/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!(ada_there.error().await, "token-revoked");

    // The command line is another process as well.
    server.database.run(OF_NO_FILE).await;
    let omar = server.browser("omar").await;
    let of_omar = server.page_token(&omar).await;
    let mut live = StompClient::connect(server.stomp_address(), &of_omar).await;
    let store = Store::open(&server.database.url()).await.unwrap();
    let invitee = Invitee {
        name: "omar".to_owned(),
        full_name: "Omar".to_owned(),
        role: Role::Viewer,
        zones: Zones::All,
    };
    invite(&store, invitee, true).await.unwrap();
    store.close().await;
    assert_eq!(live.error().await, "token-revoked");
    assert!(!may_use(&server, &of_omar).await);
    other.stop().await;
    server.stop().await;
}

/// What another server writes when it calls everything of a program back.
macro_rules! called_back {
    ($program:literal) => {
        concat!(
            "with raised as (update subject set generation = generation + 1 where name = '",
            $program,
            "' returning name, generation)
             insert into revocation (kind, key, holder, generation, void_until, expires_at)
             select 'subject', name, name, generation, clock_timestamp(), now() + interval '1 day' from raised"
        )
    };
}

#[tokio::test]
async fn what_is_stored_late_is_not_missed() {
    let server = server().await;
    let mut early = server.stomp("program").await;
    let mut late = server.stomp("supervisor").await;
    let held = server.database.hold(called_back!("program")).await;
    server.database.run(called_back!("supervisor")).await;
    // The later one is known already when the one before it is stored.
    assert_eq!(late.error().await, "token-revoked");
    held.commit().await.unwrap();
    assert_eq!(early.error().await, "token-revoked");
    server.stop().await;
}

/// The access file, with the field application as it is described here.
fn with_field_app(description: &str) -> String {
    let tables = APPLICATIONS
        .split("[[")
        .filter(|table| !table.contains("\"field-app\""));
    let others: String = tables
        .filter(|table| !table.trim().is_empty())
        .map(|table| format!("[[{table}"))
        .collect();
    access() + &others + description
}

#[tokio::test]
async fn an_application_that_loses_something_loses_it_at_once() {
    let server = server().await;
    let first = family(&server, "omar").await;
    let mut live =
        StompClient::connect(server.stomp_address(), &text(&first, "access_token")).await;
    let of_person = server.page_token(&server.browser("omar").await).await;
    let mut person = StompClient::connect(server.stomp_address(), &of_person).await;
    let narrowed = r#"
[[application]]
id = "field-app"
name = "Field <app>"
redirect_uris = ["http://127.0.0.1/signed-in", "kr.airport.field:/signed-in"]
roles = ["viewer"]
zones = ["p1"]
"#;
    server.write("access.toml", &with_field_app(narrowed));
    assert_eq!(live.error().await, "token-revoked");
    assert!(!may_use(&server, &text(&first, "access_token")).await);
    let (status, second) = refresh(&server, &text(&first, "refresh_token")).await;
    assert_eq!(status, 200, "{second}");
    let token = text(&second, "access_token");
    let said = claims(&token);
    assert_eq!(
        (&said["roles"], &said["zones"]),
        (&json!(["viewer"]), &json!(["p1"]))
    );
    assert!(may_use(&server, &token).await);
    // Nobody else lost anything.
    person.subscribe("/topic/alarms").await;
    assert!(may_use(&server, &of_person).await);

    let mut live = StompClient::connect(server.stomp_address(), &token).await;
    server.write("access.toml", &with_field_app(""));
    assert_eq!(live.error().await, "token-revoked");
    assert!(!may_use(&server, &token).await);
    assert_eq!(
        refresh(&server, &text(&second, "refresh_token")).await.0,
        401
    );
    let changes = "select detail->>'change' from audit where action = 'access.change' and subject = 'field-app' order by number";
    assert_eq!(
        server.database.texts(changes).await,
        ["added", "lowered", "removed"]
    );
    server.stop().await;
}

#[tokio::test]
async fn an_administrator_calls_back_what_an_application_holds() {
    let server = server().await;
    let tokens = family(&server, "omar").await;
    let access_token = text(&tokens, "access_token");
    let mut live = StompClient::connect(server.stomp_address(), &access_token).await;
    let ada = server.page_token(&server.browser("ada").await).await;
    let revoke = reqwest::Client::new()
        .post(server.url("/api/v1/revocations"))
        .bearer_auth(ada)
        .json(&json!({"subject": "field-app"}));
    assert_eq!(revoke.send().await.unwrap().status(), 201);
    assert_eq!(live.error().await, "token-revoked");
    assert!(!may_use(&server, &access_token).await);
    let (status, _) = refresh(&server, &text(&tokens, "refresh_token")).await;
    assert_eq!(status, 400);
    server.stop().await;
}

/// What an administrator who invites somebody of this name is answered.
async fn invite_by_page(server: &TestServer, name: &str) -> reqwest::Response {
    let ada = server.browser("ada").await;
    let csrf = ada.csrf().await;
    let form = [
        ("csrf", csrf.as_str()),
        ("name", name),
        ("full_name", "Kim"),
        ("role", "viewer"),
        ("zones", "*"),
    ];
    ada.post("/people/invite", &form).await
}

#[tokio::test]
async fn nobody_is_called_like_an_application() {
    let mut server = TestServer::start().await;
    assert_eq!(invite_by_page(&server, "wall").await.status(), 303);
    // The application comes later: the file has no effect, and says why.
    let everybody = access() + APPLICATIONS;
    let zones: [ZoneId; 2] = ["p1", "p2"].map(|zone| zone.parse().unwrap());
    let file = Access::read(
        Path::new("access.toml"),
        &everybody,
        &[&zones[0], &zones[1]],
        &|_| Some(PASSWORD.to_owned()),
    );
    let store = Store::open(&server.database.url()).await.unwrap();
    let error = file.unwrap().apply(&store).await.unwrap_err();
    store.close().await;
    assert_eq!(
        error.to_string(),
        "the application wall cannot be, since the person wall has that name: call one of them something else"
    );
    let applications = "select count(*) from application";
    assert_eq!(server.database.count(applications).await, 0);

    // And the person later: the name is taken.
    server.write("access.toml", &everybody.replace("\"wall\"", "\"panel\""));
    server.restart().await;
    let refused = invite_by_page(&server, "field-app").await;
    assert_eq!(refused.status(), 422);
    let invited = "select count(*) from invitation where person_name = 'field-app'";
    assert_eq!(server.database.count(invited).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_program_says_that_it_is_one() {
    let server = server().await;
    let program = claims(&server.token("program").await);
    assert_eq!(program["holder"], "program");
    let tokens = family(&server, "omar").await;
    let through = claims(&text(&tokens, "access_token"));
    assert_eq!(through["holder"], json!({"application": 0}));
    let page = claims(&server.page_token(&server.browser("omar").await).await);
    assert_eq!(page["holder"], "person");
    server.stop().await;
}
