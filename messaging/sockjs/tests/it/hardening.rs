//! What a server does that the protocol does not ask for: who may use a session, from which pages, by which transports.

mod origins;
mod ownership;

use serde_json::Value;
use sockjs::{Config, Origins, Transport};

use crate::harness::{
    Receiver, Site, Socket, echo_with, get, handshake, messages, open, post, session,
};

#[tokio::test]
async fn what_is_no_array_of_texts_is_refused_and_the_session_lives() {
    let site = Site::serving(echo_with(open())).await;
    let session = site.opened("/echo").await;
    for body in [
        "[1]",
        "[null]",
        "[true]",
        r#"[{"a":1}]"#,
        r#"[["x"]]"#,
        r#"["taken?",1]"#,
        "{}",
        "null",
        "1",
        r#"{"0":"a","length":1}"#,
    ] {
        for send in ["xhr_send", "jsonp_send"] {
            let request = post(format!("{session}/{send}"))
                .with("Content-Type", "text/plain")
                .body(body);
            let answer = site.ask(&request).await;
            assert_eq!(answer.status(), 500, "{send} {body}");
            let text = answer.text();
            assert!(
                text.contains("Broken JSON encoding.") || text.contains("Payload expected."),
                "{send} {body}: {text}"
            );
        }
        let mut socket =
            Socket::open(&site, &format!("{}/websocket", self::session("/echo"))).await;
        socket.expect("o").await;
        socket.send(body).await;
        socket.ended().await;
    }
    for bytes in [&b"[\"\xff\"]"[..], b"\xff", b"[\"a\"]\0"] {
        let request = post(format!("{session}/xhr_send")).body(bytes);
        assert_eq!(site.ask(&request).await.status(), 500, "{bytes:?}");
    }
    // Nothing of a refused body was taken.
    site.send(&session, r#"["next"]"#).await;
    assert_eq!(site.messages(&session, 1).await, ["next"]);
}

#[tokio::test]
async fn streams_ask_proxies_not_to_collect_them() {
    let site = Site::serving(echo_with(open())).await;
    for receiver in Receiver::STREAMING {
        let mut frames = receiver.open(&site, &session("/echo")).await;
        let head = &frames.stream().await.head;
        assert_eq!(head.header("x-accel-buffering"), Some("no"), "{head:?}");
    }
}

/// A message is a text; in a page it must stay one, and not make a comment of what follows either.
#[tokio::test]
async fn no_message_ends_the_script_that_carries_it() {
    let site = Site::serving(echo_with(open())).await;
    for hostile in [
        "</script><script>alert(1)</script><!-- </SCRIPT >",
        "<!--<script>",
        "]]><![CDATA[",
    ] {
        no_markup_of(hostile, &site).await;
    }
}

async fn no_markup_of(hostile: &str, site: &Site) {
    for receiver in [Receiver::HtmlFile, Receiver::Jsonp] {
        let session = site.opened("/echo").await;
        site.send(&session, serde_json::to_string(&[hostile]).unwrap())
            .await;
        let piece = match receiver {
            Receiver::HtmlFile => {
                let mut frames = receiver.open(site, &session).await;
                frames.stream().await.piece().await.unwrap()
            }
            _ => {
                let answer = site.ask(&receiver.request(&session)).await;
                answer.text().to_owned()
            }
        };
        let carried = piece
            .strip_prefix("<script>")
            .and_then(|rest| rest.strip_suffix("</script>\r\n"))
            .unwrap_or(&piece);
        assert!(!carried.contains('<'), "{receiver:?}: {piece}");
        assert_eq!(messages(&receiver.unwrap(&piece)), [hostile]);
    }
}

fn path_of(transport: Transport) -> &'static str {
    match transport {
        Transport::RawWebSocket => "websocket",
        other => other.name(),
    }
}

#[tokio::test]
async fn a_transport_that_is_switched_off_is_not_there_and_that_is_told() {
    for off in Transport::ALL {
        let site = Site::serving(echo_with(open().without(off))).await;
        for transport in Transport::ALL {
            let request = match transport {
                Transport::WebSocket => handshake(&format!("{}/websocket", session("/echo"))),
                Transport::RawWebSocket => handshake("/echo/websocket"),
                polled => {
                    let find = |receiver: &&Receiver| receiver.name() == path_of(polled);
                    let receiver = Receiver::ALL.iter().find(find).unwrap();
                    receiver.request(&session("/echo"))
                }
            };
            let there = if transport.is_websocket() { 101 } else { 200 };
            let expected = if transport == off { 404 } else { there };
            let mut wire = site.connect().await;
            wire.write(&request.bytes()).await;
            assert_eq!(
                wire.head().await.status,
                expected,
                "{transport} without {off}"
            );
        }
        let info = site.ask(&get("/echo/info")).await;
        let info: Value = serde_json::from_str(info.text()).unwrap();
        assert_eq!(info["websocket"], off != Transport::WebSocket, "{info}");
        let told = info["transports"].as_array().unwrap();
        assert_eq!(told.len(), 6, "{info}");
        assert!(
            told.iter()
                .all(|name| name.as_str().is_some_and(|name| name != off.name()))
        );
    }
}

