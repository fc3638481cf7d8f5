//! Who may use a session: an id is chosen by the client, and may be guessed or seen.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::Request as Asked;
use axum::middleware::map_request;
use sockjs::{Config, OwnedBy};

use crate::harness::{Receiver, Request, Site, Wire, echo_with, messages, open, post, session};

/// Somebody else tries all that can be done with the session, and its owner notices nothing.
///
/// An intruder's request is one for an unknown session: senders get 404, receivers at most a session of their own.
async fn check(
    site: &Site,
    owner: impl Fn(Request) -> Request,
    intruder: impl Fn(Request) -> Request,
    from: impl AsyncFn() -> Wire,
) {
    let session = session("/echo");
    let ask = async |request: Request| site.ask(&owner(request)).await;
    assert_eq!(ask(post(format!("{session}/xhr"))).await.text(), "o\n");
    let send = |text: &str| post(format!("{session}/xhr_send")).body(format!("[\"{text}\"]"));
    assert_eq!(ask(send("secret")).await.status(), 204);

    for endpoint in ["xhr_send", "jsonp_send"] {
        let request = post(format!("{session}/{endpoint}"))
            .with("Content-Type", "text/plain")
            .body(r#"["forged"]"#);
        let answer = from().await.ask(&intruder(request)).await;
        assert_eq!(answer.status(), 404, "{endpoint}");
    }
    for receiver in Receiver::ALL {
        let mut wire = from().await;
        wire.write(&intruder(receiver.request(&session)).bytes())
            .await;
        let head = wire.head().await;
        assert_eq!(head.status, 404, "{receiver:?}: {head:?}");
    }

    let answer = ask(post(format!("{session}/xhr"))).await;
    assert_eq!(messages(answer.text().trim_end()), ["secret"]);
    assert_eq!(ask(send("on")).await.status(), 204);
    let answer = ask(post(format!("{session}/xhr"))).await;
    assert_eq!(messages(answer.text().trim_end()), ["on"]);
}

#[tokio::test]
async fn a_session_belongs_to_the_sign_in_with_which_it_began() {
    let site = Site::serving(echo_with(Config {
        owner_cookie: Some("login".to_owned()),
        ..open()
    }))
    .await;
    let kim = |request: Request| request.with("Cookie", "a=b; login=kim; c=d");
    let from = async || site.connect().await;
    for cookie in [
        "login=lee",
        "login=",
        "login=kimm",
        "nologin=kim",
        "a=login=kim",
    ] {
        check(&site, kim, |request| request.with("Cookie", cookie), from).await;
    }
    check(&site, kim, |request| request, from).await;
}

/// The header stands for what only the application knows of a connection.
async fn named(mut request: Asked) -> Asked {
    let name = request
        .headers()
        .get("x-name")
        .map(|name| name.to_str().unwrap().into());
    if let Some(name) = name {
        request.extensions_mut().insert(OwnedBy(name));
    }
    request
}

#[tokio::test]
async fn a_session_belongs_to_the_name_with_which_it_began() {
    let site = Site::serving(echo_with(open()).layer(map_request(named))).await;
    let agent = |request: Request| request.with("X-Name", "agent-1");
    let from = async || site.connect().await;
    check(&site, agent, |request| request, from).await;
    check(&site, |request| request, agent, from).await;
    let other = |request: Request| request.with("X-Name", "agent-2");
    check(&site, agent, other, from).await;
}

#[tokio::test]
async fn cookies_of_other_names_are_of_no_account() {
    let site = Site::serving(echo_with(open())).await;
    let session = session("/echo");
    let poll = post(format!("{session}/xhr"));
    site.ask(&poll.clone().with("Cookie", "login=kim")).await;
    site.send(&session, r#"["x"]"#).await;
    let answer = site.ask(&poll.with("Cookie", "login=lee")).await;
    assert_eq!(answer.text(), "a[\"x\"]\n");
}

#[tokio::test]
async fn a_session_belongs_to_its_address_where_that_is_wanted() {
    let site = Site::serving(echo_with(Config {
        bind_to_address: true,
        ..open()
    }))
    .await;
    let as_it_is = |request: Request| request;
    let elsewhere = async || site.connect_from("127.0.0.2").await;
    check(&site, as_it_is, as_it_is, elsewhere).await;
    // Nobody becomes another by saying so.
    let forging = |request: Request| request.with("X-Forwarded-For", "127.0.0.1");
    check(&site, as_it_is, forging, elsewhere).await;
    assert!(!Config::default().bind_to_address);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_address_that_it_tells_counts() {
    let site = Site::serving(echo_with(Config {
        bind_to_address: true,
        trusted_proxies: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        sessions_per_address: 64,
        ..open()
    }))
    .await;
    let told = |addresses: &'static str| {
        move |request: Request| request.with("X-Forwarded-For", addresses)
    };
    let by_proxy = async || site.connect().await;
    check(&site, told("192.0.2.1"), told("192.0.2.2"), by_proxy).await;
    // What a client wrote itself stands before what the proxy adds, and is not believed.
    check(
        &site,
        told("192.0.2.1"),
        told("192.0.2.1, 192.0.2.2"),
        by_proxy,
    )
    .await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_bound() {
    let site = Site::serving(echo_with(Config {
        trusted_proxies: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        sessions_per_address: 1,
        ..open()
    }))
    .await;
    for (address, expected) in [("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.1", 429)] {
        let request = post(format!("{}/xhr", session("/echo"))).with("X-Forwarded-For", address);
        assert_eq!(site.ask(&request).await.status(), expected, "{address}");
    }
}
