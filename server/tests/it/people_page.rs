//! What the page of people asks, keeps and shows, and what people read who were thrown out.

use crate::harness::{Browser, PASSWORD, TestServer};
use crate::people::{NEW_PASSWORD, invite, link};
use crate::stomp_client::StompClient;

/// The first cookie that an answer sets, as a browser sends it back.
fn first_cookie(answer: &reqwest::Response) -> String {
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_form_that_invites_nobody_is_kept_and_says_which_field_is_wrong() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    ada.post("/language", &[("lang", "en")]).await;
    let csrf = ada.csrf().await;
    let (rule, zones_rule) = (
        "At most 64 letters",
        "wrong\" role=\"alert\">Choose at least",
    );
    let full_name = "<span class=\"rule wrong\" id=\"full-name-rule\"";
    for (name, called, zones, said) in [
        ("agent-1", "Kim", &["*"][..], "the name of a program"),
        ("omar", "Kim", &["*"], "Somebody of this name is here"),
        ("a b", "Kim", &["p1"], rule),
        ("-x", "Kim", &["p1"], rule),
        ("OMAR", "Kim", &["*"], "looks like one that is here"),
        ("AGENT-1", "Kim", &["*"], "looks like one that is here"),
        ("newcomer", "Kim", &["p9"], zones_rule),
        ("newcomer", "Kim", &[], zones_rule),
        ("newcomer", " ", &["p1"], full_name),
    ] {
        let mut form = vec![
            ("csrf", csrf.as_str()),
            ("name", name),
            ("full_name", called),
            ("role", "technician"),
        ];
        form.extend(zones.iter().map(|zone| ("zones", *zone)));
        let answer = ada.post("/people/invite", &form).await;
        assert!(answer.status().is_client_error(), "{name} {zones:?}");
        let page = answer.text().await.unwrap();
        let invite = page.split("id=\"invite\"").nth(1).unwrap();
        for part in [
            said.to_owned(),
            format!("name=\"name\" value=\"{name}\""),
            format!("name=\"full_name\" value=\"{}\"", called.trim()),
            "value=\"technician\" selected".to_owned(),
        ] {
            assert!(invite.contains(&part), "{part} in {invite}");
        }
        let kept = invite.matches(" checked").count();
        assert_eq!(kept, usize::from(zones.contains(&"*") || zones == ["p1"]));
    }
    assert_eq!(
        server
            .database
            .count("select count(*) from invitation")
            .await,
        0
    );
    let invite = ada.page("/people").await;
    let invite = invite.split("id=\"invite\"").nth(1).unwrap();
    assert!(!invite.contains(" checked"), "nothing is given by default");

    // Several zones come as several fields.
    let form = [
        ("csrf", csrf.as_str()),
        ("name", "nina"),
        ("full_name", "Nina"),
        ("role", "viewer"),
        ("zones", "p1"),
        ("zones", "p2"),
    ];
    ada.post("/people/invite", &form).await;
    let rows = "select count(*) from person where name = 'nina' and zones = '{p1,p2}'";
    assert_eq!(server.database.count(rows).await, 1);
    let form = [form[0], form[1], form[3], ("next", "/people?change=nina")];
    let answer = ada.post("/people/rights", &form).await;
    let expected = "/people?change=nina&notice=no-zone";
    assert_eq!(answer.headers()["location"], expected);
    server.stop().await;
}

#[tokio::test]
async fn a_new_link_is_shown_to_the_login_that_made_it_and_stands_in_no_address() {
    let server = TestServer::start().await;
    let (ada, other) = (server.browser("ada").await, server.nobody());
    let entered = other.sign_in("ada", PASSWORD).await;
    let login = first_cookie(&entered);
    let path = invite(&server, &ada, "nina", "operator").await;
    assert!(ada.page("/people").await.contains(&path), "also once more");
    assert!(!other.page("/people").await.contains("/invitation/"));
    let csrf = ada.csrf().await;
    let form = [("csrf", csrf.as_str()), ("name", "nina")];
    let answer = ada.post("/people/link", &form).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    let kept = first_cookie(&answer);
    let newer = link(&ada.page("/people").await);
    let token = newer.rsplit('/').next().unwrap();
    assert!(newer != path && !cookie.contains(token), "{cookie}");
    assert!(
        cookie.contains("; Path=/people; Max-Age=300; HttpOnly"),
        "{cookie}"
    );
    // In another login it is nothing.
    let both = other.get_with("/people", &format!("{login}; {kept}")).await;
    assert_eq!(both.status(), 200);
    assert!(!both.text().await.unwrap().contains("/invitation/"));
    let nina = Browser::new(server.url(""));
    let form = [("new", NEW_PASSWORD), ("again", NEW_PASSWORD)];
    assert_eq!(nina.post(&newer, &form).await.status(), 303);
    assert!(!ada.page("/people").await.contains("/invitation/"), "used");
    server.stop().await;
}