#[tokio::test]
async fn jsonp_that_is_switched_off_takes_no_forms() {
    let site = Site::serving(echo_with(open().without(Transport::Jsonp))).await;
    let session = site.opened("/echo").await;
    let request = post(format!("{session}/jsonp_send"))
        .with("Content-Type", "text/plain")
        .body("[]");
    assert_eq!(site.ask(&request).await.status(), 404);
}

#[tokio::test]
async fn clients_are_sent_to_this_node_when_there_is_one() {
    for (base_url, expected) in [
        (None, Value::Null),
        (
            Some("https://node-7.example/echo"),
            "https://node-7.example/echo".into(),
        ),
    ] {
        let site = Site::serving(echo_with(Config {
            base_url: base_url.map(str::to_owned),
            ..open()
        }))
        .await;
        let info = site.ask(&get("/echo/info")).await;
        let info: Value = serde_json::from_str(info.text()).unwrap();
        assert_eq!(info["base_url"], expected);
        assert_eq!(info.get("base_url").is_some(), base_url.is_some(), "{info}");
    }
}

#[tokio::test]
async fn without_a_client_file_there_is_no_iframe_page() {
    let site = Site::serving(echo_with(Config {
        client_url: None,
        ..open()
    }))
    .await;
    assert_eq!(site.ask(&get("/echo/iframe.html")).await.status(), 404);
}

#[tokio::test]
async fn the_iframe_page_loads_the_client_that_is_named() {
    let site = Site::serving(echo_with(Config {
        client_url: Some("/static/sockjs-1.6.1.js".to_owned()),
        ..open()
    }))
    .await;
    let answer = site.ask(&get("/echo/iframe.html")).await;
    let script = r#"<script src="/static/sockjs-1.6.1.js"></script>"#;
    assert!(answer.text().contains(script), "{}", answer.text());
}

/// Who may put the page into a frame, as browsers of today read it and as older ones do.
#[tokio::test]
async fn the_iframe_page_may_be_framed_by_the_pages_that_are_allowed() {
    let partner = "https://kiosk.example";
    for (origins, ancestors, old) in [
        (Origins::Any, None, None),
        (Origins::SAME, Some("'self'".to_owned()), Some("SAMEORIGIN")),
        (
            Origins::Listed(vec![partner.to_owned()]),
            Some(format!("'self' {partner}")),
            None,
        ),
    ] {
        let site = Site::serving(echo_with(Config {
            origins: origins.clone(),
            ..open()
        }))
        .await;
        let answer = site.ask(&get("/echo/iframe.html")).await;
        assert_eq!(answer.status(), 200);
        let found = answer
            .header("content-security-policy")
            .and_then(|policy| {
                policy
                    .split(';')
                    .find_map(|rule| rule.trim().strip_prefix("frame-ancestors "))
            })
            .filter(|ancestors| *ancestors != "*");
        assert_eq!(found, ancestors.as_deref(), "{origins:?}");
        assert_eq!(answer.header("x-frame-options"), old, "{origins:?}");
    }
}

/// Off by default, since messages may come twice.
#[tokio::test]
async fn what_a_lost_poll_brought_is_brought_again_where_that_is_wanted() {
    for repeat_unconfirmed in [false, true] {
        let site = Site::serving(echo_with(Config {
            repeat_unconfirmed,
            ..open()
        }))
        .await;
        for receiver in [Receiver::Xhr, Receiver::Jsonp] {
            let session = session("/echo");
            let poll = receiver.request(&session);
            let mut wire = site.connect().await;
            assert_eq!(receiver.unwrap(wire.ask(&poll).await.text()), "o");
            site.send(&session, r#"["one"]"#).await;
            assert_eq!(receiver.unwrap(wire.ask(&poll).await.text()), r#"a["one"]"#);
            // The next poll on the connection shows that the answer came.
            site.send(&session, r#"["two"]"#).await;
            assert_eq!(receiver.unwrap(wire.ask(&poll).await.text()), r#"a["two"]"#);
            // One on another does not.
            drop(wire);
            site.send(&session, r#"["three"]"#).await;
            let mut wire = site.connect().await;
            let mut came = Vec::new();
            while came.last().is_none_or(|last| last != "three") {
                let answer = wire.ask(&poll).await;
                came.extend(messages(&receiver.unwrap(answer.text())));
            }
            let expected: &[&str] = match repeat_unconfirmed {
                true => &["two", "three"],
                false => &["three"],
            };
            assert_eq!(came, expected, "{receiver:?}");
        }
    }
    assert!(!Config::default().repeat_unconfirmed);
}
