//! Which pages may read an answer.

use crate::harness::{
    Receiver, Request, Site, allows, ends_without_content, get, options, post, preflight, session,
};

/// Requests that scripts of other origins send themselves; frames and scripts are not asked for their origin.
fn requests() -> Vec<Request> {
    let session = session("/echo");
    vec![
        get("/echo/info"),
        // In this order: it opens the session that the second sends to.
        post(format!("{session}/xhr")),
        post(format!("{session}/xhr_send")).body("[]"),
        Receiver::XhrStreaming.request(&format!("{session}a")),
        Receiver::EventSource.request(&format!("{session}b")),
    ]
}

#[tokio::test]
async fn the_origin_that_asks_is_allowed_with_credentials() {
    let site = Site::four().await;
    for origin in ["test", "http://a.example", "https://b.example:8443", "null"] {
        for request in requests() {
            let stream = site.open(&request.clone().with("Origin", origin)).await;
            assert!(matches!(stream.head.status, 200 | 204), "{request:?}");
            allows(&stream.head, Some(origin));
        }
    }
}

#[tokio::test]
async fn who_names_no_origin_gets_a_star_without_credentials() {
    let site = Site::four().await;
    for request in requests() {
        let stream = site.open(&request).await;
        assert!(matches!(stream.head.status, 200 | 204), "{request:?}");
        allows(&stream.head, None);
    }
}

#[tokio::test]
async fn what_is_loaded_as_frame_or_script_has_no_such_headers() {
    let site = Site::four().await;
    for receiver in [Receiver::HtmlFile, Receiver::Jsonp] {
        let request = receiver.request(&session("/echo")).with("Origin", "test");
        let stream = site.open(&request).await;
        let found = stream.head.header("access-control-allow-origin");
        assert_eq!(found, None, "{receiver:?}");
    }
}

#[tokio::test]
async fn preflights_are_answered_without_a_session() {
    let site = Site::four().await;
    for path in ["xhr", "xhr_send", "xhr_streaming"] {
        preflight(&site, &format!("/echo/abc/abc/{path}"), "OPTIONS, POST").await;
    }
}

#[tokio::test]
async fn the_headers_asked_for_are_allowed_verbatim() {
    let site = Site::four().await;
    for path in [
        "/echo/info",
        "/echo/abc/abc/xhr",
        "/echo/abc/abc/xhr_streaming",
    ] {
        let ask = async |headers: Option<&str>| {
            let mut request = options(path)
                .with("Origin", "test")
                .with("Access-Control-Request-Method", "POST");
            if let Some(headers) = headers {
                request = request.with("Access-Control-Request-Headers", headers);
            }
            let answer = site.ask(&request).await;
            ends_without_content(&answer);
            allows(&answer.head, Some("test"));
            answer
                .header("access-control-allow-headers")
                .map(str::to_owned)
        };
        assert_eq!(ask(Some("a, b, c")).await.as_deref(), Some("a, b, c"));
        assert_eq!(
            ask(Some("X-A,content-TYPE")).await.as_deref(),
            Some("X-A,content-TYPE")
        );
        assert_eq!(ask(Some("")).await, None);
        assert_eq!(ask(None).await, None);
    }
}
