//! How people come in and stay in: guessing, logins, passwords, invitations, second factors, idle consoles.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::identity::policy::Policy;
use server::identity::totp;

use crate::harness::{Browser, PASSWORD, TestServer, field, unix_now};
use crate::stomp_client::StompClient;

pub(crate) const NEW_PASSWORD: &str = "three geese pass the gate";

/// A browser at an address of its own.
fn at(server: &TestServer, address: [u8; 4]) -> Browser {
    Browser::at(server.url(""), IpAddr::from(address))
}

/// How long the right password takes from there.
async fn sign_in_at_console(server: &TestServer) -> Duration {
    let console = at(server, [127, 0, 0, 9]);
    let begun = Instant::now();
    assert_eq!(console.sign_in("omar", PASSWORD).await.status(), 303);
    begun.elapsed()
}

#[expect(clippy::print_stdout, reason = "the figures are what is asked for")]
#[tokio::test]
async fn ten_thousand_wrong_passwords_leave_the_console_alone() {
    let server = TestServer::start_for_people("consoles = [\"127.0.0.9\"]", "").await;
    let mut floods = tokio::task::JoinSet::new();
    for number in 0..10_u8 {
        let flood = at(&server, [127, 0, 1, number]);
        floods.spawn(async move {
            let mut refused = 0;
            for _ in 0..1_000 {
                let status = flood.sign_in("omar", "wrong").await.status().as_u16();
                refused += u32::from(status == 429);
            }
            refused
        });
    }
    let (mut refused, mut meanwhile) = (0, Vec::new());
    while !floods.is_empty() {
        // So often, which no rate of sign-ins minds.
        if meanwhile.len() < 20 {
            meanwhile.push(sign_in_at_console(&server).await);
            refused += floods.try_join_next().map_or(0, Result::unwrap);
        } else {
            refused += floods.join_next().await.unwrap().unwrap();
        }
    }
    let mut alone = Vec::new();
    for _ in 0..5 {
        alone.push(sign_in_at_console(&server).await);
    }
    alone.sort();
    meanwhile.sort();
    println!("the console alone: {alone:?}; while 10,000 wrong passwords come: {meanwhile:?}");
    let (alone, meanwhile) = (alone[2], meanwhile[meanwhile.len() / 2]);
    // A second, unless this machine is so busy with other things that it is slow without any flood.
    let bound = Duration::from_secs(1).max(alone * 10);
    assert!(meanwhile < bound, "{meanwhile:?} instead of {alone:?}");
    assert!(refused > 9_900, "{refused} were not looked at");
    let rows = "select count(*) from audit where outcome not in ('done')";
    assert!(server.database.count(rows).await < 20);
    server.halt_and_drop(
        "select sum((detail->>'attempts')::bigint)::bigint from audit where action = 'login.failures'",
        500, // The others were refused by the rate of their address before anybody looked at a name.
    )
    .await;
}

#[tokio::test]
async fn a_browser_that_is_known_is_not_locked_out_by_others() {
    let server = TestServer::start_for_people("consoles = [\"127.0.0.9\"]", "").await;
    let (home, thief) = (at(&server, [127, 0, 0, 2]), at(&server, [127, 0, 0, 3]));
    assert_eq!(home.sign_in("omar", PASSWORD).await.status(), 303);
    let mut last = 0;
    for _ in 0..7 {
        last = thief.sign_in("omar", "wrong").await.status().as_u16();
    }
    assert_eq!(last, 429);
    let stranger = at(&server, [127, 0, 0, 4]);
    let answer = stranger.sign_in("omar", PASSWORD).await;
    assert_eq!(answer.status(), 429, "strangers wait, whoever they are");
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(home.sign_in("omar", PASSWORD).await.status(), 303);
    assert_eq!(
        home.sign_in("vera", "wrong").await.status(),
        401,
        "known for omar only"
    );
    // A name that nobody has is answered alike.
    let mut of_nobody = Vec::new();
    for _ in 0..7 {
        of_nobody.push(stranger.sign_in("nobody", "wrong").await.status().as_u16());
    }
    assert_eq!((of_nobody[0], of_nobody[6]), (401, 429));
    server.stop().await;
}

