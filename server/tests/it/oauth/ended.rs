//! What ends before its time: given back, called back, signed by a removed key, or of a machine that was disabled.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{claims, family, may_use, refresh, server, text};
use crate::harness::{PASSWORD, TestServer};
use server::identity::key_file::KeyFile;
use server::identity::rotation;

use crate::stomp_client::StompClient;

#[tokio::test]
async fn what_is_given_back_ends_at_once() {
    let server = server().await;
    let token = server.token("program").await;
    let mut live = StompClient::connect(server.stomp_address(), &token).await;
    live.subscribe("/topic/alarms").await;
    let program = [("client_id", "program"), ("client_secret", PASSWORD)];
    let give = |token: &str, client: [(&'static str, &'static str); 2]| {
        let form = vec![
            ("token", token.to_owned()),
            (client[0].0, client[0].1.to_owned()),
            (client[1].0, client[1].1.to_owned()),
        ];
        let request = reqwest::Client::new()
            .post(server.url("/oauth/revoke"))
            .form(&form);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(
        give("nonsense", program).await,
        200,
        "nothing is left to do"
    );
    assert_eq!(
        give(
            &token,
            [("client_id", "program"), ("client_secret", "wrong")]
        )
        .await,
        401
    );
    assert_eq!(
        give(
            &token,
            [("client_id", "agent-1"), ("client_secret", PASSWORD)]
        )
        .await,
        400
    );
    assert!(may_use(&server, &token).await);
    assert_eq!(give(&token, program).await, 200);
    assert_eq!(live.error().await, "token-revoked");
    assert!(!may_use(&server, &token).await);
    assert_eq!(
        StompClient::begin(server.stomp_address(), &token)
            .await
            .error()
            .await,
        "token-revoked"
    );

    let tokens = family(&server, "omar").await;
    let public = [("client_id", "field-app"), ("client_secret", "")];
    assert_eq!(give(&text(&tokens, "refresh_token"), public).await, 200);
    assert!(!may_use(&server, &text(&tokens, "access_token")).await);
    assert_eq!(
        refresh(&server, &text(&tokens, "refresh_token")).await.0,
        400
    );
    server.stop().await;
}

#[tokio::test]
async fn an_administrator_calls_back_what_anybody_holds() {
    let mut server = server().await;
    let ada = server.browser("ada").await;
    let ada = server.page_token(&ada).await;
    let call_back = |token: String, what: Value| {
        let request = reqwest::Client::new()
            .post(server.url("/api/v1/revocations"))
            .bearer_auth(token)
            .json(&what);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let tokens = family(&server, "omar").await;
    let omar = text(&tokens, "access_token");
    let program = server.token("program").await;
    assert_eq!(
        call_back(omar.clone(), json!({"subject": "ada"})).await,
        403
    );
    assert_eq!(call_back(ada.clone(), json!({"nobody": "x"})).await, 422);
    let mut live = StompClient::connect(server.stomp_address(), &program).await;
    let jti = claims(&program)["jti"].clone();
    assert_eq!(call_back(ada.clone(), json!({"token": jti})).await, 201);
    assert_eq!(live.error().await, "token-revoked");
    assert!(may_use(&server, &omar).await, "nobody else's");
    assert_eq!(
        call_back(ada.clone(), json!({"subject": "nobody"})).await,
        404
    );
    assert_eq!(call_back(ada, json!({"subject": "omar"})).await, 201);
    assert!(!may_use(&server, &omar).await);
    assert_eq!(
        refresh(&server, &text(&tokens, "refresh_token")).await.0,
        400
    );

    // Whoever is taken out of the access file gets nothing any more, nor do their applications.
    let tokens = family(&server, "pia").await;
    server.remove_from_access("pia");
    server.restart().await;
    assert!(!may_use(&server, &text(&tokens, "access_token")).await);
    assert_eq!(
        refresh(&server, &text(&tokens, "refresh_token")).await.0,
        400
    );
    server.stop().await;
}

#[tokio::test]
async fn keys_rotate_while_sessions_live() {
    let server = server().await;
    let old = server.token("program").await;
    let mut live = StompClient::connect(server.stomp_address(), &old).await;
    live.subscribe("/user/queue/errors").await;
    let set = |server: &TestServer| {
        let request = reqwest::get(server.url("/.well-known/jwks.json"));
        async move {
            let answer = request.await.unwrap();
            assert!(
                answer.headers()["cache-control"]
                    .to_str()
                    .unwrap()
                    .contains("max-age")
            );
            let set: Value = answer.json().await.unwrap();
            let kids = set["keys"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| text(key, "kid"));
            kids.collect::<Vec<_>>()
        }
    };
    let kid = |token: &str| {
        let head = URL_SAFE_NO_PAD
            .decode(token.split('.').next().unwrap())
            .unwrap();
        text(&serde_json::from_slice(&head).unwrap(), "kid")
    };
    let before = set(&server).await;
    assert_eq!(before.len(), 2, "the next one is published before it signs");
    // As the command does it, from another process.
    let store = server::store::Store::open(&server.database.url())
        .await
        .unwrap();
    let sealing = KeyFile::of_server(&server.data()).unwrap();
    rotation::rotate(&store, &sealing).await.unwrap();
    let written =
        "select actor || ' ' || action from audit where action like 'key.%' order by number";
    let expected = ["(server) key.rotate", "(command line) key.rotate"];
    assert_eq!(server.database.texts(written).await, expected);
    let new = eventually(async || {
        let token = server.token("program").await;
        (kid(&token) != kid(&old)).then_some(token)
    })
    .await;
    assert!(before.contains(&kid(&new)), "it was known before");
    assert_eq!(set(&server).await.len(), 3);
    assert!(may_use(&server, &old).await && may_use(&server, &new).await);
    live.renew(&new).await;

    // A key that somebody stole is worth nothing, nor is what it signed.
    let mut victim = StompClient::connect(server.stomp_address(), &old).await;
    let removed = rotation::remove(&store, Some(&sealing), &kid(&old)).await;
    assert!(removed.unwrap().is_some());
    let written =
        "select count(*) from audit where action = 'key.remove' and actor = '(command line)'";
    assert_eq!(server.database.count(written).await, 1);
    assert_eq!(victim.error().await, "token-revoked");
    assert!(!may_use(&server, &old).await && may_use(&server, &new).await);
    live.cast("/app/auth", &"still here").await;
    assert_eq!(live.message().await.header("code"), Some("no-token"));
    store.close().await;
    server.stop().await;
}

async fn eventually<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_machine_without_tokens_lives_by_its_passcode_until_it_is_disabled() {
    let server = server().await;
    let address = server.stomp_address();
    for (login, passcode) in [
        ("program", "wrong"),
        ("nobody", PASSWORD),
        ("omar", PASSWORD),
    ] {
        let mut client = StompClient::with_passcode(address, login, passcode).await;
        assert_eq!(client.error().await, "unauthenticated", "{login}");
    }
    let mut kiosk = StompClient::with_passcode(address, "program", PASSWORD).await;
    kiosk.connected().await;
    kiosk.subscribe("/topic/alarms").await;
    server
        .database
        .run("update client set disabled_at = now() where id = 'program'")
        .await;
    assert_eq!(kiosk.error().await, "token-revoked");
    server.stop().await;

    // Unless a setting allows it, a passcode is a token.
    let server = TestServer::start().await;
    let mut client = StompClient::with_passcode(server.stomp_address(), "program", PASSWORD).await;
    assert_eq!(client.error().await, "unauthenticated");
    server.stop().await;
}
