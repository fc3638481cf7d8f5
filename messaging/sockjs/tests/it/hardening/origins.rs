//! From which pages a service may be used, by each transport.

use std::collections::BTreeMap;

use sockjs::{Config, Origins, Transport};

use crate::harness::{
    Head, Receiver, Request, Site, allows, echo_with, get, handshake, open, options, post, session,
};

const OURS: &str = "https://ours.example";
const THEIRS: &str = "https://theirs.example";
const FOREIGN: &str = "https://foreign.example";

/// How each transport begins.
fn beginnings() -> Vec<(Transport, Request)> {
    let url = |transport: Transport| format!("{}/{}", session("/echo"), transport.name());
    vec![
        (Transport::WebSocket, handshake(&url(Transport::WebSocket))),
        (Transport::RawWebSocket, handshake("/echo/websocket")),
        (Transport::Xhr, post(url(Transport::Xhr))),
        (Transport::XhrStreaming, post(url(Transport::XhrStreaming))),
        (Transport::EventSource, get(url(Transport::EventSource))),
        (Transport::HtmlFile, get(url(Transport::HtmlFile) + "?c=cb")),
        (Transport::Jsonp, get(url(Transport::Jsonp) + "?c=cb")),
    ]
}

async fn head(site: &Site, request: &Request) -> Head {
    site.open(request).await.head
}

fn is_let_in(head: &Head) -> bool {
    match head.status {
        101 | 200 => true,
        403 => {
            let told = head.header("access-control-allow-origin");
            assert_eq!(told, None, "a refusal is not for other sites: {head:?}");
            false
        }
        other => panic!("{other}: {head:?}"),
    }
}

#[tokio::test]
async fn each_transport_has_its_own_list() {
    for special in Transport::ALL {
        let theirs = Origins::Listed(vec![THEIRS.to_owned()]);
        let site = Site::serving(echo_with(Config {
            origins: Origins::Listed(vec![OURS.to_owned()]),
            origins_of: BTreeMap::from([(special, theirs)]),
            ..open()
        }))
        .await;
        for (transport, request) in beginnings() {
            let own = if transport == special { THEIRS } else { OURS };
            for origin in [OURS, THEIRS, FOREIGN, "null"] {
                let head = head(&site, &request.clone().with("Origin", origin)).await;
                assert_eq!(is_let_in(&head), origin == own, "{transport} {origin}");
                if head.status == 200
                    && !matches!(transport, Transport::HtmlFile | Transport::Jsonp)
                {
                    allows(&head, Some(origin));
                }
            }
        }
    }
}

#[tokio::test]
async fn only_the_same_origin_may_come_by_default() {
    let site = Site::serving(echo_with(Config::default())).await;
    for (origin, may) in [
        // The host that requests here name.
        (Some("http://127.0.0.1"), true),
        (None, true),
        (Some(FOREIGN), false),
        (Some("null"), false),
        (Some("http://127.0.0.1:81"), false),
        (Some("http://127.0.0.1.evil.example"), false),
    ] {
        // Each with a session of its own.
        for (transport, mut request) in beginnings() {
            if let Some(origin) = origin {
                request = request.with("Origin", origin);
            }
            let head = head(&site, &request).await;
            assert_eq!(is_let_in(&head), may, "{transport} {origin:?}");
        }
    }
}

#[tokio::test]
async fn who_is_refused_opens_and_sends_nothing() {
    let site = Site::serving(echo_with(Config {
        origins: Origins::Listed(vec![OURS.to_owned()]),
        ..open()
    }))
    .await;
    let unopened = session("/echo");
    let request = post(format!("{unopened}/xhr")).with("Origin", FOREIGN);
    assert_eq!(site.ask(&request).await.status(), 403);
    let send = post(format!("{unopened}/xhr_send")).body("[]");
    assert_eq!(site.ask(&send).await.status(), 404, "no session was opened");

    let session = site.opened("/echo").await;
    for endpoint in ["xhr_send", "jsonp_send"] {
        let foreign = post(format!("{session}/{endpoint}"))
            .with("Origin", FOREIGN)
            .with("Content-Type", "text/plain")
            .body(r#"["foreign"]"#);
        assert_eq!(site.ask(&foreign).await.status(), 403, "{endpoint}");
    }
    site.send(&session, r#"["own"]"#).await;
    assert_eq!(site.messages(&session, 1).await, ["own"]);
}

#[tokio::test]
async fn preflights_and_info_allow_those_that_may_come_and_nobody_else() {
    let site = Site::serving(echo_with(Config {
        origins: Origins::Listed(vec![OURS.to_owned()]),
        ..open()
    }))
    .await;
    for path in [
        "/echo/info",
        "/echo/0/0/xhr",
        "/echo/0/0/xhr_send",
        "/echo/0/0/xhr_streaming",
    ] {
        for origin in [OURS, FOREIGN, "null"] {
            let request = options(path)
                .with("Origin", origin)
                .with("Access-Control-Request-Method", "POST");
            let head = head(&site, &request).await;
            let allowed = head.header("access-control-allow-origin");
            assert_eq!(allowed, (origin == OURS).then_some(OURS), "{path} {origin}");
        }
    }
    let own = head(&site, &get("/echo/info").with("Origin", OURS)).await;
    allows(&own, Some(OURS));
    let foreign = head(&site, &get("/echo/info").with("Origin", FOREIGN)).await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
}

/// Scripts and frames name no origin; today's browsers say where they are loaded from.
#[tokio::test]
async fn scripts_and_frames_of_other_sites_are_refused() {
    let site = Site::serving(echo_with(Config::default())).await;
    for receiver in [Receiver::HtmlFile, Receiver::Jsonp] {
        for (headers, may) in [
            (vec![("Sec-Fetch-Site", "same-origin")], true),
            (vec![("Sec-Fetch-Site", "cross-site")], false),
            (vec![("Referer", "http://127.0.0.1/page")], true),
            (vec![("Referer", "https://foreign.example/page")], false),
        ] {
            let mut request = receiver.request(&session("/echo"));
            for (name, value) in &headers {
                request = request.with(name, value);
            }
            let head = head(&site, &request).await;
            assert_eq!(is_let_in(&head), may, "{receiver:?} {headers:?}");
        }
    }
}