#[tokio::test]
async fn ones_other_logins_end_at_once() {
    let server = TestServer::start().await;
    let (here, there) = (server.browser("omar").await, server.browser("omar").await);
    let token = server.page_token(&there).await;
    let mut live = StompClient::connect(server.stomp_address(), &token).await;
    live.subscribe("/topic/alarms").await;
    let page = here.page("/account").await;
    assert_eq!(page.matches("/end\"").count(), 1, "one other login: {page}");
    assert!(!page.contains("id=\"failures\""), "nobody guessed");
    let csrf = field(&page, "csrf");
    let other = page.split("/account/logins/").nth(1).unwrap();
    let path = format!("/account/logins/{}", other.split('"').next().unwrap());

    let stranger = server.browser("pia").await;
    let foreign = stranger.csrf().await;
    stranger.post(&path, &[("csrf", &foreign)]).await;
    assert_eq!(there.get("/").await.status(), 200, "nobody ends another's");

    let answer = here.post(&path, &[("csrf", &csrf)]).await;
    assert_eq!(answer.headers()["location"], "/account?notice=logins-ended");
    assert_eq!(there.get("/").await.status(), 303);
    assert_eq!(live.error().await, "token-revoked");
    let again = server.browser("omar").await;
    let answer = here
        .post("/account/logins/end-others", &[("csrf", &csrf)])
        .await;
    assert_eq!(answer.status(), 303);
    assert_eq!(again.get("/").await.status(), 303);
    assert_eq!(here.get("/").await.status(), 200);
    server.stop().await;
}

/// The path of the link on a page that just made one.
pub(crate) fn link(page: &str) -> String {
    let token = page.split("/invitation/").nth(1).unwrap();
    format!("/invitation/{}", token.split('<').next().unwrap())
}

/// The path of the link of somebody who was just invited.
pub(crate) async fn invite(server: &TestServer, ada: &Browser, name: &str, role: &str) -> String {
    let csrf = ada.csrf().await;
    let form = [
        ("csrf", csrf.as_str()),
        ("name", name),
        ("full_name", "Somebody <x9>"),
        ("role", role),
        ("zones", "p1"),
    ];
    let answer = ada.post("/people/invite", &form).await;
    assert_eq!(answer.headers()["location"], "/people", "{name}");
    let made = ada.page("/people").await;
    assert!(
        made.contains("http://127.0.0.1:8080/invitation/"),
        "it leads where `public_url` says, not where the request was for"
    );
    let path = link(&made);
    let page = server.nobody().page(&path).await;
    assert!(page.contains(name));
    path
}

#[tokio::test]
async fn an_invitation_is_good_once_and_its_password_can_be_changed() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    let path = invite(&server, &ada, "nina", "operator").await;
    let nina = Browser::new(server.url(""));
    for (new, again, status) in [
        ("short", "short", 422),
        (NEW_PASSWORD, "another sentence here", 422),
        ("passwordpassword", "passwordpassword", 422),
        (NEW_PASSWORD, NEW_PASSWORD, 303),
        (NEW_PASSWORD, NEW_PASSWORD, 404),
    ] {
        let answer = nina.post(&path, &[("new", new), ("again", again)]).await;
        assert_eq!(answer.status(), status, "{new}");
    }
    assert_eq!(nina.get("/").await.status(), 200, "whoever accepts is in");
    let other = Browser::new(server.url(""));
    assert_eq!(other.sign_in("nina", NEW_PASSWORD).await.status(), 303);

    let changed = "four geese pass the gate";
    let csrf = nina.csrf().await;
    for (old, new, notice) in [
        ("wrong", changed, "wrong-password"),
        (NEW_PASSWORD, "short", "password-short"),
        (NEW_PASSWORD, changed, "password-changed"),
    ] {
        let form = [
            ("csrf", csrf.as_str()),
            ("old", old),
            ("new", new),
            ("again", new),
        ];
        let answer = nina.post("/account/password", &form).await;
        let expected = format!("/account?notice={notice}");
        assert_eq!(answer.headers()["location"], expected.as_str());
    }
    assert_eq!(other.get("/").await.status(), 303, "other logins ended");
    assert_eq!(other.sign_in("nina", NEW_PASSWORD).await.status(), 401);
    let page = nina.page("/account").await;
    assert!(page.contains("코드가 2번 입력"), "{page}");
    let rows = "select action || ' ' || outcome from audit where actor = 'nina' and action = 'person.password' order by number";
    let told = server.database.texts(rows).await;
    let wrong = "person.password wrong name or password";
    assert_eq!(told, [wrong, "person.password done"]);
    // The access file's passwords are changed there.
    let csrf = ada.csrf().await;
    let form = [
        ("csrf", csrf.as_str()),
        ("old", PASSWORD),
        ("new", changed),
        ("again", changed),
    ];
    let answer = ada.post("/account/password", &form).await;
    assert_eq!(answer.headers()["location"], "/account?notice=kept-by-file");
    server.stop().await;
}

