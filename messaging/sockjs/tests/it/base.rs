//! The greeting, and what is not there.

use crate::harness::{Site, get, no_cookie, post};

const SERVICES: [&str; 4] = [
    "/echo",
    "/disabled_websocket_echo",
    "/cookie_needed_echo",
    "/close",
];

#[tokio::test]
async fn the_greeting_is_the_same_with_and_without_slash() {
    let site = Site::four().await;
    for service in SERVICES {
        for path in [service.to_owned(), format!("{service}/")] {
            let answer = site.ask(&get(path)).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(
                answer.header("content-type"),
                Some("text/plain; charset=UTF-8")
            );
            assert_eq!(answer.text(), "Welcome to SockJS!\n");
            no_cookie(&answer.head);
        }
    }
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let site = Site::four().await;
    for service in SERVICES {
        for path in [
            "/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/", "/INFO", "/info/a",
        ] {
            let answer = site.ask(&get(format!("{service}{path}"))).await;
            assert_eq!(answer.status(), 404, "{service}{path}");
            no_cookie(&answer.head);
        }
    }
}

#[tokio::test]
async fn the_greeting_is_got_and_nothing_else() {
    let site = Site::four().await;
    let answer = site.ask(&post("/echo")).await;
    assert_eq!(answer.status(), 405, "{answer:?}");
    assert!(answer.head.lists("allow", "GET"), "{answer:?}");
}
