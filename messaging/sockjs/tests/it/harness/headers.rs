//! What many answers have in common in their heads.

use crate::harness::{Answer, Head, Site, options};

const NO_CACHE: &str = "no-store, no-cache, no-transform, must-revalidate, max-age=0";

#[track_caller]
pub(crate) fn not_cached(head: &Head) {
    assert_eq!(head.header("cache-control"), Some(NO_CACHE), "{head:?}");
    assert_eq!(head.header("expires"), None, "{head:?}");
    assert_eq!(head.header("last-modified"), None, "{head:?}");
}

#[track_caller]
pub(crate) fn cached_for_a_year(head: &Head) {
    let control = Some("public, max-age=31536000");
    assert_eq!(head.header("cache-control"), control, "{head:?}");
    let expires = head.header("expires").expect("Expires");
    assert!(
        expires.ends_with(" GMT") && expires.len() == 29,
        "{expires}"
    );
    assert_eq!(head.header("last-modified"), None, "{head:?}");
}

#[track_caller]
pub(crate) fn no_cookie(head: &Head) {
    assert_eq!(head.header("set-cookie"), None, "{head:?}");
}

/// The answer allows pages of this origin to read it, or everybody when the request named none.
#[track_caller]
pub(crate) fn allows(head: &Head, origin: Option<&str>) {
    let (allowed, credentials) = match origin {
        Some(origin) => (origin, Some("true")),
        None => ("*", None),
    };
    assert_eq!(
        head.header("access-control-allow-origin"),
        Some(allowed),
        "{head:?}"
    );
    assert_eq!(
        head.header("access-control-allow-credentials"),
        credentials,
        "{head:?}"
    );
    assert!(head.lists("vary", "origin"), "{head:?}");
}

/// 200 or 204, whichever, and nothing in it.
#[track_caller]
pub(crate) fn ends_without_content(answer: &Answer) {
    assert!(matches!(answer.status(), 200 | 204), "{answer:?}");
    assert!(answer.body.is_empty(), "{answer:?}");
}

/// Asks whether pages of other origins may use `methods` here, and expects that they may.
pub(crate) async fn preflight(site: &Site, path: &str, methods: &str) {
    for origin in ["test", "http://a.example:8080", "null"] {
        let request = options(path)
            .with("Origin", origin)
            .with("Access-Control-Request-Method", methods);
        let answer = site.ask(&request).await;
        ends_without_content(&answer);
        cached_for_a_year(&answer.head);
        allows(&answer.head, Some(origin));
        let age = answer.header("access-control-max-age").unwrap();
        assert!(age.parse::<u32>().unwrap() > 1_000_000, "{path}: {age}");
        for method in methods.split(", ") {
            let listed = answer.head.lists("access-control-allow-methods", method);
            assert!(listed, "{path} {method}: {answer:?}");
        }
    }
}
