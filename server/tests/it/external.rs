//! Whom the server believes on the word of an external provider, and whom it does not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Response;
use serde_json::{Value, json};
use url::Url;

use crate::fake_provider::{AUDIENCE, FakeProvider, SigningKey, now};
use crate::harness::{Browser, PATIENCE, TestServer, access};
use crate::stomp_client::StompClient;

const APPLICATION: &str = r#"
[[application]]
id = "field-app"
name = "Field"
redirect_uris = ["https://field.example/cb"]
"#;

async fn start() -> (FakeProvider, TestServer) {
    let provider = FakeProvider::start().await;
    let everybody = access() + APPLICATION;
    let files = [("access.toml", everybody.as_str())];
    let server = TestServer::start_with(&provider.section(), &files).await;
    (provider, server)
}

async fn api(server: &TestServer, token: &str) -> u16 {
    let request = reqwest::Client::new().get(server.url("/api/v1/devices"));
    let answer = request.bearer_auth(token).send().await.unwrap();
    answer.status().as_u16()
}

#[tokio::test]
async fn only_access_tokens_for_us_of_the_providers_own_key_are_taken() {
    let (provider, server) = start().await;
    let good = provider.claims(&json!({}));
    let token = provider.key.sign("at+jwt", &good);
    assert_eq!(api(&server, &token).await, 200);
    StompClient::connect(server.stomp_address(), &token).await;
    let mut bad = Vec::new();
    for (name, changes) in [
        ("another audience", json!({"aud": "other"})),
        ("the audience of ID tokens", json!({"aud": "landside"})),
        ("both audiences", json!({"aud": [AUDIENCE, "landside"]})),
        ("no audience", json!({"aud": null})),
        ("our issuer", json!({"iss": "landside"})),
        ("another issuer", json!({"iss": "https://id.example"})),
        ("an old one", json!({"iat": now() - 700, "exp": now() - 61})),
        (
            "one of the future",
            json!({"iat": now() + 120, "exp": now() + 400}),
        ),
        ("one without an end", json!({"exp": null})),
        ("one without a beginning", json!({"iat": null})),
        ("nobody's", json!({"sub": null})),
        ("one without a role", json!({"groups": ["canteen"]})),
        (
            "a name of ours",
            json!({"sub": "8", "preferred_username": "Omar"}),
        ),
        (
            "a name of a program",
            json!({"sub": "8", "preferred_username": "agent-1"}),
        ),
        (
            "a name of an application",
            json!({"sub": "8", "preferred_username": "Field-App"}),
        ),
    ] {
        bad.push((
            name,
            provider.key.sign("at+jwt", &provider.claims(&changes)),
        ));
    }
    bad.push(("another type", provider.key.sign("JWT", &good)));
    bad.push((
        "another key of that name",
        SigningKey::new("one", 2).sign("at+jwt", &good),
    ));
    let header = Header {
        kid: Some("one".to_owned()),
        typ: Some("at+jwt".to_owned()),
        ..Header::default()
    };
    let shared = EncodingKey::from_secret(&provider.key.public());
    bad.push((
        "its public key as a secret",
        jsonwebtoken::encode(&header, &good, &shared).unwrap(),
    ));
    let [none, claims] = [r#"{"alg":"none","typ":"at+jwt"}"#, &good.to_string()]
        .map(|part| URL_SAFE_NO_PAD.encode(part));
    bad.push(("no signature", format!("{none}.{claims}.")));
    for (name, token) in bad {
        assert_eq!(api(&server, &token).await, 401, "{name}");
        let mut stomp = StompClient::begin(server.stomp_address(), &token).await;
        let code = stomp.error().await;
        let expected = if name == "an old one" {
            "token-expired"
        } else {
            "unauthenticated"
        };
        assert_eq!(code, expected, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn tokens_with_keys_that_do_not_exist_do_not_hammer_the_provider() {
    let (provider, server) = start().await;
    let started = std::time::Instant::now();
    for number in 0..40 {
        let key = SigningKey::new(&format!("unknown {number}"), 2);
        let token = key.sign("at+jwt", &provider.claims(&json!({})));
        assert_eq!(api(&server, &token).await, 401);
    }
    // Once, and once more for each pause between attempts.
    let bound = 1 + usize::try_from(started.elapsed().as_secs() / 5).unwrap();
    assert!(
        provider.keys_asked() <= bound,
        "{} of {bound}",
        provider.keys_asked()
    );
    assert_eq!(
        api(
            &server,
            &provider.key.sign("at+jwt", &provider.claims(&json!({})))
        )
        .await,
        200
    );
    server.stop().await;
}

/// Somebody on their way: their browser, and what the server told the provider.
struct Trip {
    browser: Browser,
    asked: Url,
    state: String,
    nonce: String,
}

impl Trip {
    async fn begin(server: &TestServer) -> Self {
        let browser = Browser::new(server.url(""));
        Self::of(browser, "/sign-in/external?next=/alarms").await
    }

    async fn of(browser: Browser, path: &str) -> Self {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), 303);
        let location = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        let value = |name: &str| {
            let pair = location.query_pairs().find(|(key, _)| key == name);
            pair.unwrap_or_else(|| panic!("no {name} in {location}"))
                .1
                .into_owned()
        };
        assert_eq!(value("code_challenge_method"), "S256");
        if path.starts_with("/login/prove") {
            let asked = (value("prompt"), value("max_age"));
            assert_eq!(asked, ("login".to_owned(), "0".to_owned()));
        }
        assert_eq!(
            value("redirect_uri"),
            "http://127.0.0.1:1/sign-in/external/return"
        );
        Self {
            state: value("state"),
            nonce: value("nonce"),
            browser,
            asked: location,
        }
    }

    /// A parameter of the question to the provider.
    fn asked(&self, name: &str) -> Option<String> {
        let mut pairs = self.asked.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    async fn end(&self) -> Response {
        let path = format!("/sign-in/external/return?code=x&state={}", self.state);
        self.browser.get(&path).await
    }
}

/// Signs in with a good ID token, changed.
async fn sign_in(provider: &FakeProvider, server: &TestServer, changes: Value) -> (Trip, Response) {
    let trip = Trip::begin(server).await;
    let answer = come_back(provider, &trip, changes).await;
    (trip, answer)
}

async fn come_back(provider: &FakeProvider, trip: &Trip, changes: Value) -> Response {
    let mut claims = provider.claims(&json!({"aud": "landside", "nonce": trip.nonce}));
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    provider.answers(provider.key.sign("JWT", &claims));
    trip.end().await
}

#[tokio::test]
async fn an_id_token_is_checked_before_anybody_is_believed() {
    let (provider, server) = start().await;
    for (name, changes) in [
        ("the nonce of another sign-in", json!({"nonce": "another"})),
        ("no nonce", json!({"nonce": null})),
        ("an access token", json!({"aud": AUDIENCE})),
        (
            "made for another",
            json!({"aud": ["landside", "other"], "azp": "other"}),
        ),
        (
            "made for nobody knows which of two",
            json!({"aud": ["landside", "other"]}),
        ),
        ("of another issuer", json!({"iss": "https://id.example"})),
        ("an old one", json!({"iat": now() - 700, "exp": now() - 61})),
        ("one that was kept", json!({"iat": now() - 400})),
        ("one of the future", json!({"iat": now() + 120})),
    ] {
        let (trip, answer) = sign_in(&provider, &server, changes).await;
        assert_eq!(answer.status(), 403, "{name}");
        assert_eq!(trip.browser.get("/").await.status(), 303, "{name}");
    }
    let trip = Trip::begin(&server).await;
    let claims = provider.claims(&json!({"aud": "landside", "nonce": trip.nonce}));
    provider.answers(SigningKey::new("one", 2).sign("JWT", &claims));
    assert_eq!(trip.end().await.status(), 403, "another key of that name");
    let shared = EncodingKey::from_secret(&provider.key.public());
    let header = Header {
        kid: Some("one".to_owned()),
        ..Header::default()
    };
    for is_signed in [true, false] {
        let trip = Trip::begin(&server).await;
        let claims = provider.claims(&json!({"aud": "landside", "nonce": trip.nonce}));
        provider.answers(if is_signed {
            jsonwebtoken::encode(&header, &claims, &shared).unwrap()
        } else {
            let [none, claims] =
                [r#"{"alg":"none"}"#, &claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
            format!("{none}.{claims}.")
        });
        assert_eq!(trip.end().await.status(), 403, "signed: {is_signed}");
    }
    let logins = server.database.count("select count(*) from login").await;
    assert_eq!(logins, 0);
    // The first few as they are, the rest as a sum; nobody is named whom nobody vouched for.
    let rows = "select count(*) from audit where action = 'login.begin' and actor = '*' and peer = '127.0.0.1'
                and detail->>'issuer' is not null and outcome like 'the answer of the identity provider is not accepted%'";
    assert_eq!(server.database.count(rows).await, 5);
    let sums = "select count(*) from audit where action = 'login.failures' and actor = '*'";
    server.halt_and_drop(sums, 1).await;
}

#[tokio::test]
async fn whoever_is_nobody_here_is_in_the_audit_by_their_sub() {
    let (provider, server) = start().await;
    let (_, answer) = sign_in(&provider, &server, json!({"groups": ["canteen"]})).await;
    assert_eq!(answer.status(), 403);
    let rows =
        "select peer || ' ' || (detail->>'sub') || ' ' || outcome from audit where actor = '*'";
    let expected = "127.0.0.1 7 the provider gives nobody of this token a role here";
    assert_eq!(server.database.texts(rows).await, [expected]);
    // Who comes first by a token is written down with where from.
    let token = provider.key.sign("at+jwt", &provider.claims(&json!({})));
    StompClient::connect(server.stomp_address(), &token).await;
    let rows =
        "select actor || ' ' || peer from audit where action = 'person.create' and actor = 'kim'";
    assert_eq!(server.database.texts(rows).await, ["kim 127.0.0.1"]);
    let lee = provider.claims(&json!({"sub": "8", "preferred_username": "lee"}));
    assert_eq!(api(&server, &provider.key.sign("at+jwt", &lee)).await, 200);
    let rows =
        "select actor || ' ' || peer from audit where action = 'person.create' and actor = 'lee'";
    assert_eq!(server.database.texts(rows).await, ["lee 127.0.0.1"]);
    server.stop().await;
}

#[tokio::test]
async fn tokens_of_the_provider_that_are_refused_are_in_the_audit() {
    let (provider, server) = start().await;
    let token = provider.key.sign("JWT", &provider.claims(&json!({})));
    let mut stomp = StompClient::begin(server.stomp_address(), &token).await;
    assert_eq!(stomp.error().await, "unauthenticated");
    for _ in 0..9 {
        assert_eq!(api(&server, &token).await, 401);
    }
    let rows = "select count(*) from audit where action = 'token.external_failures'
                  and (detail->>'attempts')::int = 5 and detail->'from' = '[\"127.0.0.1\"]'
                  and 5 = (select count(*) from audit where action = 'token.external' and actor = '*' and peer = '127.0.0.1')";
    server.halt_and_drop(rows, 1).await;
}

#[tokio::test]
async fn whoever_is_lowered_over_there_holds_nothing_of_before() {
    let (provider, server) = start().await;
    let (trip, _) = sign_in(&provider, &server, json!({})).await;
    let before = server.page_token(&trip.browser).await;
    let mut stomp = StompClient::connect(server.stomp_address(), &before).await;
    let (again, _) = sign_in(&provider, &server, json!({})).await;
    let more = json!({"groups": ["operators", "viewers"]});
    sign_in(&provider, &server, more).await;
    assert_eq!(api(&server, &before).await, 200, "nothing was lost");

    let viewer = json!({"groups": ["viewers"]});
    let (lowered, answer) = sign_in(&provider, &server, viewer).await;
    assert_eq!(answer.status(), 303);
    assert_eq!(stomp.error().await, "token-revoked");
    assert_eq!(api(&server, &before).await, 401);
    for browser in [&trip.browser, &again.browser, &lowered.browser] {
        let token = server.page_token(browser).await;
        assert_eq!(api(&server, &token).await, 200, "with the rights of now");
    }
    let nobody = json!({"groups": ["canteen"]});
    for _ in 0..2 {
        let (_, answer) = sign_in(&provider, &server, nobody.clone()).await;
        assert_eq!(answer.status(), 403);
    }
    let rows = "select count(*) from audit where action = 'person.end_logins'";
    assert_eq!(server.database.count(rows).await, 1, "once something ended");
    let page = lowered.browser.get("/").await;
    assert_eq!(
        page.status(),
        303,
        "whoever is nobody there any more is out"
    );
    let people =
        "select name || ' ' || role || ' ' || zones[1] from person where issuer is not null";
    assert_eq!(server.database.texts(people).await, ["kim viewer *"]);
    let rows =
        "select peer || ' ' || subject || ' ' || (detail->>'role') || ' ' || (detail->'zones'->>0)
                from audit where action = 'person.rights' order by number";
    assert_eq!(
        server.database.texts(rows).await,
        ["127.0.0.1 kim operator *", "127.0.0.1 kim viewer *"]
    );
    server.stop().await;
}

#[tokio::test]
async fn an_answer_names_its_issuer_and_comes_to_the_browser_that_went() {
    let names = json!({"authorization_response_iss_parameter_supported": true});
    let provider = FakeProvider::start_with(&names).await;
    let server = TestServer::start_with(&provider.section(), &[]).await;
    let own = format!("&iss={}", provider.issuer);
    for (issuer, status) in [("", 403), ("&iss=https://id.example", 403), (&own, 303)] {
        let trip = Trip::begin(&server).await;
        let claims = provider.claims(&json!({"aud": "landside", "nonce": trip.nonce}));
        provider.answers(provider.key.sign("JWT", &claims));
        let path = format!(
            "/sign-in/external/return?code=x&state={}{issuer}",
            trip.state
        );
        assert_eq!(trip.browser.get(&path).await.status(), status, "{issuer}");
    }
    let (thief, victim) = (Trip::begin(&server).await, Trip::begin(&server).await);
    let claims = provider.claims(&json!({"aud": "landside", "nonce": thief.nonce}));
    provider.answers(provider.key.sign("JWT", &claims));
    let path = format!("/sign-in/external/return?code=x&state={}{own}", thief.state);
    assert_eq!(victim.browser.get(&path).await.status(), 403);
    assert_eq!(victim.browser.get("/").await.status(), 303, "no login");
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_signed_fills_gaps_and_proves_nothing() {
    let provider = FakeProvider::start().await;
    let trusting = "trusts_second_factor = true\naudience";
    let section = provider.section().replacen("audience", trusting, 1);
    let server = TestServer::start_with(&section, &[]).await;
    let gap = || json!({"groups": null});
    provider.says(json!({"sub": "8", "groups": ["operators"]}));
    let (_, answer) = sign_in(&provider, &server, gap()).await;
    assert_eq!(answer.status(), 403, "of somebody else");
    let factor = json!({"sub": "7", "groups": ["operators"], "amr": ["mfa"], "auth_time": now()});
    provider.says(factor);
    let (trip, answer) = sign_in(&provider, &server, gap()).await;
    assert_eq!(answer.status(), 303);
    assert!(
        trip.asked("max_age").is_some(),
        "when somebody signed in there must be told"
    );
    let shown = "select count(*) from login where second_factor_at is not null";
    assert_eq!(server.database.count(shown).await, 0);
    let signed = json!({"amr": ["mfa"], "auth_time": now() - 120});
    let (_, answer) = sign_in(&provider, &server, signed).await;
    assert_eq!(answer.status(), 303);
    assert_eq!(server.database.count(shown).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_the_provider_took_away_counts_no_more() {
    let (provider, server) = start().await;
    let (old, new) = (provider.key.clone(), SigningKey::new("two", 2));
    let token = |key: &SigningKey| key.sign("at+jwt", &provider.claims(&json!({})));
    assert_eq!(api(&server, &token(&old)).await, 200);
    let mut session = StompClient::begin(server.stomp_address(), &token(&old)).await;
    session.connected().await;
    session.subscribe("/topic/zones/p1/alarms").await;
    provider.rotates_to(&new);
    // The provider is asked for a key that is new to us once in some seconds at most.
    let begun = std::time::Instant::now();
    while api(&server, &token(&new)).await != 200 {
        assert!(begun.elapsed() < PATIENCE, "the new key is found");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(api(&server, &token(&old)).await, 401);
    assert_eq!(session.error().await, "token-revoked");
    let mut session = StompClient::begin(server.stomp_address(), &token(&new)).await;
    session.connected().await;
    server.stop().await;
}

#[tokio::test]
async fn a_person_is_the_same_by_page_and_by_token_and_changes_with_the_provider() {
    let (provider, server) = start().await;
    let (trip, answer) = sign_in(&provider, &server, json!({})).await;
    assert_eq!(answer.headers()["location"], "/alarms");
    assert!(trip.browser.page("/").await.contains("Kim"));
    assert_eq!(trip.end().await.status(), 403, "once");

    // Another name there is the same person here.
    let changes = json!({"preferred_username": "lee", "name": "Lee"});
    let (_, answer) = sign_in(&provider, &server, changes).await;
    assert_eq!(answer.status(), 303);
    let people = "select name || ' ' || full_name || ' ' || role || ' ' || zones[1] from person where issuer is not null";
    assert_eq!(server.database.texts(people).await, ["kim Lee operator p1"]);
    let actors = "select actor || ' ' || action || ' ' || outcome from audit where actor <> '(server)' and action not like 'token.%' order by number";
    let expected = [
        "kim person.create done",
        "kim login.begin done",
        "kim login.begin done",
    ];
    assert_eq!(server.database.texts(actors).await, expected);

    let token = provider.key.sign("at+jwt", &provider.claims(&json!({})));
    assert_eq!(api(&server, &token).await, 200);
    server
        .database
        .run("update person set disabled_at = now() where name = 'kim'")
        .await;
    assert_eq!(api(&server, &token).await, 401);
    let (_, answer) = sign_in(&provider, &server, json!({})).await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("사용이 중지된"));
    server.stop().await;
}

#[tokio::test]
async fn people_of_the_provider_have_no_password_here() {
    let (provider, server) = start().await;
    let (_, answer) = sign_in(&provider, &server, json!({})).await;
    assert_eq!(answer.status(), 303);
    for password in ["", "x"] {
        let answer = Browser::new(server.url("")).sign_in("kim", password).await;
        assert_eq!(answer.status(), 401);
    }
    server.stop().await;
}

#[tokio::test]
async fn people_of_the_provider_unlock_by_signing_in_there_once_more() {
    let (provider, server) = start().await;
    let (mut trip, _) = sign_in(&provider, &server, json!({})).await;
    let csrf = trip.browser.csrf().await;
    server
        .database
        .run("update login set last_active_at = now() - interval '16 minutes', proved_at = now() - interval '16 minutes'")
        .await;
    let page = trip.browser.page("/alarms").await;
    assert!(page.contains("data-locked=\"yes\""));
    assert!(
        page.contains("href=\"/login/prove?next=/alarms\""),
        "{page}"
    );
    assert!(!page.contains("unlock-password"), "there is no password");
    let form = [("csrf", csrf.as_str()), ("password", "x")];
    let answer = trip.browser.post("/login/unlock", &form).await;
    assert_eq!(answer.headers()["location"], "/?notice=sign-in-at-provider");
    let failed = "select count(*) from audit where outcome like 'wrong%'";
    assert_eq!(server.database.count(failed).await, 0, "nothing counts");

    let seen = "select count(*) from login where proved_at > now() - interval '1 minute'";
    for (name, changes, notice) in [
        (
            "somebody else",
            json!({"sub": "8", "preferred_username": "lee"}),
            "not-proved",
        ),
        (
            "an hour ago",
            json!({"auth_time": now() - 3600}),
            "not-proved",
        ),
        ("just now", json!({"auth_time": now()}), "unlocked"),
    ] {
        assert_eq!(server.database.count(seen).await, 0, "{name}");
        trip = Trip::of(trip.browser, "/login/prove?next=/alarms").await;
        let answer = come_back(&provider, &trip, changes).await;
        let expected = format!("/alarms?notice={notice}");
        assert_eq!(answer.headers()["location"], expected.as_str(), "{name}");
    }
    let page = trip.browser.page("/alarms").await;
    assert!(page.contains("data-locked=\"no\""));
    let unlocked = "select count(*) from audit where action = 'login.unlock'";
    assert_eq!(server.database.count(unlocked).await, 1);

    // That counts for connecting an app as well, which otherwise takes the password.
    trip.browser.connect_app().await;
    server.stop().await;
}

#[tokio::test]
async fn what_the_provider_decides_of_somebody_is_not_decided_here() {
    let (provider, server) = start().await;
    sign_in(&provider, &server, json!({})).await;
    let ada = server.browser("ada").await;
    let page = ada.page("/people?change=kim").await;
    assert!(page.contains("외부 로그인 서비스의 사용자"), "{page}");
    assert!(!page.contains("action=\"/people/rights\""), "{page}");
    let csrf = ada.csrf().await;
    let rights = [("role", "viewer"), ("zones", "p1"), ("full_name", "x")];
    for (path, notice) in [
        ("/people/rights", "kept-by-provider"),
        ("/people/link", "kept-by-provider"),
        ("/people/end-logins", "person-changed"),
    ] {
        let mut form = vec![("csrf", csrf.as_str()), ("name", "kim")];
        form.extend(rights);
        let answer = ada.post(path, &form).await;
        let expected = format!("/people?notice={notice}");
        assert_eq!(answer.headers()["location"], expected.as_str(), "{path}");
    }
    let rows = "select count(*) from audit where action in ('person.rights', 'person.link')";
    assert_eq!(server.database.count(rows).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_token_of_the_provider_without_a_factor_does_not_do_what_takes_one() {
    let provider = FakeProvider::start().await;
    let asks = format!(
        "[second_factor]\nroles = [\"operator\"]\nminutes = 10\n{}",
        crate::harness::policy()
    );
    let files = [("policy.toml", asks.as_str())];
    let server = TestServer::start_with(&provider.section(), &files).await;
    let mut agent = server.agent().await;
    agent
        .events(vec![crate::agent::event(1, "gate-1", "BAR-ERR", true)])
        .await;
    let token = provider.key.sign("at+jwt", &provider.claims(&json!({})));
    let kim = server.bearer(token);
    let (_, alarms) = kim.get("/api/v1/alarms").await;
    assert_eq!(
        alarms["items"].as_array().unwrap().len(),
        1,
        "looking is free"
    );
    let seen = json!({"occurrence": 1});
    let (status, body) = kim.post("/api/v1/alarms/1/acknowledge", seen).await;
    assert_eq!(
        (status, &body["code"]),
        (403, &json!("second-factor-needed"))
    );
    server.stop().await;
}
