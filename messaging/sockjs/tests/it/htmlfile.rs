//! Streaming into a hidden frame, script by script.

use crate::harness::{Site, get, not_cached, session};

fn head(callback: &str) -> String {
    [
        "<!doctype html>",
        "<html><head>",
        r#"  <meta http-equiv="X-UA-Compatible" content="IE=edge" />"#,
        r#"  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />"#,
        "</head><body><h2>Don't panic!</h2>",
        "  <script>",
        "    document.domain = document.domain;",
        &format!("    var c = parent.{callback};"),
        "    c.start();",
        "    function p(d) {c.message(d);};",
        "    window.onload = function() {c.stop();};",
        "  </script>",
    ]
    .join("\n")
}

#[tokio::test]
async fn the_page_begins_with_more_than_a_kilobyte_and_goes_on_in_scripts() {
    let site = Site::four().await;
    for (query, callback) in [
        ("c=%63allback", "callback"),
        ("callback=a-b_c.D9", "a-b_c.D9"),
        ("t=1&c=_jp.abc", "_jp.abc"),
    ] {
        let session = session("/echo");
        let mut stream = site.open(&get(format!("{session}/htmlfile?{query}"))).await;
        assert_eq!(stream.head.status, 200, "{query}");
        assert_eq!(
            stream.head.header("content-type"),
            Some("text/html; charset=UTF-8")
        );
        assert_eq!(stream.head.header("content-length"), None);
        not_cached(&stream.head);
        let page = stream.piece().await.unwrap();
        assert_eq!(page.trim(), head(callback));
        assert!(page.len() > 1024, "{}", page.len());
        stream.expect("<script>\np(\"o\");\n</script>\r\n").await;
        site.send(&session, r#"["x"]"#).await;
        stream
            .expect("<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n")
            .await;
    }
}

#[tokio::test]
async fn a_stream_ends_at_its_limit() {
    let site = Site::four().await;
    let session = session("/echo");
    let mut stream = site
        .open(&get(format!("{session}/htmlfile?c=callback")))
        .await;
    assert!(stream.piece().await.unwrap().len() > 1024);
    stream.expect("<script>\np(\"o\");\n</script>\r\n").await;
    let text = "x".repeat(4096);
    site.send(&session, format!("[\"{text}\"]")).await;
    let script = format!("<script>\np(\"a[\\\"{text}\\\"]\");\n</script>\r\n");
    stream.expect(&script).await;
    stream.end().await;
}

#[tokio::test]
async fn a_callback_is_needed_and_a_plain_name() {
    let site = Site::four().await;
    for (query, text) in [
        ("", "\"callback\" parameter required"),
        ("?d=callback", "\"callback\" parameter required"),
        ("?c=%20", "invalid \"callback\" parameter"),
        ("?c=*", "invalid \"callback\" parameter"),
        ("?c=abc(", "invalid \"callback\" parameter"),
        ("?c=abc%28", "invalid \"callback\" parameter"),
        ("?callback=a%0Ab", "invalid \"callback\" parameter"),
        ("?c=%3C/script%3E", "invalid \"callback\" parameter"),
        ("?c=%C3%A9", "invalid \"callback\" parameter"),
    ] {
        let session = session("/echo");
        for transport in ["htmlfile", "jsonp"] {
            let answer = site
                .ask(&get(format!("{session}/{transport}{query}")))
                .await;
            assert_eq!(answer.status(), 500, "{transport}{query}");
            assert!(
                answer.text().contains(text),
                "{transport}{query}: {answer:?}"
            );
            not_cached(&answer.head);
        }
        // No session was opened by it.
        assert_eq!(site.poll(&session).await, "o\n");
    }
}