#[tokio::test]
async fn what_an_administrator_changes_holds_at_once() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    let path = invite(&server, &ada, "nina", "operator").await;
    let nina = Browser::new(server.url(""));
    let form = [("new", NEW_PASSWORD), ("again", NEW_PASSWORD)];
    assert_eq!(nina.post(&path, &form).await.status(), 303);
    let token = server.page_token(&nina).await;
    let mut live = StompClient::connect(server.stomp_address(), &token).await;
    live.subscribe("/topic/zones/p1/alarms").await;

    let csrf = ada.csrf().await;
    let base = [("csrf", csrf.as_str()), ("name", "nina")];
    let rights = [base[0], base[1], ("role", "viewer"), ("zones", "p2")];
    let answer = ada.post("/people/rights", &rights).await;
    assert_eq!(
        answer.headers()["location"],
        "/people?notice=person-changed"
    );
    assert_eq!(live.error().await, "token-revoked");
    let token = server.page_token(&nina).await;
    let mut live = StompClient::connect(server.stomp_address(), &token).await;
    live.try_subscribe("/topic/zones/p1/alarms").await;
    assert_eq!(live.error().await, "forbidden");

    ada.post("/people/disable", &base).await;
    assert_eq!(nina.get("/").await.status(), 303);
    assert_eq!(nina.sign_in("nina", NEW_PASSWORD).await.status(), 401);
    ada.post("/people/enable", &base).await;
    assert_eq!(nina.sign_in("nina", NEW_PASSWORD).await.status(), 303);
    let answer = ada.post("/people/link", &base).await;
    assert_eq!(answer.headers()["location"], "/people");
    assert_eq!(nina.get("/").await.status(), 303);
    assert_eq!(nina.sign_in("nina", NEW_PASSWORD).await.status(), 401);

    for (path, name, notice) in [
        ("/people/disable", "ada", "not-yourself"),
        ("/people/link", "omar", "kept-by-file"),
        ("/people/link", "nobody", "no-such-person"),
        ("/people/end-logins", "nobody", "no-such-person"),
        ("/people/disable", "nobody", "no-such-person"),
    ] {
        let answer = ada.post(path, &[base[0], ("name", name)]).await;
        let expected = format!("/people?notice={notice}");
        assert_eq!(answer.headers()["location"], expected.as_str());
    }
    let omar = server.browser("omar").await;
    assert!(!omar.page("/").await.contains("href=\"/people\""));
    assert_eq!(omar.get("/people").await.status(), 403);
    let csrf = omar.csrf().await;
    let answer = omar
        .post("/people/disable", &[("csrf", &csrf), ("name", "ada")])
        .await;
    assert_eq!(answer.headers()["location"], "/people?notice=not-permitted");
    server.stop().await;
}

