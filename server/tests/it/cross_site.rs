//! Forms of other sites that a browser sends here: whoever visits such a page is not signed in as somebody else, and does
//! nothing with the login that they have. (Sockets of other sites are in `sockjs.rs` and `socketio.rs`.)

use server::identity::policy::Policy;

use crate::harness::{Browser, PASSWORD, TestServer, field};
use crate::people::invite;

/// What browsers say of a form that another site's page sends: new ones, those before them, and old ones.
const ELSEWHERE: [(&str, &str); 5] = [
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
    ("origin", "https://evil.example"),
    ("origin", "null"),
    ("referer", "https://evil.example/page?http://127.0.0.1/"),
];

/// A page that is not signed in sets a cookie for its form as well.
fn begins_login(answer: &reqwest::Response) -> bool {
    let mut cookies = answer.headers().get_all("set-cookie").iter();
    cookies.any(|cookie| cookie.to_str().unwrap().contains("landside_login"))
}

#[tokio::test]
async fn a_form_of_another_site_signs_nobody_in() {
    let server = TestServer::start().await;
    let form = [("name", "omar"), ("password", PASSWORD)];
    for from in ELSEWHERE {
        let browser = Browser::new(server.url(""));
        let answer = browser.post_with("/sign-in", from, &form).await;
        assert_eq!(answer.status(), 403, "{from:?}");
        assert!(!begins_login(&answer), "{from:?}");
        assert_eq!(browser.get("/").await.status(), 303, "{from:?}");
    }
    let logins = "select count(*) from login";
    assert_eq!(server.database.count(logins).await, 0);
    // The same form of a page of ours.
    let host = server.http_address();
    for from in [
        ("origin", format!("http://{host}")),
        ("sec-fetch-site", "same-origin".to_owned()),
    ] {
        let browser = Browser::new(server.url(""));
        let answer = browser
            .post_with("/sign-in", (from.0, &from.1), &form)
            .await;
        assert_eq!(answer.status(), 303, "{from:?}");
    }
    server.stop().await;
}

/// Or the attacker's own invitation would sign a victim in as the attacker.
#[tokio::test]
async fn a_form_of_another_site_accepts_no_invitation() {
    let server = TestServer::start().await;
    let ada = server.browser("ada").await;
    let path = invite(&server, &ada, "nina", "operator").await;
    let new = "three geese pass the gate";
    let form = [("new", new), ("again", new)];
    for from in ELSEWHERE {
        let browser = Browser::new(server.url(""));
        let answer = browser.post_with(&path, from, &form).await;
        assert_eq!(answer.status(), 422, "{from:?}");
        assert!(!begins_login(&answer), "{from:?}");
    }
    let nina = Browser::new(server.url(""));
    assert_eq!(nina.sign_in("nina", new).await.status(), 401);
    assert_eq!(
        nina.post(&path, &form).await.status(),
        303,
        "the link is still good"
    );
    server.stop().await;
}

/// Another site's page knows no CSRF token, not even of a login that waits for its second factor.
#[tokio::test]
async fn a_form_of_another_site_shows_no_second_factor() {
    let server = TestServer::start_with_policy(Policy::DEFAULT).await;
    let ada = Browser::new(server.url(""));
    assert_eq!(ada.sign_in("ada", PASSWORD).await.status(), 303);
    let csrf = field(&ada.page("/sign-in/second-factor").await, "csrf");
    let forged = csrf.chars().rev().collect::<String>();
    for token in [None, Some(""), Some(forged.as_str())] {
        let mut form = vec![("code", "123456")];
        form.extend(token.map(|token| ("csrf", token)));
        for from in ELSEWHERE {
            let answer = ada.post_with("/sign-in/second-factor", from, &form).await;
            assert_eq!(answer.status(), 403, "{from:?} {token:?}");
        }
    }
    assert_eq!(ada.get("/").await.status(), 303, "still on the way in");
    // Nothing of it counted as a wrong code: a stranger's page locks nobody out.
    let wrong = "select count(*) from audit where action = 'login.second_factor'";
    assert_eq!(server.database.count(wrong).await, 0);
    server.stop().await;
}
