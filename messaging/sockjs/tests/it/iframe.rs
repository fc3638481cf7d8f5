//! The page that lets a script of another origin speak to this one.

use crate::harness::{Site, cached_for_a_year, get, no_cookie};

const BEFORE_URL: &str = "<!DOCTYPE html>\n<html>\n<head>\n\
\x20 <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n\
\x20 <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n\
\x20 <script src=\"";
const AFTER_URL: &str = "\"></script>\n\
\x20 <script>\n\
\x20   document.domain = document.domain;\n\
\x20   SockJS.bootstrap_iframe();\n\
\x20 </script>\n\
</head>\n<body>\n\
\x20 <h2>Don't panic!</h2>\n\
\x20 <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>\n\
</body>\n</html>";

#[tokio::test]
async fn the_page_is_exact_and_cached_under_any_version() {
    let site = Site::four().await;
    for name in [
        "/echo/iframe.html",
        "/echo/iframe-a.html",
        "/echo/iframe-.html",
        "/echo/iframe_x.html",
        "/echo/iframe1.6.1.html",
        "/echo/iframe-0.1.2.html",
        "/echo/iframe-0.1.2abc-dirty.2144.html",
        "/echo/iframe.html?t=1234",
        "/echo/iframe-a.html?t=1234",
        "/echo/iframe-0.1.2abc-dirty.2144.html?t=qweqweq123",
        "/cookie_needed_echo/iframe.html",
        "/disabled_websocket_echo/iframe.html",
    ] {
        let answer = site.ask(&get(name)).await;
        assert_eq!(answer.status(), 200, "{name}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=UTF-8")
        );
        cached_for_a_year(&answer.head);
        assert!(answer.header("etag").is_some(), "{name}");
        no_cookie(&answer.head);
        let body = answer.text();
        let url = body
            .trim_end()
            .strip_prefix(BEFORE_URL)
            .and_then(|rest| rest.strip_suffix(AFTER_URL))
            .unwrap_or_else(|| panic!("{name}: {body}"));
        assert!(url.starts_with('/') || url.starts_with("http"), "{url}");
        assert!(!url.contains(['"', '<', '>']), "{url}");
    }
}

#[tokio::test]
async fn what_a_browser_has_is_not_sent_again() {
    let site = Site::four().await;
    let first = site.ask(&get("/echo/iframe.html")).await;
    let second = site.ask(&get("/echo/iframe-1.6.1.html")).await;
    let tag = first.header("etag").unwrap();
    assert_eq!(second.header("etag"), Some(tag));
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2,
        "{tag}"
    );

    let known = site
        .ask(&get("/echo/iframe.html").with("If-None-Match", tag))
        .await;
    assert_eq!(known.status(), 304);
    assert_eq!(known.header("content-type"), None);
    assert!(known.body.is_empty());

    let other = site
        .ask(&get("/echo/iframe.html").with("If-None-Match", "\"another\""))
        .await;
    assert_eq!(other.status(), 200);
    assert_eq!(other.body, first.body);
}

#[tokio::test]
async fn names_that_are_no_iframe_page_are_not_found() {
    let site = Site::four().await;
    for name in [
        "/iframe.htm",
        "/iframe",
        "/IFRAME.HTML",
        "/IFRAME",
        "/iframe.HTML",
        "/iframe.xml",
        "/iframe-/.html",
        "/iframe-A.html",
        "/iframe.html.js",
    ] {
        let answer = site.ask(&get(format!("/echo{name}"))).await;
        assert_eq!(answer.status(), 404, "{name}");
    }
}