#[tokio::test]
async fn an_administrator_comes_in_with_a_second_factor_only() {
    let server = TestServer::start_with_policy(Policy::DEFAULT).await;
    let ada = Browser::new(server.url(""));
    let answer = ada.sign_in("ada", PASSWORD).await;
    assert_eq!(
        answer.headers()["location"],
        "/sign-in/second-factor?next=%2F"
    );
    assert_eq!(
        ada.get("/").await.status(),
        303,
        "the password alone is not enough"
    );
    let page = ada.page("/sign-in/second-factor").await;
    assert!(!page.contains("class=\"secret\""), "looking offers nothing");
    let csrf = field(&page, "csrf");
    let secret = ada
        .offered_secret("/sign-in/second-factor", &csrf, "")
        .await;
    let code = totp::code_at(&secret, unix_now());
    // Wrong also when a busy machine takes its time.
    let soon: Vec<String> = (0..20)
        .map(|step| totp::code_at(&secret, unix_now() - 60 + 30 * step))
        .collect();
    let wrong = (0..).map(|number: u32| format!("{number:06}"));
    let wrong = wrong.into_iter().find(|code| !soon.contains(code)).unwrap();
    for (csrf, code, status) in [("", &code, 403), (&csrf, &wrong, 403)] {
        let answer = ada
            .post("/sign-in/second-factor", &[("csrf", csrf), ("code", code)])
            .await;
        assert_eq!(answer.status(), status);
    }
    let code = totp::code_at(&secret, unix_now());
    let answer = ada
        .post(
            "/sign-in/second-factor",
            &[("csrf", &csrf), ("code", &code)],
        )
        .await;
    assert_eq!(answer.status(), 200);
    let codes = answer.text().await.unwrap();
    assert_eq!(codes.matches("<li><code>").count(), totp::RECOVERY_CODES);
    let rows = "select action || ' ' || outcome from audit where actor = 'ada' order by number";
    assert_eq!(
        server.database.texts(rows).await,
        [
            "login.begin second factor asked",
            "person.second_factor_offer done",
            "person.second_factor wrong code",
            "person.second_factor done",
            "login.second_factor done",
        ]
    );
    let recovery = codes.split("<li><code>").nth(1).unwrap();
    let recovery = recovery.split('<').next().unwrap().to_owned();
    assert_eq!(ada.get("/people").await.status(), 200);

    // The code was used; a recovery code is good once.
    for (code, status) in [
        (code.as_str(), 403),
        (recovery.as_str(), 303),
        (&recovery, 403),
    ] {
        let again = Browser::new(server.url(""));
        again.sign_in("ada", PASSWORD).await;
        let page = again.page("/sign-in/second-factor").await;
        assert!(
            !page.contains("class=\"secret\""),
            "the secret is shown once"
        );
        let form = [("csrf", field(&page, "csrf")), ("code", code.to_owned())];
        let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = again.post("/sign-in/second-factor", &form).await;
        assert_eq!(answer.status(), status, "{code}");
    }
    let sealed = server
        .database
        .count("select octet_length(sealed_secret)::bigint from second_factor")
        .await;
    assert_eq!(sealed, 24 + 20 + 16);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_console_sees_and_does_not_act() {
    let server = TestServer::start().await;
    let mut agent = server.agent().await;
    agent.stomp.subscribe("/user/queue/commands").await;
    agent.gate_is("closed").await;
    let omar = server.browser("omar").await;
    let csrf = omar.csrf().await;
    let token = server.page_token(&omar).await;
    let command = |name: &str, key: &str| {
        [
            ("csrf", csrf.clone()),
            ("key", key.to_owned()),
            ("name", name.to_owned()),
        ]
    };
    server
        .database
        .run("update login set last_active_at = now() - interval '16 minutes'")
        .await;
    let active = [("active", "yes")];
    let answer = omar
        .post_with("/login/active", ("x-csrf-token", &csrf), &active)
        .await;
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(
        answer["locked"],
        json!(true),
        "moving the mouse does not unlock"
    );
    let page = omar.page("/devices/gate-1").await;
    assert!(page.contains("data-locked=\"yes\""), "{page}");
    assert!(!page.contains("name=\"name\" value=\"open\""), "{page}");
    let key = uuid::Uuid::new_v4().to_string();
    let form = command("open", &key);
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = omar.post("/devices/gate-1/commands", &form).await;
    assert_eq!(
        answer.headers()["location"],
        "/devices/gate-1?notice=locked"
    );
    let mut live = StompClient::connect(server.stomp_address(), &token).await;
    live.subscribe("/user/queue/errors").await;
    live.cast(
        "/app/devices/gate-1/commands",
        &json!({"key": uuid::Uuid::new_v4(), "name": "open", "params": {}}),
    )
    .await;
    assert_eq!(live.message().await.header("code"), Some("locked"));
    assert_eq!(
        server.database.count("select count(*) from command").await,
        0
    );

    for (password, notice) in [("wrong", "wrong-password"), (PASSWORD, "unlocked")] {
        let form = [
            ("csrf", csrf.as_str()),
            ("password", password),
            ("next", "/alarms"),
        ];
        let answer = omar.post("/login/unlock", &form).await;
        let expected = format!("/alarms?notice={notice}");
        assert_eq!(answer.headers()["location"], expected.as_str());
    }
    let answer = omar.post("/devices/gate-1/commands", &form).await;
    assert_eq!(
        answer.headers()["location"],
        "/devices/gate-1?notice=command-queued"
    );
    assert_eq!(agent.command().await.name, "open");
    server.stop().await;
}

#[tokio::test]
async fn a_name_is_a_persons_or_a_programs() {
    let server = TestServer::start().await;
    let twice =
        "insert into person (name, full_name, role, zones) values ('program', '', 'viewer', '{}')";
    assert!(server.database.try_run(twice).await.is_err());
    let twice =
        "insert into client (id, roles, zones, secret_hash) values ('omar', '{}', '{}', '')";
    assert!(server.database.try_run(twice).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn the_invitation_of_somebody_who_is_disabled_dies_with_it() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    let path = invite(&server, &ada, "nina", "operator").await;
    let csrf = ada.csrf().await;
    let form = [("csrf", csrf.as_str()), ("name", "nina")];
    for (path, notice) in [
        ("/people/disable", "person-changed"),
        ("/people/link", "person-disabled"),
        ("/people/enable", "person-changed"),
    ] {
        let answer = ada.post(path, &form).await;
        let expected = format!("/people?notice={notice}");
        assert_eq!(answer.headers()["location"], expected.as_str(), "{path}");
    }
    assert_eq!(server.nobody().get(&path).await.status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn an_invitation_that_nobody_accepted_is_withdrawn_and_a_person_is_not() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    let csrf = ada.csrf().await;
    let withdraw = async |name: &str, notice: &str| {
        let form = [("csrf", csrf.as_str()), ("name", name)];
        let answer = ada.post("/people/withdraw", &form).await;
        let expected = format!("/people?notice={notice}");
        assert_eq!(answer.headers()["location"], expected.as_str(), "{name}");
    };
    let path = invite(&server, &ada, "nina", "operator").await;
    // Somebody who guesses is not her.
    server.nobody().sign_in("nina", "guessed").await;
    withdraw("nina", "person-changed").await;
    assert_eq!(server.nobody().get(&path).await.status(), 404);
    assert!(!ada.page("/people").await.contains("nina"));
    withdraw("nina", "no-such-person").await;
    let rows = "select action || ' ' || actor from audit where subject = 'nina' and action like 'person.%' order by number";
    let expected = ["person.invite ada", "person.withdraw ada"];
    assert_eq!(server.database.texts(rows).await, expected);

    // Whoever was in once stays, also when a new link took the password away; and what was called back of them stays so.
    let path = invite(&server, &ada, "nina", "operator").await;
    let nina = Browser::new(server.url(""));
    let form = [("new", NEW_PASSWORD), ("again", NEW_PASSWORD)];
    assert_eq!(nina.post(&path, &form).await.status(), 303);
    withdraw("nina", "has-come-in").await;
    let form = [("csrf", csrf.as_str()), ("name", "nina")];
    assert_eq!(ada.post("/people/link", &form).await.status(), 303);
    withdraw("nina", "has-come-in").await;
    for (name, notice) in [
        ("omar", "has-come-in"),
        ("ada", "not-yourself"),
        ("agent-1", "no-such-person"),
    ] {
        withdraw(name, notice).await;
    }
    // Of somebody new there is nothing to call back.
    invite(&server, &ada, "leo", "operator").await;
    let back = "select count(*) from revocation where key = 'leo'";
    assert_eq!(server.database.count(back).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_browser_that_does_not_say_where_a_form_comes_from_shows_the_cookie_of_the_page() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    let invitation = invite(&server, &ada, "nina", "operator").await;
    for (path, form, shown) in [
        ("/sign-in", &[("name", "omar"), ("password", PASSWORD)], 303),
        (
            &invitation,
            &[("new", NEW_PASSWORD), ("again", NEW_PASSWORD)],
            303,
        ),
    ] {
        let old = Browser::new(server.url(""));
        let silent = ("x-none", "");
        let [first, second] = *form;
        let foreign = [first, second];
        let answer = old.post_with(path, silent, &foreign).await;
        assert!(answer.status().is_client_error(), "{path} without a cookie");
        let csrf = field(&old.page(path).await, "csrf");
        for (token, expected) in [("", 4), ("guessed", 4), (csrf.as_str(), 3)] {
            let form = [first, second, ("csrf", token)];
            let answer = old.post_with(path, silent, &form).await;
            assert_eq!(answer.status().as_u16() / 100, expected, "{path} {token}");
        }
        let other = Browser::new(server.url(""));
        let form = [first, second, ("csrf", csrf.as_str())];
        let answer = other.post_with(path, silent, &form).await;
        assert_ne!(answer.status(), shown, "the token of another browser");
    }
    server.stop().await;
}