#[tokio::test]
async fn of_two_who_invite_at_once_the_second_is_refused() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    let csrf = ada.csrf().await;
    ada.post("/language", &[("lang", "en")]).await;
    for (name, said) in [
        ("nina", "Somebody of this name is here"),
        ("NINA", "looks like one that is here"),
    ] {
        // As another administrator does it at that moment.
        let held = server
            .database
            .hold(
                "delete from person where name = 'nina';
                 insert into person (name, full_name, role, zones) values ('nina', 'Nina', 'viewer', '{p2}')",
            )
            .await;
        let form = [
            ("csrf", csrf.as_str()),
            ("name", name),
            ("full_name", "Somebody"),
            ("role", "operator"),
            ("zones", "p1"),
        ];
        let committing = async {
            server.database.waiters(1).await;
            held.commit().await.unwrap();
        };
        let (answer, ()) = tokio::join!(ada.post("/people/invite", &form), committing);
        assert_eq!(answer.status(), 422, "{name}");
        assert!(answer.text().await.unwrap().contains(said), "{name}");
    }
    for (query, expected) in [
        (
            "select count(*) from person where lower(name) = 'nina' and role = 'viewer'",
            1,
        ),
        ("select count(*) from invitation", 0),
        (
            "select count(*) from audit where action = 'person.invite'",
            0,
        ),
    ] {
        assert_eq!(server.database.count(query).await, expected, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_new_link_gives_back_nothing_that_is_taken_away_at_that_moment() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    invite(&server, &ada, "nina", "operator").await;
    let csrf = ada.csrf().await;
    let form = [("csrf", csrf.as_str()), ("name", "nina")];
    for (change, expected, still) in [
        (
            "update person set role = 'viewer', zones = '{p2}' where name = 'nina'",
            "/people",
            "select count(*) from person p join audit a on a.subject = p.name and a.action = 'person.link'
             where p.name = 'nina' and p.role = 'viewer' and p.zones = '{p2}' and a.detail->'zones' = '[\"p2\"]'",
        ),
        (
            "update person set disabled_at = now() where name = 'nina'",
            "/people?notice=person-disabled",
            "select count(*) from person where name = 'nina' and disabled_at is not null",
        ),
    ] {
        let held = server.database.hold(change).await;
        let committing = async {
            server.database.waiters(1).await;
            held.commit().await.unwrap();
        };
        let (answer, ()) = tokio::join!(ada.post("/people/link", &form), committing);
        assert_eq!(answer.headers()["location"], expected, "{change}");
        assert_eq!(server.database.count(still).await, 1, "{still}");
    }
    let rows = "select count(*) from audit where action = 'person.link'";
    assert_eq!(server.database.count(rows).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn what_takes_something_from_somebody_is_asked_first() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    invite(&server, &ada, "nina", "operator").await;
    let page = ada.page("/people?change=nina").await;
    for path in [
        "/people/link",
        "/people/withdraw",
        "/people/end-logins",
        "/people/disable",
    ] {
        let form = format!("<form method=\"post\" action=\"{path}\">");
        let before = page.split(&form).next().unwrap();
        assert!(before.len() < page.len(), "{path}");
        assert!(
            before.ends_with("…</summary>"),
            "{path} is behind a question"
        );
    }
    let quiet = ada.page("/people").await;
    assert!(!quiet.contains("/people/disable"));
    let by_itself = "with its next change, or the next start of the server, they are enabled again";
    ada.post("/language", &[("lang", "en")]).await;
    for (name, is_of_file) in [("omar", true), ("nina", false)] {
        let asked = ada.page(&format!("/people?change={name}")).await;
        assert_eq!(asked.contains(by_itself), is_of_file, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_is_thrown_out_is_told_why_and_strangers_are_told_nothing() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    let csrf = ada.csrf().await;
    let omar = [("csrf", csrf.as_str()), ("name", "omar")];
    for (step, reason) in [("end-logins", "ended"), ("disable", "disabled")] {
        let thrown = server.browser("omar").await;
        ada.post(&format!("/people/{step}"), &omar).await;
        for (path, next) in [("/", ""), ("/alarms", "next=/alarms&")] {
            let answer = thrown.get(path).await;
            let expected = format!("/sign-in?{next}ended={reason}");
            assert_eq!(answer.headers()["location"], expected.as_str());
        }
    }
    ada.post("/people/enable", &omar).await;
    let old = server.browser("omar").await;
    let past = "update login set created_at = now() - interval '2 days', expires_at = now() - interval '1 day' where person_name = 'omar'";
    server.database.try_run(past).await.unwrap();
    let answer = old.get("/").await;
    assert_eq!(answer.headers()["location"], "/sign-in?ended=expired");
    for cookie in ["", "landside_login=guessed"] {
        let stranger = server.nobody().get_with("/", cookie).await;
        assert_eq!(stranger.headers()["location"], "/sign-in", "{cookie}");
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_signs_in_ends_the_login_that_the_browser_had() {
    let server = TestServer::start().await;
    let (shared, other) = (server.browser("omar").await, server.browser("omar").await);
    let token = server.page_token(&shared).await;
    let mut live = StompClient::connect(server.stomp_address(), &token).await;
    live.subscribe("/topic/alarms").await;
    assert_eq!(shared.sign_in("tess", "wrong").await.status(), 401);
    assert_eq!(shared.get("/").await.status(), 200, "still omar's");
    assert_eq!(shared.sign_in("tess", PASSWORD).await.status(), 303);
    assert_eq!(live.error().await, "token-revoked");
    assert!(shared.page("/account").await.contains("<dd>tess</dd>"));
    assert_eq!(other.get("/").await.status(), 200, "another browser's");
    for (query, expected) in [
        (
            "select count(*) from login where person_name = 'omar' and ended_at is null",
            1,
        ),
        (
            "select count(*) from audit where action = 'login.end' and actor = '(server)' and subject = 'omar'
             and identity ? 'grant' and detail->>'replaced_by' = 'tess'",
            1,
        ),
    ] {
        assert_eq!(server.database.count(query).await, expected, "{query}");
    }
    server.stop().await;
}
