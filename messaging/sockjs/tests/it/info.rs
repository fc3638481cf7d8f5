//! What a client asks before it chooses a transport.

use std::collections::HashSet;

use serde_json::Value;

use crate::harness::{Site, allows, get, no_cookie, not_cached, preflight};

async fn info(site: &Site, service: &str) -> Value {
    let answer = site.ask(&get(format!("{service}/info"))).await;
    assert_eq!(answer.status(), 200);
    serde_json::from_str(answer.text()).unwrap()
}

#[tokio::test]
async fn a_page_of_any_origin_may_read_it_and_nobody_keeps_it() {
    let site = Site::four().await;
    for (service, websocket, cookie_needed) in [
        ("/echo", true, false),
        ("/disabled_websocket_echo", false, false),
        ("/cookie_needed_echo", true, true),
        ("/close", true, false),
    ] {
        let request = get(format!("{service}/info")).with("Origin", "test");
        let answer = site.ask(&request).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/json; charset=UTF-8")
        );
        not_cached(&answer.head);
        no_cookie(&answer.head);
        allows(&answer.head, Some("test"));
        let info: Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!(info["websocket"], websocket, "{info}");
        assert_eq!(info["cookie_needed"], cookie_needed, "{info}");
        assert_eq!(info["origins"], serde_json::json!(["*:*"]), "{info}");
    }
}

#[tokio::test]
async fn entropy_is_32_bits_and_another_each_time() {
    let site = Site::four().await;
    let mut drawn = HashSet::new();
    for _ in 0..32 {
        let value = info(&site, "/echo").await["entropy"].as_u64().unwrap();
        drawn.insert(u32::try_from(value).expect("below 2^32"));
    }
    assert_eq!(drawn.len(), 32, "{drawn:?}");
    // All bits are drawn: one that never changes in 32 draws does so by chance once in 2^31.
    let ones = drawn.iter().fold(0, |all, value| all | value);
    let zeros = drawn.iter().fold(0, |all, value| all | !value);
    assert_eq!((ones, zeros), (u32::MAX, u32::MAX), "{drawn:?}");
}

#[tokio::test]
async fn its_preflight_allows_get() {
    let site = Site::four().await;
    preflight(&site, "/echo/info", "OPTIONS, GET").await;
}
