//! Polling by script elements, and sending by forms.

use crate::harness::{Answer, Site, get, not_cached, post, session};

const FORM: &str = "application/x-www-form-urlencoded";

async fn send(site: &Site, session: &str, kind: &str, body: &str) -> Answer {
    let request = post(format!("{session}/jsonp_send"))
        .with("Content-Type", kind)
        .body(body);
    site.ask(&request).await
}

async fn opened(site: &Site, service: &str) -> String {
    let session = session(service);
    let answer = site.ask(&get(format!("{session}/jsonp?c=x"))).await;
    assert_eq!(answer.text(), "/**/x(\"o\");\r\n");
    session
}

async fn poll(site: &Site, session: &str) -> String {
    let answer = site.ask(&get(format!("{session}/jsonp?c=x"))).await;
    assert_eq!(answer.status(), 200);
    answer.text().to_owned()
}

#[tokio::test]
async fn a_poll_is_a_call_of_the_callback() {
    let site = Site::four().await;
    let longest = "a".repeat(32);
    for (query, callback) in [
        ("c=%63allback", "callback"),
        ("callback=_jp.abc-1", "_jp.abc-1"),
        (&format!("c={longest}"), &longest),
    ] {
        let session = session("/echo");
        let url = format!("{session}/jsonp?{query}");
        let answer = site.ask(&get(url.as_str())).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/javascript; charset=UTF-8")
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        not_cached(&answer.head);
        assert_eq!(answer.text(), format!("/**/{callback}(\"o\");\r\n"));
        send(&site, &session, FORM, "d=%5B%22x%22%5D").await;
        let answer = site.ask(&get(url)).await;
        assert_eq!(
            answer.text(),
            format!("/**/{callback}(\"a[\\\"x\\\"]\");\r\n")
        );
    }
}

#[tokio::test]
async fn a_callback_has_at_most_32_characters() {
    let site = Site::four().await;
    let name = "a".repeat(33);
    let answer = site
        .ask(&get(format!("{}/jsonp?c={name}", session("/echo"))))
        .await;
    assert_eq!(answer.status(), 500);
    assert!(answer.text().contains("invalid \"callback\" parameter"));
}

#[tokio::test]
async fn a_send_is_answered_ok() {
    let site = Site::four().await;
    let session = opened(&site, "/echo").await;
    let answer = send(&site, &session, FORM, "d=%5B%22x%22%5D").await;
    assert_eq!((answer.status(), answer.text()), (200, "ok"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=UTF-8")
    );
    not_cached(&answer.head);
    assert_eq!(poll(&site, &session).await, "/**/x(\"a[\\\"x\\\"]\");\r\n");
}

#[tokio::test]
async fn forms_and_plain_text_are_read() {
    let site = Site::four().await;
    let session = opened(&site, "/echo").await;
    for (kind, body) in [
        (FORM, "d=%5B%22abc%22%5D"),
        ("text/plain", "[\"%61bc\"]"),
        (
            "application/x-www-form-urlencoded; charset=UTF-8",
            "d=%5B%22a+b%2Bc%22%5D",
        ),
        ("text/plain; charset=UTF-8", "[\"\u{e9}\"]"),
        (FORM, "e=1&d=%5B%22%C3%A9%F0%9F%98%80%22%5D&f"),
        (FORM, "d=[\"raw\"]"),
        (FORM, "d=%5B%5D"),
        ("text/plain", "[]"),
    ] {
        let answer = send(&site, &session, kind, body).await;
        assert_eq!(
            (answer.status(), answer.text()),
            (200, "ok"),
            "{kind} {body}"
        );
    }
    let expected = ["abc", "%61bc", "a b+c", "\u{e9}", "\u{e9}\u{1f600}", "raw"];
    assert_eq!(site.messages(&session, expected.len()).await, expected);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_the_session_lives() {
    let site = Site::four().await;
    let session = opened(&site, "/echo").await;
    for (kind, body, text) in [
        (FORM, "d=%5B%22x", "Broken JSON encoding."),
        ("text/plain", "[\"x", "Broken JSON encoding."),
        (FORM, "", "Payload expected."),
        (FORM, "d=", "Payload expected."),
        (FORM, "p=p", "Payload expected."),
        ("text/plain", "", "Payload expected."),
    ] {
        let answer = send(&site, &session, kind, body).await;
        assert_eq!(answer.status(), 500, "{kind} {body}");
        assert!(answer.text().contains(text), "{kind} {body}: {answer:?}");
        not_cached(&answer.head);
    }
    send(&site, &session, FORM, "d=%5B%22b%22%5D").await;
    assert_eq!(poll(&site, &session).await, "/**/x(\"a[\\\"b\\\"]\");\r\n");
}

#[tokio::test]
async fn a_close_frame_comes_to_every_poll() {
    let site = Site::four().await;
    let session = opened(&site, "/close").await;
    for _ in 0..2 {
        assert_eq!(
            poll(&site, &session).await,
            "/**/x(\"c[3000,\\\"Go away!\\\"]\");\r\n"
        );
    }
}

#[tokio::test]
async fn line_separators_are_escaped_twice() {
    let site = Site::four().await;
    let session = opened(&site, "/echo").await;
    site.send(&session, "[\"\u{2028}\"]").await;
    let expected = "/**/x(\"a[\\\"\\\\u2028\\\"]\");\r\n";
    assert_eq!(poll(&site, &session).await, expected);
}
